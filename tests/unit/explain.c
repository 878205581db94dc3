/* SPDX-License-Identifier: Apache-2.0 */
/* What QEMU 7.2 of Debian 12 prints when it refuses, and a word of what the user is told to do. */
#include "launcher/explain.h"

#include <string.h>

#define Q "qemu-system-x86_64: "

static const struct {
    const char *name;
    const char *lines[3];
    const char *wanted;
} cases[] = {
    {"device",
     {Q "-device {\"driver\":\"nosuch\"}: 'nosuch' is not a valid device model name"},
     "-device help"},
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
    {"id", {Q "-device pvpanic-pci,id=a: Duplicate ID 'a' for device"}, "choose another"},
    {"slot",
     {Q "-device pvpanic-pci,addr=10: PCI: slot 16 function 0 not available for pvpanic-pci, in "
        "use by pvpanic-pci,id=(null)"},
     "ivshmem.address"},
    {"netdev-type",
     {Q "-netdev {\"type\":\"nosuch\",\"id\":\"n\"}: Parameter 'type' does not accept value "
        "'nosuch'"},
     "-netdev help"},
    {"display-type",
     {Q "-display nosuch: Parameter 'type' does not accept value 'nosuch'"},
     "-display help"},
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
    {"address",
     {Q "-chardev socket,id=a,host=127.0.0.1,port=18765,server=on,wait=off: Failed to find an "
        "available port: Address already in use"},
     "another port"},
    {"image-lock",
     {Q "-device virtio-blk-pci,drive=n: Failed to get \"write\" lock",
      "Is another process using the image [d.img]?"},
     "qemu-img create -b"},
    {"firmware", {"qemu: could not load PC BIOS 'nosuch.bin'"}, "qemu.firmware"},
    {"option-rom",
     {Q "-device {\"driver\":\"virtio-net-pci\",\"romfile\":\"nosuch\"}: failed to find romfile "
        "\"nosuch\""},
     "ipxe-qemu"},
    {"memory",
     {Q "cannot set up guest memory 'pc.ram': Cannot allocate memory"},
     "lower qemu.memory (ulimit -v"},
    {"memory-of-translator",
     {Q "allocate 1073741824 bytes for jit buffer: Cannot allocate memory"},
     "raise the limit"},
    {"memory-backend",
     {Q "unable to map backing store for guest RAM: Cannot allocate memory"},
     "vm.nr_hugepages"},
    {"kernel-missing",
     {"qemu: could not open kernel file '/nonexist': No such file or directory"},
     "qemu.kernel"},
    {"kernel-denied",
     {"qemu: could not open kernel file 'k.img': Permission denied"},
     "qemu.kernel"},
    {"kernel-is-none", {"qemu: invalid kernel header"}, "qemu.kernel"},
    {"kernel-is-none-with-ram-disk",
     {"qemu: linux kernel too old to load a ram disk"},
     "no Linux kernel"},
    {"initrd",
     {"qemu: error reading initrd /nonexist: Failed to open file “/nonexist”: open() failed: No "
      "such file or directory"},
     "qemu.initrd"},
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
    {"kvm-denied",
     {"Could not access KVM kernel module: Permission denied",
      Q "failed to initialize kvm: Permission denied"},
     "group kvm"},
    {"kvm-missing",
     {"Could not access KVM kernel module: No such file or directory",
      Q "failed to initialize kvm: No such file or directory"},
     "kvm_intel or kvm_amd"},
    {"kvm-busy", {Q "failed to initialize kvm: Device or resource busy"}, "another hypervisor"},
    {"image-denied",
     {Q
      "-blockdev {\"driver\":\"file\",\"node-name\":\"n\",\"filename\":\"d.img\"}: Could not open "
      "'d.img': Permission denied"},
     "qemu.run_as"},
    {"image-missing",
     {Q "-blockdev {\"driver\":\"file\",\"node-name\":\"n\",\"filename\":\"/nonexist\"}: Could not "
        "open '/nonexist': No such file or directory"},
     "relative to the current directory"},
    {"tap-denied",
     {Q
      "-netdev {\"type\":\"tap\",\"id\":\"n\",\"script\":\"no\",\"downscript\":\"no\"}: could not "
      "open /dev/net/tun: Permission denied"},
     "ip tuntap"},
    {"vsock",
     {Q "-device vhost-vsock-pci,guest-cid=3: vhost-vsock: failed to open vhost device: No such "
        "file or directory"},
     "vhost_vsock"},
    {"option", {Q "-nosuch: invalid option"}, "qemu.extra_args"},
    {"option-key", {Q "-vnc :99,foo: Invalid parameter 'foo'"}, "does not know"},
    /* A warning that came before does not hide the reason. */
    {"after-a-warning",
     {Q "warning: host doesn't support requested feature: CPUID.01H:ECX.pni [bit 0]",
      Q "-nosuch: invalid option"},
     "qemu.extra_args"},
};

static const CvdExit gave_up = {.is_known = TRUE, .value = 1};

static void test_known(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    g_autofree char *advice = cvd_explain_failure(gave_up, cases[i].lines);

    g_assert_nonnull(advice);
    if (strstr(advice, cases[i].wanted) == NULL)
        g_error("%s: no '%s' in '%s'", cases[i].lines[0], cases[i].wanted, advice);
}

static void test_unknown(void)
{
    static const char *const nothing[] = {NULL};
    static const char *const other[] = {Q "terminating on signal 15 from pid 25503 (timeout)", "",
                                        NULL};

    g_assert_null(cvd_explain_failure(gave_up, nothing));
    g_assert_null(cvd_explain_failure(gave_up, other));
}

/* What it warned of when it started is not why it was killed hours later. */
static void test_killed(void)
{
    const CvdExit killed = {.is_known = TRUE, .is_signal = TRUE, .value = 9};
    const CvdExit given_up = {0};
    const CvdExit quit = {.is_known = TRUE};

    g_assert_null(cvd_explain_failure(killed, cases[0].lines));
    g_assert_null(cvd_explain_failure(given_up, cases[0].lines));
    g_assert_null(cvd_explain_failure(quit, cases[0].lines));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/explain/%s", cases[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_known);
    }
    g_test_add_func("/explain/unknown", test_unknown);
    g_test_add_func("/explain/killed", test_killed);
    return g_test_run();
}
