#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cvd-ctl --host, by a real ssh and sshd, of instances with a real QEMU; TAP. Each connection has an
sshd of its own, which ssh starts as its ProxyCommand, so there is no port.

Usage: remote.py LAUNCH CTL GUEST SOURCE_ROOT
"""
import contextlib
import io
import json
import os
import pathlib
import pty
import pwd
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import traceback

LIMIT_S = 60  # fail-safe of every wait
NAME = "phone"
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
HERE = "far"  # as ssh's configuration calls this machine
# Where root's sshd wants a directory in /run it gets a /run of its own.
PROXY = """#!/bin/sh
if [ "$(id -u)" = 0 ]; then
    exec setsid unshare --mount sh -c 'mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec "$@"' sh {command}
fi
exec setsid {command}
"""
SSHD_CONFIG = """HostKey {work}/host_key
AuthorizedKeysFile {work}/key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
SetEnv HOME={work} PATH={work}/there CVD_RUNTIME_DIR={work}/run
"""
SSH_CONFIG = """Host far
    ProxyCommand {work}/proxy
Host gone
    HostName 127.0.0.1
    Port 1
Host *
    IdentityFile {work}/key
    IdentitiesOnly yes
    UserKnownHostsFile {work}/known_hosts
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
    BatchMode yes
    LogLevel ERROR
"""
# ssh with the test's configuration, which notes that it was started.
SSH = """#!/bin/sh
echo started >>{work}/ssh.log
exec {ssh} -F {work}/ssh_config "$@"
"""
# Says its pid to who waits for that, and is the real one then.
ANNOUNCING = """#!/bin/sh
echo $$ >{work}/pid
exec {ctl} "$@"
"""
ECHOING = """#!/usr/bin/python3
import json, os, sys
print(json.dumps([os.fsencode(word).hex() for word in sys.argv[1:]]))
"""
# What obeys would have another title, and nothing on it.
HOSTILE = r"""#!/bin/sh
printf 'out \033]0;owned\007\033[2J\377 \303\244\n'
printf 'err \033[2J\n' >&2
"""


class CannotRun(Exception):
    pass


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, argv, env, **options):
        self.master, slave = pty.openpty()
        argv = ["setsid", "--ctty", "--wait", *map(str, argv)]
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, env=env,
                                        **{"stderr": slave, **options})
        os.close(slave)
        self.seen = b""

    def read(self):
        assert select.select([self.master], [], [], LIMIT_S)[0], self.seen
        try:
            return os.read(self.master, 65536)
        except OSError:  # nobody has it open any more
            return b""

    def see(self, text):
        while text not in self.seen:
            some = self.read()
            assert some, (text, self.seen)
            self.seen += some

    def type(self, keys):
        os.write(self.master, keys)

    def discard(self):
        while self.read():
            pass

    def finish(self):
        """Returns its exit status, and what was to be seen."""
        while some := self.read():
            self.seen += some
        os.close(self.master)
        return self.process.wait(LIMIT_S), self.seen


class Scene:
    """A directory with keys and configurations, and the machine that is run there."""

    def __init__(self, stack, launch, ctl, guest, root):
        self.launch, self.ctl, self.guest, self.root = map(os.path.abspath, (launch, ctl, guest, root))
        self.work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cvdt-ssh-")))
        self.env = {**os.environ, "PATH": f"{self.work}/here:{os.environ['PATH']}",
                    "CVD_RUNTIME_DIR": str(self.work / "run")}
        self.launcher = None
        self.prepare()
        self.try_connection()

    def write(self, name, text, mode=0o600, **values):
        path = self.work / name
        path.unlink(missing_ok=True)
        path.write_text(text.format(work=self.work, **values), encoding="utf-8")
        path.chmod(mode)

    def prepare(self):
        if not SSHD or not shutil.which("ssh"):
            raise CannotRun("no ssh and sshd (openssh-server)")
        for name in ("here", "there", "elsewhere"):
            (self.work / name).mkdir()
        (self.work / "run").mkdir(mode=0o700)
        for name in ("key", "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.work / name],
                           check=True, stdin=subprocess.DEVNULL)
        public = (self.work / "host_key.pub").read_text(encoding="ascii")
        self.write("known_hosts", f"far,gone {public}")
        self.write("sshd_config", SSHD_CONFIG)
        self.write("ssh_config", SSH_CONFIG)
        command = [SSHD, "-i", "-f", f"{self.work}/sshd_config", "-E", f"{self.work}/sshd.log"]
        self.write("proxy", PROXY, 0o700, command=shlex.join(command))
        self.write("here/ssh", SSH, 0o700, ssh=shutil.which("ssh"))
        for name in ("env", "sh"):
            (self.work / "there" / name).symlink_to(shutil.which(name))
        os.mkfifo(self.work / "pid")
        self.be_real()

    def try_connection(self):
        tried = subprocess.run([f"{self.work}/here/ssh", HERE, "exit 7"], stdin=subprocess.DEVNULL, env=self.env,
                               capture_output=True, text=True, timeout=LIMIT_S, check=False)
        if tried.returncode != 7:
            log = self.work / "sshd.log"
            said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            raise CannotRun(f"sshd cannot be used here: {tried.stderr} {said}".replace("\n", "; "))

    def be_real(self):
        path = self.work / "there/cvd-ctl"
        path.unlink(missing_ok=True)
        path.symlink_to(self.ctl)

    @contextlib.contextmanager
    def other_ctl(self, text):
        """There is that, in place of cvd-ctl."""
        path = self.work / "there/cvd-ctl"
        path.unlink()
        if text is not None:
            path.write_text(text, encoding="utf-8")
            path.chmod(0o700)
        try:
            yield
        finally:
            self.be_real()

    def announcing(self):
        return self.other_ctl(ANNOUNCING.format(work=self.work, ctl=self.ctl))

    def start(self):
        self.launcher = subprocess.Popen(
            [self.launch, "-c", f"{self.root}/conf/cvd.json", "--name", NAME, "--set",
             f"qemu={json.dumps({'accel': 'tcg', 'kernel': self.guest})}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.env)

    def end(self):
        if self.launcher and self.launcher.poll() is None:
            self.launcher.terminate()
            self.launcher.wait(LIMIT_S)

    def argv(self, *arguments):
        return [self.ctl, "-H", HERE, *map(str, arguments)]

    def run(self, *arguments, argv=None, **options):
        """cvd-ctl -H, and what it said."""
        options = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, "env": self.env,
                   "cwd": self.work / "elsewhere", **options}
        return subprocess.run(argv or self.argv(*arguments), stdout=subprocess.PIPE, timeout=LIMIT_S,
                              check=False, **options)

    def expect(self, status, *arguments, says="", **options):
        done = self.run(*arguments, **options)
        said = done.stderr.decode()
        assert done.returncode == status and says in said, (arguments, done)
        if status == 0 and not says:
            assert not said, done
        return done.stdout.decode()

    def on_terminal(self, *arguments, **options):
        return Terminal(self.argv(*arguments), self.env, **options)

    def n_started(self):
        return len((self.work / "ssh.log").read_text(encoding="ascii").splitlines())

    def wait_for_remote(self):
        """Returns a pidfd of the cvd-ctl that has announced itself."""
        with open(self.work / "pid", encoding="ascii") as pipe:
            return os.pidfd_open(int(pipe.read()))


def assert_ends(pidfd):
    assert select.select([pidfd], [], [], LIMIT_S)[0], "the other cvd-ctl goes on"
    os.close(pidfd)


# ---- The tests ----

def verbs(scene):
    scene.start()
    scene.expect(0, "-n", NAME, "wait", "--timeout", LIMIT_S, "running")
    assert re.search(rf"^{NAME} +running ", scene.expect(0, "list"), re.M)
    assert f"instance  {NAME}\n" in scene.expect(0, "status")
    shown = json.loads(scene.expect(0, "--json", "status"))
    assert (shown["name"], shown["launcher_pid"]) == (NAME, scene.launcher.pid), shown
    scene.expect(0, "pause")
    assert json.loads(scene.expect(0, "status", "--json"))["state"] == "paused"
    scene.expect(0, "resume")


def after_the_verb(scene):
    done = scene.run(argv=[scene.ctl, "list", "--json", f"--host={pwd.getpwuid(os.getuid()).pw_name}@{HERE}"])
    assert json.loads(done.stdout)["name"] == NAME, done


def statuses(scene):
    scene.expect(1, "-n", "nobody", "status", says="cvd-ctl: instance 'nobody' does not run")
    scene.expect(2, "wait", "nonsense", says="no state 'nonsense'")
    scene.expect(1, "wait", "--timeout", "0.01", "paused", says="not paused, after 0.01 s")
    with scene.other_ctl("#!/bin/sh\nexit 7\n"):
        scene.expect(7, "status")


def usage_is_checked_here(scene):
    before = scene.n_started()
    scene.expect(2, "statsu", says="did you mean 'status'?")
    scene.expect(2, "list", "more", says="unexpected argument")
    for host in ("", "-oProxyCommand=false", "-l"):
        scene.expect(2, argv=[scene.ctl, f"--host={host}", "list"], says="expected [USER@]HOST")
    scene.expect(2, "qmp", "--socket", "/tmp/x", says="ssh -L HERE:THERE HOST cvd-ctl qmp --socket THERE")
    scene.expect(2, "--json", "report", says="report has no --json with --host")
    assert scene.n_started() == before


def odd_arguments(scene):
    odd = ["two words", "", "'", '"', "a'b\"c", "$HOME", "$(id)", "`id`", "*", "/et[c]", "~", "{a,b}", "a\nb\n",
           "\\", "\\n", ";exit", "&", "|", "!x", "#x", "--", "-n", "--help", "ä", b"\xff\xfe", "\t", "a=b", ">x"]
    with scene.other_ctl(ECHOING):
        argv = [scene.ctl, "-n", NAME, "qmp", "-H", HERE, "--timeout", "1", "--", *odd]
        got = json.loads(scene.expect(0, argv=argv))
        wanted = [f"--name={NAME}", "qmp", "--timeout=1", "--", *odd]
        assert got == [os.fsencode(word).hex() for word in wanted], bytes.fromhex(got[-1])
        got = json.loads(scene.expect(0, "stop", "-g", "phone"))
        assert got == [word.encode().hex() for word in ("--group=phone", "stop")], got
        got = json.loads(scene.expect(0, "--json", "logs", "-f", "--lines", "$5 '", "--qemu"))
        wanted = ["--json", "logs", "--follow", "--qemu", "--lines=$5 '"]
        assert got == [word.encode().hex() for word in wanted], got


def unreachable(scene):
    scene.expect(255, argv=[scene.ctl, "-H", "gone", "list"],
                 says="Connection refused\r\ncvd-ctl: no connection to gone, or it was lost; ssh says above why\n")


def host_that_is_not_known(scene):
    known = scene.work / "known_hosts"
    text = known.read_text(encoding="ascii")
    known.write_text("", encoding="ascii")
    try:
        scene.expect(255, "list", says="Host key verification failed.")
    finally:
        known.write_text(text, encoding="ascii")


def no_ctl_there(scene):
    with scene.other_ctl(None):
        scene.expect(127, "list", says="cvd-ctl: far has no cvd-ctl where commands over ssh are looked for")


def no_ssh_here(scene):
    scene.expect(1, "list", says="cannot run ssh (install openssh-client)",
                 env={**scene.env, "PATH": f"{scene.work}/elsewhere"})


def stdin_is_left_alone(scene):
    script = f"{shlex.join(scene.argv('status'))} >&2; cat"
    done = scene.run(argv=["sh", "-c", script], stdin=None, input=b"the next\n")
    assert done.stdout == b"the next\n" and b"running" in done.stderr, done
    done = scene.run("qmp", stdin=None, input=b"query-status\nquery-name\n")
    assert done.returncode == 0 and b'"running"' in done.stdout, done


def on_a_terminal_nothing_obeys(scene):
    with scene.other_ctl(HOSTILE):
        status, seen = scene.on_terminal("list").finish()
        assert status == 0 and b"\x1b" not in seen and b"\x07" not in seen, seen
        assert rb"out \x1b]0;owned\x07\x1b[2J\xff " + "ä".encode() in seen and rb"err \x1b[2J" in seen, seen
        done = scene.run("list")
        assert done.stdout == b"out \x1b]0;owned\x07\x1b[2J\xff \xc3\xa4\n", done


def attach(scene):
    terminal = scene.on_terminal("-n", NAME, "attach")
    terminal.see(b"cvd-guest")
    terminal.type(b"\x03")  # for the guest, which does not end of it
    terminal.type(b"\x1d")
    status, seen = terminal.finish()
    assert status == 0, (status, seen)
    assert scene.launcher.poll() is None


def top(scene):
    terminal = scene.on_terminal("top")
    terminal.see(b"instances: 1")
    terminal.type(b"q")
    assert terminal.finish()[0] == 0


def prompt(scene):
    terminal = scene.on_terminal("qmp")
    terminal.type(b"query-status\n")
    terminal.see(b'"status"')
    terminal.type(b"\x04")
    assert terminal.finish()[0] == 0


def interrupted(scene):
    with scene.announcing():
        terminal = scene.on_terminal("wait", "paused")
        remote = scene.wait_for_remote()
        terminal.type(b"\x03")
        assert terminal.finish()[0] != 0
        assert_ends(remote)


def terminated(scene, arguments, number):
    with scene.announcing():
        process = subprocess.Popen(scene.argv(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, env=scene.env)
        remote = scene.wait_for_remote()
        process.send_signal(number)
        assert process.wait(LIMIT_S) == 1
        process.stdout.close()
        assert_ends(remote)


def terminated_while_it_prints(scene):
    with scene.other_ctl(f"#!/bin/sh\nexec {shutil.which('yes')}\n"):
        terminal = scene.on_terminal("list")
        terminal.see(b"y\r\n")
        threading.Thread(target=terminal.discard, daemon=True).start()
        terminal.process.terminate()
        status = terminal.process.wait(LIMIT_S)
        assert status == 1, status


def connection_is_lost(scene):
    with scene.announcing():
        process = subprocess.Popen(scene.argv("wait", "paused"), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=scene.env)
        remote = scene.wait_for_remote()
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
        os.kill(int(children), signal.SIGKILL)
        process.communicate(timeout=LIMIT_S)
        assert process.returncode == 128 + signal.SIGKILL, process.returncode
        assert_ends(remote)


def assert_report(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
    assert f"cvd-report-{NAME}/record.json" in names and f"cvd-report-{NAME}/window.img" in names, names


def report(scene):
    there = scene.work / "elsewhere"
    scene.expect(0, "report", "-o", "a b.tar.gz", says="a b.tar.gz: written")
    assert_report((there / "a b.tar.gz").read_bytes())
    scene.expect(1, "report", "-o", "a b.tar.gz", says="choose another --output")
    scene.expect(0, "report", "--no-window", says="written")
    assert [path.name.startswith(f"cvd-report-{HERE}-20") for path in there.glob("cvd-*")] == [True]
    done = scene.run("report", "--output=-")
    assert_report(done.stdout)
    assert b"look through it" in done.stderr
    scene.expect(1, "-n", "nobody", "report", "-o", "nobody.tar.gz", says="nobody")
    for script in HOSTILE, "#!/bin/sh\n":
        with scene.other_ctl(script):
            scene.expect(1, "report", "-o", "nobody.tar.gz", says=f"what {HERE} has sent is no report")
    assert not (there / "nobody.tar.gz").exists()
    assert scene.on_terminal("report", "-o", "-").finish()[0] == 2


def completion(scene):
    before = scene.n_started()
    for words in (["-H", HERE, "-n", ""], ["-H", HERE, "logs", ""], [f"--host={HERE}", f"--name={NAME[0]}"],
                  ["-H", ""]):
        assert scene.expect(0, argv=[scene.ctl, "--complete", *words]) == "", words
    assert "running\n" in scene.expect(0, argv=[scene.ctl, "--complete", "-H", HERE, "wait", ""])
    assert f"{NAME}\t" in scene.expect(0, argv=[scene.ctl, "--complete", "-n", ""])
    assert scene.n_started() == before


def stop(scene):
    scene.expect(0, "-n", NAME, "stop")
    assert scene.launcher.wait(LIMIT_S) == 0
    scene.expect(0, "list", says="no instance runs")


TESTS = {
    "verbs": verbs,
    "option-after-the-verb": after_the_verb,
    "exit-statuses": statuses,
    "usage-is-checked-here": usage_is_checked_here,
    "odd-arguments": odd_arguments,
    "unreachable": unreachable,
    "host-that-is-not-known": host_that_is_not_known,
    "no-cvd-ctl-there": no_ctl_there,
    "no-ssh-here": no_ssh_here,
    "stdin-is-left-alone": stdin_is_left_alone,
    "on-a-terminal-nothing-obeys": on_a_terminal_nothing_obeys,
    "attach": attach,
    "top": top,
    "prompt": prompt,
    "ctrl-c": interrupted,
    "terminated": lambda scene: terminated(scene, ["wait", "paused"], signal.SIGTERM),
    "hung-up": lambda scene: terminated(scene, ["events"], signal.SIGHUP),
    "terminated-while-it-prints": terminated_while_it_prints,
    "connection-is-lost": connection_is_lost,
    "report": report,
    "completion-starts-no-ssh": completion,
    "stop": stop,
}


def comment(text):
    print("# " + text.replace("\n", "\n# "), flush=True)


def run(scene):
    """Returns how many tests failed."""
    failed = 0
    for number, (name, test) in enumerate(TESTS.items(), 1):
        try:
            test(scene)
            print(f"ok {number} /remote/{name}", flush=True)
        except Exception:  # the others are run all the same
            failed += 1
            print(f"not ok {number} /remote/{name}", flush=True)
            comment(traceback.format_exc())
    return failed


def main(*args):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the machine ends
    with contextlib.ExitStack() as stack:
        try:
            scene = Scene(stack, *args)
        except CannotRun as reason:
            print(f"1..0 # SKIP {reason}")
            return 0
        stack.callback(scene.end)
        print(f"1..{len(TESTS)}")
        return run(scene)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
