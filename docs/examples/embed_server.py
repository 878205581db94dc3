#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serves a window of one region, as embed-server.c does.

Usage: embed_server.py DIRECTORY
"""
import signal
import sys

import gi

gi.require_version("CvdServer", "1.0")
from gi.repository import CvdServer, GLib  # noqa: E402 (after the version)

if len(sys.argv) != 2:
    sys.exit("usage: embed_server.py DIRECTORY")
directory = sys.argv[1]
spec = CvdServer.LayoutSpec.new()
spec.add("hello", 16384, 2, 2)
server = CvdServer.Server(
    layout=CvdServer.Layout.new_from_spec(spec),
    vm_socket=f"{directory}/vm.sock", client_socket=f"{directory}/client.sock",
    vm_access=CvdServer.VmAccess.SAME_USER)
server.connect("vm-attached", lambda _, pid: print(f"VM attached: pid {pid}", flush=True))
server.connect("client-attached", lambda _, pid, region:
               print(f"client attached: pid {pid}, region {region}", flush=True))
loop = GLib.MainLoop()
GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGINT, loop.quit)
try:
    server.start()
except GLib.Error as error:
    sys.exit(error.message)
print(f"serving at {directory}/client.sock", flush=True)
loop.run()
server.stop()
