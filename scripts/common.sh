# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
#
# What the scripts share: the packages that the project needs, and how it is built. Sourced with
# `root` set to the top of the source tree.

# The one whose modules Debian's packages bring; another may come first in PATH.
python=/usr/bin/python3
[ -x "$python" ] || python=python3

say() {
    printf '%s\n' "$*" >&2
}

# The packages of Debian 12 that are missing, each judged by what it brings, however that came.
# Arguments: further ones that are wanted.
missing_packages() {
    missing=
    command -v gcc >/dev/null 2>&1 || missing="$missing gcc"
    [ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
    command -v meson >/dev/null 2>&1 || missing="$missing meson"
    command -v ninja >/dev/null 2>&1 || missing="$missing ninja-build"
    command -v "$python" >/dev/null 2>&1 || missing="$missing python3"
    command -v qemu-system-x86_64 >/dev/null 2>&1 || missing="$missing qemu-system-x86"
    if command -v pkg-config >/dev/null 2>&1; then
        pkg-config --exists 'glib-2.0 >= 2.74' || missing="$missing libglib2.0-dev"
        pkg-config --exists 'json-glib-1.0 >= 1.6' || missing="$missing libjson-glib-dev"
        pkg-config --exists libarchive || missing="$missing libarchive-dev"
        pkg-config --exists libedit || missing="$missing libedit-dev"
        pkg-config --exists libzstd || missing="$missing libzstd-dev"
    else
        missing="$missing pkg-config libglib2.0-dev libjson-glib-dev libarchive-dev libedit-dev libzstd-dev"
    fi
    for wanted in "$@"; do
        command -v "$wanted" >/dev/null 2>&1 || missing="$missing $wanted"
    done
    printf '%s' "${missing# }"
}

# What single tests are skipped without: not worth stopping for.
missing_for_tests() {
    missing=
    "$python" -c 'import jsonschema' >/dev/null 2>&1 || missing="$missing python3-jsonschema"
    "$python" -c 'import gi' >/dev/null 2>&1 || missing="$missing python3-gi"
    command -v g-ir-scanner >/dev/null 2>&1 || missing="$missing gobject-introspection"
    command -v gi-docgen >/dev/null 2>&1 || missing="$missing gi-docgen"
    [ -e /usr/share/gir-1.0/Gio-2.0.gir ] || missing="$missing libgirepository1.0-dev"
    command -v clang-format >/dev/null 2>&1 || missing="$missing clang-format"
    command -v clang >/dev/null 2>&1 || missing="$missing clang"
    command -v g++ >/dev/null 2>&1 || missing="$missing g++"
    command -v strace >/dev/null 2>&1 || missing="$missing strace"
    command -v man >/dev/null 2>&1 || missing="$missing man-db"
    command -v groff >/dev/null 2>&1 || missing="$missing groff"
    command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
    command -v fish >/dev/null 2>&1 || missing="$missing fish"
    command -v zsh >/dev/null 2>&1 || missing="$missing zsh"
    command -v mandoc >/dev/null 2>&1 || missing="$missing mandoc"
    command -v systemd-nspawn >/dev/null 2>&1 || missing="$missing systemd-container"
    [ -e /usr/lib/systemd/system/dbus.service ] || missing="$missing dbus"
    [ -e /usr/share/pam-configs/systemd ] || missing="$missing libpam-systemd"
    command -v setcap >/dev/null 2>&1 || missing="$missing libcap2-bin"
    command -v bwrap >/dev/null 2>&1 || missing="$missing bubblewrap"
    command -v swtpm >/dev/null 2>&1 || missing="$missing swtpm"
    command -v passt >/dev/null 2>&1 || missing="$missing passt"
    command -v dh >/dev/null 2>&1 || missing="$missing debhelper"
    command -v dh_apparmor >/dev/null 2>&1 || missing="$missing dh-apparmor"
    command -v apparmor_parser >/dev/null 2>&1 || missing="$missing apparmor"
    command -v lintian >/dev/null 2>&1 || missing="$missing lintian"
    command -v mmdebstrap >/dev/null 2>&1 || missing="$missing mmdebstrap"
    [ -x /usr/sbin/sshd ] || missing="$missing openssh-server"
    command -v ssh >/dev/null 2>&1 || missing="$missing openssh-client"
    missing="$missing $(missing_for_slurm)"
    missing=${missing# }
    printf '%s' "${missing% }"
}

# The same for conf/examples/slurm.
missing_for_slurm() {
    for each in slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client munged:munge; do
        PATH=$PATH:/usr/sbin command -v "${each%:*}" >/dev/null 2>&1 || printf '%s ' "${each#*:}"
    done
}

# The same for conf/examples/phone.json.
missing_for_phone() {
    for package in $(missing_for_tests); do
        case $package in
        gobject-introspection | libgirepository1.0-dev | python3-gi | swtpm) printf '%s ' "$package" ;;
        esac
    done
}

apt_install() {
    log=$(mktemp)
    if DEBIAN_FRONTEND=noninteractive apt-get -q update >"$log" 2>&1 </dev/null &&
        DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends \
            "$@" >>"$log" 2>&1 </dev/null; then
        rm -f "$log"
        return 0
    fi
    tail -n 30 "$log" >&2
    rm -f "$log"
    say "apt-get could not install: $*"
    return 1
}

may_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
}

# install_packages [PACKAGE…]: installs what is missing, as root; else says what to type.
install_packages() {
    packages=$(missing_packages "$@")
    [ -n "$packages" ] || return 0
    if ! may_install; then
        say "These packages are missing: $packages"
        say "Install them with:"
        say "    sudo apt-get install --no-install-recommends $packages"
        return 1
    fi
    say "installing $packages"
    # shellcheck disable=SC2086 # a list of words
    apt_install $packages
}

# install_for_tests: the same for what tests can do without.
install_for_tests() {
    packages=$(missing_for_tests)
    [ -n "$packages" ] || return 0
    if may_install; then
        say "installing $packages"
        # shellcheck disable=SC2086 # a list of words
        apt_install $packages || say 'the tests that need them are skipped'
    else
        say "tests that need these packages are skipped: $packages"
    fi
}

# Whether $1 is a build directory that meson made from this source tree and can use.
is_usable_build() {
    [ -f "$1/build.ninja" ] && [ -f "$1/meson-info/meson-info.json" ] &&
        "$python" - "$1" "$root" <<'END'
import json, os, sys
with open(os.path.join(sys.argv[1], "meson-info", "meson-info.json"), encoding="utf-8") as file:
    info = json.load(file)
same = all(os.path.realpath(info["directories"][key]) == os.path.realpath(path)
           for key, path in (("source", sys.argv[2]), ("build", sys.argv[1])))
sys.exit(0 if same and not info["error"] else 1)
END
}

# alone COMMAND…: one at a time in this tree: a script in another terminal may build there, too.
alone() (
    flock -n 9 || { say 'waiting for another script that builds here' && flock 9; }
    "$@" 9<&-
) 9<"$root"

# configure DIRECTORY [OPTION…]: an up-to-date build directory, whatever was there before.
configure() {
    alone configure_now "$@"
}

configure_now() {
    build=$1
    shift
    if ! { mkdir -p "$build" && [ -w "$build" ]; } 2>/dev/null; then
        say "$build: cannot be written; set CVD_BUILD_DIR to a directory of your own"
        return 1
    fi
    if is_usable_build "$build" 2>/dev/null; then
        # What meson did not find then may be installed by now, as by scripts/test after scripts/demo.
        # One that was configured by hand has no tests.
        [ -e "$build/missing-packages" ] &&
            [ "$(cat "$build/missing-packages")" = "$(missing_for_tests)" ] && return 0
        quietly meson setup --reconfigure "$build" "$root" -Dtests=true && note_missing "$build"
        return
    fi
    if [ -d "$build/meson-private" ]; then
        say "$build: made from another source tree or incomplete; it is made anew"
        rm -rf "$build"
    elif [ -n "$(ls -A "$build")" ]; then
        say "$build: exists and is no build directory; set CVD_BUILD_DIR to another one"
        return 1
    fi
    quietly meson setup "$build" "$root" -Dtests=true "$@" && note_missing "$build"
}

# note_missing DIRECTORY: what the build there was configured without.
note_missing() {
    missing_for_tests >"$1/missing-packages"
}

# Runs a command whose output matters only if it fails.
quietly() {
    log=$(mktemp)
    status=0
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ "$status" = 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

# compile DIRECTORY [TARGET…]: with progress on a terminal, silent elsewhere unless it fails.
compile() {
    alone compile_now "$@"
}

compile_now() {
    directory=$1
    shift
    if [ -t 2 ]; then
        say "building in $directory"
        ninja -C "$directory" "$@" >&2
    else
        quietly ninja -C "$directory" "$@"
    fi
}

# download_packages DIRECTORY PACKAGE…: the packages' files, there, without installing anything.
download_packages() (
    cd "$1" || exit
    shift
    # As root, apt would like another user to have the directory.
    set -- -q -o APT::Sandbox::User="$(id -un)" -o Acquire::http::Timeout=20 download "$@"
    if ! quietly apt-get "$@"; then
        # The version that the lists name may be gone from the archive.
        may_install && quietly apt-get -q update && quietly apt-get "$@"
    fi
)

# The package that has the kernel itself, which another one, without a version in its name, needs.
find_kernel_package() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1
}

# unpack_linux DIRECTORY: downloads kernel and busybox, and unpacks them; else `why` says why not.
unpack_linux() {
    why='apt and dpkg, by which Linux is downloaded, are not there'
    command -v apt-cache >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 1
    why='apt knows no package linux-image-cloud-amd64'
    kernel=$(find_kernel_package)
    if [ -z "$kernel" ] && may_install && quietly apt-get -q update; then
        kernel=$(find_kernel_package)
    fi
    [ -n "$kernel" ] || return 1
    say "downloading $kernel and busybox-static"
    rm -rf "$1/packages" "$1/unpacked"
    mkdir -p "$1/packages" "$1/unpacked"
    why="apt could not download $kernel and busybox-static"
    download_packages "$1/packages" "$kernel" busybox-static || return 1
    why="$1: the packages could not be unpacked"
    for package in "$1"/packages/*.deb; do
        dpkg-deb -x "$package" "$1/unpacked" || return 1
    done
    rm -rf "$1/packages"
    # Last, as it is what tells that all is there.
    cp "$1"/unpacked/boot/vmlinuz-* "$1/vmlinuz.new" && mv "$1/vmlinuz.new" "$1/vmlinuz"
}

# pack_initramfs UNPACKED PROGRAM OUTPUT: an initramfs with that program, the agent or another one.
pack_initramfs() {
    quietly "$python" "$root/scripts/make-initramfs.py" "$1" "$2" "$root/guests/linux/init" "$3"
}

# make_linux_guest BUILD: kernel and initramfs in BUILD/linux-guest, or a file there, for the tests
# that need them, that says why not.
make_linux_guest() {
    guest=$1/linux-guest
    mkdir -p "$guest"
    rm -f "$guest/why-not"
    if [ ! -e "$guest/vmlinuz" ] && ! unpack_linux "$guest"; then
        printf '%s\n' "$why" >"$guest/why-not"
        say "$why"
        return 1
    fi
    pack_initramfs "$guest/unpacked" "$1/guests/linux/cvd-agent" "$guest/initramfs" || {
        rm -f "$guest/initramfs"
        echo 'scripts/make-initramfs.py failed' >"$guest/why-not"
        return 1
    }
}
