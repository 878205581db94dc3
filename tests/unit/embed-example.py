#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs the server's library, compiles docs/examples/embed-server.c against what was installed
and nothing else, runs it, attaches a client and a VM to it, and stops it with SIGINT; and the same
with embed_server.py.

Usage: embed-example.py BUILD_DIR EXAMPLES PREFIX COMPILER [FLAG...]
"""
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(__file__), '../support'))
import installed  # noqa: E402 (once its directory is known)

SKIP = 77
LIMIT_S = 60  # fail-safe of every wait


def receive(peer, size):
    """Returns so many bytes and the descriptors that came with them."""
    data, fds = b'', []
    while len(data) < size:
        more, more_fds, _, _ = socket.recv_fds(peer, size - len(data), 3)
        assert more, f'closed after {data!r}'
        data += more
        fds += more_fds
    return data, fds


def connect(path):
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(LIMIT_S)
    peer.connect(path)
    return peer


def attach_client(directory):
    peer = connect(os.path.join(directory, 'client.sock'))
    peer.sendall(b'GET PROTOCOL_VER')
    assert receive(peer, 14) == (b'PROTOCOL_VER 0', [])
    peer.sendall(b'INFORM REGION_NAME_LEN: 0x00000005')
    peer.sendall(b'GET REGION: hello')
    # One page for the descriptors, then 16 KiB for the region.
    assert receive(peer, 20) == (b'0x000010000x00005000', [])
    fds = []
    for _ in range(3):
        data, passed = receive(peer, 8)
        assert data == bytes(8) and len(passed) == 1, (data, passed)
        fds += passed
    header = struct.unpack('=HHIII', os.pread(fds[2], 16, 0))
    assert header == (2, 0, 32768, 1, 16), header
    return peer, fds


def attach_vm(directory):
    peer = connect(os.path.join(directory, 'vm.sock'))
    fds = []
    for value, n_fds in ((0, 0), (1, 0), (-1, 1), (0, 1), (1, 1)):
        data, passed = receive(peer, 8)
        assert struct.unpack('<q', data) == (value,) and len(passed) == n_fds, (data, passed)
        fds += passed
    return peer, fds


def ring(sender, receiver):
    os.write(sender, struct.pack('=Q', 1))
    assert struct.unpack('=Q', os.read(receiver, 8)) == (1,)


def converse(process, directory):
    line = process.stdout.readline()
    assert line == f'serving at {directory}/client.sock\n', line

    client, client_fds = attach_client(directory)
    line = process.stdout.readline()
    assert line == f'client attached: pid {os.getpid()}, region hello\n', line
    vm, vm_fds = attach_vm(directory)
    line = process.stdout.readline()
    assert line == f'VM attached: pid {os.getpid()}\n', line

    ring(vm_fds[1], client_fds[0])
    ring(client_fds[1], vm_fds[2])
    os.pwrite(vm_fds[0], b'from the guest', 8192)
    assert os.pread(client_fds[2], 14, 8192) == b'from the guest'

    process.send_signal(signal.SIGINT)
    assert client.recv(1) == b'' and vm.recv(1) == b''
    assert process.wait(LIMIT_S) == 0, process.returncode
    assert os.listdir(directory) == [], os.listdir(directory)


def check_errors(command, work, env):
    """What goes wrong is a line, and no trace or trap."""
    for arguments, status, said in (([], (1, 2), 'usage: '),
                                    ([os.path.join(work, 'nowhere')], (1,), 'nowhere')):
        done = subprocess.run([*command, *arguments], stderr=subprocess.PIPE, text=True,
                              env={**os.environ, **env}, check=False)
        assert done.returncode in status, done
        assert said in done.stderr and done.stderr.count('\n') == 1, done.stderr


def run(command, work, env):
    check_errors(command, work, env)
    directory = os.path.join(work, 'run')
    os.mkdir(directory)
    process = subprocess.Popen([*command, directory], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, **env})
    try:
        converse(process, directory)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    os.rmdir(directory)


def main(build_dir, examples, prefix, *compiler):
    with tempfile.TemporaryDirectory(prefix='cvd-') as work:
        root, pkg_config_dir = installed.install(build_dir, prefix, work, 'cvd-server',
                                                 'devel,runtime,typelib')
        assert os.path.exists(os.path.join(root, 'include/cvd/cvd-server.h'))
        source = os.path.join(examples, 'embed-server.c')
        program = installed.compile_example(compiler, source, 'cvd-server', pkg_config_dir, work)
        library = installed.find_directory(root, 'libcvd-server.so.1')
        run([program], work, {'LD_LIBRARY_PATH': library})
        # Without an installation, from the source tree.
        installed.compile_example(compiler, source, 'cvd-server',
                                  os.path.join(build_dir, 'meson-uninstalled'), work)

        typelib = installed.find_directory(root, 'CvdServer-1.0.typelib')
        if typelib is None:
            print('skipped: this build has no introspection data (gobject-introspection is not '
                  'installed, or a sanitizer is on)')
            return SKIP
        try:
            import gi  # noqa: F401 (only whether it is there)
        except ImportError:
            print('skipped: python3-gi is not installed')
            return SKIP
        run([sys.executable, os.path.join(examples, 'embed_server.py')], work,
            {'LD_LIBRARY_PATH': library, 'GI_TYPELIB_PATH': typelib})
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
