#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs the packages in a root of Debian, uses them, upgrades, removes and purges them.

Usage: try.py [--build] DIRECTORY

DIRECTORY has the packages, or gets them from scripts/package, without a network. A root with nothing but Debian's essential
packages, and the files of those that are needed, stay there for the next time; what is tried happens in
an overlay on top of it, in namespaces of its own. Prints TAP.

There was no package of version 0.1.0. What stands for it has the same programs, that version, its
configuration in /etc/cvd, where that version had it, and a file that is gone since.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import booted  # noqa: E402 (once its directory is known)

SUITE = "bookworm"
PACKAGES = ("cvd-launch", "libcvd-server1", "libcvd-client1", "gir1.2-cvd-1.0", "libcvd-dev", "cvd-agent")
# To compile and to run the examples.
TOOLS = ("gcc", "libc6-dev", "pkgconf", "python3-gi")
GONE = "usr/share/doc/cvd-launch/only-in-0.1.0"
OLD_CONFIG = "etc/cvd/cvd.json"
PONG = "10 sent, 10 answered, 0 wrong"
PHONE = """{"layout": "/usr/share/cvd/vsoc_mem.json", "qemu": {"kernel": "builtin", "accel": "tcg"}}
"""
FAILED = "what comes before did not pass"
LIMIT_S = 60  # fail-safe of every wait
# What the package manager keeps about anything at all, and what is not the root's own.
NOT_OURS = re.compile(r"^(proc|sys|dev|run|packages|tmp)(/|$)|^var/(cache|log|lib/dpkg|lib/apt)/"
                      r"|^etc/ld\.so\.cache$")


class Skipped(Exception):
    pass


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def archive():
    """A line of sources.list for Debian's archive, from where this machine has its own packages."""
    listed = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(COMPONENT) $(CODENAME)",
                 "Created-By: Packages")
    mirrors = re.findall(rf"^Debian (\S+) main {SUITE}$", listed, re.MULTILINE)
    if not mirrors:
        raise Skipped(f"apt has no archive of Debian {SUITE}")
    return f"deb {mirrors[0]} {SUITE} main"


def make_base(base, packages):
    source = archive()
    shutil.rmtree(base, ignore_errors=True)
    try:
        run("mmdebstrap", "--mode=root", "--variant=minbase", "--skip=cleanup/apt/lists", SUITE,
            str(base), source)
        download(base, packages)
    except AssertionError as failure:
        shutil.rmtree(base, ignore_errors=True)
        raise Skipped(f"no root of Debian {SUITE} can be had: {str(failure).splitlines()[-1]}") from None


def download(base, packages):
    """What the packages depend on, unless it is there already."""
    (base / "packages").mkdir(exist_ok=True)
    for path in packages:
        shutil.copy(path, base / "packages")
    run("chroot", str(base), "apt-get", "-q", "-y", "-o", "APT::Sandbox::User=root", "--download-only",
        "--no-install-recommends", "install", *(f"/packages/{path.name}" for path in packages), *TOOLS)
    shutil.rmtree(base / "packages")


def prepare(base, packages):
    """A root that serves; one whose lists of packages are too old is made anew."""
    if base.exists():
        try:
            return download(base, packages)
        except AssertionError:
            pass
    return make_base(base, packages)


def make_old(directory, packages):
    """The packages that stand for version 0.1.0."""
    where = directory / "old"
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir()
    for path in packages:
        tree = where / path.name.split("_")[0]
        run("dpkg-deb", "-R", str(path), str(tree))
        control = tree / "DEBIAN/control"
        control.write_text(re.sub(r"^Version: .*$", "Version: 0.1.0", control.read_text(), flags=re.MULTILINE))
        if tree.name == "cvd-launch":
            (tree / GONE).touch()
            conf = (tree / OLD_CONFIG).parent
            shutil.copytree(tree / "usr/share/cvd", conf, ignore=shutil.ignore_patterns("examples"),
                            dirs_exist_ok=True)
            with open(tree / "DEBIAN/conffiles", "a", encoding="utf-8") as conffiles:
                conffiles.writelines(f"/etc/cvd/{name}\n" for name in sorted(os.listdir(conf)))
        run("dpkg-deb", "--root-owner-group", "-b", str(tree), str(where / f"{tree.name}_0.1.0.deb"))
    return sorted(where.glob("*.deb"))


class Root:
    """The root in use."""

    def __init__(self, directory):
        self.path = directory / "overlay/root"
        shutil.rmtree(directory / "overlay", ignore_errors=True)
        for name in ("upper", "work", "root"):
            (directory / "overlay" / name).mkdir(parents=True)
        layers = (f"lowerdir={directory}/base,upperdir={directory}/overlay/upper,"
                  f"workdir={directory}/overlay/work")
        self.mount("-t", "overlay", "-o", layers, where=".")
        self.mount("--rbind", "/dev", where="dev")
        self.mount("-t", "devpts", "-o", "newinstance,ptmxmode=666", where="dev/pts")
        for kind, where in ("proc", "proc"), ("tmpfs", "run"), ("tmpfs", "tmp"):
            self.mount("-t", kind, where=where)
        (self.path / "packages").mkdir()

    def mount(self, *options, where):
        try:
            run("mount", *options, "none", str(self.path / where)) if "--rbind" not in options else \
                run("mount", *options, str(self.path / where))
        except AssertionError:
            raise Skipped(f"cannot mount {' '.join(options[:2])} here") from None

    def run(self, *command):
        return run("chroot", str(self.path), "/usr/bin/env", "-i", "HOME=/root", "LC_ALL=C.UTF-8",
                   "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", *command)

    def apt(self, *arguments):
        """Nothing is downloaded."""
        return self.run("apt-get", "-q", "-y", "--no-download", "--no-install-recommends", *arguments)

    def copy_in(self, paths):
        for path in paths:
            shutil.copy(path, self.path / "packages")
        return [f"/packages/{path.name}" for path in paths]

    def install_dependencies(self, *packages):
        """All that is needed, without the packages of this project."""
        names = re.findall(r"^Inst (\S+)", self.apt("-s", "install", *packages), re.MULTILINE)
        self.apt("install", *(name for name in names if name not in PACKAGES))

    def files(self):
        found = set()
        for where, directories, names in os.walk(self.path):
            at = os.path.relpath(where, self.path)
            found |= {os.path.normpath(os.path.join(at, name)) for name in directories + names}
            directories[:] = [name for name in directories
                              if not NOT_OURS.match(os.path.normpath(os.path.join(at, name)))]
        return {path for path in found if not NOT_OURS.match(path)}


class Machine:
    """A virtual machine in the root, of the built-in guest, by the package's own configuration."""

    def __init__(self, root):
        self.root = root
        self.process = subprocess.Popen(
            ["chroot", str(root.path), "cvd-launch", "--name", "try", "--set", "qemu.accel=tcg"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = []
        for line in self.process.stderr:
            said.append(line)
            if ": running after " in line:
                return
        raise AssertionError(f"no VM: {''.join(said)}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.terminate()
        said = self.process.stderr.read()
        status = self.process.wait(LIMIT_S)
        assert kind is not None or (status == 0 and ": stopped: " in said), f"{status}: {said}"

    def use(self):
        assert PONG in self.root.run("cvd-client", "ping", "sensors", "-c", "10")
        assert "running" in self.root.run("cvd-ctl", "status")


class Story:
    """One root, from the first package to the last."""

    def __init__(self, directory):
        self.directory = directory
        self.root = None
        self.before = set()

    @property
    def packages(self):
        return [next(self.directory.glob(f"{name}_*.deb")) for name in PACKAGES]

    def build(self):
        """From a copy of the sources, with nothing from outside, and lintian agrees."""
        scripts = pathlib.Path(__file__).resolve().parents[2] / "scripts"
        run("unshare", "--net", str(scripts / "package"), "--check", str(self.directory))
        run("apparmor_parser", "--skip-kernel-load", "--skip-cache",
            str(self.directory / "source/debian/apparmor/usr.bin.cvd-launch"))

    def make_root(self):
        prepare(self.directory / "base", self.packages)
        self.root = Root(self.directory)

    def install(self):
        """A machine runs where there was nothing but the package manager; of it nothing is left."""
        package, = self.root.copy_in(self.packages[:1])
        start = time.monotonic()
        self.root.install_dependencies(package)
        needed_s = time.monotonic() - start
        self.before = self.root.files()
        start = time.monotonic()
        self.root.run("dpkg", "-i", package)
        with Machine(self.root) as machine:
            own_s = time.monotonic() - start
            machine.use()
        print(f"# from downloaded to running: {needed_s + own_s:.1f} s, {own_s:.1f} s of them for the "
              "package itself")
        for path in ("man/man1/cvd-launch.1.gz", "man/man1/cvd-up.1.gz", "man/man7/cvd.7.gz",
                     "bash-completion/completions/cvd-ctl", "fish/vendor_completions.d/cvd-ctl.fish",
                     "zsh/vendor-completions/_cvd"):
            assert (self.root.path / "usr/share" / path).exists(), path
        self.root.run("dpkg", "--purge", "cvd-launch")
        self.compare()

    def upgrade(self):
        """What the administrator changed stays, and what is gone goes."""
        old, new = make_old(self.directory, self.packages[:3]), self.root.copy_in(self.packages)
        # Nothing is measured from here on.
        (self.root.path / "etc/dpkg/dpkg.cfg.d/fast").write_text("force-unsafe-io\n", encoding="utf-8")
        self.root.install_dependencies(*new, *TOOLS)
        self.before = self.root.files()
        self.root.run("dpkg", "-i", *self.root.copy_in(old))
        config = self.root.path / OLD_CONFIG
        config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        self.root.run("dpkg", "-i", *new)
        assert config.read_text(encoding="utf-8").endswith("\n\n")
        assert not (self.root.path / GONE).exists()
        with Machine(self.root) as machine:
            machine.use()

    def develop(self):
        """The examples, in C and in Python, against the libraries."""
        examples = "/usr/share/doc/libcvd-dev/examples"
        for name, library in ("host-program", "cvd-client"), ("embed-server", "cvd-server"):
            self.root.run("sh", "-c", f"cc -Wall -Werror {examples}/{name}.c -o /tmp/{name} "
                                      f"$(pkg-config --cflags --libs {library})")
        with Machine(self.root):
            for program in ["/tmp/host-program"], ["python3", f"{examples}/host_program.py"]:
                self.root.run(*program, "/run/cvd/try/client.sock", "3")
        self.root.run("python3", "-c", "import gi; gi.require_version('CvdServer', '1.0'); "
                                       "from gi.repository import CvdServer; CvdServer.LayoutSpec.new()")

    def remove(self):
        """Removed, the administrator's configuration is there; purged, the system is as it was."""
        self.root.run("dpkg", "--remove", *PACKAGES)
        assert not list(self.root.path.glob("usr/bin/cvd-*")) and (self.root.path / OLD_CONFIG).exists()
        self.root.run("dpkg", "--purge", *PACKAGES)
        self.compare()

    def service(self):
        """The package's unit runs a machine, under a systemd whose root is a copy of this machine's."""
        with booted.booted() as container:
            shutil.copy(self.packages[0], container.directory("/packages"))
            (container.directory("/etc/cvd") / "phone.json").write_text(PHONE, encoding="utf-8")
            try:
                container.boot()
            except booted.CannotBoot as reason:
                raise Skipped(str(reason)) from None
            for command, expected in (
                    (f"dpkg -i /packages/{self.packages[0].name}", "Setting up cvd-launch"),
                    ("systemctl start cvd@phone", ""),
                    ("systemctl is-active cvd@phone", "active"),
                    ("cvd-client -n phone ping sensors -c 10", PONG),
                    ("systemctl stop cvd@phone", ""),
                    ("systemctl show -p Result cvd@phone", "Result=success"),
                    ("find /run/cvd -mindepth 1", "")):
                status, said = container.run(*command.split())
                assert status == 0 and (expected in said if expected else not said), f"{command}: {said}"

    def compare(self):
        now = self.root.files()
        assert now == self.before, f"left: {sorted(now - self.before)}, gone: {sorted(self.before - now)}"


def reason_to_skip():
    missing = [name for name in ("dh", "lintian", "mmdebstrap", "apparmor_parser") if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    return None if os.geteuid() == 0 else "needs root's rights"


def attempt(number, name, action):
    """Returns why the rest is skipped, or None."""
    start = time.monotonic()
    try:
        action()
    except Skipped as reason:
        print(f"ok {number} /package/{name} # SKIP {reason}", flush=True)
        return str(reason)
    except (AssertionError, OSError, subprocess.SubprocessError) as failure:
        print("\n".join(f"# {line}" for line in str(failure).splitlines()))
        print(f"not ok {number} /package/{name}", flush=True)
        return FAILED
    print(f"# took {time.monotonic() - start:.1f} s")
    print(f"ok {number} /package/{name}", flush=True)
    return None


def main():
    directory = pathlib.Path(sys.argv[-1]).resolve()
    story = Story(directory)
    names = ("build",) if "--build" in sys.argv else ()
    names += ("make_root", "install", "upgrade", "develop", "remove", "service")
    reason = reason_to_skip()
    print(f"1..{len(names)}")
    for number, name in enumerate(names, 1):
        if reason is None:
            reason = attempt(number, name, getattr(story, name))
        else:
            print(f"ok {number} /package/{name} # SKIP {reason}")
    return 1 if reason == FAILED else 0


if __name__ == "__main__":
    if os.geteuid() == 0 and "CVD_PACKAGE_NAMESPACE" not in os.environ:
        os.environ["CVD_PACKAGE_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child",
                              "--mount-proc", sys.executable, *sys.argv])
    sys.exit(main())
