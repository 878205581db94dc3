# SPDX-License-Identifier: Apache-2.0
"""A Slurm of one node in a directory, without systemd and control groups: munged, slurmctld and
slurmd, which end with this process."""
import os
import shutil
import socket
import subprocess
import time

TIMEOUT_S = 40  # fail-safe of every wait
PAUSE_S = 0.1    # Slurm has no events

COMMANDS = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'scancel', 'squeue', 'sinfo', 'runuser']


def find(command):
    return shutil.which(command, path=f'{os.environ["PATH"]}:/usr/sbin:/sbin')


def why_not():
    """Returns why there can be no Slurm here, or None."""
    for command in COMMANDS:
        if not find(command):
            return f'{command} is not there (packages slurmctld slurmd slurm-client munge)'
    return None if os.geteuid() == 0 else 'needs root'


def wait_until(is_done, what):
    limit = time.monotonic() + TIMEOUT_S
    while not is_done():
        assert time.monotonic() < limit, f'timed out: {what}'
        time.sleep(PAUSE_S)


def free_ports(count):
    """They are free when it returns; all are different."""
    held = [socket.create_server(('127.0.0.1', 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


class Slurm:
    """@env: what commands and jobs find in their environment; @options: lines of slurm.conf"""

    def __init__(self, directory, cpus, env, options):
        self.directory = directory
        self.munge = directory / 'munge'
        self.conf = directory / 'slurm.conf'
        self.env = {**env, 'SLURM_CONF': str(self.conf)}
        self.daemons = {}
        for each in (directory, self.munge, directory / 'state', directory / 'spool'):
            each.mkdir(mode=0o755)
        self.conf.write_text('\n'.join(self.settings(cpus) + options + ['']), encoding='utf-8')

    def settings(self, cpus):
        host = socket.gethostname().split('.')[0]
        controller, node = free_ports(2)
        return ['ClusterName=cvd', f'SlurmctldHost={host}(127.0.0.1)', 'SlurmUser=root',
                f'AuthInfo=socket={self.munge}/socket', 'ProctrackType=proctrack/linuxproc',
                'TaskPlugin=task/none', 'JobAcctGatherType=jobacct_gather/none', 'MpiDefault=none',
                'SlurmdParameters=config_overrides', 'ReturnToService=2',
                'SelectType=select/cons_tres', 'SelectTypeParameters=CR_Core',
                f'SlurmctldPort={controller}', f'SlurmdPort={node}',
                f'StateSaveLocation={self.directory}/state',
                f'SlurmdSpoolDir={self.directory}/spool',
                f'SlurmctldPidFile={self.directory}/slurmctld.pid',
                f'SlurmdPidFile={self.directory}/slurmd.pid',
                f'SlurmctldLogFile={self.directory}/slurmctld.log',
                f'SlurmdLogFile={self.directory}/slurmd.log',
                f'NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN',
                'PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP']

    def spawn(self, name, *argv):
        self.daemons[name] = subprocess.Popen(
            ['setpriv', '--pdeathsig', 'KILL', *argv], env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start_munged(self):
        """As its own user, who has to reach the directory."""
        key = self.munge / 'key'
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        for each in (self.munge, key):
            shutil.chown(each, 'munge', 'munge')
        self.spawn('munged', '--reuid=munge', '--regid=munge', '--clear-groups', find('munged'),
                   '--foreground', '--force', f'--key-file={key}', f'--socket={self.munge}/socket',
                   f'--pid-file={self.munge}/pid', f'--log-file={self.munge}/log',
                   f'--seed-file={self.munge}/seed')
        wait_until((self.munge / 'socket').exists, 'munged')

    def start_node(self):
        self.spawn('slurmd', find('slurmd'), '-D', '-f', str(self.conf))

    def start(self):
        self.start_munged()
        self.spawn('slurmctld', find('slurmctld'), '-D', '-f', str(self.conf))
        self.start_node()
        wait_until(lambda: self.node_state() == 'idle', 'the node is idle')

    def kill_node(self):
        self.daemons['slurmd'].kill()
        self.daemons['slurmd'].wait()

    def close(self):
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            daemon.wait()

    def run(self, *argv, **options):
        done = subprocess.run(argv, env=self.env, encoding='utf-8', stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False, **options)
        return done.returncode, done.stdout

    def succeed(self, *argv, **options):
        status, said = self.run(*argv, **options)
        assert status == 0, f'{" ".join(argv)}: {status}: {said}'
        return said

    def node_state(self):
        return self.run('sinfo', '--noheader', '--format=%t')[1].strip()

    def jobs(self):
        """Returns the tasks that are queued, run or end."""
        return self.succeed('squeue', '--noheader', '--array', '--format=%K').split()

    def logs(self):
        return '\n'.join(path.read_text(errors='replace')
                         for path in sorted(self.directory.glob('*.log')))
