#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cvd@NAME.service under a real systemd, of the system and of a user; TAP.

Usage: service.py LAUNCH CTL GUEST INSTALLED_GUEST INSTALLED_PROGRAM SOURCE_ROOT SYSTEM_UNIT USER_UNIT
"""
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback

sys.path.append(os.path.join(os.path.dirname(__file__), '../support'))
import booted  # noqa: E402 (once its directory is known)

USER = 4242


class Journal:
    """The entries of the instances, those to come included, each seen once."""

    def __init__(self, container):
        self.process = subprocess.Popen(
            container.command('journalctl', '--follow', '--no-tail', '--quiet', '--output=json',
                              '_PID=1', '+', '_COMM=cvd-launch'),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.rest = b''

    def read(self):
        readable, _, _ = select.select([self.process.stdout], [], [], booted.TIMEOUT_S)
        assert readable, 'nothing more comes in the journal'
        self.rest += os.read(self.process.stdout.fileno(), 65536)

    def entries(self):
        while True:
            line, separator, rest = self.rest.partition(b'\n')
            if separator:
                self.rest = rest
                yield json.loads(line)
            else:
                self.read()

    def wait(self, instance, message):
        """Returns the next entry of the instance, or of systemd on it, with that in its message."""
        unit = f'cvd@{instance}.service'
        for entry in self.entries():
            if unit in (entry.get('_SYSTEMD_UNIT'), entry.get('UNIT')) and message in entry['MESSAGE']:
                return entry


class Machines:
    """Instances of the system, or of a user."""

    def __init__(self, container, user=None):
        self.container = container
        self.options = {}
        self.manager = []
        if user is not None:
            self.options = {'user': user, 'env': {'XDG_RUNTIME_DIR': f'/run/user/{user}'}}
            self.manager = ['--user']

    def run(self, *argv):
        return self.container.run(*argv, **self.options)

    def succeed(self, *argv):
        status, said = self.run(*argv)
        assert status == 0, f'{" ".join(argv)}: {status}: {said}'
        return said

    def systemctl(self, verb, name, *args):
        return self.succeed('systemctl', *self.manager, verb, *args, f'cvd@{name}.service')

    def show(self, name):
        lines = self.systemctl('show', name).splitlines()
        return dict(line.split('=', 1) for line in lines if '=' in line)

    def expect(self, name, **values):
        shown = self.show(name)
        found = {key: shown[key] for key in values}
        assert found == values, f'{name}: {found}'

    def ctl(self, *args):
        return self.succeed('cvd-ctl', *args)

    def pids(self, name):
        return json.loads(self.ctl('-n', name, 'status', '--json'))


# ---- The tests ----

def start(scene):
    machines = scene.system
    machines.systemctl('enable', 'phone', '--now')
    machines.expect('phone', ActiveState='active', StatusText='running', NRestarts='0',
                    UnitFileState='enabled')
    assert 'running' in machines.ctl('-n', 'phone', 'status')
    assert 'phone' in machines.ctl('list')
    entry = scene.journal.wait('phone', 'running after')
    fields = {'SYSLOG_IDENTIFIER': 'cvd-launch', 'CVD_INSTANCE': 'phone', 'CVD_STATE': 'running',
              'MESSAGE_ID': '31583fc63f2f47d0bad356495a1ed44e'}
    assert fields.items() <= entry.items(), entry


def expect_powered_off(scene, name):
    scene.journal.wait(name, 'stopped: the guest powered off')
    scene.journal.wait(name, 'Deactivated successfully')
    scene.system.expect(name, ActiveState='inactive', Result='success', ExecMainStatus='0')


def stop(scene):
    begin = time.monotonic()
    scene.system.systemctl('stop', 'phone')
    took = time.monotonic() - begin
    expect_powered_off(scene, 'phone')
    assert scene.system.succeed('ls', '-A', '/run/cvd') == ''
    return f'{took:.1f} s'


def kill(scene):
    """The whole control group gets the signal, as with KillMode=control-group."""
    scene.system.systemctl('start', 'phone')
    scene.system.systemctl('kill', 'phone', '--kill-who=all', '--signal=SIGTERM')
    expect_powered_off(scene, 'phone')


def other_user(scene):
    """QEMU is another user's, and does not react: the launcher may kill it all the same."""
    machines = scene.system
    scene.write_config('nobody', stop_timeout_s=1, run_as='nobody')
    machines.systemctl('start', 'nobody')
    pid = machines.pids('nobody')['vm_pid']
    assert machines.succeed('stat', '--format=%U', f'/proc/{pid}') == 'nobody\n'
    machines.succeed('kill', '-STOP', str(pid))
    machines.systemctl('stop', 'nobody')
    scene.journal.wait('nobody', 'stopping: killed QEMU')
    machines.expect('nobody', ActiveState='inactive', Result='success', ExecMainStatus='0')


def wrong_configuration(scene):
    scene.write_config('wrong', memory='much')
    status, _ = scene.system.run('systemctl', 'start', 'cvd@wrong')
    assert status != 0
    scene.journal.wait('wrong', "Failed with result 'exit-code'")
    scene.system.expect('wrong', ActiveState='failed', ExecMainStatus='2', NRestarts='0')


def killed(scene, who):
    scene.system.systemctl('reset-failed', 'phone')  # the starts of the tests before do not count
    scene.system.systemctl('start', 'phone')
    scene.system.succeed('kill', '-KILL', str(scene.system.pids('phone')[who]))
    scene.journal.wait('phone', 'Scheduled restart job')
    scene.journal.wait('phone', 'Started cvd@phone.service')
    scene.system.expect('phone', ActiveState='active', NRestarts='1')
    scene.system.systemctl('stop', 'phone')


def gives_up(scene):
    """A QEMU that never starts; its record stays."""
    scene.write_config('failing', extra_args=['-nonsense'])
    scene.drop_in('failing', 'RestartSec=0')
    status, _ = scene.system.run('systemctl', 'start', 'cvd@failing')
    assert status != 0
    scene.journal.wait('failing', 'Start request repeated too quickly')
    scene.system.expect('failing', ActiveState='failed', ExecMainStatus='1', NRestarts='5')
    assert 'failed' in scene.system.ctl('-n', 'failing', 'status')


def more_time(scene):
    """The firmware alone does not power off, and the configuration gives it more time than the unit."""
    scene.write_config('slow', stop_timeout_s=2, kernel=None)
    scene.drop_in('slow', 'TimeoutStopSec=500ms')
    scene.system.systemctl('start', 'slow')
    scene.system.systemctl('stop', 'slow')
    scene.journal.wait('slow', 'Deactivated successfully')
    scene.system.expect('slow', Result='success', ExecMainStatus='0')


def ready(scene):
    """The unit is started when the guest says that it is ready, and not before."""
    scene.write_config('asking', lifecycle={'ready': 'guest'})
    scene.system.systemctl('start', 'asking')
    assert scene.system.pids('asking')['ready'] is True
    scene.journal.wait('asking', 'ready after')
    scene.system.expect('asking', ActiveState='active', StatusText='running')
    scene.system.systemctl('stop', 'asking')


def never_ready(scene):
    """It has as much time as the configuration says, not the unit; then the launcher ends it."""
    scene.write_config('mute', kernel=None,
                       lifecycle={'ready': 'guest', 'start_timeout_s': 2, 'stop': 'quit'})
    scene.drop_in('mute', 'TimeoutStartSec=500ms', 'Restart=no')
    status, _ = scene.system.run('systemctl', 'start', 'cvd@mute')
    assert status != 0
    scene.journal.wait('mute', 'was not ready within lifecycle.start_timeout_s (2 s)')
    scene.system.expect('mute', ActiveState='failed', Result='exit-code', ExecMainStatus='1')


def hangs(scene):
    """A launcher that gives no sign of life."""
    scene.write_config('hanging')
    scene.drop_in('hanging', 'WatchdogSec=1s', 'TimeoutStopSec=500ms')
    scene.system.systemctl('start', 'hanging')
    scene.system.systemctl('kill', 'hanging', '--kill-who=main', '--signal=STOP')
    scene.journal.wait('hanging', 'Watchdog timeout')
    scene.journal.wait('hanging', 'Started cvd@hanging.service')
    scene.system.systemctl('stop', 'hanging')


def stuck_journal(scene):
    """Nothing waits for it, and its lines come when it goes on: more than its socket takes."""
    scene.write_config('loud')
    scene.drop_in('loud', 'WatchdogSec=2s', 'ExecStart=',
                  f'ExecStart={scene.program} -v -n loud -c /etc/cvd/loud.json')
    machines = scene.system
    machines.systemctl('start', 'loud')
    machines.succeed('systemctl', 'kill', '--signal=STOP', 'systemd-journald')
    begin = time.monotonic()
    try:
        machines.succeed('sh', '-c', 'for i in $(seq 100); do'
                         ' cvd-ctl -n loud pause && cvd-ctl -n loud resume || exit; done')
        machines.systemctl('start', 'phone')
        machines.systemctl('stop', 'phone')
        took = time.monotonic() - begin
    finally:
        machines.succeed('systemctl', 'kill', '--signal=CONT', 'systemd-journald')
    for _ in range(100):
        scene.journal.wait('loud', 'QMP event STOP')
    machines.expect('loud', ActiveState='active', NRestarts='0')
    machines.systemctl('stop', 'loud')
    return f'{took:.1f} s'


def of_a_user(scene):
    """The manager of a user who lingers."""
    root, machines = scene.system, scene.users
    root.succeed('useradd', '--create-home', f'--uid={USER}', 'somebody')
    root.succeed('loginctl', 'enable-linger', 'somebody')
    root.succeed('systemctl', 'start', f'user@{USER}')
    machines.succeed('mkdir', '-p', '/home/somebody/.config/cvd')
    machines.succeed('cp', *[f'/etc/cvd/{name}.json' for name in ('phone', 'vsoc_mem')],
                     '/home/somebody/.config/cvd')
    machines.systemctl('enable', 'phone', '--now')
    machines.expect('phone', ActiveState='active', StatusText='running', UnitFileState='enabled')
    assert 'phone' in machines.ctl('list')
    assert 'phone' in root.ctl('list')
    machines.systemctl('stop', 'phone')
    machines.expect('phone', ActiveState='inactive', Result='success', ExecMainStatus='0')


TESTS = {
    'start': start,
    'stop-powers-down': stop,
    'kill-all-powers-down': kill,
    'qemu-of-another-user': other_user,
    'wrong-configuration-is-not-tried-again': wrong_configuration,
    'qemu-is-killed': lambda scene: killed(scene, 'vm_pid'),
    'launcher-is-killed': lambda scene: killed(scene, 'launcher_pid'),
    'gives-up': gives_up,
    'stop-takes-longer-than-the-unit-says': more_time,
    'ready-when-the-guest-says-so': ready,
    'never-ready': never_ready,
    'launcher-hangs': hangs,
    'stuck-journal': stuck_journal,
    'of-a-user': of_a_user,
}


class Scene:
    """The container, with all that is in it."""

    def __init__(self, container, launch, ctl, guest, installed_guest, program, source_root,
                 system_unit, user_unit):
        self.container = container
        self.program = program
        self.system = Machines(container)
        self.users = Machines(container, USER)
        container.bind(launch, program)
        container.bind(ctl, '/usr/bin/cvd-ctl')
        container.bind(guest, installed_guest)
        source = pathlib.Path(source_root)
        self.units = container.directories['/etc/systemd/system']
        shutil.copy(system_unit, self.units / 'cvd@.service')
        shutil.copy(user_unit, container.directories['/etc/systemd/user'] / 'cvd@.service')
        shutil.copytree(source / 'systemd', self.units / 'cvd@.service.d',
                        ignore=lambda _, names: [n for n in names if not n.endswith('.conf')])
        self.conf = container.directory('/etc/cvd')
        shutil.copy(source / 'conf/vsoc_mem.json', self.conf)
        self.write_config('phone')
        container.boot()
        self.journal = Journal(container)

    def write_config(self, name, stop_timeout_s=30, lifecycle=None, **changes):
        qemu = {'accel': 'tcg', 'kernel': 'builtin', **changes}
        config = {'layout': 'vsoc_mem.json',
                  'lifecycle': {'stop_timeout_s': stop_timeout_s, **(lifecycle or {})},
                  'qemu': {key: value for key, value in qemu.items() if value is not None}}
        (self.conf / f'{name}.json').write_text(json.dumps(config), encoding='utf-8')

    def drop_in(self, name, *lines):
        directory = self.units / f'cvd@{name}.service.d'
        directory.mkdir()
        (directory / 'test.conf').write_text('\n'.join(['[Service]', *lines, '']), encoding='utf-8')
        self.system.succeed('systemctl', 'daemon-reload')


def run(scene):
    """Returns how many tests failed."""
    failed = 0
    for number, (name, test) in enumerate(TESTS.items(), 1):
        try:
            note = test(scene)
            print(f'ok {number} /service/{name}', f'# {note}' if note else '', flush=True)
        except Exception:  # the others are run all the same
            failed += 1
            print(f'not ok {number} /service/{name}', flush=True)
            comment(traceback.format_exc())
    if failed:
        comment(scene.system.run('journalctl', '--no-pager', '--lines=100')[1])
    return failed


def comment(text):
    print('# ' + text.replace('\n', '\n# '), flush=True)


def main(*args):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the container ends
    with booted.booted() as container:
        try:
            scene = Scene(container, *args)
        except booted.CannotBoot as error:
            print(f'1..0 # SKIP {error}')
            return 0
        print(f'1..{len(TESTS)}')
        return run(scene)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
