#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What follows from the tables of verbs: --help, the manual pages, and the shell's completion.

Usage: verbs.py CVD_CTL CVD_CLIENT CVD_LAUNCH CVD_VM SOURCE_ROOT
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

COMMON = {"--name", "--json", "--version", "--socket"}


def run(program, *arguments):
    return subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def complete(program, *words):
    return run(program, "--complete", *words).splitlines()


def shell_complete(root, program, *words):
    """As bash does when tab is pressed after the last of @words."""
    line = " ".join(f"'{word}'" for word in (program, *words))
    script = (f"source {root}/base/tool-completion.bash; COMP_WORDS=({line}); COMP_CWORD={len(words)}\n"
              f"_cvd_tool {program} '{words[-1]}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return run("bash", "-c", script).split()


def sections_of(page):
    """Heading -> text of each verb in the page, as a reader sees it."""
    text = page.read_text(encoding="utf-8").replace("\\-", "-")
    text = re.sub(r"\\f.|\"", "", text)
    verbs = text.split("\n.SH VERBS\n")[1].split("\n.SH ")[0] + "\n"
    verbs = re.sub(r"(?m)^\.TP\n\.(BR?|IR?) (?=-)", "", verbs)  # a verb's options
    return [part.split("\n", 1) for part in re.split(r"(?m)^(?:\.TP\n\.BR? |\.SS )", verbs)[1:]]


def check_verb(program, page, verb, kinds):
    found = [(heading, text) for heading, text in sections_of(page)
             if verb in re.split(r"[\s,]+", heading)]
    assert len(found) == 1, f"{page.name}: {len(found)} sections for {verb}"
    heading, text = found[0]
    for kind in kinds:
        assert kind.strip("[].") in heading, f"{page.name}: {verb}: no {kind} in '{heading}'"
    for option in set(complete(program, verb, "-")) - COMMON:
        assert option in heading + text, f"{page.name}: {verb}: no {option}"


def check_program(program, page):
    table = dict(re.findall(r"(?m)^  ([a-z-]+) ((?:\[?[A-Z]+[.\]]* )*)", run(program, "--help").split("Verbs:")[1]))
    verbs = complete(program, "")
    assert len(verbs) > 10 and set(verbs) <= set(table), (verbs, table)
    for verb in verbs:
        check_verb(program, page, verb, table[verb].split())
    for option in set(complete(program, "-")):
        assert option in page.read_text(encoding="utf-8").replace("\\-", "-"), option


def check_width(program, verbs=()):
    """A terminal of 80 columns wraps no line of any --help."""
    for words in [(), *((verb,) for verb in verbs)]:
        text = run(program, *words, "--help")
        long = [line for line in text.splitlines() if len(line) > 80]
        assert text and not long, (program, *words, long)


def check_states(root, ctl):
    """The launcher's names of them, the interface's description, the tool, and its help."""
    source = pathlib.Path(root, "launcher/lifecycle/lifecycle.c").read_text(encoding="utf-8")
    states = re.findall(r'\[CVD_STATE_[A-Z]+\] = "([a-z]+)"', source)
    xml = pathlib.Path(root, "launcher/control/org.cvd.Instance1.xml").read_text(encoding="utf-8")
    described = re.split(r",\s+|\s+or\s+", re.search(r"State: ([^>]*?)\s+-->", xml).group(1))
    told = complete(ctl, "wait", "")
    assert len(states) == 9 and states == described == told, (states, described, told)
    text = run(ctl, "wait", "--help")
    assert all(re.search(rf"\b{state}\b", text) for state in states), text


def check_shell(root, ctl, client):
    assert shell_complete(root, ctl, "w") == ["wait"]
    assert shell_complete(root, ctl, "wait", "su") == ["suspended"]
    assert shell_complete(root, ctl, "--json", "logs", "--l") == ["--lines"]
    assert shell_complete(root, ctl, "wait", "running", "x") == []
    assert shell_complete(root, ctl, "-n", "on") == ["one"]
    assert shell_complete(root, ctl, "--name", "=", "on") == ["one"]
    assert shell_complete(root, client, "info", "hw") == ["hwcomposer"]
    assert shell_complete(root, client, "-n", "one", "read", "--raw", "hw") == ["hwcomposer"]
    assert shell_complete(root, client, "-n", "other", "read", "hw") == []
    assert shell_complete(root, client, "read", "hwcomposer", "hw") == []


def main(ctl, client, launch, fake_vm, root):
    ctl, client = (os.path.abspath(program) for program in (ctl, client))
    check_program(ctl, pathlib.Path(root, "docs/cvd-ctl.1"))
    check_states(root, ctl)
    check_program(client, pathlib.Path(root, "docs/cvd-client.1"))
    check_width(launch)
    check_width(fake_vm)
    for tool in (ctl, client):
        check_width(tool, complete(tool, ""))
    with tempfile.TemporaryDirectory(prefix="cvd-") as work:
        os.environ["CVD_RUNTIME_DIR"] = work
        launcher = subprocess.Popen([launch, "--serve-only", "--name", "one", "--config", f"{root}/conf/cvd.json"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        try:
            launcher.stdout.readline()
            check_shell(root, ctl, client)
        finally:
            launcher.terminate()
            launcher.wait()


main(*sys.argv[1:])
