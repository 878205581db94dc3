#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The schemas in conf/ and the parser agree about every file in tests/unit/data/ and conf/.

data/KIND/good/ is right for both, bad/ is wrong for both, and bad-semantic/ is wrong for the parser
alone: a schema cannot say everything. Arguments: the tool check-config and the source directory.
"""
import json
import pathlib
import subprocess
import sys
import warnings

SKIP = 77
KINDS = {"cvd": "cvd", "qemu": "qemu", "layout": "vsoc_mem"}
# What each directory's files are for the schema (None: it may think what it likes) and the parser.
VERDICTS = {"good": (True, True), "bad": (False, False), "bad-semantic": (None, False)}

try:
    import jsonschema
except ImportError:
    print("skipped: python3-jsonschema is not installed")
    sys.exit(SKIP)


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


def main():
    tool = sys.argv[1]
    source = pathlib.Path(sys.argv[2]).resolve()
    data = source / "tests/unit/data"
    base = data / "cvd/good/minimal.json"
    failures = []
    n_files = 0
    for kind, name in KINDS.items():
        validator = validator_of(source / f"conf/{name}.schema.json")
        groups = [([source / f"conf/{name}.json"], VERDICTS["good"])]
        if kind == "cvd":
            groups.append((sorted((source / "conf/examples").glob("*.json")), VERDICTS["good"]))
        for directory, wanted in VERDICTS.items():
            files = sorted((data / kind / directory).glob("*.json"))
            if not files:
                failures.append(f"{data / kind / directory}: no files")
            groups.append((files, wanted))
        for files, wanted in groups:
            n_files += len(files)
            failures += disagreements(tool, kind, base, files, validator, wanted)
    print(f"{n_files} files looked at")
    for failure in failures:
        print(failure)
    return 1 if failures else 0


sys.exit(main())
