#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which room includes what of which other, against the project's rules. Argument: the source directory.

vsoc <- base <- server <- launcher, base <- client, base <- ctl, vsoc <- guests: dependencies point one
way, and no file includes itself by way of others. Of the launcher, ctl/ knows the generated D-Bus
interface alone. Only launcher/launch* includes server/server.h, and nothing inside server/ but the
server itself does: endpoints report upwards and never include their owner. The layout and the other
pure parts know no sockets and no files.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)

# What a room may include of other rooms; of itself it may include everything.
ROOMS = {
    "vsoc": set(),
    "base": {"vsoc"},
    "server": {"base", "vsoc"},
    "launcher": {"base", "server", "vsoc"},
    "client": {"base", "vsoc"},
    "ctl": {"base"},
    "guests/builtin": {"guests", "vsoc"},
    "guests/linux": {"guests", "vsoc"},
    "guests/fake": {"base", "guests", "vsoc"},
    "guests": {"vsoc"},
}
# What the build makes: from an interface's description, for both of its ends, and texts.
GENERATED = {"launcher/abi-text.h", "launcher/control/control-interface.h"}

# Files that take values and return values: nothing of the system in them.
PURE = ["vsoc/", "server/layout", "server/layout-rules", "launcher/lifecycle/",
        "launcher/qemu/command", "launcher/programs/confine"]
SYSTEM = re.compile(r"^(sys/(?!types\.h)|unistd\.h|fcntl\.h|poll\.h|glib-unix\.h|gio/|base/fd\.h"
                    r"|server/(window|listener|server|vm-port|client-port)\.h)")


def room_of(name):
    return next((room for room in ROOMS if name.startswith(room + "/")), None)


def owner_problem(name, room, included):
    if included != "server/server.h":
        return None
    if room == "server" and pathlib.PurePath(name).stem not in ("server", "cvd-server"):
        return "an endpoint reports upwards and never includes its owner"
    if room == "launcher" and not pathlib.PurePath(name).name.startswith("launch"):
        return "only launcher/launch* includes server/server.h"
    return None


def is_pure(stem):
    return any(stem == pure or pure.endswith("/") and stem.startswith(pure) for pure in PURE)


def problems_of(root, name, includes):
    room = room_of(name)
    for bracket, included in includes:
        if is_pure(name.rsplit(".", 1)[0]) and SYSTEM.match(included):
            yield f"{name}: includes {included}, but is to be pure"
        if bracket != '"' or included in GENERATED:
            continue
        if not (root / included).is_file():
            yield f"{name}: includes \"{included}\", which is not a path from the root"
        elif room_of(included) not in {room} | ROOMS[room]:
            yield f"{name}: includes {included}; {room} may include {', '.join(sorted(ROOMS[room])) or 'nothing'} of other rooms"
        elif why := owner_problem(name, room, included):
            yield f"{name}: includes {included}: {why}"


def own_header_problems(root, name, includes):
    """A .c file includes its own header before all others, so that the header stands by itself."""
    own = name[:-1] + "h"
    if name.endswith(".c") and (root / own).is_file() and (not includes or includes[0][1] != own):
        yield f"{name}: the first include is not its own header, {own}"


def cycles(graph):
    """Each header from which a way leads back to it, once."""
    done = set()

    def walk(name, way):
        if name in way:
            yield " -> ".join(way[way.index(name):] + [name])
        elif name not in done:
            for included in graph.get(name, ()):
                yield from walk(included, way + [name])
            done.add(name)

    for name in sorted(graph):
        yield from walk(name, [])


def module_of(name):
    """A private header belongs to what it is private to."""
    return name.rsplit(".", 1)[0].removesuffix("-private")


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    failures = []
    modules = {}
    for room in ROOMS:
        for path in sorted((root / room).glob("**/*.[ch]")):
            name = path.relative_to(root).as_posix()
            includes = INCLUDE.findall(path.read_text(encoding="utf-8"))
            failures += problems_of(root, name, includes)
            failures += own_header_problems(root, name, includes)
            modules.setdefault(module_of(name), set()).update(
                module_of(included) for bracket, included in includes if bracket == '"')
    for name, includes in modules.items():
        includes.discard(name)
    failures += [f"cycle: {cycle}" for cycle in cycles(modules)]
    print(f"{len(modules)} modules looked at")
    for failure in failures:
        print(failure)
    return 1 if failures or not modules else 0


sys.exit(main())
