# SPDX-License-Identifier: Apache-2.0
"""QEMU with what it says over QMP changed: for what a real one does not say here.

    qmp-filter.py [PATTERN REPLACEMENT]... -- ARGUMENT...

Stands in for QEMU, which it runs with these arguments. Each line of QEMU's goes through the
regular expressions, what matches is replaced by what REPLACEMENT, an expression of Python with the
match `m`, gives. The launcher's lines go to QEMU as they are.
"""

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1


def main():
    end = sys.argv.index("--")
    edits = list(zip(sys.argv[1:end:2], sys.argv[2:end:2]))
    arguments = sys.argv[end + 1:]
    fd = int(re.search(r"socket,id=qmp,fd=(\d+)", " ".join(arguments)).group(1))
    launcher = socket.socket(fileno=os.dup(fd))
    ours, theirs = socket.socketpair()
    os.dup2(theirs.fileno(), fd, inheritable=True)
    theirs.close()
    libc = ctypes.CDLL(None)
    qemu = subprocess.Popen(["qemu-system-x86_64", *arguments], close_fds=False,
                            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
    # The window is QEMU's alone: that its connection ends is to be seen.
    os.closerange(3, launcher.fileno())

    def pass_on():
        while data := launcher.recv(65536):
            ours.sendall(data)

    threading.Thread(target=pass_on, daemon=True).start()
    for line in ours.makefile(encoding="utf-8", newline="\n"):
        for pattern, replacement in edits:
            line = re.sub(pattern, lambda m: eval(replacement), line)
        launcher.sendall(line.encode())
    # As a process does that ends, not as one that merely closes its connections.
    os._exit(qemu.wait() & 0xff)


main()
