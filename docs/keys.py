#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the tables of keys into a manual page: a line `The keys of FILE: see build/docs/cvd-launch.1.`
becomes the table that FILE.schema.json has, `The regions of FILE: …` that of its regions.

Arguments: the page, the directory of the schemas, and where the whole page goes.
"""
import json
import pathlib
import re
import sys


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(cq")
    return re.sub("`([^`]*)`", r"\\fB\1\\fR", text)


def default_of(key, schema):
    value = schema["properties"][key]
    if key in schema.get("required", ()):
        return "required"
    default = value.get("default", [])
    words = [word if isinstance(word, str) else json.dumps(word)
             for word in (default if isinstance(default, list) else [default])]
    unit = f" {value['x-unit']}" if "x-unit" in value else ""
    return ", ".join(words) + unit if words else "none"


def rows_of(schema, prefix=""):
    """Key, default and meaning; an object without a meaning of its own is its members."""
    for key, value in schema["properties"].items():
        if "description" in value:
            yield prefix + key, default_of(key, schema), value["description"]
        elif "properties" in value:
            yield from rows_of(value, f"{prefix}{key}.")


def table(columns, rows):
    yield from (".TS", "tab(|);", " ".join(["lB"] * len(columns)),
                " ".join(["l"] * (len(columns) - 1) + ["lx."]), "|".join(columns), "_")
    for *cells, meaning in rows:
        yield from ("|".join([roff(cell) for cell in cells] + ["T{"]), roff(meaning), "T}")
    yield ".TE"


def expand(line, conf):
    match = re.fullmatch(r"The (keys|regions) of (\w+): see build/docs/cvd-launch\.1\.", line)
    if not match:
        return [line]
    kind, name = match.groups()
    schema = json.loads((conf / f"{name}.schema.json").read_text(encoding="utf-8"))
    if kind == "keys":
        return table(("key", "default", "meaning"), rows_of(schema))
    regions = schema["properties"]["vsoc_device_regions"]["items"]
    return table(("key", "meaning"), ((key, meaning) for key, _, meaning in rows_of(regions)
                                      if not meaning.startswith("Files of 2017")))


def main():
    page, conf, output = map(pathlib.Path, sys.argv[1:])
    lines = page.read_text(encoding="utf-8").splitlines()
    whole = [part for line in lines for part in expand(line, conf)]
    output.write_text("\n".join(whole) + "\n", encoding="utf-8")


main()
