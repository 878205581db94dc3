#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tests/support/control-group-guest.c in a Linux guest, whose kernel has all controllers in version 2; the
computer may not. TAP.

Usage: control_groups.py PROGRAM GUEST_DIR SOURCE_ROOT
"""
import os
import pathlib
import subprocess
import sys
import tempfile

TIMEOUT_S = 120


def run(program, guest, root, directory):
    """Returns what the guest has said."""
    initramfs = directory / 'initramfs'
    subprocess.run([sys.executable, root / 'scripts/make-initramfs.py', guest / 'unpacked', program,
                    root / 'guests/linux/init', initramfs], check=True, stdout=subprocess.DEVNULL)
    qemu = subprocess.run(
        ['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-accel', 'tcg', '-m', '512',
         '-display', 'none', '-serial', 'stdio', '-no-reboot', '-kernel', guest / 'vmlinuz',
         '-initrd', initramfs, '-append', 'console=ttyS0 quiet panic=-1'],
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=TIMEOUT_S)
    return qemu.stdout.decode(errors='replace').replace('\r', '')


def main(program, guest, root):
    guest = pathlib.Path(guest)
    if not (guest / 'vmlinuz').exists():
        print('1..0 # SKIP no Linux guest; scripts/linux-guest makes one')
        return 0
    with tempfile.TemporaryDirectory(prefix='cvdt-') as directory:
        said = run(program, guest, pathlib.Path(root), pathlib.Path(directory))
    lines = [line for line in said.split('\n') if line.startswith(('ok ', 'not ok ', '1..'))]
    print('\n'.join(lines))
    if not lines or any(line.startswith('not ok') for line in lines) or 'status 0' not in said:
        print(said, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
