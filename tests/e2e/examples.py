#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs everything, compiles docs/examples/host-program.c against what was installed and nothing
else, and has the tests run it and its counterpart in Python.

Usage: examples.py TESTS BUILD_DIR SOURCE_ROOT PREFIX COMPILER [FLAG...]
"""
import os
import signal
import subprocess
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(__file__), '../support'))
import installed  # noqa: E402 (once its directory is known)

PYTHON = '/usr/bin/python3'  # whose modules Debian's packages bring


def python_env(root, examples):
    """What the tests need for the example in Python, or why they are skipped."""
    found = [where for where, _, names in os.walk(root) if 'Cvd-1.0.typelib' in names]
    if not found:
        return {'CVD_NO_PYTHON': 'the library was built without introspection data'}
    if subprocess.run([PYTHON, '-c', 'import gi'], stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        return {'CVD_NO_PYTHON': 'python3-gi is not installed'}
    return {'CVD_PYTHON': PYTHON, 'GI_TYPELIB_PATH': found[0],
            'CVD_HOST_PROGRAM_PY': os.path.join(examples, 'host_program.py')}


def main(tests, build_dir, source_root, prefix, *compiler):
    examples = os.path.join(source_root, 'docs/examples')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the directory is removed
    with tempfile.TemporaryDirectory(prefix='cvd-') as work:
        root, pkg_config_dir = installed.install(build_dir, prefix, work, 'cvd-client',
                                                 'devel,runtime,typelib')
        program = installed.compile_example(compiler, os.path.join(examples, 'host-program.c'),
                                            'cvd-client', pkg_config_dir, work)
        env = {**os.environ, **python_env(root, examples), 'CVD_HOST_PROGRAM': program,
               'LD_LIBRARY_PATH': os.path.dirname(pkg_config_dir)}
        return subprocess.run([tests, '-k'], env=env, check=False).returncode


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
