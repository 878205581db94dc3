#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual pages, as they are built: man, groff and mandoc have nothing to say about them, every page
that they name is there, every option of the programs and every key of the files is in its page, and the
libraries' pages have every error and no function that there is not.

Arguments: the source directory, and the pages. Options are taken from the option tables, keys from the
schemas.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

SKIP = 77
# Manual page -> where the program's options stand; those of programs with verbs are verbs.py's.
PROGRAMS = {"cvd-launch.1": "launcher/options.c", "cvd-up.1": "launcher/group/options.c",
            "cvd-vm.1": "guests/fake/options.c"}


# What reads a page and says what is wrong with it.
READERS = {
    "man": ["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"],
    "groff": ["-ww", "-t", "-man", "-Tutf8", "-Z"],
    "mandoc": ["-Tlint", "-Wwarning"],
}
# Library page -> headers, and the enumeration of its errors.
LIBRARIES = {
    "libcvd-client.3": ("client", ("instance", "region", "types"), "CVD_REGION_ERROR"),
    "libcvd-server.3": ("server", ("access", "client", "layout", "server", "../base/error"),
                        "CVD_ERROR"),
}
REFERENCE = re.compile(r"^\.BR ([\w.-]+) \((\d)\)", re.MULTILINE)


def warnings_of(page, reader):
    result = subprocess.run([reader, *READERS[reader], str(page)],
                            env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
                            stdout=subprocess.PIPE if reader == "mandoc" else subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True, check=False)
    said = (result.stdout or "") + result.stderr
    yield from (f"{page.name}: {reader}: {line}" for line in said.splitlines())
    if result.returncode != 0:
        yield f"{page.name}: {reader} ended with status {result.returncode}"


def wide_lines_of(page):
    """No example is longer than a line of a terminal with 80 columns."""
    shown = subprocess.run(["mandoc", "-Tutf8", "-Owidth=78", str(page)], stdout=subprocess.PIPE,
                           text=True, check=True).stdout
    yield from (f"{page.name}: longer than 80 columns: {line}"
                for line in re.sub(".\b", "", shown).splitlines() if len(line) > 80)


def missing_references_of(page, names):
    for name, section in REFERENCE.findall(text_of(page)):
        if name.startswith(("cvd", "qemu.", "vsoc", "libcvd")) and f"{name}.{section}" not in names:
            yield f"{page.name}: {name}({section}) is not there"


def keys_of(schema, prefix=""):
    """Dotted paths of the schema's own keys that mean something; what a $ref leads to is another file's."""
    for key, value in schema["properties"].items():
        if "description" in value:
            yield prefix + key
        for inner in (value, value.get("items", {})):
            if "properties" in inner:
                yield from keys_of(inner, f"{prefix}{key}." if inner is value else "")


def text_of(page):
    return page.read_text(encoding="utf-8").replace("\\-", "-")


def missing_options_of(root, page, source):
    text = text_of(page)
    table = "\n".join(path.read_text(encoding="utf-8") for path in root.glob(source))
    options = re.findall(r'^\s*\{"([a-z-]+)", (?:0|\'.\'), ', table, re.MULTILINE)
    if len(options) < 4:
        yield f"{source}: the option table is not found"
    for option in options:
        if not re.search(rf"--{re.escape(option)}\b", text):
            yield f"{page.name}: --{option} is not there"


def missing_keys_of(root, page):
    schema = json.loads((root / f"conf/{page.stem.removesuffix('.json')}.schema.json").read_text(
        encoding="utf-8"))
    text = text_of(page)
    for key in keys_of(schema):
        if not re.search(rf"^\\fB([\w.]+\.)?{re.escape(key)}\\fR \(", text, re.MULTILINE):
            yield f"{page.name}: the key {key} is not there"


def library_differences_of(root, page):
    directory, names, errors_prefix = LIBRARIES[page.name]
    text = text_of(page)
    headers = "".join((root / directory / f"{name}.h").read_text(encoding="utf-8") for name in names)
    errors = set(re.findall(rf"^    ({errors_prefix}_\w+),$", headers, re.MULTILINE))
    if not errors:
        yield f"{directory}: the errors are not found"
    for error in sorted(errors - set(re.findall(rf"{errors_prefix}_\w+", text))):
        yield f"{page.name}: {error} is not there"
    functions = set(re.findall(r"\bcvd_\w+(?=\()", headers))
    for function in sorted(set(re.findall(r"\bcvd_\w+(?= ?\"?\()", text)) - functions):
        yield f"{page.name}: {function}() is in no header"


def failures_of(root, page, names):
    yield from missing_references_of(page, names)
    if page.name in PROGRAMS:
        yield from missing_options_of(root, page, PROGRAMS[page.name])
    if page.name.endswith(".json.5"):
        yield from missing_keys_of(root, page)
    if page.name in LIBRARIES:
        yield from library_differences_of(root, page)


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    pages = [pathlib.Path(name) for name in sys.argv[2:]]
    names = {page.name for page in pages}
    left_out = {path.name for path in (root / "docs").glob("*.[1-8]")} - names
    failures = [f"{name} is not built" for name in left_out]
    for page in pages:
        failures += failures_of(root, page, names)
    readers = [reader for reader in READERS if shutil.which(reader)]
    for page in pages:
        for reader in readers:
            failures += warnings_of(page, reader)
        if "mandoc" in readers:
            failures += wide_lines_of(page)
    for failure in failures:
        print(failure)
    if failures or not pages:
        return 1
    if len(readers) < len(READERS):
        print(f"skipped: not installed: {', '.join(READERS.keys() - readers)}")
        return SKIP
    return 0


sys.exit(main())
