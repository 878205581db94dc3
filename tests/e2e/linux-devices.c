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

/* Newer versions of QEMU are told that they may not, and go on. */
static gboolean is_killed_by_sandbox(void)
{
    int status = 0;

    g_assert_true(g_spawn_command_line_sync(
        "qemu-system-x86_64 -display none -sandbox on,spawn=deny -incoming exec:true", NULL, NULL,
        &status, NULL));
    return WIFSIGNALED(status);
}

/* Only the guest's first connection starts the program, and the sandbox does not let QEMU. */
static void test_program_of_the_network(gconstpointer data)
{
    g_autoptr(TestLinux) vm =
        test_linux_boot("qemu.netdevs=[{\"id\":\"net\",\"type\":\"user\",\"guestfwd\":"
                        "[{\"str\":\"tcp:10.0.2.9:7-cmd:cat\"}]}]",
                        DEVICES "{\"driver\":\"virtio-net-pci\",\"netdev\":\"net\"}]", NULL);

    test_launcher_assert_err(vm->launcher, "which its sandbox forbids");
    test_linux_shell(vm, "ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up");
    if (!is_killed_by_sandbox()) {
        test_linux_command(vm, "sh nc 10.0.2.9 7", "cvd-agent: sh: exit status");
        test_linux_stop(vm);
        return;
    }
    test_linux_type(vm, "sh nc 10.0.2.9 7");
    test_linux_end(vm, 1);
    test_launcher_assert_err(vm->launcher,
                             "qemu-system-x86_64 was killed by its sandbox (signal 31, "
                             "qemu.sandbox)\n");
    test_launcher_assert_err(vm->launcher, "--set qemu.sandbox=on,spawn=allow");
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

/* As docs/guest.md has it. */
static guint32 tag_of(gconstpointer bytes, gsize size)
{
    guint64 sum = 0;

    for (gsize i = 0; i < size; i += sizeof sum) {
        guint64 word = 0;
        memcpy(&word, (const char *)bytes + i, MIN(sizeof word, size - i));
        sum += word;
    }
    return (guint32)sum ^ (guint32)(sum >> 32);
}

/* The last of them is not what its tag says. */
static void send_series(int fd)
{
    static const guint32 sizes[] = {1, 8, 4096, 65535, BLOCK_SIZE, 7};
    g_autofree guint8 *block = g_malloc(BLOCK_SIZE);
    guint64 account[2];

    for (guint i = 0; i < BLOCK_SIZE; i++)
        block[i] = (guint8)(i * 3);
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        guint32 header[] = {sizes[i], tag_of(block, sizes[i]) + (sizes[i] == 7)};
        send_all(fd, header, sizeof header);
        send_all(fd, block, sizes[i]);
    }
    send_all(fd, &(guint64){0}, sizeof(guint64));
    receive_all(fd, account, sizeof account);
    g_assert_cmpuint(account[0], ==, G_N_ELEMENTS(sizes));
    g_assert_cmpuint(account[1], ==, 1);
}

/* What the agent has for comparisons. */
static void test_channel(gconstpointer data)
{
    g_autoptr(TestSandbox) files = test_sandbox_new();
    g_autoptr(TestLinux) vm = boot_with_channel(files);
    cvd_autofd fd = connect_channel(files);
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
    for (guint i = 0; i < 2; i++)
        send_series(fd);
    test_linux_stop(vm);
}

/* ---- A ring of messages, as docs/guest.md has it ---- */

/* The largest power of two that conf/vsoc_mem.json has room for in "framebuffer". */
#define RING_SIZE (1u << 20)

typedef struct {
    TestRegion *region;
    guint32 start; /* in the region */
    guint32 put;
} Ring;

enum {
    RING_PUT = 0,
    RING_TAKEN = 64,
    RING_PUT_WAITS = 128,
    RING_TAKE_WAITS = 192,
    RING_ACCOUNT = 256,
    RING_BYTES = 512,
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
    return RING_SIZE - (ring->put - ring_load(ring, RING_TAKEN));
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

static void ring_copy(Ring *ring, gconstpointer bytes, guint32 size)
{
    for (guint32 i = 0; i < size; i++)
        *((guint8 *)ring_word(ring, RING_BYTES) + (ring->put + i) % RING_SIZE) =
            ((const guint8 *)bytes)[i];
    ring->put += (size + 7) / 8 * 8;
}

static void ring_put(Ring *ring, gconstpointer bytes, guint32 size, guint32 tag)
{
    const guint32 header[] = {size, tag};

    ring_wait(ring, size + 16);
    ring_copy(ring, header, sizeof header);
    ring_copy(ring, bytes, size);
    __atomic_store_n(ring_word(ring, RING_PUT), ring->put, __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(ring_word(ring, RING_TAKE_WAITS), 0, __ATOMIC_SEQ_CST))
        test_region_ring(ring->region);
}

static void put_series(Ring *ring, guint n, guint n_wrong)
{
    g_autofree guint8 *bytes = g_malloc(RING_SIZE / 4);

    for (guint i = 0; i < n; i++) {
        guint32 size = (guint32)g_test_rand_int_range(1, RING_SIZE / 4);
        for (guint32 k = 0; k < size; k++)
            bytes[k] = (guint8)(k * 5 + i);
        ring_put(ring, bytes, size, tag_of(bytes, size) + (i < n_wrong));
    }
    ring_put(ring, NULL, 0, 0);
    ring_wait(ring, RING_SIZE);
    g_assert_cmpuint(ring_load(ring, RING_ACCOUNT), ==, n);
    g_assert_cmpuint(ring_load(ring, RING_ACCOUNT + 8), ==, n_wrong);
}

static void test_ring(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot(NULL, NULL);
    g_autoptr(TestRegion) region = test_linux_attach(vm, "framebuffer");
    Ring ring = {.region = region, .start = (region->data_offset + 63) / 64 * 64};

    test_linux_command(vm, "ring-sink framebuffer", "cvd-agent: ring-sink: started");
    put_series(&ring, 100, 0);
    put_series(&ring, 50, 7);
    test_linux_ping(vm, "sensors");
    *ring_word(&ring, RING_PUT) += 3;
    test_region_ring(region);
    test_linux_wait(vm, "ring-sink: region 4: what the host has written there is no ring", 1);
    test_linux_wait(vm, "cvd-agent: ring-sink: exit status 1", 1);
    test_linux_ping(vm, "sensors");
    test_linux_command(vm, "speed 16", "cvd-agent: summed 16 MiB in ");
    test_linux_command(vm, "speed 4097", "at most 4096 MiB");
    test_linux_stop(vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_linux_add("/linux-devices/disk", NULL, test_disk);
    test_linux_add("/linux-devices/network", NULL, test_network);
    test_linux_add("/linux-devices/program-of-the-network", NULL, test_program_of_the_network);
    test_linux_add("/linux-devices/channel", NULL, test_channel);
    test_linux_add("/linux-devices/ring", NULL, test_ring);
    return g_test_run();
}
