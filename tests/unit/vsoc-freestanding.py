#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vsoc/ needs no library and keeps nothing. Arguments: the source directory, nm, the C compiler.

Each file compiles with the compiler's own headers alone, each header by itself; together they leave
nothing undefined but what a compiler may call on its own, and have no variables.
"""
import pathlib
import subprocess
import sys
import tempfile

MAY_BE_CALLED = {"memcpy", "memmove", "memset", "memcmp"}
FLAGS = ["-std=c17", "-O2", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-fno-pie",
         "-nostdinc", "-Wall", "-Wextra", "-Wpedantic", "-Wno-unused-parameter", "-Werror"]
VARIABLES = "bBcCdDgGsSvV"


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)


def compile_problems(root, compiler, sources, directory):
    include = run(*compiler, "-print-file-name=include").stdout.strip()
    for source in sources:
        unit = directory / (source.name + ".c")
        unit.write_text(f'#include "vsoc/{source.name}"\n', encoding="utf-8")
        result = run(*compiler, *FLAGS, "-isystem", include, "-I", str(root), "-c", str(unit),
                     "-o", str(unit.with_suffix(".o")))
        if result.returncode != 0:
            yield f"{source.name}:\n{result.stdout}"


def symbol_problems(nm, objects):
    undefined, defined = set(), set()
    for line in run(nm, *map(str, objects)).stdout.splitlines():
        words = line.split()
        if len(words) < 2 or line.endswith(":"):
            continue
        kind, name = words[-2:]
        (undefined if kind in "Uw" else defined).add(name)
        if kind in VARIABLES:
            yield f"{name} is a variable"
        elif kind == "T" and not name.startswith("vsoc_"):
            yield f"{name} does not begin with vsoc_"
    for name in sorted(undefined - defined - MAY_BE_CALLED):
        yield f"{name} is called, and nobody has it"
    if not defined:
        yield "there are no symbols"


def main():
    root, nm, *compiler = sys.argv[1:]
    root = pathlib.Path(root).resolve()
    sources = sorted((root / "vsoc").glob("*.[ch]"))
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        failures = list(compile_problems(root, compiler, sources, directory))
        if not failures:
            failures = list(symbol_problems(nm, sorted(directory.glob("*.c.o"))))
    print(f"{len(sources)} files looked at")
    for failure in failures:
        print(failure)
    return 1 if failures or not sources else 0


sys.exit(main())
