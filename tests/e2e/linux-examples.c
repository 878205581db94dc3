/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations in conf/examples whose devices are made by programs beside QEMU, as a Linux guest
 * has these devices. What QEMU 7.2 does when such a program dies while the VM runs:
 *
 * - virtiofsd: whoever uses the folder waits for ever; the guest goes on otherwise.
 * - qemu-storage-daemon: what is read or written waits for ever, and after a reset so does the
 *   firmware.
 * - swtpm: the guest has errors; at a reset QEMU exits with status 1.
 * - passt: the network is gone, nothing else.
 *
 * None of them can be had again but with another QEMU. At the end of a QEMU virtiofsd and passt
 * end, and swtpm if QEMU could say so; qemu-storage-daemon would wait for the next.
 */
#include "base/fd.h"
#include "tests/support/example.h"
#include "tests/support/launcher.h"
#include "tests/support/linux.h"
#include "tests/support/rows.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* What the agent needs of the machine, behind the one device of each example. */
#define LINUX                                                                                      \
    "qemu.append=[\"console=ttyS0\",\"quiet\",\"intel_iommu=on\",\"no_timer_check\"]",             \
        "qemu.memory=256M", "qemu.devices.1={\"driver\":\"intel-iommu\"}"

typedef struct {
    const char *name;
    void (*use)(TestLinux *vm, guint n); /* tries the device, for the @n-th time */
    const char *port_setting;            /* with a %u for @port, or NULL */
} Example;

static guint16 port; /* of the host, that is free */

static void assert_content(const TestLinux *vm, const char *name, gsize offset,
                           const char *expected)
{
    g_autofree char *path = test_example_path(vm->sandbox, name);
    g_autofree char *content = NULL;
    gsize size = 0;

    g_assert_true(g_file_get_contents(path, &content, &size, NULL));
    g_assert_cmpuint(size, >=, offset + strlen(expected));
    g_assert_cmpmem(content + offset, strlen(expected), expected, strlen(expected));
}

static void use_folder(TestLinux *vm, guint n)
{
    g_autofree char *write = g_strdup_printf("echo from the guest, %u > /mnt/guest", n);
    g_autofree char *written = g_strdup_printf("from the guest, %u\n", n);

    test_linux_shell(vm, "mkdir -p /mnt && mount -t virtiofs share /mnt");
    test_linux_shell(vm, "grep -q 'from the host' /mnt/host");
    test_linux_shell(vm, write);
    assert_content(vm, "share/guest", 0, written);
}

/* TPM2_GetRandom of 8 bytes, which come back behind a header of 12. */
static void use_tpm(TestLinux *vm, guint n)
{
    test_linux_shell(vm, "test $(cat /sys/class/tpm/tpm0/tpm_version_major) = 2");
    test_linux_shell(vm, "exec 3<>/dev/tpm0; printf '\\200\\001\\000\\000\\000\\014\\000\\000\\001"
                         "\\173\\000\\010' >&3; test $(dd bs=64 count=1 <&3 2>/dev/null | wc -c) "
                         "= 20");
}

static void use_disk(TestLinux *vm, guint n)
{
    g_autofree char *write =
        g_strdup_printf("printf 'guest %u' | dd of=/dev/vda bs=512 seek=%u conv=fsync", n, n);
    g_autofree char *written = g_strdup_printf("guest %u", n);

    test_linux_shell(vm, "dd if=/dev/vda bs=512 count=1 | grep -q 'from the host'");
    test_linux_shell(vm, write);
    assert_content(vm, "disk.img", n * 512, written);
    if (n > 1)
        test_linux_shell(vm, "dd if=/dev/vda bs=512 skip=1 count=1 | grep -q 'guest 1'");
}

/* The guest has a web server at port 22, which is started once it listens. */
static void use_port(TestLinux *vm, guint n)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    g_autofree char *page = g_strdup_printf("from the guest, %u", n);
    g_autofree char *serve = g_strdup_printf(
        "mkdir /tmp/www; echo '%s' >/tmp/www/index.html; httpd -p 22 -h /tmp/www", page);
    g_autoptr(GString) answer = g_string_new(NULL);

    test_linux_shell(vm, serve);
    cvd_autofd fd = test_connect_port(port);
    g_assert_cmpint(write(fd, request, strlen(request)), ==, (gssize)strlen(request));
    while (strstr(answer->str, page) == NULL) {
        char bytes[512];
        test_wait_readable(fd, "the guest's page");
        gssize size = read(fd, bytes, sizeof bytes);
        g_assert_cmpint(size, >, 0);
        g_string_append_len(answer, bytes, size);
    }
}

static void use_forwarded_port(TestLinux *vm, guint n)
{
    test_linux_shell(vm, "ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up");
    use_port(vm, n);
}

static void use_passt(TestLinux *vm, guint n)
{
    test_linux_shell(vm, "printf '#!/bin/sh\\n[ $1 = bound ] || exit 0\\n"
                         "ifconfig eth0 $ip netmask $subnet && route add default gw $router' "
                         ">/tmp/dhcp; chmod +x /tmp/dhcp");
    test_linux_shell(vm, "ifconfig eth0 up && udhcpc -i eth0 -n -q -s /tmp/dhcp");
    use_port(vm, n);
}

static const Example examples[] = {
    {"shared-folder", use_folder, NULL},
    {"tpm", use_tpm, NULL},
    {"vhost-user-disk", use_disk, NULL},
    {"port-forward", use_forwarded_port, "qemu.netdevs.0.hostfwd.0.str=tcp:127.0.0.1:%u-:22"},
    {"network", use_passt, "programs.passt.argv.5=127.0.0.1/%u:22"},
};

/* Returns: NULL where it was skipped */
static TestLinux *boot(const Example *example, const char *setting)
{
    g_autofree char *why_not = test_example_why_not(example->name);
    TestSandbox *sandbox = why_not == NULL ? test_sandbox_new() : NULL;

    if (why_not != NULL) {
        test_skip(why_not);
        return NULL;
    }
    g_autofree char *config = test_example_copy(sandbox, example->name);
    return test_linux_boot_config(sandbox, config, LINUX, setting, NULL);
}

static char *port_setting_of(const Example *example)
{
    g_auto(GStrv) parts = NULL;

    if (example->port_setting == NULL)
        return NULL;
    port = test_find_free_port();
    parts = g_strsplit(example->port_setting, "%u", 2);
    return g_strdup_printf("%s%u%s", parts[0], port, parts[1]);
}

/* A VM that is started again has a program of its own behind the device. */
static void test_example(gconstpointer data)
{
    const Example *example = data;
    g_autofree char *setting = port_setting_of(example);
    g_autoptr(TestLinux) vm = boot(example, setting);

    if (vm == NULL)
        return;
    example->use(vm, 1);
    test_linux_ping(vm, "sensors");
    test_linux_ctl(vm, "restart", NULL);
    test_linux_wait_ready(vm, 2);
    example->use(vm, 2);
    test_linux_ping(vm, "sensors");
    test_linux_stop(vm);
}

/* The folder is lost until there is another VM, and the rest of the machine goes on. */
static void test_killed_back_end(gconstpointer data)
{
    g_autoptr(TestLinux) vm = boot(&examples[0], "programs.virtiofsd.critical=false");

    if (vm == NULL)
        return;
    use_folder(vm, 1);
    g_assert_no_errno(kill(test_sandbox_find_process(vm->sandbox, "virtiofsd"), SIGKILL));
    test_process_wait_err(vm->launcher, "program virtiofsd ", 1);
    test_linux_ping(vm, "sensors");
    test_linux_ctl(vm, "restart", NULL);
    test_linux_wait_ready(vm, 2);
    use_folder(vm, 2);
    test_linux_stop(vm);
}

/* One that has its image and nothing else. */
static void test_confined(gconstpointer data)
{
    int status = 0;

    if (!g_spawn_command_line_sync("bwrap --unshare-user --disable-userns --ro-bind / / true", NULL,
                                   NULL, &status, NULL) ||
        status != 0) {
        test_skip("bubblewrap is not there, or does not work here");
        return;
    }
    g_autoptr(TestLinux) vm =
        boot(&examples[2], "programs.storage.confine={\"writable\":[\"${config_dir}/disk.img\"]}");
    if (vm == NULL)
        return;
    use_disk(vm, 1);
    test_linux_stop(vm);
}

/* A swtpm outlives such an end, and has its state locked. */
static void test_killed_qemu(gconstpointer data)
{
    g_autoptr(TestLinux) vm = boot(&examples[1], "lifecycle.on_crash=restart");

    if (vm == NULL)
        return;
    use_tpm(vm, 1);
    g_assert_no_errno(kill(test_sandbox_find_process(vm->sandbox, "qemu-system"), SIGKILL));
    test_linux_wait_ready(vm, 2);
    use_tpm(vm, 2);
    test_linux_stop(vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(test_linux_add, "/linux-examples/", examples, test_example);
    test_linux_add("/linux-examples/confined-back-end", NULL, test_confined);
    test_linux_add("/linux-examples/killed-back-end", NULL, test_killed_back_end);
    test_linux_add("/linux-examples/killed-qemu", NULL, test_killed_qemu);
    return g_test_run();
}
