#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Form that a program can check, over the whole tree. Argument: the source directory.

The licence line comes first (second after #! or a manual's preprocessor line), no tabs, no white
space at the end of a line, no marks of unfinished work, and C is as clang-format 14 has it. Without
it the rest is still checked; if all of it is right, the test counts as
skipped.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

SKIP = 77
FORMATTER_VERSION = 14
LICENCE = "SPDX-License-Identifier: Apache-2.0"
# What a kernel may take is to be had under its licence as well.
LICENCES = {"vsoc": LICENCE + " OR GPL-2.0-only"}
# Files in which nothing but the text of a licence or of data can stand, and those that make reads.
WITHOUT_LICENCE_LINE = {"LICENSE", "debian/changelog", "debian/copyright", "debian/source/format"}
WITHOUT_LICENCE_SUFFIX = {".json", ".md", ".png", ".svg"}
BINARY = {".png"}
MAKEFILES = {"rules"}
# Written in two parts, so as not to find itself.
# json-glib writes 1e20 as 1e+20.0.
JSON_WRITER = re.compile(r"(?<!cvd_)(?<!fix_numbers\()\bjson_(to_string|generator_to\w+)\(")
CITATION = re.compile(r"(docs/[\w-]+\.md)(?:, ([A-Z][\w ]+))?")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


def tree_files(root):
    """What git tracks or would track; without git everything but build directories."""
    try:
        listed = subprocess.run(
            ["git", "-c", f"safe.directory={root}", "-C", str(root), "ls-files", "-z", "--cached",
             "--others", "--exclude-standard"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        names = [name for name in os.fsdecode(listed).split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [path.relative_to(root).as_posix() for path in root.glob("**/*")
                 if not path.relative_to(root).parts[0].startswith(("build", ".git"))]
    return [root / name for name in sorted(set(names)) if (root / name).is_file()]


def licence_problem(path, lines):
    licence = LICENCES.get(path.parts[0], LICENCE)
    if path.as_posix() in WITHOUT_LICENCE_LINE or path.suffix in WITHOUT_LICENCE_SUFFIX:
        return None
    first = 1 if lines and lines[0].startswith(("#!", "#compdef ", "'\\\" ")) else 0
    if len(lines) <= first or not re.search(re.escape(licence) + r"( \*/| -->)?$", lines[first]):
        return f"line {first + 1} has no \"{licence}\""
    return None


def problems_of(root, path):
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    problem = licence_problem(path.relative_to(root), lines)
    if problem:
        yield problem
    if text and not text.endswith("\n"):
        yield "the last line has no end"
    for number, line in enumerate(lines, 1):
        if "\t" in line and path.name not in MAKEFILES:
            yield f"line {number}: a tab"
        if line != line.rstrip():
            yield f"line {number}: white space at the end"
        if UNFINISHED.search(line):
            yield f"line {number}: unfinished work"
        if path.suffix == ".c" and JSON_WRITER.search(line):
            yield f"line {number}: JSON whose numbers have not been through cvd_json_text_fix_numbers()"


def citation_problems(root, path, text):
    """A comment that cites docs/NAME.md, HEADING cites one that is there."""
    for name, rest in CITATION.findall(re.sub(r"\n\s*\*\s+", " ", text)):
        cited = root / name
        headings = HEADING.findall(cited.read_text(encoding="utf-8")) if cited.is_file() else []
        if not cited.is_file():
            yield f"cites {name}, which is not there"
        elif rest and not any(rest.startswith(heading) for heading in headings):
            yield f"cites \"{rest}\" of {name}, which has no such heading"


def has_formatter():
    """Other versions of clang-format have another opinion of the same .clang-format."""
    if shutil.which("clang-format") is None:
        return False
    said = subprocess.run(["clang-format", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return f"version {FORMATTER_VERSION}." in said


def format_problems(sources):
    if not sources:
        return
    result = subprocess.run(["clang-format", "--dry-run", "--Werror", *map(str, sources)],
                            stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        yield "clang-format would change:\n" + "\n".join(
            line for line in result.stderr.splitlines() if "error:" in line)


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    files = [path for path in tree_files(root)
             if path.suffix not in BINARY and path.parent.name != "LICENSES"
             and "tests/fuzz/seeds" not in path.as_posix()]
    failures = [f"{path.relative_to(root)}: {problem}"
                for path in files for problem in problems_of(root, path)]
    for path in files:
        if path.suffix in (".c", ".h"):
            failures += [f"{path.relative_to(root)}: {problem}" for problem in
                         citation_problems(root, path, path.read_text(encoding="utf-8"))]
    can_format = has_formatter()
    if can_format:
        failures += format_problems([path for path in files if path.suffix in (".c", ".h")])
    print(f"{len(files)} files looked at")
    for failure in failures:
        print(failure)
    if failures or not files:
        return 1
    if not can_format:
        print(f"skipped: clang-format {FORMATTER_VERSION} is not installed")
        return SKIP
    return 0


sys.exit(main())
