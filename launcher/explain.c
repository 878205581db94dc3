/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's messages are not an interface, so what is looked for is short; tests/unit/explain.c has
 * the whole lines of the version that they were taken from. A line that is not known costs the
 * advice and nothing else. Where the advice has several lines, they end where a thought does.
 */
#include "launcher/explain.h"

#include <signal.h>
#include <string.h>

/* QEMU's status when it refuses. With another one the guest ended it (isa-debug-exit). */
#define GAVE_UP 1

/* Of the entries that are in a line the first counts: the more special one comes first. */
static const struct {
    const char *text;
    const char *other; /* NULL, or what must be in the same line, too */
    const char *advice;
} failures[] = {
    {"is not a valid device model name", NULL,
     "this build of QEMU has no such device: compare qemu.devices with "
     "`qemu-system-x86_64 -device help`, or install the package that brings it "
     "(qemu-system-gui, qemu-system-modules-…)"},
    {"failed to initialize kvm", "Permission denied",
     "this user may not use KVM: add the user to the group kvm and log in again, "
     "or do without: --set qemu.accel=tcg"},
    {"failed to initialize kvm", "No such file",
     "there is no KVM here: load kvm_intel or kvm_amd, and in a VM have nested virtualisation "
     "turned on; or do without: --set qemu.accel=tcg"},
    {"failed to initialize kvm", NULL,
     "KVM refused, perhaps because another hypervisor has the processor: "
     "stop that one, or do without: --set qemu.accel=tcg"},
    {"requires KVM", NULL,
     "only KVM has the processor that is asked for: set qemu.cpu to max, or qemu.accel to kvm"},
    {"cannot set up guest memory", NULL,
     "the host does not have that much memory to give: lower qemu.memory, "
     "or raise the limit (ulimit -v, or the control group's)"},
    {"bytes for jit buffer", NULL,
     "QEMU may not have the memory that translating code takes: raise the limit "
     "(ulimit -v, or the control group's), or use KVM"},
    {"unable to map backing store", NULL,
     "the host cannot give the memory that an entry of qemu.objects asks for: "
     "with huge pages, reserve more (sysctl vm.nr_hugepages), or make it smaller"},
    {"locking memory failed", NULL,
     "this user may not lock that much memory: raise RLIMIT_MEMLOCK "
     "(ulimit -l, LimitMEMLOCK=), or leave mem-lock out of qemu.extra_args"},
    {"Could not set up host forwarding rule", NULL,
     "another program, perhaps another VM, listens on that port already: "
     "choose another one in hostfwd of qemu.netdevs"},
    {"Invalid host forwarding rule", NULL,
     "hostfwd in qemu.netdevs is written tcp:[HOST]:PORT-[GUEST]:PORT, or udp:…"},
    {"Address already in use", NULL,
     "another program, perhaps another VM, has that address: "
     "choose another port or path for it in qemu.json"},
    {"Connection refused", NULL,
     "nobody listens at that address: start the other program first, "
     "or have QEMU listen (server=on)"},
    {"Failed to get ", "\" lock",
     "the disk image is in use, perhaps by another VM: stop that one, or give each its own "
     "(`qemu-img create -b` makes a copy that shares what is unchanged)"},
    {"Image is not in ", NULL,
     "\"driver\" in qemu.blockdevs is not the format of that image: "
     "`qemu-img info` tells which it is"},
    {"nor node-name=", NULL,
     "an entry of qemu.blockdevs refers to another that is not there: "
     "check \"file\" and \"backing\", and put what is referred to first"},
    {"could not load PC BIOS", NULL,
     "the firmware is missing, or is none: check qemu.firmware, "
     "and install the package that brings it (seabios, ovmf)"},
    {"failed to find romfile", NULL,
     "a device's option ROM is missing: install ipxe-qemu, "
     "or give the device \"romfile\": \"\" in qemu.devices"},
    {"-machine.", "Property '",
     "the machine has no such property, or not with that value: compare qemu.machine with "
     "`qemu-system-x86_64 -machine NAME,help`"},
    {"x86_64-cpu.", NULL,
     "the processor has no such feature, or not with that value: compare qemu.cpu with "
     "`qemu-system-x86_64 -cpu help`"},
    {"-accel.", "Property '",
     "the accelerator has no such property, or not with that value: compare qemu.accel with "
     "QEMU's documentation of -accel"},
    {"Property '", "can't find value",
     "an entry of qemu.devices names something that is not there: "
     "what drive, netdev and chardev name must be in qemu.blockdevs, qemu.netdevs or "
     "qemu.extra_args under that very name"},
    {"Property '", "doesn't take value",
     "an entry of qemu.devices has a property with a value that it cannot have; "
     "`qemu-system-x86_64 -device NAME,help` lists what each takes"},
    {"Property '", "not found",
     "the device has no such property in this version of QEMU: compare qemu.devices with "
     "`qemu-system-x86_64 -device NAME,help`"},
    {"Bus '", "not found",
     "the device asks for a bus that no device brings: check \"bus\" in qemu.devices, "
     "and put the bridge before what is behind it"},
    {"bus found for device", NULL,
     "the device needs a controller (virtio-serial-pci, virtio-scsi-pci, qemu-xhci, …): "
     "put one before it in qemu.devices"},
    {"drive property not set", NULL,
     "the device needs a disk: give it \"drive\": the node-name of an entry of qemu.blockdevs"},
    {"Memory backend '", "not found",
     "qemu.machine names a memory backend that is not there: "
     "it must be in qemu.objects under that very id"},
    {"Duplicate ID", NULL,
     "two entries in qemu.json have the same id, or one has an id of the launcher's own: "
     "choose another one"},
    {"Duplicate device ID", NULL,
     "two entries in qemu.json have the same id, or one has an id of the launcher's own: "
     "choose another one"},
    {"Duplicate nodes", NULL,
     "two entries in qemu.json have the same id, or one has an id of the launcher's own: "
     "choose another one"},
    {"attempt to add duplicate property", NULL,
     "two entries in qemu.json have the same id, or one has an id of the launcher's own: "
     "choose another one"},
    {"-display ", "Parameter 'type' does not accept",
     "this build of QEMU has no such display: compare qemu.display with "
     "`qemu-system-x86_64 -display help`"},
    {"-netdev ", "Parameter 'type' does not accept",
     "this build of QEMU has no such network back end: compare qemu.netdevs with "
     "`qemu-system-x86_64 -netdev help`"},
    {"Parameter 'qom-type' does not accept", NULL,
     "this build of QEMU has no such object: compare qemu.objects with "
     "`qemu-system-x86_64 -object help`"},
    {"-blockdev ", "Parameter 'driver' does not accept",
     "this build of QEMU has no such block driver: check \"driver\" in qemu.blockdevs "
     "(qemu-block-extra brings more)"},
    {"Parameter 'smp.", NULL,
     "qemu.smp is a number, or as QEMU writes it: cpus=4,sockets=1,cores=2,threads=2"},
    {"Invalid CPU topology", NULL,
     "sockets, dies, cores and threads of qemu.smp must multiply to its number of processors"},
    {"Invalid SMP CPUs", NULL, "the machine cannot have that many processors: lower qemu.smp"},
    {"-sandbox support is not enabled", NULL,
     "this build of QEMU has no seccomp sandbox: --set qemu.sandbox=false, at your own risk"},
    {"seccomp syscall filter", NULL,
     "the kernel, or the container, does not allow seccomp: --set qemu.sandbox=false, "
     "at your own risk"},
    {"-sandbox ", NULL,
     "qemu.sandbox is true, false, or what -sandbox takes in this version of QEMU: "
     "check its spelling"},
    {"does not accept value", NULL,
     "a value in qemu.json is not one that this version of QEMU knows; "
     "its documentation lists them"},
    {"Invalid parameter type", NULL,
     "a value in qemu.json is of another kind than QEMU takes there: "
     "a text, a number, or true and false"},
    {"Parameter '", " expects ",
     "a value in qemu.json is of another kind than QEMU takes there: "
     "a text, a number, or true and false"},
    {"Parameter '", "is unexpected",
     "an entry of qemu.json has a key that this version of QEMU does not know there"},
    {"Parameter '", "is missing", "an entry of qemu.json lacks a key that QEMU needs"},
    {"Invalid parameter '", NULL,
     "an option in qemu.json has a key that this version of QEMU does not know"},
    {"unsupported machine type", NULL,
     "this build of QEMU has no such machine: compare qemu.machine with "
     "`qemu-system-x86_64 -machine help`"},
    {"unable to find CPU model", NULL,
     "this build of QEMU has no such processor: compare qemu.cpu with "
     "`qemu-system-x86_64 -cpu help`"},
    {"invalid accelerator", NULL,
     "this build of QEMU has no such accelerator: compare qemu.accel with "
     "`qemu-system-x86_64 -accel help`"},
    {"PCI: slot", "in use by",
     "two devices want the same PCI slot: the window's is ivshmem.address (0x10 unless said "
     "otherwise); give another \"addr\" to the one in qemu.devices"},
    {"PCI: ", "single function",
     "a PCI slot is shared by devices that do not say so: give \"multifunction\": true to "
     "function 0 in qemu.devices, or another \"addr\" to one of them"},
    {"could not open kernel file", NULL, "the kernel cannot be read: check qemu.kernel"},
    {"could not load kernel", NULL, "that is no kernel for this machine: check qemu.kernel"},
    {"invalid kernel header", NULL, "that is no kernel for this machine: check qemu.kernel"},
    {"kernel too old to load a ram disk", NULL,
     "that is no Linux kernel: check qemu.kernel, or leave qemu.initrd out"},
    {"error reading initrd", NULL, "the initial ramdisk cannot be read: check qemu.initrd"},
    {"initrd is too large", NULL,
     "the initial ramdisk does not fit: raise qemu.memory, or make qemu.initrd smaller"},
    {"/dev/net/tun", "Permission denied",
     "this user may not make a tap device: make it beforehand "
     "(`ip tuntap add mode tap user NAME`) and name it in qemu.netdevs with "
     "\"script\": \"no\", or use a back end of type user"},
    {"/dev/net/tun", NULL,
     "there are no tap devices here: load the module tun, "
     "or use a network back end of type user"},
    {"vhost-vsock: failed to open", NULL,
     "there is no vhost-vsock here for this user: load the module vhost_vsock and check "
     "the mode of /dev/vhost-vsock, or leave the device out"},
    {"vfio ", "no such host device",
     "the host has no such device: check \"host\" in qemu.devices with `lspci -D`"},
    {"gtk initialization failed", NULL,
     "there is no display to open a window on: set qemu.display to none, or DISPLAY"},
    {"Could not initialize SDL", NULL,
     "there is no display to open a window on: set qemu.display to none, or DISPLAY"},
    {"We need a terminal output", NULL,
     "a display in text needs a terminal of its own: set qemu.display to none"},
    {"You need a capable Spice client", NULL,
     "there is no viewer for Spice here: install virt-viewer, or set qemu.display to none"},
    {"egl: ", NULL,
     "there is no OpenGL here: set qemu.display to none, and choose a device without -gl"},
    {"opengl is not available", NULL,
     "there is no OpenGL here: set qemu.display to none, and choose a device without -gl"},
    {"is not a valid char driver", NULL,
     "this build of QEMU has no such character device: compare qemu.extra_args with "
     "`qemu-system-x86_64 -chardev help`"},
    {"invalid option", NULL, "this version of QEMU does not know an option in qemu.extra_args"},
    {"qemu_thread_create", NULL,
     "QEMU may not have that many threads: raise the limit of processes (ulimit -u, or pids.max of "
     "the control group)"},
    {"Error creating thread", NULL,
     "QEMU may not have that many threads: raise the limit of processes (ulimit -u, or pids.max of "
     "the control group)"},
    {"failed to allocate", NULL,
     "the host is short of memory: lower qemu.memory, or stop something else"},
    {"Cannot allocate memory", NULL,
     "the host is short of memory: lower qemu.memory, or stop something else"},
    {"Permission denied", NULL,
     "QEMU may not open a file: check its mode, the user that QEMU runs as "
     "(qemu.run_as), and AppArmor"},
    {"No such file or directory", NULL,
     "QEMU does not find a file; relative paths in blockdevs and devices are relative to "
     "the current directory"},
    {"Is a directory", NULL,
     "QEMU needs a file where a directory is named: check \"filename\" in qemu.blockdevs"},
};

static const char *find_advice(const char *line)
{
    for (gsize i = 0; i < G_N_ELEMENTS(failures); i++)
        if (strstr(line, failures[i].text) != NULL &&
            (failures[i].other == NULL || strstr(line, failures[i].other) != NULL))
            return failures[i].advice;
    return NULL;
}

/* What QEMU only mentions and goes on. */
static gboolean is_remark(const char *line)
{
    return strstr(line, ": warning: ") != NULL || strstr(line, ": info: ") != NULL;
}

/* An abort, or GLib's way of one. */
static gboolean has_given_up(CvdExit how)
{
    return how.is_signal ? how.value == SIGABRT || how.value == SIGTRAP : how.value == GAVE_UP;
}

/* From the last line on: there it gave up, while an earlier one may tell of what it could do
 * without, such as an accelerator before another one, or of the VM before a restart. */
char *cvd_explain_failure(CvdExit how, const char *const *lines)
{
    if (!how.is_known || !has_given_up(how))
        return NULL;
    for (gsize i = g_strv_length((char **)lines); i > 0; i--) {
        const char *advice = is_remark(lines[i - 1]) ? NULL : find_advice(lines[i - 1]);
        if (advice != NULL)
            return g_strdup(advice);
    }
    return NULL;
}
