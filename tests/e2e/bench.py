#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cvd-bench itself: it finds everything without help, prints what programs and people can read, and
leaves nothing behind. What it measures is not looked at: other things run on the machine.

Usage: bench.py CVD_BENCH LINUX_GUEST
"""
import glob
import json
import os
import pathlib
import pty
import signal
import subprocess
import sys
import tempfile
import xml.dom.minidom

TIMEOUT_S = 300
QUICK = ['--quick', '--rounds', '1', '--idle', '1', '--accel', 'tcg']


class Skip(Exception):
    """Why a test cannot be run here."""


def clean_env(**extra):
    """Nothing that would tell it where programs are."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith('CVD_')}
    return {**kept, **extra}


def run(bench, *arguments, **extra):
    return subprocess.run([bench, *arguments], env=clean_env(**extra), capture_output=True,
                          encoding='utf-8', timeout=TIMEOUT_S, check=False)


def measure(bench, *arguments, **extra):
    result = run(bench, *QUICK, '--json', *arguments, **extra)
    assert result.returncode == 0, result.stderr
    assert result.stderr == '', result.stderr
    return json.loads(result.stdout)


def skip_without_linux(linux_guest):
    why = pathlib.Path(linux_guest) / 'why-not'
    if why.exists() or not (pathlib.Path(linux_guest) / 'vmlinuz').exists():
        raise Skip('there is no Linux guest')


def test_json_and_chart(bench, _):
    with tempfile.TemporaryDirectory(prefix='cvd-') as work:
        svg = os.path.join(work, 'chart.svg')
        data = measure(bench, '--only', 'launch,memory,handover,trace', '--svg', svg)
        assert data['machine']['accelerator'] == 'tcg', data['machine']
        start = data['figures']['start_ratio']
        assert start['at_most'] == 1.15 and start['rounds'] == 1, start
        assert start['reached'] == (start['median'] <= 1.15), start
        assert data['figures']['trace_ratio']['at_most'] == 2
        for key in ('trace_off_switches', 'stop_extra_ms', 'pss_ratio', 'idle_switches', 'handover_2048_ratio'):
            assert key in data['figures'], key
        assert [x for x, _ in data['curves']['handover']['points']] == [4, 64, 512, 2048]
        assert not any(gap['failed'] for gap in data['gaps']), data['gaps']
        assert 'clients' in [gap['what'] for gap in data['gaps']], data['gaps']
        root = xml.dom.minidom.parse(svg).documentElement
        assert root.tagName == 'svg' and not root.getElementsByTagName('script')


def test_guest(bench, linux_guest):
    skip_without_linux(linux_guest)
    data = measure(bench, '--only', 'guest')
    figures = data['figures']
    assert figures['trip_ratio']['at_most'] == 0.6, figures['trip_ratio']
    assert figures['throughput_65536_ring_per_virtio']['at_least'] == 5
    assert figures['throughput_65536_ring_per_host']['at_least'] == 0.5
    for way in ('region', 'virtio_serial'):
        assert figures[f'trip_{way}_p999_us']['median'] >= figures[f'trip_{way}_p50_us']['median']
        assert sum(n for _, n in data['curves'][f'trip_{way}']['points']) == 500
    has_vsock = 'trip_vsock_ratio' in figures
    assert has_vsock != ('round trips by vsock' in [gap['what'] for gap in data['gaps']])


def test_clients(bench, _):
    figures = measure(bench, '--only', 'clients')['figures']
    assert figures['open_inherited_ratio']['at_most'] == 0.3, figures['open_inherited_ratio']
    for key in ('handshakes_1_ratio', 'open_regions_ratio', 'first_open_inherited_ratio'):
        assert key in figures, key


def test_scale(bench, linux_guest):
    """Four machines in place of 64."""
    skip_without_linux(linux_guest)
    data = measure(bench, '--only', 'scale')
    figures = data['figures']
    assert figures['linux_restore_ratio']['at_most'] == 0.08
    assert figures['all_pss_ratio']['at_most'] == 0.25
    assert figures['all_ratio']['at_most'] == 2.5
    assert not any(gap['failed'] for gap in data['gaps']), data['gaps']


def test_scale_without_linux(bench, _):
    """The built-in guest is measured all the same, without the goals of the other one."""
    nowhere = {'CVD_LINUX_GUEST': '/nonexistent', 'CVD_AGENT': '/nonexistent'}
    data = measure(bench, '--only', 'scale', **nowhere)
    figures = data['figures']
    gaps = {gap['what']: gap for gap in data['gaps']}
    assert not gaps['snapshots of a Linux guest, and many machines of one']['failed'], gaps
    assert 'linux_restore_ratio' not in figures and 'builtin_restore_ratio' in figures
    assert 'at_most' not in figures['all_pss_ratio'], figures['all_pss_ratio']
    assert figures['launcher_pss_mb']['at_most'] == 1.5
    assert figures['stop_answers']['reached'], figures['stop_answers']
    assert figures['all_qemu_threads']['median'] >= 4 * figures['one_launcher_threads']['median']


def test_table(bench, _):
    result = run(bench, *QUICK, '--only', 'handover')
    assert result.returncode == 0 and result.stderr == '', result.stderr
    lines = result.stdout.splitlines()
    assert lines[1].startswith('TCG: '), lines[1]
    assert 'Hand-over to the VM' in lines, lines
    assert 'launch: not measured: not asked for' in lines, lines


def test_usage(bench, _):
    for arguments, text in ((['--only', 'nosuch'], "no group is called 'nosuch'"),
                            (['--accel', 'xen'], 'neither kvm nor tcg'),
                            (['--rounds', '-1'], 'at least 1'), (['word'], 'no arguments')):
        result = run(bench, *arguments)
        assert result.returncode == 2 and text in result.stderr, result
        assert result.stdout == '', result.stdout


def test_missing_program(bench, _):
    result = run(bench, CVD_LAUNCH='/nonexistent/cvd-launch')
    assert result.returncode == 1 and '/nonexistent/cvd-launch is not there' in result.stderr


def test_failing_group(bench, _):
    """A launcher that does nothing at all fails each group by itself."""
    result = run(bench, *QUICK, '--json', '--only', 'launch,handover', CVD_LAUNCH='/bin/true')
    assert result.returncode == 1, result
    failed = [gap['what'] for gap in json.loads(result.stdout)['gaps'] if gap['failed']]
    assert failed == ['launch', 'handover'], failed


def children_of(pid):
    return pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text(encoding='ascii').split()


def read_until(fd, text):
    seen = b''
    while text not in seen:
        seen += os.read(fd, 4096)


def test_interrupted(bench, _):
    """On a terminal, where it tells what it does; in the midst of a round."""
    for number in (signal.SIGINT, signal.SIGTERM):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([bench, *QUICK, '--rounds', '100', '--only', 'launch'],
                                   env=clean_env(), stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        read_until(ours, b'start and stop: round 2')
        worker, = children_of(process.pid)
        assert glob.glob(f'/tmp/cvdt-{worker}-*')
        process.send_signal(number)
        out, _ = process.communicate(timeout=TIMEOUT_S)
        os.close(ours)
        assert process.returncode == 130 and out == b'', (process.returncode, out)
        assert not glob.glob(f'/tmp/cvdt-{worker}-*')
        for path in glob.glob('/proc/[0-9]*/environ'):
            try:
                assert f'cvdt-{worker}-'.encode() not in pathlib.Path(path).read_bytes(), path
            except OSError:
                pass  # it has just ended


TESTS = [test_json_and_chart, test_guest, test_clients, test_scale, test_scale_without_linux,
         test_table, test_usage, test_missing_program, test_failing_group, test_interrupted]


def main(bench, linux_guest):
    failures = 0
    print(f'1..{len(TESTS)}')
    for number, test in enumerate(TESTS, 1):
        name = test.__name__.removeprefix('test_').replace('_', '-')
        try:
            test(bench, linux_guest)
            print(f'ok {number} /bench/{name}', flush=True)
        except Skip as why:
            print(f'ok {number} /bench/{name} # SKIP {why}', flush=True)
        except (AssertionError, KeyError, ValueError, subprocess.TimeoutExpired) as error:
            failures += 1
            print(f'not ok {number} /bench/{name}\n# {error!r}', flush=True)
    return 1 if failures else 0


sys.exit(main(*sys.argv[1:]))
