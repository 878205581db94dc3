#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients of QMP on the socket of `cvd-ctl qmp --socket`, with a real QEMU; TAP.

Usage: qmp-socket.py LAUNCH CTL GUEST SOURCE_ROOT
"""
import contextlib
import json
import os
import pathlib
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import traceback

LIMIT_S = 60  # fail-safe of every wait
N_STREAMS = 8
NAME = "qmp"


class Ended(Exception):
    """The other side has closed the stream."""


class Client:
    """One that speaks QMP. It knows a reply by its id, and keeps events and replies in their order."""

    def __init__(self, path, negotiates=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(str(path))
        self.rest = b""
        self.events = []
        self.n_sent = 0
        self.greeting = self.receive()["QMP"]
        if negotiates:
            self.execute("qmp_capabilities")

    def send(self, text):
        self.socket.sendall(text.encode())

    def receive(self):
        while b"\n" not in self.rest:
            try:
                received = self.socket.recv(65536)
            except ConnectionResetError:
                received = b""
            if not received:
                raise Ended
            self.rest += received
        line, self.rest = self.rest.split(b"\r\n", 1)
        return json.loads(line)

    def begin(self, command, **arguments):
        self.n_sent += 1
        self.send(json.dumps({"execute": command, "arguments": arguments, "id": self.n_sent}))
        return self.n_sent

    def finish(self, identifier):
        while "event" in (message := self.receive()):
            self.events.append(message)
        assert message["id"] == identifier, message
        return message

    def execute(self, command, **arguments):
        reply = self.finish(self.begin(command, **arguments))
        assert "return" in reply, reply
        return reply["return"]

    def wait_event(self, name):
        while not self.events:
            self.events.append(self.receive())
        event = self.events.pop(0)
        return event if event["event"] == name else self.wait_event(name)

    def is_ended(self):
        try:
            while True:
                self.receive()
        except Ended:
            return True

    def close(self):
        self.socket.close()


class Scene:
    """A directory with an instance, and cvd-ctl's socket of it."""

    def __init__(self, launch, ctl, guest, root):
        self.launch, self.ctl, self.guest = launch, ctl, guest
        self.config = f"{root}/conf/cvd.json"
        self.work = tempfile.TemporaryDirectory(prefix="cvdt-qmp-")
        self.env = {**os.environ, "CVD_RUNTIME_DIR": self.work.name}
        self.path = pathlib.Path(self.work.name, "qmp.sock")
        self.launcher = self.relay = None

    def start(self, *options):
        self.launcher = self.spawn(
            self.launch, "-c", self.config, "--name", NAME, "--set",
            f"qemu={json.dumps({'accel': 'tcg', 'kernel': self.guest})}", *options, stderr=subprocess.PIPE)
        self.run("-n", NAME, "wait", "--timeout", LIMIT_S, "running")
        self.serve()

    def serve(self):
        self.relay = self.spawn(self.ctl, "qmp", "--socket", self.path, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        line = self.relay.stdout.readline()
        assert line == f"QMP of {NAME} is at {self.path}\n", (line, self.relay.poll())

    def spawn(self, *argv, **options):
        return subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, text=True, env=self.env, **options)

    def call(self, *arguments):
        return subprocess.run([self.ctl, *map(str, arguments)], stdin=subprocess.DEVNULL, timeout=LIMIT_S,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env, check=False)

    def run(self, *arguments):
        done = self.call(*arguments)
        assert done.returncode == 0, done
        return done.stdout

    def fails(self, status, message, *arguments):
        done = self.call(*arguments)
        assert done.returncode == status and message in done.stderr, done

    def client(self, **options):
        return contextlib.closing(Client(self.path, **options))

    def wait_line(self, process, text):
        """Returns a line on its stderr."""
        while select.select([process.stderr], [], [], LIMIT_S)[0]:
            line = process.stderr.readline()
            if text in line:
                return line
            assert line, f"it ended without saying '{text}'"
        raise AssertionError(f"nothing more comes, and '{text}' has not")

    def qemu(self):
        return int(json.loads(self.run("list", "--json"))["vm_pid"])

    def end_relay(self, number=signal.SIGTERM):
        self.relay.send_signal(number)
        assert self.relay.wait(LIMIT_S) == 0, self.relay.stderr.read()
        self.relay.stdout.close()
        self.relay.stderr.close()
        assert not self.path.exists()

    def stop(self):
        self.run("stop")
        assert self.launcher.wait(LIMIT_S) == 0
        assert self.relay.wait(LIMIT_S) == 0
        assert not self.path.exists()
        for stream in (self.launcher.stderr, self.relay.stdout, self.relay.stderr):
            stream.close()

    def close(self):
        for process in (self.launcher, self.relay):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        self.work.cleanup()


def test_conversation(scene):
    with scene.client() as client:
        assert client.greeting["version"]["qemu"]["major"] >= 7 and client.greeting["capabilities"] == []
        assert client.execute("query-name") == {"name": NAME}
        commands = {command["name"] for command in client.execute("query-commands")}
        assert {"query-status", "stop", "device_add"} <= commands
        refused = client.finish(client.begin("nosuch"))
        assert refused["error"]["class"] == "CommandNotFound" and "nosuch" in refused["error"]["desc"]
        for identifier in ('"x"', '{"a":[1,null]}', "18446744073709551615", "1.50"):
            client.send(f'{{"execute": "query-name", "id": {identifier}}}')
            assert client.receive() == {"return": {"name": NAME}, "id": json.loads(identifier)}


def test_mode(scene):
    found = os.lstat(scene.path)
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600


def test_two_clients(scene):
    """Their commands are mixed, each has its own ids, and both see what somebody else does."""
    with scene.client() as one, scene.client() as other:
        begun = [(client, client.begin("query-name")) for _ in range(50) for client in (one, other)]
        for client, identifier in begun:
            assert client.finish(identifier)["return"] == {"name": NAME}
        scene.run("pause")
        for client in (one, other):
            assert client.wait_event("STOP")["timestamp"]["seconds"] > 0
        assert one.execute("query-status")["status"] == "paused"
        assert len(other.execute("query-commands")) > 100
        scene.run("resume")
        for client in (one, other):
            client.wait_event("RESUME")


def test_stop_is_a_pause(scene):
    with scene.client() as client:
        client.execute("stop")
        client.wait_event("STOP")
        scene.run("wait", "paused")
        assert "a pause was asked for" in scene.run("status")
        client.execute("cont")
        client.wait_event("RESUME")
        scene.run("-n", NAME, "wait", "--timeout", LIMIT_S, "running")


def test_no_descriptors(scene):
    with scene.client() as client:
        command = json.dumps({"execute": "getfd", "arguments": {"fdname": "a"}, "id": 7}).encode()
        socket.send_fds(client.socket, [command], [0])
        assert "passes no descriptors on" in client.finish(7)["error"]["desc"]
        client.execute("query-status")


def test_says_no_more(scene):
    """As `printf … | nc -U` does."""
    with scene.client() as client:
        for _ in range(20):
            client.begin("query-name")
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(20):
            assert client.receive()["return"] == {"name": NAME}
        assert client.is_ended()


def test_leaves_in_the_middle(scene):
    with scene.client() as stays:
        for end in ("", '{"execute": "query-st', "}"):
            with scene.client() as leaves:
                for _ in range(50):
                    leaves.begin("query-commands")
                leaves.send(end)
        stays.execute("query-status")


def test_garbage(scene):
    with scene.client() as stays:
        for text in ("GET / HTTP/1.0\r\n\r\n", "\x00" * 10000, "{}x", "[" * 100000, '"' + "x" * 3000000):
            with scene.client() as client:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.send(text)
                assert client.is_ended()
        with scene.client() as client:
            client.send("{]" * 1000)
            for _ in range(1000):
                assert "error" in client.receive()
            client.send('{"execute":' + "[" * 400000 + "]" * 400000 + "}")
            assert "error" in client.receive()
            client.send('{"execute": "' + "x" * 2000000 + '"}')
            assert "1 MiB" in client.receive()["error"]["desc"]
            client.execute("query-status")
        stays.execute("query-status")


def test_does_not_read(scene):
    """A thousand commands and more, of which nobody reads a reply: others notice nothing."""
    with scene.client() as deaf, scene.client() as other:
        deaf.socket.setblocking(False)
        command = b'{"execute": "query-commands"}'
        n_sent = 0
        while n_sent < 100000 and select.select([], [deaf.socket], [], 1)[1]:
            n_sent += deaf.socket.send(command * 100) / len(command)
        assert 1000 < n_sent < 100000, n_sent
        assert other.execute("query-name") == {"name": NAME}
        scene.run("pause")
        other.wait_event("STOP")
        scene.run("resume")
        other.wait_event("RESUME")


def test_crowd(scene):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(scene.client()) for _ in range(N_STREAMS)]
        with socket.socket(socket.AF_UNIX) as one_more:
            one_more.settimeout(LIMIT_S)
            one_more.connect(str(scene.path))
            assert one_more.recv(1) == b""
        scene.wait_line(scene.relay, "a connection is closed: there are ")
        clients[0].close()
        clients[1].execute("query-status")
    with scene.client() as client:
        client.execute("query-status")


def test_usage(scene):
    scene.fails(2, "expected a path of 1 to 107 bytes", "qmp", "--socket", "x" * 108)
    scene.fails(2, "expected a path of 1 to 107 bytes", "qmp", "--socket", "")
    scene.fails(2, "--socket is for other programs' commands", "qmp", "--socket", "x", "query-status")
    scene.fails(2, "--timeout is of a command", "qmp", "--socket", "x", "--timeout", "1")
    scene.fails(1, "the directory of the socket is not there; make it", "qmp", "--socket", f"{scene.work.name}/nosuch/x")
    scene.fails(1, "exists already; remove it", "qmp", "--socket", scene.path)
    with scene.client() as client:
        client.execute("query-status")


def test_signals(scene):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with scene.client() as client:
            scene.end_relay(number)
            assert client.is_ended()
            scene.serve()


def test_replaced(scene):
    """Somebody else's file in its place stays."""
    scene.path.unlink()
    scene.path.write_text("mine", encoding="ascii")
    scene.relay.terminate()
    assert scene.relay.wait(LIMIT_S) == 0
    assert scene.path.read_text(encoding="ascii") == "mine"
    scene.path.unlink()
    scene.serve()


def test_restart(scene):
    """As QEMU's own connections do, the streams end with it, and the socket has those of the next."""
    with scene.client() as client:
        before = scene.qemu()
        scene.run("restart")
        assert client.is_ended()
    assert scene.qemu() != before
    with scene.client() as client:
        assert client.execute("query-name") == {"name": NAME}


def test_quit(scene):
    with scene.client() as client, scene.client() as other:
        client.execute("quit")
        assert client.wait_event("SHUTDOWN")["data"]["reason"] == "host-qmp-quit"
        other.wait_event("SHUTDOWN")
        assert client.is_ended() and other.is_ended()
    assert scene.relay.wait(LIMIT_S) == 0
    scene.launcher.wait(LIMIT_S)
    assert not scene.path.exists()


def test_hang(scene):
    """Streams that wait for a QEMU that hangs do not keep the launcher from noticing it."""
    scene.start("--set", "lifecycle.on_crash=restart", "--set", "lifecycle.qmp_timeout_s=1", "--set",
                "lifecycle.restart_delay_ms=1")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(scene.client()) for _ in range(N_STREAMS)]
        os.kill(scene.qemu(), signal.SIGSTOP)
        for client in clients:
            client.begin("query-status")
        scene.wait_line(scene.launcher, "did not answer within lifecycle.qmp_timeout_s")
        assert all(client.is_ended() for client in clients)
    scene.run("-n", NAME, "wait", "--timeout", LIMIT_S, "running")
    with scene.client() as client:
        client.execute("query-status")
    scene.stop()


# In one instance, but for the last.
TESTS = [test_conversation, test_mode, test_two_clients, test_stop_is_a_pause, test_no_descriptors, test_says_no_more,
         test_leaves_in_the_middle, test_garbage, test_does_not_read, test_crowd, test_usage, test_signals,
         test_replaced, test_restart, test_quit, test_hang]


def main(*args):
    print(f"1..{len(TESTS)}")
    with contextlib.closing(Scene(*args)) as scene:
        scene.start()
        for number, test in enumerate(TESTS, 1):
            name = test.__name__.removeprefix("test_").replace("_", "-")
            try:
                test(scene)
                print(f"ok {number} /qmp-socket/{name}", flush=True)
            except Exception:  # what follows would fail, too
                print(f"not ok {number} /qmp-socket/{name}", flush=True)
                print("# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
                return 1
    return 0


sys.exit(main(*sys.argv[1:]))
