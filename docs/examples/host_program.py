#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A host program: through every region it has the guest that comes with the project add one to a
number, again and again, each time when the last answer has come. When the VM ends or restarts it
waits for the next one and goes on.

Usage: host_program.py [SOCKET [COUNT]]

Without SOCKET it finds the only instance of cvd-launch that runs. It ends when COUNT answers have
come through each region, or with ctrl-c.
"""
import signal
import sys

import gi

gi.require_version("Cvd", "1.0")
from gi.repository import Cvd, GLib  # noqa: E402 (after the version)


class Pinger:
    def __init__(self, socket, name, goal, done):
        self.n_answers = 0  # and the number on its way to the guest
        self.is_answered = False  # by the VM of now
        self.goal = goal
        self.done = done
        self.region = Cvd.Region.open(socket, name, 0, None)
        self.region.connect("signalled", self.on_signalled)
        self.region.connect("closed", self.on_closed)
        self.region.start()
        self.ping()

    def say(self, text):
        print(f"{self.region.get_name()}: {text}", flush=True)

    def ping(self):
        word = self.region.get_data_offset()
        try:
            self.region.store(word, self.n_answers)
            self.region.signal(word)
        except GLib.Error as error:
            if not error.matches(Cvd.Region.error_quark(), Cvd.RegionError.CLOSED):
                sys.exit(error.message)  # else on_closed() follows

    def on_signalled(self, region, offset):
        """A signal says "look at that word again", no more: an old or repeated one is no answer."""
        if offset != region.get_data_offset() + 4 or region.load(offset) != self.n_answers + 1:
            return
        if not self.is_answered:
            self.say("the guest answers")
        self.is_answered = True
        self.n_answers += 1
        if self.n_answers != self.goal:
            self.ping()
        else:
            self.done(self)

    def on_closed(self, region):
        self.say("the VM has ended or restarts")
        self.reopen()

    def reopen(self):
        self.region.reopen_async(None, self.on_reopened)
        return GLib.SOURCE_REMOVE

    def on_reopened(self, region, result):
        try:
            region.reopen_finish(result)
        except GLib.Error as error:
            if not any(error.matches(Cvd.Region.error_quark(), code)
                       for code in (Cvd.RegionError.NO_SERVER, Cvd.RegionError.CLOSED)):
                sys.exit(error.message)
            GLib.timeout_add(100, self.reopen)  # no VM yet
            return
        self.is_answered = False
        if self.n_answers != self.goal:
            self.ping()


def main(socket=None, goal="0"):
    loop = GLib.MainLoop()
    busy = set()

    def done(pinger):
        busy.remove(pinger)
        if not busy:
            loop.quit()

    try:
        socket = socket or Cvd.find_client_socket(None)
        names = [bytes(info.name).rstrip(b"\0").decode()
                 for info in Cvd.list_regions(socket, None)]
        pingers = [Pinger(socket, name, int(goal), done) for name in names]
    except GLib.Error as error:
        sys.exit(error.message)
    busy.update(pingers)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGINT, loop.quit)
    loop.run()
    for pinger in pingers:
        pinger.say(f"{pinger.n_answers} answers")


if __name__ == "__main__":
    main(*sys.argv[1:])
