# SPDX-License-Identifier: Apache-2.0
"""Every system call that the launcher makes at its start fails once, a launch for each.

    faults.py [--every N] LAUNCHER SOURCE_ROOT

The calls are recorded first, from the one that begins main() to the line that says that all runs.
Then strace makes each of them fail in turn. Either the launcher lives with it, which a client's
handshake shows, or it ends with exit status 1 or 2 and a message; nothing is left, and the next
start works. Then the launcher is killed at each of them. --every N takes every Nth call of a launch
with QEMU only.
"""

import argparse
import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

DEADLINE_S = 60
NAME = "faults"
# Cannot fail, or not in a way that strace could show: brk answers with an address, and a close that
# fails has closed all the same, while strace leaves the call out.
HARMLESS = {"exit_group", "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid",
            "umask", "rt_sigaction", "rt_sigprocmask", "brk", "rt_sigreturn", "restart_syscall",
            "set_robust_list", "rseq", "munmap", "execve", "arch_prctl", "set_tid_address", "close"}
ERRORS = {
    "EMFILE": "openat open memfd_create eventfd2 signalfd4 socket socketpair epoll_create1 "
              "timerfd_create pipe2 dup dup2 dup3 accept4 pidfd_open inotify_init1",
    "ENOMEM": "mmap mprotect mremap epoll_ctl madvise",
    "ENOSPC": "ftruncate fallocate pwrite64 mkdirat mkdir linkat",
    # Written are lines of the log and the eventfds by which threads wake each other.
    "EAGAIN": "clone clone3 fork vfork write",
    "EINTR": "poll ppoll futex wait4 waitid connect",
    "EIO": "read pread64 getdents64 readlink",
}
ERROR_OF = {call: error for error, calls in ERRORS.items() for call in calls.split()}
# What a failed launch leaves to be read.
RECORDS = re.compile(r"\.log(\.1)?$|/failure\.json$|/window\.img$")
LINE = re.compile(r"^(\w+)\(")


class Failed(Exception):
    pass


class Scene:
    """A runtime directory, a way to start, and what is counted."""

    def __init__(self, launcher, root, arguments, ready):
        self.runtime = tempfile.mkdtemp(prefix="cvdt-faults-")
        self.command = [launcher, "--config", os.path.join(root, "conf", "cvd.json"), "--name", NAME,
                        "--set", "qemu.accel=tcg", "--set", "lifecycle.stop=quit", *arguments]
        self.ready = ready
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind("\0" + os.path.basename(self.runtime))
        self.failed = self.tolerated = self.ended = self.missed = 0

    def start(self, prefix):
        environment = dict(os.environ, CVD_RUNTIME_DIR=self.runtime + "/cvd", LC_ALL="C",
                           NOTIFY_SOCKET="@" + os.path.basename(self.runtime))
        return subprocess.Popen(prefix + self.command, env=environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def run(self, prefix):
        """Starts, and stops once all runs. Returns the wait status, whether it ran, and stderr.

        That it runs is said on stderr and to systemd: one of the two may be made to fail."""
        process = self.start(prefix)
        deadline = time.monotonic() + DEADLINE_S
        text, is_up, is_told, is_ready = b"", False, False, False
        try:
            while True:
                readable, _, _ = select.select([process.stderr, self.notified], [], [],
                                               max(deadline - time.monotonic(), 0))
                if not readable:
                    raise Failed(f"it hangs:\n{text.decode(errors='replace')}")
                if self.notified in readable:
                    is_up |= self.notified.recv(4096).startswith(b"READY=1")
                if process.stderr in readable:
                    new = os.read(process.stderr.fileno(), 65536)
                    text += new
                    is_up |= self.ready in text.decode(errors="replace")
                    if not new:
                        break
                if is_up and not is_told:
                    # A call that fails as late as that is one of the first client's.
                    is_told, is_ready = True, self.shake_hands() or self.shake_hands()
                    process.send_signal(signal.SIGTERM)
            status = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            self.forget_notifications()
        return status, is_ready, text.decode(errors="replace")

    def forget_notifications(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self.notified.recv(4096, socket.MSG_DONTWAIT)

    def shake_hands(self):
        """Returns whether the launcher lived to the end of it."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            n_bytes, n_fds = 0, 0
            try:
                client.connect(os.path.join(self.runtime, "cvd", NAME, "client.sock"))
                client.sendall(b"GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x00000004GET REGION: misc")
                while n_bytes < 14 + 10 + 10 + 3 * 8:
                    data, fds, _, _ = socket.recv_fds(client, 64, 4)
                    if not data:
                        return False
                    for fd in fds:
                        os.close(fd)
                    n_bytes, n_fds = n_bytes + len(data), n_fds + len(fds)
            except ConnectionError:
                return False
            if n_fds != 3:
                raise Failed(f"a client was given {n_fds} descriptors")
            return True

    def left(self):
        """What is there that ought not to be: processes, and files other than a failure's records."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    is_ours = f"CVD_RUNTIME_DIR={self.runtime}".encode() in file.read()
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    command = file.read().split(b"\0")[0].decode()
            except OSError:
                continue
            # strace ends a moment after what it traced.
            if is_ours and os.path.basename(command) != "strace":
                found.append(f"process {pid} {command}")
        for directory, _, names in os.walk(self.runtime):
            found += [name for name in (os.path.join(directory, n) for n in names)
                      if not RECORDS.search(name)]
        return found

    def record(self):
        """Returns the calls of a start as pairs: name, and the how manieth of that name."""
        with tempfile.NamedTemporaryFile("r", prefix="cvdt-trace-") as trace:
            status, is_ready, text = self.run(["strace", "-D", "-o", trace.name])
            # The tracer may still be writing; what is wanted was there before the end.
            lines = trace.read().split("\n")
        if status != 0 or not is_ready:
            raise Failed(f"it does not start under strace: status {status}\n{text}")
        calls, counts, is_ours, has_child = [], {}, False, False
        for line in lines:
            match = LINE.match(line)
            if not match:
                continue
            call = match.group(1)
            counts[call] = counts.get(call, 0) + 1
            is_ours = is_ours or line.startswith("rt_sigaction(SIGPIPE")
            if call in ("sendto", "write") and self.ready in line:
                return calls
            has_child = has_child or call in ("clone", "clone3", "fork", "vfork")
            # Who wakes others is not interrupted; the C library takes that for a broken kernel.
            is_wake = "FUTEX_WAKE" in line
            # GLib reads from its new child whether that could start, and when it cannot read that
            # waits for the child's end, which is that of the VM: no kernel gives such an error.
            if is_ours and call not in HARMLESS and not is_wake and not (call == "read" and has_child):
                calls.append((call, counts[call]))
        raise Failed("the trace has no line that says that all runs")

    def fail(self, call, when):
        """Makes one call fail and checks what came of it."""
        error = ERROR_OF.get(call, "EACCES")
        inject = f"inject={call}:error={error}:when={when}"
        status, is_ready, text = self.run(
            ["strace", "-D", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject])
        self.failed += 1
        what = f"{call} number {when} with {error}"
        if is_ready:
            if status != 0:
                raise Failed(f"{what}: it ran and ended with {status}:\n{text}")
            self.tolerated += 1
        else:
            if status not in (1, 2):
                raise Failed(f"{what}: it ended with {status}:\n{text}")
            if not re.search(r"^[\w-]+: .*error: .", text, re.MULTILINE):
                raise Failed(f"{what}: no message says why:\n{text}")
            self.ended += 1
        if "CVD_FAULTS_VERBOSE" in os.environ:
            print(f"# {what}: {text.strip()}", flush=True)
        left = self.left()
        # Only who holds the lock may remove it.
        if left and status >= 0 and not ("cannot lock " in text and left[0].endswith("/lock")):
            raise Failed(f"{what}: left: {left}\n{text}")
        if left or not is_ready:
            status, is_ready, text = self.run([])
            if status != 0 or not is_ready or self.left():
                raise Failed(f"{what}: the next start: status {status}:\n{text}{self.left()}")


    def kill(self, call, when):
        """Kills the launcher at one call: the next start finds nothing that is in its way."""
        inject = f"inject={call}:signal=SIGKILL:when={when}"
        status, is_ready, text = self.run(
            ["strace", "-D", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject])
        what = f"killed at {call} number {when}"
        # How often some calls are made depends on how fast QEMU is.
        if status == 0 and is_ready:
            self.missed += 1
            return
        self.failed += 1
        if status != -signal.SIGKILL:
            raise Failed(f"{what}: it ended with {status}:\n{text}")
        # A QEMU goes with its launcher, a moment later.
        self.wait_gone(what)
        status, is_ready, text = self.run([])
        if status != 0 or not is_ready or self.left():
            raise Failed(f"{what}: the next start: status {status}:\n{text}{self.left()}")

    def wait_gone(self, what):
        deadline = time.monotonic() + DEADLINE_S
        while any(found.startswith("process") for found in self.left()):
            if time.monotonic() > deadline:
                raise Failed(f"{what}: left: {self.left()}")


def skip_reason():
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = subprocess.run(["strace", "-D", "-o", "/dev/null", "-e", "inject=getppid:error=EPERM",
                            "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           check=False)
    return None if probe.returncode == 0 else "strace may not trace here"


def test(title, scene, every, is_killing):
    failures = []
    try:
        for call, when in scene.record()[::every]:
            try:
                (scene.kill if is_killing else scene.fail)(call, when)
            except (Failed, OSError) as failure:
                failures.append(f"{call} number {when}: {failure}")
    except Failed as failure:
        failures.append(str(failure))
    shutil.rmtree(scene.runtime, ignore_errors=True)
    if scene.missed > scene.failed / 10:
        failures.append(f"{scene.missed} calls were not made a second time")
    for failure in failures:
        print("\n".join(f"# {line}" for line in failure.split("\n")), flush=True)
    if failures:
        return False
    if is_killing:
        print(f"# survived {title}: killed at {scene.failed} calls, nothing in the next start's way"
              f" ({scene.missed} more were not made again)")
    else:
        print(f"# survived {title}: {scene.failed} calls made to fail, {scene.tolerated} tolerated, "
              f"{scene.ended} clean ends")
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("launcher")
    parser.add_argument("root")
    options = parser.parse_args()
    server = ["--serve-only"], ": serving without a VM"
    launch = [], ": running after "
    tests = [("serve-only", *server, 1, False), ("launch", *launch, options.every, False),
             ("serve-only-killed", *server, 1, True),
             ("launch-killed", *launch, options.every, True)]
    print(f"1..{len(tests)}")
    reason, ok = skip_reason(), True
    for i, (title, arguments, ready, every, is_killing) in enumerate(tests, 1):
        if reason is None and title.startswith("launch") and shutil.which("qemu-system-x86_64") is None:
            reason = "there is no QEMU"
        if reason is not None:
            print(f"ok {i} /faults/{title} # SKIP {reason}")
            continue
        passed = test(f"/faults/{title}", Scene(options.launcher, options.root, arguments, ready),
                      every, is_killing)
        print(f"{'ok' if passed else 'not ok'} {i} /faults/{title}", flush=True)
        ok = ok and passed
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
