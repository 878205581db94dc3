/* SPDX-License-Identifier: Apache-2.0 */
/* The Linux guest as it is measured: two regions with a task and any number without one, two
 * virtio-serial ports, and vsock where the host has it. */
#include "bench/guest.h"

#include "base/fd.h"
#include "tests/support/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define VHOST_VSOCK "/dev/vhost-vsock"
#define VSOCK_PORT  5000u
#define RING_BYTES  (9u << 20) /* room for a ring of 8 MiB */
#define PAGE        4096u

static guint n_started;

const char *guest_why_no_vsock(void)
{
    cvd_autofd fd = open(VHOST_VSOCK, O_RDWR | O_CLOEXEC);

    return fd < 0 ? g_strerror(errno) : NULL;
}

static void append_region(GString *text, const char *name, guint size)
{
    g_string_append_printf(text,
                           "%s{\"device_name\":\"%s\",\"current_version\":1,"
                           "\"min_compatible_version\":1,\"region_size\":%u,"
                           "\"guest_to_host_signal_table\":{\"num_nodes_lg2\":1},"
                           "\"host_to_guest_signal_table\":{\"num_nodes_lg2\":1}}",
                           g_str_has_suffix(text->str, "[") ? "" : ",", name, size);
}

static char *layout_setting(guint n_regions)
{
    GString *text = g_string_new("layout={\"vsoc_device_regions\":[");

    append_region(text, "trip", PAGE);
    append_region(text, "ring", RING_BYTES);
    for (guint i = 2; i < n_regions; i++) {
        g_autofree char *name = g_strdup_printf("spare%u", i);
        append_region(text, name, PAGE);
    }
    g_string_append(text, "]}");
    return g_string_free(text, FALSE);
}

static char *port_path(const char *port)
{
    return g_strdup_printf("cvd-bench-%d-%u-%s", getpid(), n_started, port);
}

static char *chardev_setting(void)
{
    g_autofree char *echo = port_path("echo"), *sink = port_path("sink");

    return g_strdup_printf(
        "qemu.extra_args=[\"-chardev\",\"socket,id=echo,abstract=on,path=%s,server=on,wait=off\","
        "\"-chardev\",\"socket,id=sink,abstract=on,path=%s,server=on,wait=off\"]",
        echo, sink);
}

/* Of a number that no other guest of this machine is likely to have. */
static guint vsock_cid(void)
{
    return 3 + ((guint)getpid() << 4) + n_started;
}

static char *devices_setting(gboolean has_vsock)
{
    g_autofree char *vsock =
        has_vsock
            ? g_strdup_printf(",{\"driver\":\"vhost-vsock-pci\",\"guest-cid\":%u}", vsock_cid())
            : g_strdup("");

    return g_strdup_printf("qemu.devices=[{\"driver\":\"intel-iommu\"},"
                           "{\"driver\":\"virtio-serial-pci\",\"id\":\"ports\"},"
                           "{\"driver\":\"virtserialport\",\"bus\":\"ports.0\",\"chardev\":"
                           "\"echo\",\"name\":\"echo\"},"
                           "{\"driver\":\"virtserialport\",\"bus\":\"ports.0\",\"chardev\":"
                           "\"sink\",\"name\":\"sink\"}%s]",
                           vsock);
}

static TestLinux *boot(const char *accel, guint n_regions, guint64 window_size, gboolean is_huge)
{
    g_autofree char *layout = layout_setting(n_regions);
    g_autofree char *chardevs = chardev_setting();
    g_autofree char *devices = devices_setting(guest_why_no_vsock() == NULL);
    g_autofree char *size = g_strdup_printf("window.size=%" G_GUINT64_FORMAT, window_size);
    g_autofree char *accelerator = g_strdup_printf("qemu.accel=%s", accel);
    g_autofree char *expected = g_strdup_printf("accelerator %s", accel);
    const char *sets[] = {
        layout, chardevs, devices, size, accelerator, is_huge ? "window.hugepages=2M" : NULL, NULL};
    TestLinux *vm = test_linux_start_with(sets);

    test_linux_wait_ready(vm, 1);
    test_launcher_assert_err(vm->launcher, expected);
    return vm;
}

static int connect_port(const char *port)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autofree char *path = port_path(port);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path + 1, path, sizeof address.sun_path - 1);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(path));
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, size) < 0)
        g_error("@%s: %s", path, g_strerror(errno));
    return fd;
}

static int connect_vsock(TestLinux *vm)
{
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_port = VSOCK_PORT, .svm_cid = vsock_cid()};

    if (guest_why_no_vsock() != NULL)
        return -1;
    test_linux_command(vm, "vsock-echo 5000", "cvd-agent: vsock-echo: started");
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        g_error("vsock %u: %s", address.svm_cid, g_strerror(errno));
    return fd;
}

Guest *guest_start(const char *accel, guint n_regions, guint64 window_size, gboolean is_huge)
{
    Guest *guest = g_new0(Guest, 1);
    g_autoptr(GError) error = NULL;

    n_started++;
    guest->vm = boot(accel, n_regions, window_size, is_huge);
    guest->echo = connect_port("echo");
    guest->sink = connect_port("sink");
    test_linux_command(guest->vm, "virtio-echo echo", "cvd-agent: virtio-echo: started");
    test_linux_command(guest->vm, "virtio-sink sink", "cvd-agent: virtio-sink: started");
    guest->vsock = connect_vsock(guest->vm);
    guest->trip = cvd_region_open(guest->vm->client_socket, "trip", 0, NULL, &error);
    if (guest->trip == NULL)
        g_error("%s", error->message);
    guest->ring = test_linux_attach(guest->vm, "ring");
    return guest;
}

void guest_stop(Guest *guest)
{
    g_clear_object(&guest->trip);
    test_region_free(guest->ring);
    cvd_close_fd(&guest->echo);
    cvd_close_fd(&guest->sink);
    cvd_close_fd(&guest->vsock);
    test_linux_stop(guest->vm);
    test_linux_free(guest->vm);
    g_free(guest);
}
