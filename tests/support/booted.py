# SPDX-License-Identifier: Apache-2.0
"""A real systemd, in a container whose root is this machine's with a layer of its own over it."""
import contextlib
import os
import pathlib
import select
import shutil
import socket
import subprocess
import tempfile

TIMEOUT_S = 60  # fail-safe of every wait

# All of it ends when the first process does, even if the test is killed.
ISOLATE = ['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child',
           '--mount-proc', 'sh', '-ec']
BOOT = '''mount --make-rprivate /
mount --bind / "$1"
root=$1
shift
exec systemd-nspawn --quiet --register=no --keep-unit --directory="$root" --volatile=overlay \\
    --console=pipe --notify-ready=yes --boot "$@"
'''
NEEDED = ['systemd-nspawn', 'setpriv', 'unshare', 'nsenter']


def children(pid):
    return [int(child) for child in
            pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text(encoding='ascii').split()]


class CannotBoot(Exception):
    pass


class Booted:
    """The container. Units of this machine's own administrator are not in it."""

    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix='cvdt-booted-'))
        self.binds = []
        self.directories = {}
        self.process = None
        self.init = None
        for manager in ('system', 'user'):
            self.directory(f'/etc/systemd/{manager}')

    def directory(self, path):
        """Returns a new directory outside that is at @path inside."""
        outside = self.work / path.strip('/').replace('/', '-')
        outside.mkdir()
        self.directories[path] = outside
        self.bind(outside, path)
        return outside

    def bind(self, outside, inside):
        self.binds.append(f'--bind={outside}:{inside}')

    def boot(self):
        """Starts it, and returns when the first units run."""
        for program in NEEDED:
            if not shutil.which(program):
                raise CannotBoot(f'{program} is not there')
        if os.geteuid() != 0:
            raise CannotBoot('only root can boot a container')
        (self.work / 'root').mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(str(self.work / 'notify'))
            notified.settimeout(TIMEOUT_S)
            with open(self.work / 'console', 'wb') as console:
                self.process = subprocess.Popen(
                    [*ISOLATE, BOOT, 'sh', self.work / 'root', *self.binds,
                     'systemd.unit=basic.target'], stdin=subprocess.DEVNULL, stdout=console,
                    stderr=console,
                    env={**os.environ, 'NOTIFY_SOCKET': str(self.work / 'notify')})
            # A container that does not start sends nothing: its end is waited for, too.
            while b'READY=1' not in self.receive(notified):
                pass
        nspawn = children(self.process.pid)[0]
        self.init = children(nspawn)[0]

    def receive(self, notified):
        ended = os.pidfd_open(self.process.pid)
        try:
            readable, _, _ = select.select([notified, ended], [], [], TIMEOUT_S)
        finally:
            os.close(ended)
        if notified not in readable:
            said = (self.work / 'console').read_text(encoding='utf-8', errors='replace')
            raise CannotBoot(f'systemd-nspawn cannot boot here: {said.strip()[-400:]}')
        return notified.recv(4096)

    def command(self, *argv, user=None, env=None):
        """Returns what executes a program inside."""
        identity = []
        if user is not None:
            identity = ['setpriv', f'--reuid={user}', f'--regid={user}', '--clear-groups']
        variables = [f'{key}={value}' for key, value in (env or {}).items()]
        return ['nsenter', f'--target={self.init}', '--all', '--', *identity, 'env', *variables,
                *map(str, argv)]

    def run(self, *argv, **options):
        """Returns exit status and output of a program inside."""
        done = subprocess.run(self.command(*argv, **options), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=TIMEOUT_S, check=False)
        return done.returncode, done.stdout

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.work, ignore_errors=True)


@contextlib.contextmanager
def booted():
    container = Booted()
    try:
        yield container
    finally:
        container.close()
