#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packs the initramfs of the Linux guest: make-initramfs.py UNPACKED AGENT INIT OUTPUT

UNPACKED is the directory into which a kernel and busybox were unpacked. The archive is in cpio's
"newc" form (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst), written here
since it needs device nodes, which only root could make, and is to be the same for the same input.
Not compressed: unpacking would take the guest longer than reading.
"""
import lzma
import os
import pathlib
import re
import stat
import sys

# What the guest is to have, in an order that serves; what these need comes before them. What a
# kernel has built in, or does not have, is no module and left out. VFIO comes before virtio, whose
# PCI driver tries every device of its vendor, the ivshmem device among them, and disables it.
MODULES = ["vfio_iommu_type1", "vfio-pci", "button", "evdev", "pvpanic-mmio", "pvpanic-pci",
           "virtio_pci", "virtio_blk", "virtio_net", "virtiofs", "virtio_console", "virtio-rng",
           "vmw_vsock_virtio_transport"]
# VFIO does without interrupt remapping, which not every accelerator has; the guest has nobody to
# be protected from.
OPTIONS = {"vfio_iommu_type1": "allow_unsafe_interrupts=1", "vfio_pci": "ids=1af4:1110"}
# Without these there is nothing to be shown.
NEEDED = {"vfio-pci", "vfio_iommu_type1"}


def canonical(name):
    return name.replace("-", "_")


def find_modules(root):
    """Returns the path of each module by its canonical name. Newer packages have them below /usr, and
    compressed."""
    return {canonical(path.name.split(".")[0]): path for usr in ("", "usr/")
            for path in root.glob(f"{usr}lib/modules/*/kernel/**/*.ko*")}


def read_module(path):
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def dependencies_of(path):
    """What modinfo shows as `depends`: no modules.dep comes with the package."""
    found = re.search(rb"\0depends=([^\0]*)\0", read_module(path))
    names = found.group(1).decode().split(",") if found else []
    return [name for name in names if name]


def in_order(wanted, found):
    """Returns the canonical names of what is wanted and what that needs, dependencies first."""
    order = []

    def add(name):
        name = canonical(name)
        if name in order or name not in found:
            return
        for dependency in dependencies_of(found[name]):
            add(dependency)
        order.append(name)

    for name in wanted:
        add(name)
    return order


class Archive:
    """Files one after the other, each with a header of hexadecimal numbers."""

    def __init__(self):
        self.data = bytearray()
        self.count = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.count += 1
        encoded = name.encode() + b"\0"
        fields = [self.count, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0]
        self.data += b"070701" + b"".join(b"%08x" % field for field in fields)
        self.data += encoded
        self.pad()
        self.data += content
        self.pad()

    def pad(self):
        self.data += bytes(-len(self.data) % 4)

    def directory(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def program(self, name, path):
        self.add(name, stat.S_IFREG | 0o755, pathlib.Path(path).read_bytes())

    def end(self):
        self.add("TRAILER!!!", 0)
        return bytes(self.data)


def pack(root, agent, init):
    found = find_modules(root)
    missing = [name for name in sorted(NEEDED) if canonical(name) not in found]
    if missing:
        sys.exit(f"{root}: the kernel has no module {missing[0]}")
    archive = Archive()
    for name in ("bin", "dev", "modules"):
        archive.directory(name)
    # Opened by the kernel for init's stdin, stdout and stderr, before anything is mounted.
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.program("init", init)
    archive.program("bin/busybox", next(root.glob("**/bin/busybox")))
    archive.program("bin/cvd-agent", agent)
    lines = []
    for name in in_order(MODULES, found):
        archive.add(f"modules/{name}.ko", stat.S_IFREG | 0o644, read_module(found[name]))
        lines.append(f"{name} {OPTIONS.get(name, '')}".strip() + "\n")
    archive.add("modules/order", stat.S_IFREG | 0o644, "".join(lines).encode())
    return archive.end()


def main():
    unpacked, agent, init, output = sys.argv[1:]
    data = pack(pathlib.Path(unpacked), agent, init)
    temporary = output + ".new"
    with open(temporary, "wb") as file:
        file.write(data)
    os.replace(temporary, output)


main()
