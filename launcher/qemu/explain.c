/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's messages are not an interface, so what is looked for is short; tests/unit/explain.c has
 * the whole lines of the version that they were taken from. A line that is not known costs the
 * advice and nothing else. Where the advice has several lines, they end where a thought does.
 */
#include "launcher/qemu/explain.h"

#include <signal.h>
#include <string.h>

/* QEMU's status when it refuses. With another one the guest ended it (isa-debug-exit). */
#define GAVE_UP 1

#define NOT_BUILT(what, key, option)                                                               \
    "this build of QEMU has no such " what ": compare qemu." key                                   \
    " with `qemu-system-x86_64 -" option " help`"
#define SAME_ID                                                                                    \
    "two entries in qemu.json have the same id, or one has an id of the launcher's own: "          \
    "choose another one"
#define OTHER_KIND                                                                                 \
    "a value in qemu.json is of another kind than QEMU takes there: "                              \
    "a text, a number, or true and false"
#define NO_DISPLAY "there is no display to open a window on: set qemu.display to none, or DISPLAY"
#define NO_OPENGL                                                                                  \
    "there is no OpenGL here: set qemu.display to none, and choose a device without -gl"

#define NO_QEMU "qemu.binary is no QEMU; name an emulator, such as qemu-system-x86_64"
#define TOO_FEW_THREADS                                                                            \
    "QEMU may not start as many threads as it needs: raise the limit of this user's processes "    \
    "(ulimit -u), or pids.max of the control group (TasksMax=)"
#define BACK_END_GONE                                                                              \
    "the program behind the device has ended, or speaks something else: see what it printed"
#define NO_PROGRAMS       "--set qemu.sandbox=on,spawn=allow permits programs"
#define TOO_LITTLE_MEMORY "the host is short of memory: lower qemu.memory, or stop something else"

/* Of the entries that are in a line the first counts: the more special one comes first. */
static const struct {
    const char *text;
    const char *other; /* NULL, or what must be in the same line, too */
    const char *advice;
} failures[] = {
    {"is not a valid device model name", NULL,
     NOT_BUILT("device", "devices", "device") ", or install the package that brings it "
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
    {"load of migration failed", NULL,
     "the snapshot's state is not for the devices that this QEMU has (compare qemu.extra_args, "
     "qemu.objects and its firmware), or is damaged: `cvd-ctl info NAME --verify` reads all of it"},
    {"requires KVM", NULL,
     "only KVM has the processor that is asked for, and QEMU does not run under KVM: "
     "set qemu.cpu to max"},
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
    {"Failed to connect to ", "No such file",
     "nobody serves that socket: start the other program (virtiofsd, swtpm, …) first, "
     "or have QEMU listen (server=on)"},
    {"vhost_backend_init failed", NULL,
     "the vhost-user program behind the device has ended, speaks something else, or has not "
     "connected: see what it printed; have QEMU connect to it (server=off), or wait for it "
     "(wait=on)"},
    {"File descriptor '", "is not a socket", BACK_END_GONE},
    {"tpm-emulator: Could not stop TPM", NULL,
     "the guest was reset, and the TPM that it has is gone: swtpm had ended before, and QEMU "
     "cannot do without it"},
    {"tpm-emulator: TPM result for CMD_INIT", NULL,
     "swtpm cannot use its state: the folder of its --tpmstate has to be there, to be writable for "
     "it, and nobody else's"},
    {"tpm-emulator: ", NULL, BACK_END_GONE},
    {"Failed to get ", "\" lock",
     "the disk image is in use, perhaps by another VM: stop that one, or give each its own "
     "(`qemu-img create -b` makes a copy that shares what is unchanged)"},
    {"Image is not in ", NULL,
     "\"driver\" in qemu.blockdevs is not the format of that image: "
     "`qemu-img info` says which it is"},
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
    {"Property '", "is in use",
     "two entries of qemu.devices name the same chardev, netdev or drive: give each its own"},
    {"Property '", "doesn't take value",
     "an entry of qemu.devices has a property with a value that it cannot have; "
     "`qemu-system-x86_64 -device NAME,help` lists what each takes"},
    {"Property '", "not found",
     "the device has no such property in this version of QEMU: compare qemu.devices with "
     "`qemu-system-x86_64 -device NAME,help`"},
    {"Bus '", "not found",
     "the device asks for a bus that no device brings: check \"bus\" in qemu.devices, "
     "and put the bridge before what is behind it"},
    {"No 'PCI' bus found", NULL,
     "the machine has no PCI, which the window's device needs, too: "
     "set qemu.machine to q35, pc or microvm,pcie=on"},
    {"bus found for device", NULL,
     "the device needs a controller (virtio-serial-pci, virtio-scsi-pci, qemu-xhci, …): "
     "put one before it in qemu.devices"},
    {"drive property not set", NULL,
     "the device needs a disk: give it \"drive\": the node-name of an entry of qemu.blockdevs"},
    {"Memory backend '", "not found",
     "qemu.machine names a memory backend that is not there: "
     "it must be in qemu.objects under that very id"},
    {"size does not match the size of the memory backend", NULL,
     "qemu.memory must be the size of the memory backend that qemu.machine names"},
    {"total memory for NUMA nodes", "should equal RAM size",
     "qemu.memory must be the sum of the sizes of the NUMA nodes' memory backends"},
    {"Duplicate ID", NULL, SAME_ID},
    {"Duplicate device ID", NULL, SAME_ID},
    {"Duplicate nodes", NULL, SAME_ID},
    {"attempt to add duplicate property", NULL, SAME_ID},
    {"-display ", "Parameter 'type' does not accept", NOT_BUILT("display", "display", "display")},
    {"-netdev ", "Parameter 'type' does not accept",
     NOT_BUILT("network back end", "netdevs", "netdev")},
    {"Parameter 'qom-type' does not accept", NULL, NOT_BUILT("object", "objects", "object")},
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
    {"could not launch network script", "Operation not permitted",
     "QEMU's sandbox lets it start no program: " NO_PROGRAMS},
    {"fork", "Operation not permitted", "QEMU's sandbox lets it start no program: " NO_PROGRAMS},
    {"-sandbox ", NULL,
     "qemu.sandbox is true, false, or what -sandbox takes in this version of QEMU: "
     "check its spelling"},
    {"does not accept value", NULL,
     "a value in qemu.json is not one that this version of QEMU knows; "
     "its documentation lists them"},
    {"Parameter 'driver' expects a dynamic sysbus device", NULL,
     "the machine cannot have that device: intel-iommu and amd-iommu need qemu.machine q35"},
    {"Parameter 'driver' expects a pluggable device", NULL,
     "that device is a part of machines and cannot be added: leave it out of qemu.devices"},
    {"Invalid parameter type for 'hostfwd", NULL,
     "in JSON hostfwd is a list of objects: \"hostfwd\": [{\"str\": \"tcp::8080-:80\"}]"},
    {"Invalid parameter type", NULL, OTHER_KIND},
    {"Parameter '", " expects ", OTHER_KIND},
    {"Parameter '", "is unexpected",
     "an entry of qemu.json has a key that this version of QEMU does not know there"},
    {"Parameter '", "is missing", "an entry of qemu.json lacks a key that QEMU needs"},
    {"Invalid parameter '", NULL,
     "an option in qemu.json has a key that this version of QEMU does not know"},
    {"unsupported machine type", NULL, NOT_BUILT("machine", "machine", "machine")},
    {"options are incompatible", "-machine accel=",
     "accelerators are named in qemu.accel alone: leave accel= out of qemu.machine, and "
     "-enable-kvm and -machine accel= out of qemu.extra_args"},
    {"unable to find CPU model", NULL, NOT_BUILT("processor", "cpu", "cpu")},
    {"invalid accelerator", NULL, NOT_BUILT("accelerator", "accel", "accel")},
    {"PCI: slot", "in use by",
     "two devices want the same PCI slot: the window's is ivshmem.address (0x10 unless said "
     "otherwise); give another \"addr\" to the one in qemu.devices"},
    {"PCI: ", "single function",
     "a PCI slot is shared by devices that do not say so: give \"multifunction\": true to "
     "function 0 in qemu.devices, or another \"addr\" to one of them"},
    {"could not open kernel file", NULL, "the kernel cannot be read: check qemu.kernel"},
    {"could not load kernel", NULL, "that is no kernel for this machine: check qemu.kernel"},
    {"without PVH ELF Note", NULL,
     "QEMU starts only those ELF kernels that have a PVH note (CONFIG_PVH): "
     "name the bzImage in qemu.kernel"},
    {"Error while loading elf kernel", NULL,
     "that kernel is not for this emulator: 64-bit ones, such as the built-in guest, need "
     "qemu-system-x86_64; check qemu.binary and qemu.kernel"},
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
    {"gtk initialization failed", NULL, NO_DISPLAY},
    {"Could not initialize SDL", NULL, NO_DISPLAY},
    {"We need a terminal output", NULL,
     "a display in text needs a terminal of its own: set qemu.display to none"},
    {"You need a capable Spice client", NULL,
     "there is no viewer for Spice here: install virt-viewer, or set qemu.display to none"},
    {"egl: ", NULL, NO_OPENGL},
    {"opengl is not available", NULL, NO_OPENGL},
    {"is not a valid char driver", NULL, NOT_BUILT("character device", "extra_args", "chardev")},
    {"invalid option -- '", NULL, NO_QEMU},   /* as getopt() has it */
    {"unrecognized option '", NULL, NO_QEMU}, /* likewise */
    {"invalid option", NULL, "this version of QEMU does not know an option in qemu.extra_args"},
    {"qemu_thread_create: ", NULL, TOO_FEW_THREADS},
    {"Error creating thread", NULL, TOO_FEW_THREADS},
    {"failed to allocate", NULL, TOO_LITTLE_MEMORY},
    {"Cannot allocate memory", NULL, TOO_LITTLE_MEMORY},
    {"Permission denied", NULL,
     "QEMU may not open a file: check its mode, the user that QEMU runs as "
     "(qemu.run_as), and AppArmor"},
    {"ould not open '/", "No such file or directory",
     "QEMU does not find a file: put it where that path says, or change the path in qemu.json; "
     "'cvd-ctl info' lists the files that a snapshot needs"},
    {"No such file or directory", NULL,
     "QEMU does not find a file; relative paths in qemu.json are relative to its own "
     "directory"},
    {"Is a directory", NULL,
     "QEMU needs a file where a directory is named: check \"filename\" in qemu.blockdevs"},
};

static const struct {
    int signal;
    const char *advice;
} signals[] = {
    {SIGSYS,
     "something in qemu.json makes QEMU start a program, as tap with a script, bridge, smb, "
     "guestfwd with cmd: and exec: do, or do something else that its sandbox denies: " NO_PROGRAMS},
    {SIGBUS, "memory that lies in a file could not be had: the file system of window.path or of a "
             "mem-path in qemu.objects is full, or no huge page is left"},
    {SIGKILL, "if it was the kernel that killed QEMU, for want of memory (see `dmesg`), lower "
              "qemu.memory or raise memory.max of the control group"},
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

static const char *explain_signal(CvdExit how)
{
    if (how.is_out_of_memory)
        return "raise qemu.memory_limit, or lower qemu.memory";
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++)
        if (signals[i].signal == how.value)
            return signals[i].advice;
    return NULL;
}

/* From the last line on: there it gave up, while an earlier one may be about what it could do
 * without, such as an accelerator before another one, or of the VM before a restart. One that
 * aborts (which GLib does by SIGTRAP) may have run for long, so that only its last words count. */
const char *cvd_explain_failure(CvdExit how, const char *const *lines)
{
    gboolean has_aborted = how.is_signal && (how.value == SIGABRT || how.value == SIGTRAP);
    gboolean has_given_up = how.is_known && !how.is_signal && how.value == GAVE_UP;
    const char *advice = how.is_signal ? explain_signal(how) : NULL;

    for (gsize i = has_aborted || has_given_up ? g_strv_length((char **)lines) : 0;
         i > 0 && advice == NULL; i--) {
        advice = is_remark(lines[i - 1]) ? NULL : find_advice(lines[i - 1]);
        if (has_aborted && *lines[i - 1] != '\0')
            break;
    }
    return advice;
}
