#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every public symbol of the libraries is documented: what its introspection data have without a word is
a failure, and so are warnings of gi-docgen, which makes pages of it.

Usage: api-docs.py GI_DOCGEN CONFIG=GIR...
"""
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

SKIP = 77
CORE = "{http://www.gtk.org/introspection/core/1.0}"
GLIB = "{http://www.gtk.org/introspection/glib/1.0}"
SYMBOLS = {CORE + name for name in ("alias", "bitfield", "callback", "class", "constant", "constructor",
                                    "enumeration", "function", "interface", "member", "method",
                                    "property", "record", "union")} | {GLIB + "signal"}


def undocumented(element, path=""):
    for child in element:
        if child.tag in SYMBOLS:
            name = f"{path}.{child.get('name')}"
            returned = child.find(f"{CORE}return-value/{CORE}doc")
            if child.find(CORE + "doc") is None and returned is None and not is_implicit(child):
                yield name
            yield from undocumented(child, name)


def is_implicit(element):
    """The structure of a class, which nobody uses by name."""
    return element.get(GLIB + "is-gtype-struct-for") is not None


def pages_problem(gi_docgen, config, gir, work):
    done = subprocess.run([gi_docgen, "generate", "--quiet", "--fatal-warnings", "--config", config,
                           "--no-namespace-dir", "--output-dir", work, gir],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        return f"{config}: gi-docgen: status {done.returncode}\n{done.stdout}"
    return None if (pathlib.Path(work) / "index.html").exists() else f"{config}: no pages"


def main(gi_docgen, *libraries):
    failures = []
    for library in libraries:
        config, gir = library.split("=")
        namespace = ElementTree.parse(gir).getroot().find(CORE + "namespace")
        failures += [f"{namespace.get('name')}{name}: not documented" for name in undocumented(namespace)]
        if gi_docgen:
            with tempfile.TemporaryDirectory(prefix="cvd-") as work:
                problem = pages_problem(gi_docgen, config, gir, work)
                failures += [problem] if problem else []
    for failure in failures:
        print(failure)
    if failures or not libraries:
        return 1
    if not gi_docgen:
        print("skipped: gi-docgen is not installed")
        return SKIP
    return 0


sys.exit(main(*sys.argv[1:]))
