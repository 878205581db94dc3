/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks, networks and channels of qemu.json, as a guest with drivers for them has them; and what
 * the agent takes in large amounts.
 */
#include "tests/support/launcher.h"
#include "tests/support/linux.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DISK_SIZE  (4 * 1024 * 1024)
#define BLOCK_SIZE (1024 * 1024)
#define DEVICES    "qemu.devices=[{\"driver\":\"intel-iommu\"},"

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

/* A virtio serial port whose other end is an abstract socket, which vanishes with QEMU. */
static TestLinux *boot_with_channel(const TestSandbox *files)
{
    g_autofree char *backend =
        g_strdup_printf("qemu.extra_args=[\"-chardev\",\"socket,id=channel,abstract=on,path=%s,"
                        "server=on,wait=off\"]",
                        files->token);

    return test_linux_boot(backend,
                           DEVICES "{\"driver\":\"virtio-serial-pci\"},"
                                   "{\"driver\":\"virtserialport\",\"chardev\":\"channel\","
                                   "\"name\":\"channel\"}]",
                           NULL);
}

static int connect_channel(const TestSandbox *files)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path + 1, files->token, sizeof address.sun_path - 1);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(files->token));
    g_assert_no_errno(connect(fd, (struct sockaddr *)&address, size));
    return fd;
}

static void send_all(int fd, gconstpointer bytes, gsize size)
{
    for (gsize sent = 0; sent < size;) {
        gssize n = write(fd, (const char *)bytes + sent, size - sent);
        g_assert_cmpint(n, >, 0);
        sent += (gsize)n;
    }
}

static void receive_all(int fd, gpointer bytes, gsize size)
{
    for (gsize received = 0; received < size;) {
        test_wait_readable(fd, "the guest's answer");
        gssize n = read(fd, (char *)bytes + received, size - received);
        g_assert_cmpint(n, >, 0);
        received += (gsize)n;
    }
}

/* What the agent has for comparisons. */
static void test_channel(gconstpointer data)
{
    if (test_linux_skip())
        return;
    g_autoptr(TestSandbox) files = test_sandbox_new();
    g_autoptr(TestLinux) vm = boot_with_channel(files);
    cvd_autofd fd = connect_channel(files);
    g_autofree guint8 *block = g_malloc0(BLOCK_SIZE);
    guint64 size = BLOCK_SIZE, answer;
    char text[6] = "";

    test_linux_command(vm, "virtio-echo nosuch", "no virtio port is called 'nosuch'");
    test_linux_command(vm, "virtio-echo channel", "cvd-agent: virtio-echo: started");
    for (guint i = 0; i < 100; i++) {
        send_all(fd, "hello", 5);
        receive_all(fd, text, 5);
        g_assert_cmpstr(text, ==, "hello");
    }
    test_linux_command(vm, "stop", "cvd-agent: virtio-echo: killed by signal 9");

    test_linux_command(vm, "virtio-sink channel", "cvd-agent: virtio-sink: started");
    for (guint i = 0; i < 2; i++) {
        send_all(fd, &size, sizeof size);
        send_all(fd, block, BLOCK_SIZE);
        receive_all(fd, &answer, sizeof answer);
        g_assert_cmpuint(answer, ==, BLOCK_SIZE);
    }
    test_linux_stop(vm);
}

/* ---- The ring buffer, as docs/guest.md has it ---- */

/* The largest power of two that conf/vsoc_mem.json has room for in "framebuffer". */
#define RING_SIZE (1u << 20)

typedef struct {
    TestRegion *region;
    guint32 start; /* of the positions, in the region */
    guint32 size;
    guint32 put;
    guint64 sum;
} Ring;

enum {
    RING_PUT = 0,
    RING_PUT_WAITS = 4,
    RING_TAKEN = 64,
    RING_TAKEN_WAITS = 68,
    RING_SUM = 72,
    RING_BYTES = 128,
};

static guint32 *ring_word(const Ring *ring, guint32 offset)
{
    return test_region_word(ring->region, ring->start + offset);
}

static guint32 ring_load(const Ring *ring, guint32 offset)
{
    return __atomic_load_n(ring_word(ring, offset), __ATOMIC_SEQ_CST);
}

static guint32 ring_room(const Ring *ring)
{
    return ring->size - (ring->put - ring_load(ring, RING_TAKEN));
}

/* Until there is room for @wanted bytes. */
static void ring_wait(Ring *ring, guint32 wanted)
{
    while (ring_room(ring) < wanted) {
        __atomic_store_n(ring_word(ring, RING_PUT_WAITS), 1, __ATOMIC_SEQ_CST);
        if (ring_room(ring) < wanted)
            test_region_wait_ring(ring->region);
    }
}

static void ring_put(Ring *ring, guint32 n_words)
{
    for (guint32 i = 0; i < n_words; i++) {
        guint32 value = g_test_rand_int_range(0, G_MAXINT32);

        *ring_word(ring, RING_BYTES + (ring->put + 4 * i) % ring->size) = value;
        ring->sum += value;
    }
    ring->put += 4 * n_words;
    __atomic_store_n(ring_word(ring, RING_PUT), ring->put, __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(ring_word(ring, RING_TAKEN_WAITS), 0, __ATOMIC_SEQ_CST))
        test_region_ring(ring->region);
}

static void fill_ring(Ring *ring, guint n_rounds)
{
    for (guint i = 0; i < n_rounds; i++) {
        ring_wait(ring, ring->size / 2);
        ring_put(ring, (guint32)g_test_rand_int_range(1, (gint32)ring->size / 8));
    }
    ring_wait(ring, ring->size);
    guint64 sum = ring_load(ring, RING_SUM) | (guint64)ring_load(ring, RING_SUM + 4) << 32;
    g_assert_cmpuint(sum, ==, ring->sum);
}

static void test_ring(gconstpointer data)
{
    if (test_linux_skip())
        return;
    g_autoptr(TestLinux) vm = test_linux_boot(NULL, NULL);
    g_autoptr(TestRegion) region = test_linux_attach(vm, "framebuffer");
    Ring ring = {
        .region = region, .start = (region->data_offset + 63) / 64 * 64, .size = RING_SIZE};

    test_linux_command(vm, "ring-sink framebuffer", "cvd-agent: ring-sink: 1048576 bytes");
    fill_ring(&ring, 100);
    test_linux_ping(vm, "sensors");
    *ring_word(&ring, RING_PUT) += 3;
    test_region_ring(region);
    test_linux_wait(vm, "ring: 3 bytes in one of 1048576", 1);
    test_linux_ping(vm, "sensors");
    test_linux_stop(vm);
}

static void test_busy_ring(gconstpointer data)
{
    if (test_linux_skip())
        return;
    g_autoptr(TestLinux) vm = test_linux_boot(NULL, NULL);
    g_autoptr(TestRegion) region = test_linux_attach(vm, "framebuffer");
    Ring ring = {
        .region = region, .start = (region->data_offset + 63) / 64 * 64, .size = RING_SIZE};

    test_linux_command(vm, "ring-sink framebuffer busy", "cvd-agent: ring-sink: started");
    fill_ring(&ring, 100);
    g_assert_cmpuint(ring_load(&ring, RING_TAKEN_WAITS), ==, 0);
    test_linux_command(vm, "stop", "cvd-agent: ring-sink: killed by signal 9");
    test_linux_stop(vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/linux-devices/disk", NULL, test_disk);
    test_add("/linux-devices/network", NULL, test_network);
    test_add("/linux-devices/channel", NULL, test_channel);
    test_add("/linux-devices/ring", NULL, test_ring);
    test_add("/linux-devices/busy-ring", NULL, test_busy_ring);
    return g_test_run();
}
