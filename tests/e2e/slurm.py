#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""conf/examples/slurm under a real Slurm: 32 machines of one snapshot of a Linux guest; TAP.

Usage: slurm.py LAUNCH CTL CLIENT GUEST_DIR SOURCE_ROOT
"""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.append(os.path.join(os.path.dirname(__file__), '../support'))
import cluster  # noqa: E402 (once its directory is known)

N_MACHINES = 32
NAMES = [f'vm-{index}' for index in range(1, N_MACHINES + 1)]
AT_ONCE = 8  # of the programs that this test runs


class Scene:
    """The directory in which the job is submitted, and the Slurm that runs it."""

    def __init__(self, work, launch, ctl, client, guest, root):
        self.example = pathlib.Path(root) / 'conf/examples/slurm'
        self.job = work / 'job'
        self.runtime = work / 'run'
        self.snapshots = work / 'snapshots'
        self.programs = {'cvd-launch': launch, 'cvd-ctl': ctl, 'cvd-client': client}
        self.prepare(work, pathlib.Path(root), pathlib.Path(guest))
        path = ':'.join([*(os.path.dirname(each) for each in (launch, ctl, client)),
                         os.environ['PATH']])
        env = {**os.environ, 'PATH': path, 'CVD_RUNTIME_DIR': str(self.runtime),
               'CVD_SNAPSHOT_DIR': str(self.snapshots)}
        options = [f'{each.capitalize()}={self.wrap(work, each, env)}'
                   for each in ('prolog', 'epilog')]
        self.slurm = cluster.Slurm(work / 'slurm', 2 * N_MACHINES, env, options)

    def prepare(self, work, root, guest):
        """What somebody does who takes the example: copies it, and names the guest."""
        (self.job / 'results').mkdir(parents=True)
        self.runtime.mkdir(mode=0o700)
        shutil.copy(self.example / 'vms.sbatch', self.job)
        vms = json.loads((self.example / 'vms.json').read_text(encoding='utf-8'))
        vms['layout'] = str(root / 'conf/vsoc_mem.json')
        vms['qemu'].update(kernel=str(guest / 'vmlinuz'), initrd=str(guest / 'initramfs'))
        (self.job / 'vms.json').write_text(json.dumps(vms), encoding='utf-8')

    def wrap(self, work, script, env):
        """slurmd starts the two with next to no environment."""
        path = work / script
        exports = ''.join(f'export {name}="{env[name]}"\n'
                          for name in ('PATH', 'CVD_RUNTIME_DIR', 'CVD_SNAPSHOT_DIR'))
        path.write_text(f'#!/bin/sh\n{exports}exec "{self.example / script}" "$@"\n', encoding='utf-8')
        path.chmod(0o755)
        return path

    def run(self, program, *args):
        return self.slurm.run(self.programs[program], *args)

    def succeed(self, program, *args):
        return self.slurm.succeed(self.programs[program], *args)

    def succeed_for_each(self, names, program, *args):
        """Returns what it says for each of them, by name."""
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(names, pool.map(
                lambda name: self.succeed(program, '-n', name, *args), names)))

    def running(self):
        said = self.run('cvd-ctl', 'list', '--json')[1]
        return sorted(each['name'] for each in map(json.loads, said.splitlines()))

    def pid(self, name, whose):
        return json.loads(self.succeed('cvd-ctl', '-n', name, 'status', '--json'))[whose]

    def result(self, name):
        return (self.job / 'results' / name).read_text(encoding='utf-8', errors='replace')

    def wait_for_epilog(self, name):
        """Returns what it has said, which ends with this."""
        path = self.job / 'results' / f'{name}.epilog'
        end = f'{name}: nothing is left\n'
        cluster.wait_until(lambda: path.exists() and path.read_text().endswith(end), path)
        return path.read_text()

    def ping(self, names):
        all_said = self.succeed_for_each(names, 'cvd-client', 'ping', 'sensors', '-c', '10')
        for name, said in all_said.items():
            assert '10 answered, 0 wrong' in said, f'{name}: {said}'


def is_running(pid):
    """Returns whether it is there and no zombie, which has no command line."""
    try:
        return pathlib.Path(f'/proc/{pid}/cmdline').read_bytes() != b''
    except FileNotFoundError:
        return False


# ---- The tests ----

def machines(scene):
    """All run from one snapshot, which one prolog has made, and answer by their names."""
    begin = time.monotonic()
    scene.slurm.succeed('sbatch', 'vms.sbatch', cwd=scene.job)
    scene.succeed_for_each(NAMES, 'cvd-ctl', 'wait', 'ready', '--timeout', '100')
    took = time.monotonic() - begin
    assert scene.running() == sorted(NAMES)
    assert os.listdir(scene.snapshots) == ['vms-booted']
    scene.ping(NAMES)
    return f'{took:.1f} s from sbatch until all were ready'


def dead_node(scene):
    """Without slurmd the machines go on, and the next slurmd has them again."""
    scene.slurm.kill_node()
    assert scene.running() == sorted(NAMES)
    scene.ping(NAMES[:4])
    scene.slurm.start_node()
    cluster.wait_until(lambda: scene.slurm.node_state() in ('mix', 'alloc'), 'the node is back')
    assert len(scene.slurm.jobs()) == N_MACHINES


def dead_launcher(scene):
    """Takes its machine with it, and no other; what it has left is a result."""
    qemu = scene.pid('vm-3', 'vm_pid')
    os.kill(scene.pid('vm-3', 'launcher_pid'), signal.SIGKILL)
    scene.wait_for_epilog('vm-3')
    assert (scene.job / 'results/vm-3.report.tar.gz').stat().st_size > 0
    assert not is_running(qemu)
    rest = [name for name in NAMES if name != 'vm-3']
    assert scene.running() == sorted(rest)
    scene.ping(rest)


def cancelled(scene):
    """Each is stopped as by ctrl-c, and each epilog finds nothing."""
    begin = time.monotonic()
    scene.slurm.succeed('scancel', '--name=vms')
    rest = [name for name in NAMES if name != 'vm-3']
    for name in rest:
        said = scene.wait_for_epilog(name)
        assert said == f'{name}: nothing is left\n', said
    cluster.wait_until(lambda: scene.slurm.node_state() == 'idle', 'the node is idle')
    took = time.monotonic() - begin
    for name in rest:
        assert 'stopped' in scene.result(f'{name}.log'), scene.result(f'{name}.log')
        assert (scene.job / f'results/{name}.console').exists(), name
    assert scene.running() == []
    assert os.listdir(scene.runtime) == [], os.listdir(scene.runtime)
    scene.succeed('cvd-ctl', 'delete', 'vms-booted')
    return f'{took:.1f} s until all were gone'


TESTS = {'machines': machines, 'dead-node': dead_node, 'dead-launcher': dead_launcher,
         'cancelled': cancelled}


def comment(text):
    print('# ' + text.replace('\n', '\n# '), flush=True)


def run(scene):
    """Returns how many tests failed."""
    failed = 0
    for number, (name, test) in enumerate(TESTS.items(), 1):
        try:
            note = test(scene)
            print(f'ok {number} /slurm/{name}', f'# {note}' if note else '', flush=True)
        except Exception:  # the others are run all the same
            failed += 1
            print(f'not ok {number} /slurm/{name}', flush=True)
            comment(traceback.format_exc())
    if failed:
        comment(scene.slurm.logs()[-20000:])
    return failed


@contextlib.contextmanager
def staged(work, *args):
    """Gives a scene, or None if Slurm does not start."""
    scene = Scene(work, *args)
    try:
        try:
            scene.slurm.start()
        except AssertionError as error:
            print(f'1..0 # SKIP Slurm cannot start here: {error}')
            comment(scene.slurm.logs()[-20000:])
            yield None
            return
        yield scene
    finally:
        subprocess.run(['scancel', '--name=vms', '--full', '--signal=KILL'], env=scene.slurm.env,
                       check=False, stderr=subprocess.DEVNULL)
        scene.slurm.close()


def main(launch, ctl, client, guest, root):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that Slurm ends
    reason = cluster.why_not()
    if reason is None and not os.path.exists(os.path.join(guest, 'vmlinuz')):
        reason = 'no Linux guest; scripts/linux-guest makes one'
    if reason is not None:
        print(f'1..0 # SKIP {reason}')
        return 0
    with tempfile.TemporaryDirectory(prefix='cvdt-slurm-') as name:
        work = pathlib.Path(name)
        work.chmod(0o755)  # munged has a user of its own
        with staged(work, launch, ctl, client, guest, root) as scene:
            if scene is None:
                return 0
            print(f'1..{len(TESTS)}')
            return run(scene)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
