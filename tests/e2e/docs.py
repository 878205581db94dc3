#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does what a page of the documentation shows, with its text and against what gets installed. Each
example is a test case (TAP), and all of a page are done in order, in one directory:

    sh        is run by a shell, and succeeds
    console   what follows `$ ` is run, and prints the lines that follow; `…` stands for anything in
              a line or, by itself, for any lines; `^C` is typed; lines without a command are the next
              that a command prints which goes on
    json      is a configuration, a layout or a machine that cvd-launch --check accepts
    c         compiles without a warning
    python    compiles
    ini       is a unit of a user's that systemd-analyze accepts
    text      is for people

A comment before it (tests/support/pages.py) may say:

    file NAME       the example is saved there, and compiled by what the page says
    terminal NAME   it is typed in that terminal, where the last command goes on
    status N        how the last command ends, where that is not 0
    needs NAME…     these files are there: those of conf/, others empty
    until TEXT      it prints this; then it is ended by ctrl-c, or goes on in its terminal
    tree            it is typed in the source tree, whose build scripts/test has to have made
    linux           there has to be a Linux guest; else it is skipped, and what follows
    python          the same for the library's Python module
    systemd         the same for systemd's tools
    installed NAME… it alone is skipped where one of these programs is not
    not run: WHY    it is shown only: a skip, which is counted

Usage: docs.py BUILD_DIR SOURCE_ROOT PREFIX PAGE... -- COMPILER [FLAG...]
"""
import json
import os
import pathlib
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.join(os.path.dirname(__file__), "../support"))
import installed  # noqa: E402 (once its directory is known)
import pages  # noqa: E402

LIMIT_S = 60  # fail-safe of every wait
INTERRUPTED = {-signal.SIGINT, 128 + signal.SIGINT}
CONTROL = {"^C": b"\x03", "^]": b"\x1d", "^D": b"\x04"}
LANGUAGES = {"sh", "console", "json", "c", "python", "ini", "text"}
LINK = re.compile(r"\]\(([^):#]+)[^):]*\)")
# A program with what follows it, as code or in bold.
SPAN = re.compile(r"`(cvd-(?:launch|up|ctl|client|vm)) ([^`]*)`")
BOLD = re.compile(r"^\.B (cvd-(?:launch|up|ctl|client|vm)) (.*)$", re.MULTILINE)
KEYS_OF_MACHINE = {"kernel", "blockdevs", "netdevs", "devices", "objects", "machine", "append",
                   "display", "memory", "smp", "binary", "accel", "extra_args", "serial", "vsock",
                   "chardevs", "tpmdevs", "memory_shared", "cpus"}


class Failure(Exception):
    pass


def pattern_of(lines):
    """Matches output that has these lines."""
    parts = ["(?:[^\n]*\n)*?" if line.strip() == "…" else
             re.escape(line.rstrip()).replace("…", "[^\n]*") + "[ ]*\n" for line in lines]
    return re.compile("".join(parts))


class Terminal:
    """A terminal of 80 columns, in which one command runs at a time."""

    def __init__(self, env):
        self.env = env
        self.process, self.master, self.printed, self.command = None, None, b"", ""

    def start(self, command, directory):
        self.master, slave = pty.openpty()
        self.printed, self.command = b"", command
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", "bash", "-euc", "stty -echo columns 80 rows 40; " + command],
            stdin=slave, stdout=slave, stderr=slave, cwd=directory, env=self.env)
        os.close(slave)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def output(self):
        """What is to be seen: a carriage return has the next text overwrite the line."""
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.printed.decode("utf-8", "replace"))
        return re.sub(r"[^\n]*\r(?=[^\r\n])", "", re.sub(r"\r+\n", "\n", text))

    def read(self, deadline):
        """More of what the command prints; False at its end."""
        if not select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
            raise Failure(f"{self.command}: it neither ends nor says what is shown:\n{self.output}")
        try:
            data = os.read(self.master, 65536)
        except OSError:  # nobody has the other side any more
            data = b""
        self.printed += data
        return bool(data)

    def wait_lines(self, lines):
        """The next lines that are printed are these."""
        pattern, deadline = pattern_of(lines), time.monotonic() + LIMIT_S
        while not (match := pattern.match(self.output)):
            if self.process is None or not self.read(deadline):
                raise Failure(f"{self.command}: it ended after\n{self.output}")
        self.printed = self.output[match.end():].encode()

    def wait_end(self, lines, statuses):
        deadline = time.monotonic() + LIMIT_S
        while self.read(deadline):
            pass
        # Not before it is gone: it would be hung up.
        status, self.process = self.process.wait(LIMIT_S), None
        os.close(self.master)
        if status not in statuses:
            raise Failure(f"{self.command}: status {status}\n{self.output}")
        if lines and not pattern_of(lines).fullmatch(self.output.lstrip("\n")):
            raise Failure(f"{self.command}: printed\n{self.output}")

    def type(self, keys):
        if not self.is_running():
            raise Failure(f"{keys}: nothing runs in that terminal")
        os.write(self.master, CONTROL[keys])

    def end(self):
        if self.process is not None:
            os.write(self.master, CONTROL["^C"])
            self.process.terminate()
            self.process.wait(LIMIT_S)


def steps_of(example):
    """What is typed, and the lines that follow; first those that follow nothing of this example."""
    if example.language == "sh":
        return [(example.text, [])]
    steps = [(None, [])]
    for line in example.text.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif line in CONTROL:
            steps.append((line, []))
        elif line.startswith("> ") and not steps[-1][1]:
            steps[-1] = (steps[-1][0] + "\n" + line[2:], [])
        else:
            steps[-1][1].append(line)
    return steps if steps[0][1] else steps[1:]


class Page:
    def __init__(self, directory, root, env):
        self.directory, self.root, self.env = directory, root, env
        self.tree = directory.parent / "cvd-launch"
        self.terminals = {}

    def run(self, argv, **options):
        done = subprocess.run(argv, cwd=self.directory, env=self.env, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S,
                              **options)
        if done.returncode != 0:
            raise Failure(f"{shlex.join(argv)}: status {done.returncode}\n{done.stdout}")
        return done.stdout

    def do_commands(self, example):
        name = example.get("terminal")
        terminal = self.terminals.setdefault(name, Terminal(self.env))
        steps = steps_of(example)
        for number, (typed, lines) in enumerate(steps):
            is_last = number == len(steps) - 1
            statuses = {int(example.get("status") or 0) if is_last else 0}
            if typed in CONTROL:
                terminal.type(typed)
                terminal.wait_end(["…", *lines], statuses | INTERRUPTED)
                continue
            if typed is not None:
                if terminal.is_running():
                    raise Failure(f"{typed}: another command runs in that terminal")
                # Where the page has the distribution's prefix.
                typed = typed.replace("/usr/share/cvd", self.env["CVD_SHARE"])
                terminal.start(typed, self.tree if "tree" in example.notes else self.directory)
            if is_last and example.get("until"):
                terminal.wait_lines(["…", f"…{example.get('until')}…"])
                if name is None:
                    terminal.type("^C")
                    terminal.wait_end([], statuses | INTERRUPTED)
                continue
            if typed is None or (is_last and name is not None):
                terminal.wait_lines(lines)
            else:
                terminal.wait_end(lines, statuses)

    do_sh = do_console = do_commands

    def do_json(self, example):
        text = example.text.strip()
        block = json.loads(text if text.startswith(("{", "[")) else f"{{{text}}}")
        config = {"name": "docs", "layout": str(self.root / "conf/vsoc_mem.json"),
                  "qemu": {"kernel": "builtin"}}
        if "vsoc_device_regions" in block:
            config["layout"] = block
        elif KEYS_OF_MACHINE & set(block):
            config["qemu"].update(block)
        else:
            config.update(block)
        self.run(["cvd-launch", "--check", "--config", "-"], input=json.dumps(config))

    def do_c(self, example):
        flags = self.run(["pkg-config", "--cflags", "--libs", "cvd-client", "cvd-server"]).split()
        kind = [] if re.search(r"\bmain\(", example.text) else ["-c"]
        self.run(["cc", "-x", "c", "-", "-o", "a.out", *kind, *flags], input=example.text)

    def do_python(self, example):
        compile(example.text, example.get("file") or "example", "exec")

    def do_ini(self, example):
        machine = pathlib.Path(self.env["CVD_BUILD_DIR"]) / "systemd/user-cvd@.service"
        text = re.sub(r"ExecStart=\S+", f"ExecStart={self.run(['which', 'cvd-launch']).strip()}",
                      machine.read_text(encoding="utf-8"))
        (self.directory / "cvd@.service").write_text(text, encoding="utf-8")
        self.run(["systemd-analyze", "--user", "--man=no", "verify", f"./{example.get('file')}"])

    def do_text(self, example):
        pass

    def put(self, name):
        source, path = self.root / "conf" / pathlib.Path(name).name, self.directory / name
        text = source.read_text(encoding="utf-8") if source.exists() else ""
        path.parent.mkdir(exist_ok=True)
        # KVM can be opened and yet not work, as inside another VM.
        path.write_text(text.replace('["kvm", "tcg"]', '"tcg"'), encoding="utf-8")

    def do(self, example):
        if example.language not in LANGUAGES:
            raise Failure(f"the example has no language, or an unknown one: '{example.language}'")
        for name in (example.get("needs") or "").split():
            self.put(name)
        if example.get("file"):
            (self.directory / example.get("file")).write_text(example.text, encoding="utf-8")
            if example.language == "c":
                return
        getattr(self, f"do_{example.language}")(example)

    def finish(self):
        """A page also says how to end what it starts, perhaps from another terminal."""
        for terminal in self.terminals.values():
            if terminal.process is not None:
                terminal.wait_end([], {0})

    def clear(self):
        for terminal in self.terminals.values():
            terminal.end()


def words_of_help(program, page):
    """Options and verbs that programs have."""
    text = page.run([program, "--help"])
    verbs = re.findall(r"^  ([a-z-]+(?:, [a-z-]+)*) ", text, re.MULTILINE)
    return {*re.findall(r"--[a-z][a-z-]*|-[a-z]\b", text), *", ".join(verbs).split(", ")}


def check_names(path, page):
    """Files that the text leads to are there, verbs and options of the programs are theirs."""
    text = path.read_text(encoding="utf-8")
    for name in LINK.findall(text if path.suffix == ".md" else ""):
        if not (path.parent / name).exists():
            raise Failure(f"it leads to {name}, which is not there")
    spans = (SPAN.findall(text) if path.suffix == ".md" else
             BOLD.findall(pages.unescape(text)))
    for program, rest in spans:
        words = rest.split()
        known = words_of_help(program, page)
        if words[0] in known and not words[0].startswith("-"):
            known |= set(re.findall(r"--?[a-z][a-z-]*", page.run([program, words[0], "--help"])))
        for word in words:
            option = re.match(r"--?[a-z][a-z-]*", word)
            if option and option.group() not in known:
                raise Failure(f"`{program} {rest}`: it has no {option.group()}")
        if words[0].isalpha() and program != "cvd-launch" and words[0] not in known:
            raise Failure(f"`{program} {rest}`: it has no verb {words[0]}")


class Report:
    """Test cases in the form of TAP."""

    def __init__(self):
        self.count, self.has_failed = 0, False

    def say(self, name, text="", result="ok"):
        self.count += 1
        if result == "fail":
            print(f"{name}: {text}", file=sys.stderr, flush=True)
        skip = f" # SKIP {text}" if result == "skip" else ""
        print(f"{'not ok' if result == 'fail' else 'ok'} {self.count} {name}{skip}", flush=True)
        self.has_failed |= result == "fail"

    def case(self, name, function, *arguments):
        try:
            function(*arguments)
        except (Failure, OSError, ValueError, SyntaxError, subprocess.SubprocessError) as error:
            self.say(name, str(error), "fail")
            return False
        self.say(name)
        return True


def why_without(what, page):
    """Why there is none of what an example needs."""
    if what == "linux":
        guest = pathlib.Path(page.env["CVD_BUILD_DIR"]) / "linux-guest"
        reason = guest / "why-not"
        if not (guest / "vmlinuz").exists():
            return reason.read_text().strip() if reason.exists() else "run scripts/linux-guest first"
    elif what == "tree":
        # Else scripts/demo would configure it anew, under the tests that run beside this one.
        if not os.path.exists(os.path.join(page.env["CVD_BUILD_DIR"], "missing-packages")):
            return "scripts/test has not made this build"
    elif what == "systemd":
        if shutil.which("systemd-analyze") is None:
            return "systemd-analyze is not there"
    elif what == "python":
        if not os.path.exists(page.env["GI_TYPELIB_PATH"]):
            return "this build has no introspection data"
        try:
            page.run(["python3", "-c", "import gi"])
        except Failure:
            return "python3-gi is not installed"
    return None


def test_page(path, page, report):
    for example in pages.examples_of(path):
        name = f"{path.name}:{example.line}/{example.language}"
        missing = [why for what in example.notes if (why := why_without(what, page))]
        absent = [program for program in (example.get("installed") or "").split()
                  if not shutil.which(program)]
        if example.get("not run"):
            report.say(name, "documentation: " + example.get("not run"), "skip")
        elif absent:
            report.say(name, f"{absent[0]} is not installed", "skip")
        elif missing:
            report.say(name, missing[0], "skip")
            page.clear()
            return
        elif not report.case(name, page.do, example):
            return  # the rest relies on it
    report.case(f"{path.name}/ends", page.finish)
    report.case(f"{path.name}/names", check_names, path, page)


def write_compiler(directory, compiler):
    """The `cc` of a page: the build's, for which warnings are errors. Nothing static has a sanitizer."""
    plain = [word for word in compiler if not word.startswith("-fsanitize")]
    path = directory / "cc"
    path.write_text(f'#!/bin/sh\ncase " $* " in *" -static "*) exec {shlex.join(plain)} -Wall -Werror'
                    f' "$@";; esac\nexec {shlex.join(compiler)} -Wall -Werror "$@"\n', encoding="utf-8")
    path.chmod(0o755)


def link_tree(tree, root, build):
    """The source tree that is beside the directory of a page, with its build directory."""
    tree.mkdir()
    for path in root.iterdir():
        if not path.name.startswith(("build", "scripts", ".")):
            (tree / path.name).symlink_to(path)
    (tree / "build").symlink_to(build)
    (tree / "scripts").mkdir()
    for script in (root / "scripts").iterdir():
        if os.access(script, os.X_OK):  # they look for the tree by their own paths
            (tree / "scripts" / script.name).write_text(f'#!/bin/sh\nexec "{script}" "$@"\n')
            (tree / "scripts" / script.name).chmod(0o755)


def environment(build, prefix, work, compiler):
    """That of somebody who has installed everything."""
    root, pkg_config = installed.install(build, prefix, str(work), "cvd-client",
                                         "devel,runtime,typelib")
    tools = work / "tools"
    tools.mkdir()
    write_compiler(tools, compiler)
    runtime = work / "run"
    runtime.mkdir(mode=0o700)
    library = os.path.dirname(pkg_config)
    return {**os.environ, "PATH": f"{tools}:{root}/bin:/usr/bin:{os.environ['PATH']}",
            "PKG_CONFIG_PATH": pkg_config, "LD_LIBRARY_PATH": library,
            "GI_TYPELIB_PATH": os.path.join(library, "girepository-1.0"),
            "CVD_RUNTIME_DIR": str(runtime), "CVD_SHARE": f"{root}/share/cvd",
            "CVD_BUILD_DIR": build, "TERM": "dumb", "XDG_CONFIG_HOME": "",
            "CVD_SNAPSHOT_DIR": str(work / "snapshots"), "XDG_RUNTIME_DIR": str(runtime)}


def main(build, source_root, prefix, *rest):
    split = rest.index("--")
    root = pathlib.Path(source_root)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is ended
    report = Report()
    with tempfile.TemporaryDirectory(prefix="cvd-") as work:
        work = pathlib.Path(work)
        env = environment(build, prefix, work, rest[split + 1:])
        for name in rest[:split]:
            directory = work / pathlib.Path(name).stem / "work"
            directory.mkdir(parents=True)
            link_tree(directory.parent / "cvd-launch", root, build)
            page = Page(directory, root, {**env, "HOME": str(directory)})
            try:
                test_page(root / name, page, report)
            finally:
                page.clear()
    print(f"1..{report.count}")
    return 1 if report.has_failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
