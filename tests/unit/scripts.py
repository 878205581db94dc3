# SPDX-License-Identifier: Apache-2.0
"""What scripts/ do around meson, which is a stand-in here that notes how it is called.

Usage: scripts.py SOURCE_ROOT
"""
import os
import pathlib
import stat
import subprocess
import sys
import tempfile

JUNIT = """<testsuites><testsuite name="s">
<testcase name="a"/>
<testcase name="b"><skipped/><system-out>{reason}</system-out></testcase>
</testsuite></testsuites>"""

MESON = """#!/bin/sh
echo "$@" >>"$CALLS"
[ "$1" != setup ] || {{ mkdir -p "$BUILD/meson-private" "$BUILD/meson-info"; : >"$BUILD/build.ninja"
    printf '{{"error": false, "directories": {{"source": "%s", "build": "%s"}}}}' "{root}" "$BUILD" \\
        >"$BUILD/meson-info/meson-info.json"; }}
[ "$1" != test ] || {{ mkdir -p "$BUILD/meson-logs"; cp "$JUNIT" "$BUILD/meson-logs/testlog.junit.xml"
    : >"$BUILD/meson-logs/testlog.json"; mktemp -d >"$BUILD/left"; }}
"""


class Stage:
    """A directory for a build, and a PATH that begins with the stand-in."""

    def __init__(self, root, work):
        self.root = root
        self.build = work / "build"
        self.calls = work / "calls"
        self.calls.touch()
        self.bin = work / "bin"
        self.bin.mkdir()
        self.junit = work / "junit.xml"
        self.add_program("meson", MESON.format(root=root))
        self.env = dict(os.environ, PATH=f"{self.bin}:{os.environ['PATH']}", CALLS=str(self.calls),
                        BUILD=str(self.build), JUNIT=str(self.junit))
        self.env.pop("CVD_STRICT_SKIPS", None)

    def add_program(self, name, text):
        path = self.bin / name
        path.write_text(text, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def configure(self, *missing):
        """What meson was called with, where these packages are missing."""
        self.calls.write_text("", encoding="utf-8")
        script = (f'set -eu; root={self.root}; . "$root/scripts/common.sh"; '
                  f'missing_for_tests() {{ echo {" ".join(missing)}; }}; configure "{self.build}"')
        subprocess.run(["sh", "-c", script], env=self.env, check=True)
        return self.calls.read_text(encoding="utf-8")

    def run_tests(self, reason, **env):
        self.junit.write_text(JUNIT.format(reason=reason), encoding="utf-8")
        done = subprocess.run([sys.executable, f"{self.root}/scripts/run-tests.py", "plain",
                               str(self.build)], env={**self.env, **env}, check=False,
                              stdout=subprocess.PIPE, encoding="utf-8")
        return done.returncode, done.stdout


def check_configure(stage):
    """A build that was made without a package is configured anew when that is there."""
    assert stage.configure("python3-gi").startswith("setup ")
    assert stage.configure("python3-gi") == ""
    assert "--reconfigure" in stage.configure()
    assert stage.configure() == ""
    (stage.build / "missing-packages").unlink()  # as of one that was configured by hand
    assert "-Dtests=true" in stage.configure()


def check_scratch(stage):
    """What a test leaves in its TMPDIR is removed."""
    stage.run_tests("none")
    left = pathlib.Path((stage.build / "left").read_text(encoding="utf-8").strip())
    assert left.parent.name.startswith("cvd-test-") and not left.parent.exists(), left


def check_skips(stage):
    """What CI does not allow to be skipped is a failure there, and is named everywhere."""
    strict = {"CVD_STRICT_SKIPS": "1"}
    code, said = stage.run_tests("this machine has /dev/kvm", **strict)
    assert code == 0 and "1 passed, 0 failed, 1 skipped" in said, said
    code, said = stage.run_tests("python3-gi is not installed", **strict)
    assert code == 1 and "1 passed, 1 failed, 1 skipped" in said, said
    code, said = stage.run_tests("python3-gi is not installed")
    assert code == 0 and "though it should not be: b: python3-gi is not installed" in said, said
    code, said = stage.run_tests("this build has no introspection data", **strict)
    assert code == 1, said  # allowed in another mode only


def check_demo(stage):
    """What to try is said for 80 columns, by paths from where one is."""
    stage.configure()
    for name in ("ninja", "pkg-config", "qemu-system-x86_64", "../build/launcher/cvd-launch"):
        (stage.bin / name).parent.mkdir(exist_ok=True)
        stage.add_program(name, "#!/bin/sh\n")
    build = stage.build.resolve()
    done = subprocess.run(["sh", f"{stage.root}/scripts/demo"], cwd=build.parent, check=True,
                          env={**stage.env, "CVD_BUILD_DIR": str(build)},
                          stderr=subprocess.PIPE, encoding="utf-8")
    assert "\n  build/client/cvd-client list " in done.stderr, done.stderr
    assert all(len(line) <= 80 for line in done.stderr.splitlines()), done.stderr


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    for check in (check_configure, check_scratch, check_skips, check_demo):
        with tempfile.TemporaryDirectory() as work:
            check(Stage(root, pathlib.Path(work)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
