/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's messages are not an interface, so what is looked for is short; tests/unit/explain.c has
 * the whole lines of the version that they were taken from. A line that is not known costs the
 * advice and nothing else.
 */
#include "launcher/explain.h"

#include <string.h>

/* The first entry that is in any line counts: the more special one comes first. */
static const struct {
    const char *text;
    const char *other; /* NULL, or what must be in the same line, too */
    const char *advice;
} failures[] = {
    {"is not a valid device model name", NULL,
     "this build of QEMU has no such device: compare qemu.devices with `qemu-system-x86_64 "
     "-device help`, or install the package that brings it (qemu-system-gui, "
     "qemu-system-modules-…)"},
    {"Could not access KVM kernel module", "Permission denied",
     "this user may not use KVM: add the user to the group kvm and log in again, or do "
     "without: --set qemu.accel=tcg"},
    {"Could not access KVM kernel module", NULL,
     "KVM cannot be used here: load kvm_intel or kvm_amd, and in a VM have nested "
     "virtualisation turned on; or do without: --set qemu.accel=tcg"},
    {"failed to initialize kvm", NULL,
     "KVM refused, perhaps because another hypervisor has the processor; or do without: "
     "--set qemu.accel=tcg"},
    {"cannot set up guest memory", NULL,
     "the host has not that much memory to give: lower qemu.memory (ulimit -v or the "
     "control group may set a limit, too)"},
    {"bytes for jit buffer", NULL,
     "QEMU may not have the memory that translating code takes: raise the limit (ulimit "
     "-v, or the control group's), or use KVM"},
    {"unable to map backing store", NULL,
     "the host cannot give the memory that an entry of qemu.objects asks for: with huge "
     "pages, reserve more (sysctl vm.nr_hugepages), or make it smaller"},
    {"Could not set up host forwarding rule", NULL,
     "another program, perhaps another VM, listens on that port already: choose another "
     "one in hostfwd of qemu.netdevs"},
    {"Address already in use", NULL,
     "another program, perhaps another VM, has that address: choose another port or path "
     "for it in qemu.json"},
    {"Failed to get \"write\" lock", NULL,
     "the disk image is in use, perhaps by another VM: stop that one, or give each its own "
     "(`qemu-img create -b` makes a copy that shares what is unchanged)"},
    {"Failed to get shared \"write\" lock", NULL,
     "the disk image is in use, perhaps by another VM: stop that one, or give each its own "
     "(`qemu-img create -b` makes a copy that shares what is unchanged)"},
    {"could not load PC BIOS", NULL,
     "the firmware is missing: check qemu.firmware, and install the package that brings it "
     "(seabios, ovmf)"},
    {"failed to find romfile", NULL,
     "a device's option ROM is missing: install ipxe-qemu, or give the device \"romfile\": "
     "\"\" in qemu.devices"},
    {"Property '", "can't find value",
     "an entry of qemu.devices names something that is not there: what drive, netdev and "
     "chardev name must be in qemu.blockdevs, qemu.netdevs or qemu.extra_args under that "
     "very name"},
    {"Property '", "doesn't take value",
     "an entry of qemu.devices has a property with a value that it cannot have; "
     "`qemu-system-x86_64 -device NAME,help` lists what each takes"},
    {"Property '", "not found",
     "the device has no such property in this version of QEMU: compare qemu.devices with "
     "`qemu-system-x86_64 -device NAME,help`"},
    {"Bus '", "not found",
     "the device asks for a bus that no device brings: check \"bus\" in qemu.devices, and "
     "put the bridge before what is behind it"},
    {"Duplicate ID", NULL,
     "two entries in qemu.json have the same id, or one has an id of the launcher's own: "
     "choose another one"},
    {"-display ", "does not accept value",
     "this build of QEMU has no such display: compare qemu.display with "
     "`qemu-system-x86_64 -display help`"},
    {"-netdev ", "does not accept value",
     "this build of QEMU has no such network back end: compare qemu.netdevs with "
     "`qemu-system-x86_64 -netdev help`"},
    {"Parameter 'qom-type' does not accept", NULL,
     "this build of QEMU has no such object: compare qemu.objects with `qemu-system-x86_64 "
     "-object help`"},
    {"Parameter 'driver' does not accept", NULL,
     "this build of QEMU has no such block driver: check \"driver\" in qemu.blockdevs "
     "(qemu-block-extra brings more)"},
    {"does not accept value", NULL,
     "a value in qemu.json is not one that this version of QEMU knows; its documentation "
     "lists them"},
    {"Parameter '", "is unexpected",
     "an entry of qemu.json has a key that this version of QEMU does not know there"},
    {"Parameter '", "is missing", "an entry of qemu.json lacks a key that QEMU needs"},
    {"Invalid parameter", NULL,
     "an option in qemu.json has a key that this version of QEMU does not know"},
    {"unsupported machine type", NULL,
     "this build of QEMU has no such machine: compare qemu.machine with "
     "`qemu-system-x86_64 -machine help`"},
    {"unable to find CPU model", NULL,
     "this build of QEMU has no such processor: compare qemu.cpu with `qemu-system-x86_64 "
     "-cpu help`"},
    {"invalid accelerator", NULL,
     "this build of QEMU has no such accelerator: compare qemu.accel with "
     "`qemu-system-x86_64 -accel help`"},
    {"Invalid SMP CPUs", NULL, "the machine cannot have that many processors: lower qemu.smp"},
    {"PCI: slot", "in use",
     "two devices want the same PCI slot: the window's is ivshmem.address (0x10 unless "
     "said otherwise); give another \"addr\" to the one in qemu.devices"},
    {"PCI: slot", "not available",
     "that PCI slot is taken: choose another ivshmem.address, or another \"addr\" in "
     "qemu.devices"},
    {"could not open kernel file", NULL, "the kernel cannot be read: check qemu.kernel"},
    {"could not load kernel", NULL, "that is no kernel for this machine: check qemu.kernel"},
    {"invalid kernel header", NULL, "that is no kernel for this machine: check qemu.kernel"},
    {"kernel too old to load a ram disk", NULL,
     "that is no Linux kernel: check qemu.kernel, or leave qemu.initrd out"},
    {"error reading initrd", NULL, "the initial ramdisk cannot be read: check qemu.initrd"},
    {"could not load initrd", NULL, "the initial ramdisk cannot be read: check qemu.initrd"},
    {"/dev/net/tun", "Permission denied",
     "this user may not make a tap device: make it beforehand (`ip tuntap add mode tap "
     "user NAME`) and name it in qemu.netdevs with \"script\": \"no\", or use a back end "
     "of type user"},
    {"/dev/net/tun", NULL,
     "there are no tap devices here: load the module tun, or use a network back end of "
     "type user"},
    {"vhost-vsock: failed to open", NULL,
     "there is no vhost-vsock here for this user: load the module vhost_vsock and check "
     "the mode of /dev/vhost-vsock, or leave the device out"},
    {"gtk initialization failed", NULL,
     "there is no display to open a window on: set qemu.display to none, or DISPLAY"},
    {"Could not initialize SDL", NULL,
     "there is no display to open a window on: set qemu.display to none, or DISPLAY"},
    {"Display '", "is not available",
     "this build of QEMU has no such display: compare qemu.display with "
     "`qemu-system-x86_64 -display help`"},
    {"sandboxing is not supported", NULL,
     "this build of QEMU has no seccomp sandbox: --set qemu.sandbox=false, at your own risk"},
    {"failed to install seccomp", NULL,
     "the kernel, or the container, does not allow seccomp: --set qemu.sandbox=false, at "
     "your own risk"},
    {"invalid option", NULL, "this version of QEMU does not know an option in qemu.extra_args"},
    {"Cannot allocate memory", NULL,
     "the host is short of memory: lower qemu.memory, or stop something else"},
    {"Permission denied", NULL,
     "QEMU may not open a file: check its mode, the user that QEMU runs as (qemu.run_as), "
     "and AppArmor"},
    {"No such file or directory", NULL,
     "QEMU does not find a file; relative paths in blockdevs and devices are relative to "
     "the current directory"},
};

char *cvd_explain_failure(CvdExit how, const char *const *lines)
{
    if (!how.is_known || how.is_signal || how.value == 0)
        return NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(failures); i++)
        for (const char *const *line = lines; *line != NULL; line++)
            if (strstr(*line, failures[i].text) != NULL &&
                (failures[i].other == NULL || strstr(*line, failures[i].other) != NULL))
                return g_strdup(failures[i].advice);
    return NULL;
}
