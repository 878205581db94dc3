#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Completes a manual page with what follows from the tables in the sources. Of its comments

    .\\" keys FILE         becomes the keys of FILE.schema.json,
    .\\" old-keys FILE     those that only files of 2017 have,
    .\\" verb NAME         the section of a verb, as its --help has it; its options come last, after
                          what the page says of it.

An example, from .EX to .EE, stands in the page as it is to be read, and is escaped here. All else
stays. Arguments: the page, the directory of the schemas, where the whole page goes, and the program.
"""
import json
import pathlib
import re
import subprocess
import sys

OLD = re.compile(r"(Files of 2017|The oldest files)(?:, |: )")
# In what --help prints.
OPTION = re.compile(r"^  (?:(-\w), |    )--([\w-]+)(?:=(\S+))?  +(.*)$", re.MULTILINE)
# A string in one of the files that stands for a number of bytes.
SIZE = re.compile(r"\[KMGkmg\]")


def roff(text, markup=True):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    if markup:
        text = re.sub("`([^`]*)`", r"\\fB\1\\fR", text)
    return "\\&" + text if text.startswith(".") else text


def size(number):
    for unit in ("", "K", "M", "G"):
        if number % 1024 or number == 0 or unit == "G":
            return f"{number}{unit}"
        number //= 1024
    return None


def sentences(text):
    """Each on a line of its own."""
    return re.split(r"(?<=\.) (?=[A-Z])", roff(text))


def range_of(value, write=str):
    if "minimum" not in value:
        return ""
    return f", {write(value['minimum'])} to {write(value['maximum'])}"


def type_of(value):
    """In words, with the range."""
    if "enum" in value:
        *others, last = (f"`{word}`" for word in value["enum"])
        return f"{', '.join(others)} or {last}"
    if "const" in value:
        return f"`{value['const']}`"
    if "$ref" in value:
        return "object"
    if "anyOf" in value and "type" not in value:
        number, *others = value["anyOf"]
        if any(SIZE.search(other.get("pattern", "")) for other in others):
            return "size" + range_of(number, size)
        if number.get("type") == "integer" and others[0].get("pattern", "").startswith(("^[0-9]+$", "^0*")):
            return type_of(number)
        return " or ".join(dict.fromkeys(type_of(one).split(",")[0] for one in value["anyOf"]))
    kinds = value["type"] if isinstance(value["type"], list) else [value["type"]]
    names = {"boolean": "true or false", "array": "list", "integer": "number"}
    words = " or ".join(names.get(kind, kind) for kind in kinds)
    unit = f" {value['x-unit']}" if "x-unit" in value else ""
    return words + range_of(value) + unit


def default_of(key, schema):
    value = schema["properties"][key]
    if key in schema.get("required", ()):
        return "required"
    if value.get("default", []) in ([], {}):
        return None
    default = value["default"]
    words = [word if isinstance(word, str) else json.dumps(word)
             for word in (default if isinstance(default, list) else [default])]
    unit = f" {value['x-unit']}" if "x-unit" in value else ""
    return "default " + ", ".join(f"`{word}`" for word in words) + unit


def entry(name, key, schema):
    value = schema["properties"][key]
    about = [part for part in (type_of(value), default_of(key, schema)) if part]
    meaning = OLD.sub("", value["description"])
    yield ".TP"
    yield f"\\fB{roff(name)}\\fR ({roff('; '.join(about))})"
    yield from sentences(meaning[0].upper() + meaning[1:] if is_old(value) else meaning)


def is_old(value):
    return OLD.match(value["description"]) is not None


def has_described(schema):
    return any("description" in value for value in schema.get("properties", {}).values())


def rows_of(schema, section="", prefix=""):
    """Section, full name, key, and the schema that the key is in. An object without a meaning of its
    own is a section; so is a list of objects, or one of them by name, with their keys."""
    for key, value in schema["properties"].items():
        elements = value.get("items", value.get("additionalProperties") or {})
        if has_described(elements):
            yield key, key, key, schema
            yield from rows_of(elements, key)
            continue
        if "description" in value:
            yield section, prefix + key, key, schema
        if has_described(value):
            yield from rows_of(value, section if "description" in value else key, f"{prefix}{key}.")


def keys_of(schema, old):
    """The paragraphs. What files of 2017 may have in one of two places is shown once."""
    last_section = ""
    for section, name, key, parent in sorted(rows_of(schema), key=lambda row: row[0] != ""):
        twice = parent["properties"].get("vsoc_shm_layout_descriptor", {}).get("properties", {})
        if is_old(parent["properties"][key]) != old or key in twice:
            continue
        if section != last_section and not old:
            yield f".SS {roff(section)}"
        last_section = section
        yield from entry(name, key, parent)


def emphasize(text, kinds=()):
    """Sentences with arguments in italics, and options and programs in bold."""
    for line in sentences(text):
        for kind in kinds:
            line = re.sub(rf"\b{kind}\b", rf"\\fI{kind}\\fR", line)
        line = re.sub(r"(?<![\w-])(\\-\\-[a-z\\-]*[a-z])", r"\\fB\1\\fR", line)
        yield re.sub(r"\b(cvd\\-(?:ctl|client|launch|up|vm)(?: [a-z][a-z-]*)?)(?=[.,;:]|$)", r"\\fB\1\\fR", line)


def help_of(program, *verb):
    return subprocess.run([program, *verb, "--help"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout


def verb_of(program, verb):
    """The paragraphs of a verb, and those of its own options."""
    common = set(re.findall(r"--([\w-]+)", help_of(program)))
    head, options, *description = help_of(program, verb).split("\n\n")
    usage, summary = head.split("\n", 1)
    arguments = usage.partition("[OPTION...]")[2]
    kinds = re.findall(r"[A-Z]+", arguments)
    lines = [f".SS {roff(verb)}" + "".join(emphasize(arguments, kinds)), *emphasize(summary + ".", kinds)]
    for text in description:
        lines += emphasize(" ".join(text.split()), kinds)
    ending = []
    for letter, name, value, meaning in OPTION.findall(options):
        if name not in common:
            ending += [".TP", ", ".join(f"\\fB{roff(word)}\\fR" for word in (letter, f"--{name}") if word)
                       + (f" \\fI{value}\\fR" if value else ""), *emphasize(meaning + ".", kinds)]
    return lines, ending


def expand(line, conf):
    match = re.fullmatch(r"\.\\\" (keys|old-keys) (\w+)", line)
    if not match:
        return [line]
    schema = json.loads((conf / f"{match.group(2)}.schema.json").read_text(encoding="utf-8"))
    return keys_of(schema, match.group(1) == "old-keys")


def whole(lines, conf, program):
    is_example, ending = False, []
    for line in lines:
        is_example = line == ".EX" or is_example and line != ".EE"
        verb = re.fullmatch(r"\.\\\" verb ([\w-]+)", line)
        if verb or line.startswith(".SH"):
            yield from ending
            ending = []
        if verb:
            paragraphs, ending = verb_of(program, verb.group(1))
            yield from paragraphs
        elif is_example and line != ".EX":
            yield roff(line, markup=False)
        else:
            yield from expand(line, conf)


def main():
    page, conf, output, *program = sys.argv[1:]
    lines = pathlib.Path(page).read_text(encoding="utf-8").splitlines()
    text = "".join(f"{line}\n" for line in whole(lines, pathlib.Path(conf), *(program or [None])))
    pathlib.Path(output).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
