/* SPDX-License-Identifier: Apache-2.0 */
/* What QEMU 7.2 of Debian 12 prints when it refuses (of its sandbox also QEMU 10), and a word of
 * what the user is told to do. */
#include "launcher/qemu/explain.h"

#include "tests/support/rows.h"

#include <signal.h>
#include <string.h>

#define Q "qemu-system-x86_64: "

typedef struct {
    const char *name;
    const char *lines[5];
    const char *wanted;
} Known;

static const Known cases[] = {
    {"device",
     {Q "-device {\"driver\":\"nosuch\"}: 'nosuch' is not a valid device model name"},
     "-device help"},
    {"state-of-another-machine",
     {Q "Unknown savevm section or instance '0000:00:04.0/virtio-rng' 0. Make sure that your "
        "current VM setup matches your saved VM setup, including any hotplugged devices",
      Q "load of migration failed: Invalid argument"},
     "cvd-ctl info NAME --verify"},
    {"property",
     {Q "-device {\"driver\":\"pvpanic\",\"nosuch\":1}: Property 'pvpanic.nosuch' not found"},
     "-device NAME,help"},
    {"property-value",
     {Q "-device pvpanic-pci,addr=40: Property 'pvpanic-pci.addr' doesn't take value '40'"},
     "value that it cannot have"},
    {"drive",
     {Q "-device virtio-blk-pci,drive=none: Property 'virtio-blk-device.drive' can't find value "
        "'none'"},
     "qemu.blockdevs"},
    {"netdev",
     {Q "-device virtio-net-pci,netdev=none: Property 'virtio-net-device.netdev' can't find value "
        "'none'"},
     "qemu.netdevs"},
    {"bus", {Q "-device i6300esb,bus=nosuch: Bus 'nosuch' not found"}, "bridge"},
    {"controller",
     {Q "-device {\"driver\":\"usb-tablet\"}: No 'usb-bus' bus found for device 'usb-tablet'"},
     "qemu-xhci"},
    {"no-pci",
     {Q "-device {\"driver\":\"ivshmem-doorbell\",\"id\":\"ivshmem\",\"chardev\":\"ivshmem\","
        "\"vectors\":5,\"addr\":\"0x10\"}: No 'PCI' bus found for device 'ivshmem-doorbell'"},
     "microvm,pcie=on"},
    {"iommu-of-another-machine",
     {Q "-device {\"driver\":\"intel-iommu\"}: Parameter 'driver' expects a dynamic sysbus device "
        "type for the machine"},
     "q35"},
    {"part-of-a-machine",
     {Q "-device {\"driver\":\"PIIX3\"}: Parameter 'driver' expects a pluggable device type"},
     "leave it out of qemu.devices"},
    {"no-drive",
     {Q "-device {\"driver\":\"virtio-blk-pci\"}: drive property not set"},
     "\"drive\""},
    {"property-type",
     {Q "-device {\"driver\":\"e1000\",\"addr\":true}: Invalid parameter type for 'addr', expected "
        "int or str"},
     "another kind"},
    {"forwarded-port",
     {Q "-netdev {\"type\":\"user\",\"id\":\"n\",\"hostfwd\":\"tcp::15022-:22\"}: Invalid "
        "parameter type for 'hostfwd', expected: array"},
     "[{\"str\""},
    {"property-number",
     {Q "-device {\"driver\":\"isa-debug-exit\",\"iobase\":true}: Parameter 'iobase' expects "
        "uint64"},
     "another kind"},
    {"id-of-devices",
     {Q "-device {\"driver\":\"pvpanic-pci\",\"id\":\"a\"}: Duplicate device ID 'a'"},
     "choose another"},
    {"id-of-disks",
     {Q
      "-blockdev {\"driver\":\"file\",\"node-name\":\"n\",\"filename\":\"d.img\"}: Duplicate nodes "
      "with node-name='n'"},
     "choose another"},
    {"id-of-objects",
     {Q "attempt to add duplicate property 'n' to object (type 'container')"},
     "choose another"},
    {"id", {Q "-device pvpanic-pci,id=a: Duplicate ID 'a' for device"}, "choose another"},
    {"slot",
     {Q "-device pvpanic-pci,addr=10: PCI: slot 16 function 0 not available for pvpanic-pci, in "
        "use by pvpanic-pci,id=(null)"},
     "ivshmem.address"},
    {"slot-shared",
     {Q "-device {\"driver\":\"e1000\",\"addr\":\"0x10.0\"}: PCI: 10.0 indicates single function, "
        "but "
        "10.1 is already populated."},
     "multifunction"},
    {"slot-shared-later",
     {Q "-device {\"driver\":\"e1000\",\"addr\":\"0x10.1\"}: PCI: single function device can't be "
        "populated in function 10.1"},
     "multifunction"},
    {"cpu-feature", {Q "Property 'qemu64-x86_64-cpu.nosuch' not found"}, "qemu.cpu"},
    {"cpu-feature-value",
     {Q "can't apply global qemu64-x86_64-cpu.level=foo: Parameter 'level' expects uint64"},
     "qemu.cpu"},
    {"machine-property", {Q "Property 'pc-q35-7.2-machine.foo' not found"}, "qemu.machine"},
    {"machine-memory", {Q "Memory backend 'nosuch' not found"}, "qemu.objects"},
    {"machine-memory-size",
     {Q "Machine memory size does not match the size of the memory backend"},
     "qemu.memory must be"},
    {"numa-memory-size",
     {Q "total memory for NUMA nodes (0x10000000) should equal RAM size (0x20000000)"},
     "qemu.memory must be the sum"},
    {"machine-accelerator",
     {Q "The -accel and \"-machine accel=\" options are incompatible"},
     "leave accel= out of qemu.machine"},
    {"accelerator-property",
     {Q "-accel kvm,foo=1: Property 'kvm-accel.foo' not found"},
     "qemu.accel"},
    {"netdev-type",
     {Q "-netdev {\"type\":\"nosuch\",\"id\":\"n\"}: Parameter 'type' does not accept value "
        "'nosuch'"},
     "-netdev help"},
    {"display-type",
     {Q "-display nosuch: Parameter 'type' does not accept value 'nosuch'"},
     "-display help"},
    {"display-value",
     {Q "-display gtk,gl=maybe: Parameter 'gl' does not accept value 'maybe'"},
     "its documentation"},
    {"sound-driver",
     {Q "-audiodev nosuch,id=a: Parameter 'driver' does not accept value 'nosuch'"},
     "its documentation"},
    {"object-type",
     {Q "-object {\"qom-type\":\"nosuch\",\"id\":\"n\"}: Parameter 'qom-type' does not accept "
        "value 'nosuch'"},
     "-object help"},
    {"block-driver",
     {Q "-blockdev {\"driver\":\"nosuch\",\"node-name\":\"n\"}: Parameter 'driver' does not accept "
        "value 'nosuch'"},
     "qemu.blockdevs"},
    {"key",
     {Q "-netdev {\"type\":\"user\",\"id\":\"n\",\"nosuch\":1}: Parameter 'nosuch' is unexpected"},
     "does not know there"},
    {"hostfwd",
     {Q
      "-netdev {\"type\":\"user\",\"id\":\"n\",\"hostfwd\":[{\"str\":\"tcp::18765-:22\"}]}: Could "
      "not set up host forwarding rule 'tcp::18765-:22'"},
     "hostfwd"},
    {"hostfwd-text",
     {Q "-netdev {\"type\":\"user\",\"id\":\"n\",\"hostfwd\":[{\"str\":\"foo\"}]}: Invalid host "
        "forwarding rule 'foo' (No : separators)"},
     "tcp:"},
    {"nobody-listens",
     {Q "-chardev socket,id=a,host=127.0.0.1,port=1: Failed to connect to '127.0.0.1:1': "
        "Connection refused"},
     "server=on"},
    {"nobody-serves",
     {Q "-chardev socket,id=c,path=/nonexist/vhost.sock: Failed to connect to "
        "'/nonexist/vhost.sock': No such file or directory"},
     "virtiofsd"},
    {"vhost-user-that-ended",
     {Q
      "-device {\"driver\":\"vhost-user-fs-pci\",\"chardev\":\"c\",\"tag\":\"x\"}: Failed to write "
      "msg. Wrote -1 instead of 12.",
      Q "-device {\"driver\":\"vhost-user-fs-pci\",\"chardev\":\"c\",\"tag\":\"x\"}: "
        "vhost_backend_init failed: Protocol error"},
     "has ended"},
    {"vhost-user-disk-that-ended",
     {Q "-device {\"driver\":\"vhost-user-blk-pci\",\"chardev\":\"c\"}: Reconnecting after error: "
        "vhost_backend_init failed: Protocol error",
      Q
      "-device {\"driver\":\"vhost-user-blk-pci\",\"chardev\":\"c\"}: File descriptor '7' is not a "
      "socket"},
     "has ended"},
    {"tpm-that-ended",
     {Q "-tpmdev emulator,id=t,chardev=c: tpm-emulator: Failed to send CMD_SET_DATAFD: Invalid "
        "argument",
      Q "-tpmdev emulator,id=t,chardev=c: tpm-emulator: Could not cleanly shutdown the TPM: "
        "Input/output error"},
     "has ended"},
    {"tpm-without-a-folder",
     {Q "tpm-emulator: TPM result for CMD_INIT: 0x9 operation failed"},
     "--tpmstate"},
    {"chardev-of-two",
     {Q "-device virtserialport,chardev=c: Property 'virtserialport.chardev' can't take value 'c': "
        "Device 'c' is in use"},
     "each its own"},
    {"tpm-that-ended-before-a-reset",
     {Q "tpm-emulator: Could not stop TPM: Input/output error",
      Q "tpm-emulator: Could not stop TPM: Input/output error"},
     "swtpm had ended before"},
    {"vhost-user-without-backend",
     {Q "-device vhost-user-fs-pci,chardev=c,tag=x: Failed to set msg fds.",
      Q "-device vhost-user-fs-pci,chardev=c,tag=x: vhost_backend_init failed: Protocol error"},
     "wait=on"},
    {"address",
     {Q "-chardev socket,id=a,host=127.0.0.1,port=18765,server=on,wait=off: Failed to find an "
        "available port: Address already in use"},
     "another port"},
    {"image-lock",
     {Q "-device virtio-blk-pci,drive=n: Failed to get \"write\" lock",
      "Is another process using the image [d.img]?"},
     "qemu-img create -b"},
    {"image-lock-of-a-reader",
     {Q "-device {\"driver\":\"virtio-blk-pci\",\"drive\":\"n\"}: Failed to get shared \"write\" "
        "lock",
      "Is another process using the image [d.img]?"},
     "qemu-img create -b"},
    {"image-format",
     {Q "-blockdev {\"driver\":\"qcow2\",\"node-name\":\"n\",\"file\":{\"driver\":\"file\","
        "\"filename\":\"d.img\"}}: Image is not in qcow2 format"},
     "qemu-img info"},
    {"image-refers",
     {Q "-blockdev {\"driver\":\"raw\",\"node-name\":\"n\",\"file\":\"nosuch\"}: Cannot find "
        "device='nosuch' nor node-name='nosuch'"},
     "put what is referred to first"},
    {"image-is-a-directory",
     {Q "-blockdev {\"driver\":\"file\",\"node-name\":\"n\",\"filename\":\"/tmp\"}: Could not open "
        "'/tmp': Is a directory"},
     "\"filename\""},
    {"firmware", {"qemu: could not load PC BIOS 'nosuch.bin'"}, "qemu.firmware"},
    {"option-rom",
     {Q "-device {\"driver\":\"virtio-net-pci\",\"romfile\":\"nosuch\"}: failed to find romfile "
        "\"nosuch\""},
     "ipxe-qemu"},
    {"memory",
     {Q "cannot set up guest memory 'pc.ram': Cannot allocate memory"},
     "lower qemu.memory"},
    {"memory-of-translator",
     {Q "-accel tcg: allocate 1073741824 bytes for jit buffer: Cannot allocate memory"},
     "raise the limit"},
    {"memory-backend",
     {Q "unable to map backing store for guest RAM: Cannot allocate memory"},
     "vm.nr_hugepages"},
    {"memory-lock", {Q "mlockall: Cannot allocate memory", Q "locking memory failed"}, "ulimit -l"},
    {"kernel-missing",
     {"qemu: could not open kernel file '/nonexist': No such file or directory"},
     "qemu.kernel"},
    {"kernel-denied",
     {"qemu: could not open kernel file 'k.img': Permission denied"},
     "qemu.kernel"},
    {"kernel-without-note",
     {Q "Error loading uncompressed kernel without PVH ELF Note"},
     "bzImage"},
    {"kernel-of-64-bits", {"qemu-system-i386: Error while loading elf kernel"}, "x86_64"},
    {"kernel-is-none", {"qemu: invalid kernel header"}, "qemu.kernel"},
    {"kernel-is-none-with-ram-disk",
     {"qemu: linux kernel too old to load a ram disk"},
     "no Linux kernel"},
    {"initrd",
     {"qemu: error reading initrd /nonexist: Failed to open file “/nonexist”: open() failed: No "
      "such file or directory"},
     "qemu.initrd"},
    {"initrd-denied",
     {"qemu: error reading initrd k.img: Failed to open file “k.img”: open() failed: Permission "
      "denied"},
     "qemu.initrd"},
    {"initrd-too-large",
     {"qemu: initrd is too large, cannot support.(max: 134053887, need 314572800)"},
     "qemu.memory"},
    {"terminal", {"We need a terminal output"}, "qemu.display"},
    {"spice",
     {Q "Failed to launch spice+unix:///tmp/.G3BOZ3/spice.sock URI: Operation not supported",
      Q "You need a capable Spice client, such as virt-viewer 8.0"},
     "virt-viewer"},
    {"egl", {Q "egl: no drm render node available", Q "egl: render node init failed"}, "OpenGL"},
    {"opengl", {Q "-device {\"driver\":\"virtio-vga-gl\"}: opengl is not available"}, "OpenGL"},
    {"gtk", {"gtk initialization failed"}, "qemu.display"},
    {"sdl", {"Could not initialize SDL(x11 not available) - exiting"}, "qemu.display"},
    {"machine",
     {Q "unsupported machine type", "Use -machine help to list supported machines"},
     "-machine help"},
    {"accelerator", {Q "-accel nosuch: invalid accelerator nosuch"}, "-accel help"},
    {"cpu", {Q "unable to find CPU model 'nosuch'"}, "-cpu help"},
    {"smp",
     {Q "Invalid SMP CPUs 10000. The max CPUs supported by machine 'pc-q35-7.2' is 288"},
     "qemu.smp"},
    {"smp-text", {Q "Parameter 'smp.cpus' expects integer"}, "qemu.smp"},
    {"smp-product",
     {Q "Invalid CPU topology: product of the hierarchy must match maxcpus: sockets (3) * dies (1) "
        "* cores (1) * threads (1) != maxcpus (4)"},
     "qemu.smp"},
    {"sandbox-and-script",
     {Q
      "-netdev tap,id=n,script=/bin/true: could not launch network script /bin/true: Operation not "
      "permitted"},
     "qemu.sandbox=on,spawn=allow"},
    {"sandbox-and-helper",
     {Q "-netdev bridge,id=n: Can't fork bridge helper: Operation not permitted"},
     "qemu.sandbox=on,spawn=allow"},
    {"sandbox-and-incoming",
     {Q "-incoming exec:true: Failed to fork (Operation not permitted)"},
     "qemu.sandbox=on,spawn=allow"},
    {"sandbox-not-allowed",
     {Q "-sandbox on: failed to load seccomp syscall filter in kernel: Operation not permitted"},
     "qemu.sandbox=false"},
    {"sandbox-text",
     {Q "-sandbox on,spawn=maybe: invalid argument for spawn"},
     "check its spelling"},
    {"kvm-denied",
     {"Could not access KVM kernel module: Permission denied",
      Q "-accel kvm: failed to initialize kvm: Permission denied"},
     "group kvm"},
    {"kvm-missing",
     {"Could not access KVM kernel module: No such file or directory",
      Q "-accel kvm: failed to initialize kvm: No such file or directory"},
     "kvm_intel or kvm_amd"},
    {"kvm-is-something-else",
     {"kvm version too old",
      Q "-accel kvm: failed to initialize kvm: Inappropriate ioctl for device"},
     "qemu.accel=tcg"},
    {"cpu-of-kvm",
     {"Could not access KVM kernel module: Permission denied",
      Q "-accel kvm: failed to initialize kvm: Permission denied", Q "falling back to tcg",
      Q "CPU model 'host' requires KVM or HVF"},
     "set qemu.cpu to max"},
    {"image-denied",
     {Q
      "-blockdev {\"driver\":\"file\",\"node-name\":\"n\",\"filename\":\"d.img\"}: Could not open "
      "'d.img': Permission denied"},
     "qemu.run_as"},
    {"image-missing",
     {Q "-blockdev {\"driver\":\"file\",\"node-name\":\"n\",\"filename\":\"/nonexist\"}: Could not "
        "open '/nonexist': No such file or directory"},
     "put it where that path says"},
    {"image-missing-relative",
     {Q
      "-blockdev {\"driver\":\"file\",\"node-name\":\"n\",\"filename\":\"a\"}: Could not open 'a': "
      "No such file or directory"},
     "relative to its own directory"},
    {"backing-file-missing",
     {Q "-blockdev {\"driver\":\"qcow2\",\"node-name\":\"n\"}: Could not open backing file: Could "
        "not open '/srv/base.raw': No such file or directory"},
     "'cvd-ctl info' lists"},
    {"tap-denied",
     {Q
      "-netdev {\"type\":\"tap\",\"id\":\"n\",\"script\":\"no\",\"downscript\":\"no\"}: could not "
      "open /dev/net/tun: Permission denied"},
     "ip tuntap"},
    {"tap-missing",
     {Q "-netdev {\"type\":\"tap\",\"id\":\"n\"}: could not open /dev/net/tun: No such file or "
        "directory"},
     "module tun"},
    {"socket-denied",
     {Q "-chardev socket,id=a,path=/root/x,server=on,wait=off: Failed to unlink socket /root/x: "
        "Permission denied"},
     "qemu.run_as"},
    {"chardev-type",
     {Q "-chardev nosuch,id=a: 'nosuch' is not a valid char driver name"},
     "-chardev help"},
    {"host-device",
     {Q "-device vfio-pci,host=00:1f.7: vfio /sys/bus/pci/devices/0000:00:1f.7: no such host "
        "device: No such file or directory"},
     "lspci"},
    {"vsock",
     {Q "-device vhost-vsock-pci,guest-cid=3: vhost-vsock: failed to open vhost device: No such "
        "file or directory"},
     "vhost_vsock"},
    {"no-qemu",
     {"/bin/cat: invalid option -- 'o'", "Try '/bin/cat --help' for more information."},
     "qemu.binary is no QEMU"},
    {"no-qemu-long", {"qemu: unrecognized option '-chardev'"}, "qemu.binary is no QEMU"},
    {"option", {Q "-nosuch: invalid option"}, "qemu.extra_args"},
    {"option-key", {Q "-vnc :99,foo: Invalid parameter 'foo'"}, "does not know"},
    /* An accelerator that it could do without is not why it gave up, the last line is. */
    {"after-another-accelerator",
     {"Could not access KVM kernel module: Permission denied",
      Q "-accel kvm: failed to initialize kvm: Permission denied",
      Q "-accel nosuch: invalid accelerator nosuch"},
     "-accel help"},
    {"before-a-hint",
     {Q "-vnc :99,foo: warning: short-form boolean option 'foo' deprecated",
      "Please use foo=on instead", Q "-vnc :99,foo: Invalid parameter 'foo'"},
     "does not know"},
};

static const CvdExit gave_up = {.is_known = TRUE, .value = 1};

static void test_known(gconstpointer data)
{
    const Known *row = data;
    const char *advice = cvd_explain_failure(gave_up, row->lines);

    g_assert_nonnull(advice);
    if (strstr(advice, row->wanted) == NULL)
        g_error("%s: no '%s' in '%s'", row->lines[0], row->wanted, advice);
}

static void test_unknown(void)
{
    static const char *const nothing[] = {NULL};
    static const char *const other[] = {Q "terminating on signal 15 from pid 25503 (timeout)", "",
                                        NULL};

    g_assert_null(cvd_explain_failure(gave_up, nothing));
    g_assert_null(cvd_explain_failure(gave_up, other));
}

/* It went on after these. */
static void test_remark(void)
{
    static const char *const lines[] = {
        Q "warning: netdev n: No such file or directory",
        Q "info: Launching display with URI: spice+unix:///tmp/Permission denied", NULL};

    g_assert_null(cvd_explain_failure(gave_up, lines));
}

/* What it warned of when it started is not why it was killed hours later. */
static void test_killed(void)
{
    const CvdExit crashed = {.is_known = TRUE, .is_signal = TRUE, .value = SIGSEGV};
    const CvdExit given_up = {0};
    const CvdExit quit = {.is_known = TRUE};
    const CvdExit of_guest = {.is_known = TRUE, .value = 3}; /* isa-debug-exit */

    g_assert_null(cvd_explain_failure(crashed, cases[0].lines));
    g_assert_null(cvd_explain_failure(given_up, cases[0].lines));
    g_assert_null(cvd_explain_failure(quit, cases[0].lines));
    g_assert_null(cvd_explain_failure(of_guest, cases[0].lines));
}

static void assert_signal(int number, const char *const *lines, const char *wanted)
{
    const CvdExit how = {.is_known = TRUE, .is_signal = TRUE, .value = number};
    const char *advice = cvd_explain_failure(how, lines);

    if (wanted == NULL)
        g_assert_cmpstr(advice, ==, NULL);
    else if (advice == NULL || strstr(advice, wanted) == NULL)
        g_error("signal %d: no '%s' in '%s'", number, wanted, advice);
}

static void test_signals(void)
{
    static const char *const nothing[] = {NULL};
    static const char *const threads[] = {
        "qemu: qemu_thread_create: Resource temporarily unavailable", "", NULL};
    static const char *const pool[] = {
        "GLib-ERROR **: 19:31:03.241: creating thread 'pool-spawner': Error creating thread: "
        "Resource temporarily unavailable",
        NULL};
    static const char *const old[] = {Q "x: Permission denied", Q "something else", NULL};

    assert_signal(SIGSYS, nothing, "qemu.sandbox=on,spawn=allow");
    assert_signal(SIGSYS, old, "qemu.sandbox=on,spawn=allow");
    assert_signal(SIGBUS, nothing, "window.path");
    assert_signal(SIGKILL, old, "for want of memory");
    assert_signal(SIGABRT, threads, "ulimit -u");
    assert_signal(SIGTRAP, pool, "ulimit -u");
    assert_signal(SIGSEGV, threads, NULL);
    assert_signal(SIGABRT, old, NULL); /* it may have run for hours since */
    assert_signal(SIGABRT, nothing, NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/explain/", cases, test_known);
    g_test_add_func("/explain/unknown", test_unknown);
    g_test_add_func("/explain/remark", test_remark);
    g_test_add_func("/explain/killed", test_killed);
    g_test_add_func("/explain/signals", test_signals);
    return g_test_run();
}
