#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The sensors of conf/examples/phone.json. Twice a second they give the guest a value and ring it;
the guest answers with the value and one more. They attach at the client socket, say that they are
ready, and stay when the guest is another.
"""
import os
import signal
import socket
import sys

import gi

gi.require_version("Cvd", "1.0")
from gi.repository import Cvd, GLib  # noqa: E402 (after the version)

VALUE_MS = 500


def notify(text):
    """As sd_notify(3) does: cvd-launch listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])


class Sensors:
    def __init__(self):
        self.value = 0
        self.has_answered = False
        self.region = Cvd.Region.open(os.environ["CVD_CLIENT_SOCKET"], "sensors", 0, None)
        self.region.connect("signalled", self.on_signalled)
        self.region.connect("closed", lambda _: self.reopen())
        self.region.start()
        GLib.timeout_add(VALUE_MS, self.measure)

    def measure(self):
        word = self.region.get_data_offset()
        try:
            self.region.store(word, self.value)
            self.region.signal(word)
        except GLib.Error as error:
            if not error.matches(Cvd.Region.error_quark(), Cvd.RegionError.CLOSED):
                sys.exit(error.message)  # else reopen() sees to it
        return GLib.SOURCE_CONTINUE

    def on_signalled(self, region, offset):
        if offset != region.get_data_offset() + 4 or region.load(offset) != self.value + 1:
            return
        self.value += 1
        if not self.has_answered:
            self.has_answered = True
            print("the guest reads values", flush=True)

    def reopen(self):
        self.region.reopen_async(None, self.on_reopened)
        return GLib.SOURCE_REMOVE

    def on_reopened(self, region, result):
        try:
            region.reopen_finish(result)
        except GLib.Error:
            GLib.timeout_add(100, self.reopen)  # no VM yet
            return
        self.has_answered = False


def main():
    loop = GLib.MainLoop()
    try:
        sensors = Sensors()
    except GLib.Error as error:
        sys.exit(error.message)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, loop.quit)
    notify("READY=1\nSTATUS=two values a second")
    loop.run()
    print(f"{sensors.value} values", flush=True)


if __name__ == "__main__":
    main()
