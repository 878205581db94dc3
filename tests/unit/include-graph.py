#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which room includes what of which other, against the project's rules. Argument: the source directory.

base <- server <- launcher, base <- client, base <- vm, base <- tool <- ctl and the client's
tool; control/ holds the D-Bus interface of launcher and ctl, and the bytes of its connections; the guest knows the window's ABI and nothing
else; vm/ and agent/ use those parts of the guest that know no hardware. Only launcher/launch* includes
server/server.h, and nothing inside server/ but the server itself does: endpoints report upwards and
never include their owner. The layout and the other pure parts know no sockets and no files.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)

# What a room may include of other rooms; of itself it may include everything.
ROOMS = {
    "base": set(),
    "server": {"base"},
    "control": {"base"},
    "launcher": {"base", "control", "server"},
    "ctl": {"base", "control", "tool"},
    "tool": {"base"},
    "client": {"base", "tool"},
    "guest": set(),
    "vm": {"base"},
    "agent": set(),
}
# Single files beyond that.
EXTRA = {
    "guest": {"base/vsoc-abi.h"},
    "vm": {"guest/signals.h", "guest/window.h"},
    "agent": {"guest/signals.h", "guest/window.h"},
}

# What the build makes.
GENERATED = {"control/control-interface.h"}

# Files that take values and return values: nothing of the system in them.
PURE = ["base/wire", "base/wire-client", "server/layout", "server/layout-rules", "launcher/lifecycle/guest", "launcher/lifecycle/ladder",
        "launcher/lifecycle/policy", "launcher/lifecycle/restart-policy", "launcher/lifecycle/lifecycle",
        "launcher/qemu-command"]
SYSTEM = re.compile(r"^(sys/(?!types\.h)|unistd\.h|fcntl\.h|poll\.h|glib-unix\.h|gio/|base/fd\.h"
                    r"|server/(window|listener|server|vm-port|client-port)\.h)")


def allowed(name, room, included):
    other = included.split("/")[0]
    if other == room:
        return True
    return other in ROOMS[room] or included in EXTRA.get(room, set())


def owner_problem(name, room, included):
    if included != "server/server.h":
        return None
    if room == "server" and pathlib.PurePath(name).stem not in ("server", "cvd-server"):
        return "an endpoint reports upwards and never includes its owner"
    if room == "launcher" and not pathlib.PurePath(name).name.startswith("launch"):
        return "only launcher/launch* includes server/server.h"
    return None


def problems_of(root, path):
    name = path.relative_to(root).as_posix()
    room = name.split("/")[0]
    stem = name.rsplit(".", 1)[0]
    for bracket, included in INCLUDE.findall(path.read_text(encoding="utf-8")):
        if stem in PURE and SYSTEM.match(included):
            yield f"{name}: includes {included}, but is to be pure"
        if bracket != '"':
            continue
        if included not in GENERATED and not (root / included).is_file():
            yield f"{name}: includes \"{included}\", which is not a path from the root"
        elif not allowed(name, room, included):
            may = ", ".join(sorted(ROOMS[room] | EXTRA.get(room, set()))) or "nothing"
            yield f"{name}: includes {included}; {room} may include {may} of other rooms"
        elif why := owner_problem(name, room, included):
            yield f"{name}: includes {included}: {why}"


def own_header_problem(root, path):
    """A .c file includes its own header before all others, so that the header stands by itself."""
    header = path.with_suffix(".h")
    if path.suffix != ".c" or not header.is_file():
        return
    own = header.relative_to(root).as_posix()
    includes = INCLUDE.findall(path.read_text(encoding="utf-8"))
    if not includes or includes[0][1] != own:
        yield f"{path.relative_to(root)}: the first include is not its own header, {own}"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    failures = []
    n_files = 0
    for room in ROOMS:
        for path in sorted((root / room).glob("**/*.[ch]")):
            n_files += 1
            failures += problems_of(root, path)
            failures += own_header_problem(root, path)
    print(f"{n_files} files looked at")
    for failure in failures:
        print(failure)
    return 1 if failures or n_files == 0 else 0


sys.exit(main())
