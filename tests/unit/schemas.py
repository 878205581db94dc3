#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The schemas in conf/ are those that the tables of keys make, and they and the parser agree about
every case in tests/unit/data/ and conf/.

"good" is right for both, "bad" is wrong for both, and "bad-semantic" is wrong for the parser alone: a
schema cannot say everything. A case of data/KIND.json is a change of its "base", as RFC 7396 has it:
null takes out; and each object of a list changes the base's first. What that cannot say is a file,
data/KIND/VERDICT/NAME.json. Each file in conf/ names
its schema, by a path from itself on that holds in an installation as well. Arguments: the programs
cvd-schema and check-config, and the source directory.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

SKIP = 77
KINDS = {"cvd": "cvd", "qemu": "qemu", "layout": "vsoc_mem"}
# What each directory's files are for the schema (None: it may think what it likes) and the parser.
VERDICTS = {"good": (True, True), "bad": (False, False), "bad-semantic": (None, False)}

try:
    import jsonschema
except ImportError:
    jsonschema = None


def stale_schemas(generator, conf, work):
    subprocess.run([generator, work], check=True)
    for name in KINDS.values():
        made = work / f"{name}.schema.json"
        if made.read_bytes() != (conf / made.name).read_bytes():
            yield f"conf/{made.name}: not current; meson compile -C build update-schemas makes it so"


def unnamed_schemas(conf):
    """Editors take a path as one that is relative to the file only if it starts with a dot."""
    for path in sorted({*conf.rglob("*.json")} - {*conf.rglob("*.schema.json")}):
        schema = json.loads(path.read_text(encoding="utf-8")).get("$schema", "")
        wanted = conf / f"{path.stem if path.parent == conf else 'cvd'}.schema.json"
        if not schema.startswith(".") or (path.parent / schema).resolve() != wanted:
            yield f"{path}: \"$schema\" does not name {wanted}"


def stale_examples(source):
    """What the page shows of a file is in that file."""
    text = (source / "docs/configuration.md").read_text(encoding="utf-8")
    shown = re.findall(r"^### [^\n]*: `(\S+)`\n\n(?:<!-- [^\n]* -->\n)?```json\n(.*?)^```", text,
                       re.DOTALL | re.MULTILINE)
    files = {path.name for path in (source / "conf/examples").glob("*.json")} - {"linux.json"}
    if {name for name, _ in shown} != files:
        yield f"docs/configuration.md does not show each of {sorted(files)}"
    for name, block in shown:
        whole = json.loads((source / "conf/examples" / name).read_text(encoding="utf-8"))
        block = json.loads(block)
        part = whole if "programs" in block else whole["qemu"]
        if not all(part.get(key) == value for key, value in block.items()):
            yield f"docs/configuration.md: {name} has something else"


def merge(base, change):
    if isinstance(base, dict) and isinstance(change, dict):
        merged = base | {key: merge(base.get(key), value) for key, value in change.items()}
        return {key: value for key, value in merged.items() if value is not None}
    lists = isinstance(base, list) and isinstance(change, list)
    if lists and all(isinstance(one, dict) for one in base + change):
        return [merge(base[0], one) for one in change]
    return change


def cases_of(kind, data):
    """Yields the verdict, the name and the text of each case."""
    cases = json.loads((data / f"{kind}.json").read_text(encoding="utf-8"))
    for verdict in VERDICTS:
        for name, change in cases[verdict].items():
            yield verdict, name, json.dumps(merge(cases["base"], change))
        for path in sorted((data / kind / verdict).glob("*.json")):
            yield verdict, path.stem, path.read_text(encoding="utf-8")
    if kind == "layout":
        for verdict, n in (("good", 2048), ("bad", 2049)):
            regions = [{"device_name": f"r{i}", "region_size": 4096} for i in range(n)]
            yield verdict, f"{n}-regions", json.dumps({"vsoc_device_regions": regions})
    if kind == "cvd":
        for verdict, n in (("good", 128), ("bad", 129)):
            programs = {f"p{i}": {"argv": ["x"]} for i in range(n)}
            yield verdict, f"{n}-programs", json.dumps(cases["base"] | {"programs": programs})


def validator_of(path):
    schema = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        resolver = jsonschema.RefResolver(path.as_uri(), schema)
    return jsonschema.Draft202012Validator(schema, resolver=resolver)


def parser_verdicts(tool, kind, base, files):
    result = subprocess.run([tool, kind, base, *files], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True, check=True)
    verdicts = result.stdout.split()
    assert len(verdicts) == len(files)
    return [verdict == "ok" for verdict in verdicts]


def disagreements(tool, kind, base, files, validator, wanted):
    by_schema, by_parser = wanted
    for path, parsed in zip(files, parser_verdicts(tool, kind, base, files)):
        valid = validator.is_valid(json.loads(path.read_text(encoding="utf-8")))
        if parsed != by_parser:
            yield f"{path}: the parser {'accepts' if parsed else 'rejects'} it"
        if by_schema is not None and valid != by_schema:
            yield f"{path}: the schema {'accepts' if valid else 'rejects'} it"


def groups_of(kind, name, source, work):
    """Yields files and what they are to be."""
    yield [source / f"conf/{name}.json"], VERDICTS["good"]
    if kind == "cvd":
        yield sorted((source / "conf/examples").glob("*.json")), VERDICTS["good"]
    files = {verdict: [] for verdict in VERDICTS}
    for verdict, case, text in cases_of(kind, source / "tests/unit/data"):
        path = work / f"{kind}-{verdict}-{case}.json"
        path.write_text(text, encoding="utf-8")
        files[verdict].append(path)
    for verdict, wanted in VERDICTS.items():
        yield files[verdict], wanted


def all_disagreements(tool, source, work):
    base = work / "base.json"
    base.write_text(json.dumps(json.loads((source / "tests/unit/data/cvd.json").read_text(
        encoding="utf-8"))["base"]), encoding="utf-8")
    groups = {kind: list(groups_of(kind, name, source, work)) for kind, name in KINDS.items()}
    for kind, name in KINDS.items():
        print(f"{kind}: {sum(len(files) for files, _ in groups[kind])} files looked at")
        validator = validator_of(source / f"conf/{name}.schema.json")
        for files, wanted in groups[kind]:
            yield from disagreements(tool, kind, base, files, validator, wanted)


def main():
    source = pathlib.Path(sys.argv[3]).resolve()
    with tempfile.TemporaryDirectory(prefix="cvd-") as directory:
        work = pathlib.Path(directory)
        failures = [*stale_schemas(sys.argv[1], source / "conf", work),
                    *unnamed_schemas(source / "conf"), *stale_examples(source)]
        if jsonschema:
            failures += all_disagreements(sys.argv[2], source, work)
    for failure in failures:
        print(failure)
    if failures:
        return 1
    if not jsonschema:
        print("skipped: python3-jsonschema is not installed")
        return SKIP
    return 0


sys.exit(main())
