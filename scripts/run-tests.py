# SPDX-License-Identifier: Apache-2.0
"""Runs meson's tests and counts single test cases.

Used by scripts/test: run-tests.py MODE BUILD [NAME…], in CI with CVD_STRICT_SKIPS set. A test program is many test cases; meson's
own summary counts programs, so the cases are taken from the JUnit file that it writes. A program
that fails without a failed case (it crashed, or timed out) counts as one failure. What the tests of
hostile peers and of faults say they survived is told with the result. In CI a test that is skipped
for a reason that is not in scripts/allowed-skips counts as a failure. What a test that crashed left
in its TMPDIR is removed.
"""

import fnmatch
import json
import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

VALGRIND = ("valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite"
            " --show-leak-kinds=definite --num-callers=30 --track-fds=no --child-silent-after-fork=yes"
            " --suppressions=")


def unit_programs(build, names):
    """The C programs among the unit tests: nothing is learned from valgrind on an interpreter."""
    listing = subprocess.run(["meson", "introspect", "--tests", build], check=True,
                             stdout=subprocess.PIPE).stdout
    chosen = []
    for test in json.loads(listing):
        is_unit = any(suite.split(":")[-1] == "unit" for suite in test["suite"])
        is_program = os.path.realpath(test["cmd"][0]).startswith(os.path.realpath(build) + os.sep)
        if is_unit and is_program and (not names or test["name"] in names):
            chosen.append(test["name"])
    return chosen


def run(mode, build, names):
    command = ["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs"]
    if not sys.stdout.isatty():
        command.append("--quiet")
    if mode == "valgrind":
        suppressions = os.path.join(os.path.dirname(os.path.abspath(__file__)), "valgrind.supp")
        os.environ["G_SLICE"] = "always-malloc"
        os.environ["G_DEBUG"] = "gc-friendly"
        os.environ["CVD_UNDER_VALGRIND"] = "1"
        command += ["--suite", "unit", "--timeout-multiplier", "20",
                    "--wrapper", VALGRIND + suppressions]
        names = unit_programs(build, names)
    elif mode == "sanitize":
        command += ["--timeout-multiplier", "4"]
    # Who runs this by nohup or in a script's background has them ignored, and all programs below, too.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    with tempfile.TemporaryDirectory(prefix="cvd-test-", ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o1777)  # some tests become another user
        return subprocess.run(command + names, check=False,
                              env=dict(os.environ, TMPDIR=scratch)).returncode


def describe_skip(case):
    """The case's name without number or suite, and the last line of what it said."""
    said = (case.findtext("system-out") or "").split("\n")
    reasons = [line.strip() for line in said if line.strip()]
    name = case.get("name").lstrip("0123456789 ").split(" / ")[-1]
    return name, (reasons[-1] if reasons else "no reason given").removeprefix("skipped: ")


def allowed_skips(mode):
    """The patterns of reasons for which a test may be skipped in that mode."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "allowed-skips")
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    modes = ("plain: ", "clang: ", "sanitize: ", "valgrind: ")
    return [line.removeprefix(f"{mode}: ") for line in lines
            if line.startswith(f"{mode}: ") or not line.startswith(modes)]


def count(junit, log):
    """Returns passed, failed, the skipped cases with their reasons, and what was survived."""
    passed, failed, skipped, survived = 0, 0, [], []
    failed_programs = set()
    for suite in ElementTree.parse(junit).iter("testsuite"):
        for case in suite.iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
                failed_programs.add(suite.get("name").split(" / ")[-1])
                failed_programs.add(case.get("name").split(" / ")[-1])
            elif case.find("skipped") is not None:
                skipped.append(describe_skip(case))
            else:
                passed += 1
    with open(log, encoding="utf-8") as file:
        for line in file:
            test = json.loads(line)
            survived += [said.removeprefix("# ") for said in test.get("stdout", "").split("\n")
                         if said.startswith("# survived ")]
            if test["result"] not in ("OK", "SKIP", "EXPECTEDFAIL"):
                program = test["name"].split(" / ")[-1]
                if program not in failed_programs:
                    failed += 1
                    print(f"{program}: {test['result'].lower()}, outside of any test case")
    return passed, failed, skipped, survived


def main():
    mode, build, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    base = "testlog-valgrind" if mode == "valgrind" else "testlog"
    results = [os.path.join(build, "meson-logs", base + suffix)
               for suffix in (".junit.xml", ".json")]
    for path in results:
        if os.path.exists(path):
            os.unlink(path)
    status = run(mode, build, names)
    if not all(os.path.exists(path) for path in results):
        print("meson ran no test")
        print("0 passed, 1 failed")
        return 1
    passed, failed, skipped, survived = count(*results)
    for line in survived:
        print(line)
    allowed = allowed_skips(mode)
    for name, reason in skipped:
        is_allowed = any(fnmatch.fnmatchcase(reason, pattern) for pattern in allowed)
        print(f"skipped{'' if is_allowed else ', though it should not be'}: {name}: {reason}")
        if not is_allowed and os.environ.get("CVD_STRICT_SKIPS"):
            failed += 1
    if status != 0 and failed == 0:
        failed = 1
    print(f"{passed} passed, {failed} failed" + (f", {len(skipped)} skipped" if skipped else ""))
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
