#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each option works by itself, what is installed needs no test, and a tarball configures without git.

Usage: configurations.py SOURCE_ROOT
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

# Name -> option, and the target that is not there then.
OPTIONS = {
    "guest": ("-Dguest=disabled", "cvd-guest.elf"),
    "agent": ("-Dagent=disabled", "cvd-agent"),
    "introspection": ("-Dintrospection=disabled", "Cvd-1.0.gir"),
    "docs": ("-Ddocs=disabled", "libcvd-client"),
    "systemd": ("-Dsystemd=disabled", None),
}
# Without git's own settings, of which one may make it refuse another user's directory.
GIT = ("git", "-c", "safe.directory=*")


def meson(*arguments, **options):
    done = subprocess.run(["meson", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, check=False, **options)
    assert done.returncode == 0, f"meson {' '.join(map(str, arguments))}:\n{done.stdout[-3000:]}"
    return done.stdout


def targets_of(source, work, *options):
    """Configures; returns the names of what there is to build, by the folder that says so."""
    build = work / "build"
    meson("setup", str(build), str(source), *options)
    return {(pathlib.Path(target["defined_in"]).relative_to(source).parts[0], target["name"])
            for target in json.loads(meson("introspect", "--targets", str(build)))}


def without(source, work, option, target):
    names = {name for _, name in targets_of(source, work, "-Dtests=true", option)}
    assert target not in names and "cvd-launch" in names and "unit-config" in names, names


def install(source, work):
    """What one gets who knows no option."""
    folders = {folder for folder, _ in targets_of(source, work)}
    assert not folders & {"tests", "bench"} and "launcher" in folders, folders


def dist(source, work):
    """The tarball has what is under version control, and configures where there is no git."""
    if not (source / ".git").exists() or shutil.which("git") is None:
        return "the source tree is not git's, or git is not there"
    targets_of(source, work)
    meson("dist", "--no-tests", "--allow-dirty", "--formats", "gztar", cwd=work / "build",
          env={**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
               "GIT_CONFIG_VALUE_0": "*"})
    tarball, = (work / "build/meson-dist").glob("*.tar.gz")
    with tarfile.open(tarball) as archive:
        names = {member.name.partition("/")[2] for member in archive if not member.isdir()}
        archive.extractall(work)
    wanted = subprocess.run([*GIT, "-C", str(source), "ls-tree", "-r", "--name-only", "-z", "HEAD"],
                            stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")
    assert names == set(wanted) - {""}, names ^ set(wanted)
    unpacked = work / tarball.name.removesuffix(".tar.gz")
    (work / "again").mkdir()
    targets_of(unpacked, work / "again", "-Dtests=true")
    return None


def attempt(number, name, action, *arguments):
    with tempfile.TemporaryDirectory() as work:
        try:
            reason = action(*arguments[:1], pathlib.Path(work).resolve(), *arguments[1:])
        except AssertionError as failure:
            print("\n".join(f"# {line}" for line in str(failure).splitlines()))
            print(f"not ok {number} /configurations/{name}", flush=True)
            return False
    print(f"ok {number} /configurations/{name}{f' # SKIP {reason}' if reason else ''}", flush=True)
    return True


def main():
    source = pathlib.Path(sys.argv[1]).resolve()
    cases = [(name, without, source, *row) for name, row in OPTIONS.items()]
    cases += [("install", install, source), ("dist", dist, source)]
    print(f"1..{len(cases)}")
    return 0 if all([attempt(number, *case) for number, case in enumerate(cases, 1)]) else 1


if __name__ == "__main__":
    sys.exit(main())
