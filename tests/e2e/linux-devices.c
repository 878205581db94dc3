/* SPDX-License-Identifier: Apache-2.0 */
/* Disks and networks of qemu.json, as a guest with drivers for them has them. */
#include "tests/support/launcher.h"
#include "tests/support/linux.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_SIZE (4 * 1024 * 1024)
#define DEVICES   "qemu.devices=[{\"driver\":\"intel-iommu\"},"

static char *make_disk(const TestSandbox *files)
{
    char *path = test_sandbox_write(files, "disk.img", "");

    g_assert_no_errno(truncate(path, DISK_SIZE));
    return path;
}

static TestLinux *boot_with_disk(const char *disk)
{
    g_autofree char *blockdevs =
        g_strdup_printf("qemu.blockdevs=[{\"node-name\":\"disk\",\"driver\":\"raw\","
                        "\"file\":{\"driver\":\"file\",\"filename\":\"%s\"}}]",
                        disk);
    return test_linux_boot(blockdevs, DEVICES "{\"driver\":\"virtio-blk-pci\",\"drive\":\"disk\"}]",
                           NULL);
}

/* Through a reboot, and then by another VM on the same file. */
static void test_disk(gconstpointer data)
{
    if (test_linux_skip())
        return;
    g_autoptr(TestSandbox) files = test_sandbox_new();
    g_autofree char *disk = make_disk(files);
    g_autofree char *content = NULL;

    {
        g_autoptr(TestLinux) vm = boot_with_disk(disk);
        test_linux_shell(vm, "echo first boot | dd of=/dev/vda bs=512 seek=3 conv=sync,fsync");
        test_linux_ping(vm, "sensors");
        test_linux_type(vm, "reboot");
        test_linux_wait_ready(vm, 2);
        test_linux_shell(vm, "dd if=/dev/vda bs=512 skip=3 count=1 | grep -q 'first boot'");
        test_linux_shell(vm, "echo second boot | dd of=/dev/vda bs=512 seek=4 conv=sync,fsync");
        test_linux_stop(vm);
    }
    g_assert_true(g_file_get_contents(disk, &content, NULL, NULL));
    g_assert_cmpstr(content + 3 * 512, ==, "first boot\n");
    g_autoptr(TestLinux) vm = boot_with_disk(disk);
    test_linux_shell(vm, "dd if=/dev/vda bs=512 skip=3 count=1 | grep -q 'first boot'");
    test_linux_shell(vm, "dd if=/dev/vda bs=512 skip=4 count=1 | grep -q 'second boot'");
    test_linux_stop(vm);
}

/* Returns: a socket of the host that listens, at @port */
static int listen_on_host(guint16 *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_no_errno(bind(fd, (struct sockaddr *)&address, sizeof address));
    g_assert_no_errno(listen(fd, 1));
    g_assert_no_errno(getsockname(fd, (struct sockaddr *)&address, &size));
    *port = ntohs(address.sin_port);
    return fd;
}

/* The host's loopback is 10.0.2.2 in QEMU's user-mode network. */
static void test_network(gconstpointer data)
{
    if (test_linux_skip())
        return;
    guint16 port;
    cvd_autofd listener = listen_on_host(&port);
    g_autoptr(TestLinux) vm =
        test_linux_boot("qemu.netdevs=[{\"id\":\"net\",\"type\":\"user\"}]",
                        DEVICES "{\"driver\":\"virtio-net-pci\",\"netdev\":\"net\"}]", NULL);
    g_autofree char *talk = g_strdup_printf(
        "sh echo from the guest | nc -w 20 10.0.2.2 %u | grep -q 'from the host'", port);
    char text[64] = "";

    test_linux_shell(vm, "ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up");
    test_linux_type(vm, talk);
    test_wait_readable(listener, "the guest's connection");
    cvd_autofd guest = accept(listener, NULL, NULL);
    test_wait_readable(guest, "what the guest says");
    g_assert_cmpint(read(guest, text, sizeof text - 1), >, 0);
    g_assert_cmpstr(text, ==, "from the guest\n");
    g_assert_cmpint(write(guest, "from the host\n", 14), ==, 14);
    cvd_close_fd(&guest);
    test_linux_wait(vm, "cvd-agent: sh: exit status 0", 2);
    test_linux_ping(vm, "sensors");
    test_linux_stop(vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/linux-devices/disk", NULL, test_disk);
    test_add("/linux-devices/network", NULL, test_network);
    return g_test_run();
}
