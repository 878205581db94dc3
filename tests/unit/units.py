#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The units for systemd, as systemd itself reads them: they are correct, and that of the system
exposes little.

Usage: units.py SOURCE_ROOT INSTALLED_PROGRAM PROGRAM PAGES SYSTEM_UNIT USER_UNIT
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MAX_EXPOSURE = 40  # in tenths, as --threshold= has it


def analyze(*args):
    """Returns the exit status and all that was printed."""
    done = subprocess.run(['systemd-analyze', *args], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def stage(unit, directory, installed_program, program):
    """Copies the unit under the name that it is installed by; the program is where it was built."""
    text = pathlib.Path(unit).read_text(encoding='utf-8')
    assert f'ExecStart={installed_program} ' in text, f'{unit}: does not start {installed_program}'
    staged = directory / 'cvd@.service'
    directory.mkdir()
    staged.write_text(text.replace(installed_program, program), encoding='utf-8')
    return staged


def check_verify(manager, unit):
    man = 'yes' if shutil.which('man') else 'no'
    status, said = analyze(f'--{manager}', f'--man={man}', 'verify', str(unit))
    assert status == 0 and said == '', f'systemd-analyze --{manager} verify: {status}: {said}'


def check_exposure(unit):
    status, said = analyze('security', '--no-pager', '--offline=true',
                           f'--threshold={MAX_EXPOSURE}', str(unit))
    score = re.search(r'Overall exposure level for \S+: (\d+\.\d)', said)
    assert score, said
    print(f'exposure level {score[1]}')
    assert status == 0, f'more than {MAX_EXPOSURE / 10}:\n{said}'


def write_pages(directory, pages):
    """The only manual pages that are found from now on."""
    for page in pages:
        name = pathlib.Path(page).name
        section = directory / f'man{name[-1]}'
        section.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, section / name)
    os.environ['MANPATH'] = str(directory)


def main(source_root, installed_program, program, pages, system_unit, user_unit):
    if not shutil.which('systemd-analyze'):
        print('systemd-analyze is not there')
        return 77
    with tempfile.TemporaryDirectory(prefix='cvd-') as work:
        os.environ['XDG_RUNTIME_DIR'] = work  # without one there is no manager of a user's
        work = pathlib.Path(work)
        write_pages(work / 'man', pages.split(':'))
        system = stage(system_unit, work / 'system', installed_program, program)
        dropins = work / 'system/cvd@.service.d'
        dropins.mkdir()
        shutil.copy(pathlib.Path(source_root) / 'systemd/10-hardening.conf', dropins)
        check_verify('system', system)
        check_verify('user', stage(user_unit, work / 'user', installed_program, program))
        check_exposure(system)
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
