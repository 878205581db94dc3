#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The client library as Python has it through its introspection data: against `cvd-launch
--serve-only` with cvd-vm in the guest's place.

Usage: client-gi.py CVD_LAUNCH CVD_VM CONFIGURATION [TYPELIB_DIRECTORY]
"""
import fcntl
import os
import socket
import subprocess
import sys
import tempfile

SKIP = 77
LIMIT_S = 60  # fail-safe of every wait

try:
    import gi
except ImportError:
    print("skipped: python3-gi is not installed")
    sys.exit(SKIP)
if len(sys.argv) < 5:
    print("skipped: this build has no introspection data (gobject-introspection is not installed, "
          "or a sanitizer is on)")
    sys.exit(SKIP)
os.environ["GI_TYPELIB_PATH"] = sys.argv[4]
gi.require_version("Cvd", "1.0")
gi.require_version("GIRepository", "2.0")
from gi.repository import GIRepository  # noqa: E402 (after the version)

GIRepository.Repository.prepend_search_path(sys.argv[4])
GIRepository.Repository.prepend_library_path(sys.argv[4])
from gi.repository import Cvd, Gio, GLib  # noqa: E402


class Running:
    """A launcher without QEMU, and on demand a VM."""

    def __init__(self, work, launch, vm, config):
        os.environ["CVD_RUNTIME_DIR"] = os.path.join(work, "cvd")
        self.env = dict(os.environ)
        self.vm_program = vm
        self.vm = None
        self.launcher = subprocess.Popen(
            [launch, "--serve-only", "--name", "gi", "--config", config], env=self.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self.launcher.stdout.readline(), "the launcher has ended"
        self.directory = os.path.join(work, "cvd", "gi")
        self.socket = os.path.join(self.directory, "client.sock")

    def attach_vm(self):
        self.vm = subprocess.Popen(
            [self.vm_program, "--socket", os.path.join(self.directory, "vm.sock")], env=self.env,
            stdin=subprocess.DEVNULL)

    def stop_launcher(self):
        self.launcher.terminate()
        self.launcher.communicate(timeout=LIMIT_S)

    def stop(self):
        for process in (self.vm, self.launcher):
            if process and process.poll() is None:
                process.kill()
            if process:
                process.wait(LIMIT_S)
        self.launcher.stdout.close()


def expect_error(code, function, *args):
    try:
        function(*args)
    except GLib.Error as error:
        assert error.matches(Cvd.Region.error_quark(), code), error
        return
    raise AssertionError(f"{function} did not fail")


def test_list(running):
    assert Cvd.find_client_socket("gi") == running.socket
    assert Cvd.find_client_socket(None) == running.socket
    regions = Cvd.list_regions(running.socket, None)
    assert regions[0].begin == 4096, regions[0].begin
    for before, after in zip(regions, regions[1:]):
        assert before.begin < before.end <= after.begin
    names = [region.get_name() for region in regions]
    assert "hwcomposer" in names, names


def test_errors(running):
    expect_error(Cvd.RegionError.UNKNOWN_REGION, Cvd.Region.open, running.socket, "none", 0, None)
    expect_error(Cvd.RegionError.NO_SERVER, Cvd.Region.open, running.socket + "x", "misc", 0, None)
    expect_error(Cvd.RegionError.NO_SERVER, Cvd.find_client_socket, "none")
    region = Cvd.Region.open(running.socket, "misc", 0, None)
    expect_error(Cvd.RegionError.BAD_OFFSET, region.load, region.get_size())
    expect_error(Cvd.RegionError.BAD_OFFSET, region.signal, 0)
    try:
        region.wait(0, None)
    except GLib.Error as error:
        assert error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.TIMED_OUT), error
    else:
        raise AssertionError("nobody was there to signal")
    observer = Cvd.Region.observe(running.socket, "misc", 0, None)
    assert observer.props.observer and observer.is_read_only() and not region.props.observer
    expect_error(Cvd.RegionError.READ_ONLY, observer.store, observer.get_data_offset(), 1)
    empty = Cvd.Region()
    assert empty.is_closed() and empty.get_size() == 0
    expect_error(Cvd.RegionError.CLOSED, empty.wait, 0, None)


def test_bytes(running):
    region = Cvd.Region.open(running.socket, "misc", 0, None)
    end = region.get_size()
    region.write(end - 5, GLib.Bytes.new(b"12345"))
    assert region.read(end - 5, 5).get_data() == b"12345"
    expect_error(Cvd.RegionError.BAD_OFFSET, region.write, end - 4, GLib.Bytes.new(b"12345"))
    region.store(end - 4, 0xfffffffe)
    assert region.load(end - 4) == 0xfffffffe


def ask(region, word, value):
    """The guest puts what it finds plus one behind it and signals that."""
    region.store(word, value)
    region.signal(word)


def test_wait(running):
    region = Cvd.Region.open(running.socket, "hwcomposer", 0, None)
    word = region.get_data_offset()
    for value in range(1, 101):
        ask(region, word, value)
        while region.load(word + 4) != value + 1:
            assert set(region.wait(LIMIT_S * 1000, None)) <= {word + 4}


NAMES = ("window", "to-guest", "to-host", "connection")


def attach(path, name):
    """The descriptors of a region in the order of NAMES, got without the library."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.sendall(b"GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x%08xGET REGION: %s" % (len(name), name.encode()))
    assert connection.recv(14 + 2 * 10, socket.MSG_WAITALL).startswith(b"PROTOCOL_VER 0")
    to_host, to_guest, window = (socket.recv_fds(connection, 8, 1)[1][0] for _ in range(3))
    return window, to_guest, to_host, connection.detach()


def run_program(fds, names, *arguments):
    """Runs this file as a program that inherits fds from 3 on."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds]
    pid = os.posix_spawn(
        sys.executable, [sys.executable, __file__, *arguments],
        {**os.environ, "LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(names)},
        file_actions=[(os.POSIX_SPAWN_DUP2, fd, 3 + i) for i, fd in enumerate(high)])
    for fd in (*fds, *high):
        os.close(fd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == 0, status


def test_passed(running):
    expect_error(Cvd.RegionError.NOT_PASSED, Cvd.Region.open_passed, None, 0)
    run_program(attach(running.socket, "hwcomposer"), [f"hwcomposer.{name}" for name in NAMES],
                "launch", "vm", "config", sys.argv[4], "program")


def program():
    """What has been started with a region, and knows nothing else."""
    region = Cvd.Region.open_passed(None, 0)
    assert region.get_name() == "hwcomposer" and region.props.socket_path is None
    word = region.get_data_offset()
    ask(region, word, 41)
    while region.load(word + 4) != 42:
        region.wait(LIMIT_S * 1000, None)
    expect_error(Cvd.RegionError.NOT_PASSED, Cvd.Region.open_passed, "hwcomposer", 0)
    expect_error(Cvd.RegionError.NO_SERVER, region.reopen, None)


def test_loop(running):
    loop = GLib.MainLoop()
    told = []

    def on_signalled(region, offset):
        told.append(offset)
        if region.load(offset) == 42:
            loop.quit()

    def on_opened(_, result):
        region = Cvd.Region.open_finish(result)
        region.connect("signalled", on_signalled)
        region.start()
        told.append(region)
        ask(region, region.get_data_offset(), 41)

    Cvd.Region.open_async(running.socket, "sensors", 0, None, on_opened)
    loop.run()
    region = told.pop(0)
    assert set(told) == {region.get_data_offset() + 4}, told
    return region, loop


def test_close(running, region, loop):
    region.connect("closed", lambda region: loop.quit())
    running.stop_launcher()
    loop.run()
    assert region.is_closed()
    expect_error(Cvd.RegionError.CLOSED, region.signal, region.get_data_offset())
    expect_error(Cvd.RegionError.NO_SERVER, region.reopen, None)


def main(launch, vm, config, _typelibs):
    with tempfile.TemporaryDirectory(prefix="cvd-") as work:
        running = Running(work, launch, vm, config)
        try:
            test_list(running)
            test_errors(running)
            test_bytes(running)
            running.attach_vm()
            test_wait(running)
            test_passed(running)
            region, loop = test_loop(running)
            test_close(running, region, loop)
        finally:
            running.stop()


if sys.argv[5:] == ["program"]:
    program()
else:
    main(*sys.argv[1:])
