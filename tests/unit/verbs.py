#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What follows from the tables of verbs and options: --help, the manual pages, and the completion of
bash, fish and zsh, which are tried themselves.

Usage: verbs.py CVD_CTL CVD_CLIENT CVD_LAUNCH CVD_UP CVD_VM SOURCE_ROOT DIRECTORY_OF_PAGES
"""
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

SKIP = 77
LIMIT_S = 60  # fail-safe of every wait
COMMON = {"--name", "--group", "--host", "--json", "--version", "--socket", "--help"}
# A line, and what it is after a tab, where the instance `one` runs, `phone-2` has failed and the snapshot
# `booted` is.
COMPLETIONS = {
    "cvd-ctl pow": "cvd-ctl power-button ",
    "cvd-ctl wait su": "cvd-ctl wait suspended ",
    "cvd-ctl --json logs --li": "cvd-ctl --json logs --lines ",
    "cvd-ctl wait running s": "cvd-ctl wait running s",
    "cvd-ctl -n on": "cvd-ctl -n one ",
    "cvd-ctl --name=on": "cvd-ctl --name=one ",
    "cvd-ctl -g ph": "cvd-ctl -g phone ",
    "cvd-ctl --group=ph": "cvd-ctl --group=phone ",
    "cvd-ctl report -o conf/qemu.j": "cvd-ctl report -o conf/qemu.json ",
    "cvd-ctl info boo": "cvd-ctl info booted ",
    "cvd-ctl delete booted other boo": "cvd-ctl delete booted other booted ",
    "cvd-client info hw": "cvd-client info hwcomposer ",
    "cvd-client -n one read --raw hw": "cvd-client -n one read --raw hwcomposer ",
    "cvd-client --name=one read hw": "cvd-client --name=one read hwcomposer ",
    "cvd-client -n other read hw": "cvd-client -n other read hw",
    "cvd-client read hwcomposer hw": "cvd-client read hwcomposer hw",
    "cvd-launch --ser": "cvd-launch --serve-only ",
    "cvd-launch --set lifecycle.on_p": "cvd-launch --set lifecycle.on_panic=",
    "cvd-launch -c conf/qemu.j": "cvd-launch -c conf/qemu.json ",
    "cvd-up --jo": "cvd-up --jobs ",
    "cvd-up --set lifecycle.on_p": "cvd-up --set lifecycle.on_panic=",
    "cvd-up --from boo": "cvd-up --from booted ",
    "cvd-up -j 4 conf/qemu.j": "cvd-up -j 4 conf/qemu.json ",
    "cvd-launch --from boo": "cvd-launch --from booted ",
    "cvd-vm --sl": "cvd-vm --slow ",
    "cvd-vm -n on": "cvd-vm -n one ",
}
# How each begins, and has ctrl-t print the line that is edited, and empty it.
SHELLS = {
    "bash": """PS1= PS2=; . '{completion}/cvd.bash'
               show() {{ printf 'LINE<%s>\\n' "$READLINE_LINE"; READLINE_LINE=; }}; bind -x '"\\C-t": show'""",
    "zsh": """PS1= PS2= RPS1=; fpath=('{completion}' $fpath); autoload -Uz compinit; compinit -u -D
              show() {{ zle -I; print -r -- "LINE<$BUFFER>"; BUFFER= }}; zle -N show; bindkey '^T' show""",
}


def run(program, *arguments):
    return subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def complete(program, *words):
    return [line.split("\t")[0] for line in run(program, "--complete", *words).splitlines()]


class Terminal:
    """An interactive shell in a terminal."""

    def __init__(self, argv, env, cwd):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(["setsid", "--ctty", "--wait", *argv], stdin=slave, stdout=slave,
                                        stderr=slave, env=env, cwd=cwd)
        os.close(slave)
        self.said = ""

    def ask(self, keys, answer):
        """Types, and returns what matches."""
        os.write(self.master, keys.encode())
        while not (match := re.search(answer, self.said)):
            assert select.select([self.master], [], [], LIMIT_S)[0], (keys, self.said)
            self.said += os.read(self.master, 65536).decode("utf-8", "replace")
        self.said = self.said[match.end():]
        return match.group(1)

    def end(self):
        os.close(self.master)
        self.process.wait(LIMIT_S)


def check_in_terminal(shell, argv, env, root):
    terminal = Terminal(argv, env, root)
    try:
        begin = SHELLS[shell].format(completion=f"{root}/base/completion")
        terminal.ask(f"{begin}; echo rea''dy\n", r"\n(ready)\r")  # not in the tree's path
        for line, wanted in COMPLETIONS.items():
            found = terminal.ask(f"{line}\t\x14", "LINE<(.*?)>")
            assert found == wanted, (shell, line, found)
    finally:
        terminal.end()


def check_fish(env, root):
    """Which can be asked; what it offers may have a description after a tab."""
    for line, wanted in COMPLETIONS.items():
        script = f"source base/completion/cvd.fish; complete -C '{line}'"
        said = subprocess.run(["fish", "--no-config", "-c", script], stdout=subprocess.PIPE, text=True,
                              check=True, env=env, cwd=root).stdout
        found = [offer.split("\t")[0] for offer in said.splitlines()]
        begun = line.split(" ")[-1]
        offered = [offer for offer in found if offer.startswith(begun)]
        assert offered == ([] if wanted == line else [wanted.rstrip().split(" ")[-1]]), (line, found)


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
    rows = re.findall(r"(?m)^  ([a-z-]+(?:, [a-z-]+)*) ((?:\[?[A-Z]+[.\]]* )*)", run(program, "--help"))
    table = {verb: arguments for row, arguments in rows for verb in row.split(", ")}
    verbs = complete(program, "")
    assert len(verbs) > 10 and set(verbs) <= set(table), (verbs, table)
    for verb in verbs:
        check_verb(program, page, verb, table[verb].split())
        assert run(program, verb, "--version") == run(program, "--version"), verb
    for option in set(complete(program, "-")):
        assert option in page.read_text(encoding="utf-8").replace("\\-", "-"), option


def check_size(program, verbs=()):
    """Any --help fits a terminal of 80 columns and 24 lines, with the next prompt."""
    for words in [(), *((verb,) for verb in verbs)]:
        lines = run(program, *words, "--help").splitlines()
        long = [line for line in lines if len(line) > 80]
        assert lines and not long, (program, *words, "lines of more than 80 columns", long)
        assert len(lines) < 24, (program, *words, f"{len(lines)} lines; a terminal of 24 shows 23: say less")


def check_states(root, ctl):
    """The launcher's names of them, the interface's description, the tool, and its help; `ready`, which
    is none, can be waited for, too."""
    source = pathlib.Path(root, "launcher/lifecycle/lifecycle.c").read_text(encoding="utf-8")
    states = re.findall(r'\[CVD_STATE_[A-Z]+\] = "([a-z]+)"', source)
    xml = pathlib.Path(root, "launcher/control/org.cvd.Instance1.xml").read_text(encoding="utf-8")
    described = re.split(r",\s+|\s+or\s+", re.search(r"State: ([^>]*?)\s+-->", xml).group(1))
    told = complete(ctl, "wait", "")
    assert len(states) == 9 and states == described, (states, described)
    assert told == [*states, "ready"], told
    text = run(ctl, "wait", "--help")
    assert all(re.search(rf"\b{state}\b", text) for state in states), text


def check_silence(client, work):
    """The prompt comes back, long before the client would say that nobody answers."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{work}/silent.sock")
        server.listen()
        argv = [client, "--complete", "-s", f"{work}/silent.sock", "info", ""]
        assert subprocess.run(argv, timeout=LIMIT_S, check=False).returncode == 1


def check_signals_at_the_end(client, env):
    """A signal that comes while the program ends by itself finds nothing that is gone."""
    for _ in range(300):
        with subprocess.Popen([client, "list"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True) as process:
            said = process.stderr.read(1)  # there is no instance, which is the last that it says
            process.send_signal(signal.SIGHUP)
            said += process.stderr.read()
        assert said.startswith("cvd-client: ") and said.count("\n") == 1, (process.returncode, said)


def environment(work, programs):
    for program in programs:
        os.symlink(os.path.abspath(program), f"{work}/{os.path.basename(program)}")
    snapshots = f"{work}/snapshots"
    for directory in (snapshots, f"{snapshots}/booted"):
        os.mkdir(directory, 0o700)
    os.mkdir(f"{work}/phone-2", 0o700)
    pathlib.Path(work, "phone-2", "failure.json").write_text("{}", encoding="utf-8")
    return {**os.environ, "CVD_RUNTIME_DIR": work, "CVD_SNAPSHOT_DIR": snapshots,
            "PATH": f"{work}:{os.environ['PATH']}", "HOME": work, "TERM": "dumb",
            "HISTFILE": "/dev/null", "XDG_CONFIG_HOME": work, "XDG_DATA_HOME": work}


def check_shells(env, root):
    """Returns those that are not installed."""
    check_in_terminal("bash", ["bash", "--norc", "--noprofile", "-i"], env, root)
    if shutil.which("fish"):
        check_fish(env, root)
    if shutil.which("zsh"):
        check_in_terminal("zsh", ["zsh", "-f", "-i"], env, root)
    return [shell for shell in ("fish", "zsh") if not shutil.which(shell)]


def main(ctl, client, launch, up, fake_vm, root, pages):
    ctl, client = (os.path.abspath(program) for program in (ctl, client))
    check_program(ctl, pathlib.Path(pages, "cvd-ctl.1"))
    check_states(root, ctl)
    check_program(client, pathlib.Path(pages, "cvd-client.1"))
    check_size(launch)
    check_size(up)
    check_size(fake_vm)
    for tool in (ctl, client):
        check_size(tool, complete(tool, ""))
    with tempfile.TemporaryDirectory(prefix="cvd-") as work:
        env = environment(work, (ctl, client, launch, up, fake_vm))
        check_silence(client, work)
        check_signals_at_the_end(client, env)
        launcher = subprocess.Popen([launch, "--serve-only", "--name", "one", "--config", f"{root}/conf/cvd.json"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=env)
        try:
            launcher.stdout.readline()
            missing = check_shells(env, root)
        finally:
            launcher.terminate()
            launcher.wait()
    if missing:
        print(f"skipped: not installed: {', '.join(missing)}")
        return SKIP
    return 0


sys.exit(main(*sys.argv[1:]))
