#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual pages format without a warning, every option of the programs is in theirs,
cvd-launch(1) has every key, and libcvd-client(3) every error and no function that there is not.

Arguments: the source directory, and cvd-launch(1) as it is built. Options are taken from the option
table, keys from the schemas.
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
PROGRAMS = {"cvd-launch.1": "launcher/options.c", "cvd-vm.1": "guests/fake/options.c"}


def warnings_of(page):
    result = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(page)],
                            env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            check=False)
    yield from (f"{page.name}: {line}" for line in result.stderr.splitlines())
    if result.returncode != 0:
        yield f"{page.name}: man ended with status {result.returncode}"


def keys_of(schema, prefix=""):
    """Dotted paths of the schema's own keys; what a $ref leads to is another file's."""
    for key, value in schema["properties"].items():
        if "properties" in value:
            yield from keys_of(value, f"{prefix}{key}.")
        else:
            yield prefix + key


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
    text = text_of(page)
    for name in ("cvd", "qemu"):
        schema = json.loads((root / f"conf/{name}.schema.json").read_text(encoding="utf-8"))
        for key in keys_of(schema):
            if not re.search(rf"^{re.escape(key)}(\||$)", text, re.MULTILINE):
                yield f"{page.name}: the key {key} is not in a table"


def library_differences_of(root, page):
    text = text_of(page)
    headers = "".join((root / f"client/{name}.h").read_text(encoding="utf-8")
                      for name in ("instance", "region", "types"))
    errors = set(re.findall(r"^    (CVD_REGION_ERROR_\w+),$", headers, re.MULTILINE))
    if not errors:
        yield "client/types.h: the errors are not found"
    for error in sorted(errors - set(re.findall(r"CVD_REGION_ERROR_\w+", text))):
        yield f"{page.name}: {error} is not there"
    functions = set(re.findall(r"\bcvd_\w+(?=\()", headers))
    for function in sorted(set(re.findall(r"\bcvd_\w+(?= ?\()", text)) - functions):
        yield f"{page.name}: {function}() is in no header"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    pages = sorted((root / "docs").glob("*.[1-8]"))
    failures = [failure for name, source in PROGRAMS.items()
                for failure in missing_options_of(root, root / "docs" / name, source)]
    built = pathlib.Path(sys.argv[2])
    failures += missing_keys_of(root, built)
    failures += library_differences_of(root, root / "docs/libcvd-client.3")
    has_man = shutil.which("man") is not None and shutil.which("groff") is not None
    if has_man:
        for page in [*pages, built]:
            failures += warnings_of(page)
    for failure in failures:
        print(failure)
    if failures or not pages:
        return 1
    if not has_man:
        print("skipped: man or groff is not installed")
        return SKIP
    return 0


sys.exit(main())
