/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host program's side of the client protocol and of the signalling inside a region, and a VM's
 * side of the hand-over. Blocking, one thing at a time: the plainest reading of the specification.
 */
#include "tests/support/region.h"

#include "base/fd.h"
#include "tests/support/process.h"
#include "vsoc/abi.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int test_try_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cvd_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpuint(strlen(path), <, sizeof address.sun_path);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    return g_steal_fd(&fd);
}

int test_connect(const char *path)
{
    int fd = test_try_connect(path);

    if (fd < 0)
        g_error("%s: %s", path, g_strerror(errno));
    return fd;
}

static void send_text(int socket, const char *text)
{
    g_assert_cmpint(send(socket, text, strlen(text), MSG_NOSIGNAL), ==, (gssize)strlen(text));
}

/* Exactly @size bytes, with at most one descriptor. */
static int receive(int socket, void *data, gsize size)
{
    int fd = -1;

    for (gsize done = 0; done < size;) {
        int got;
        test_wait_readable(socket, "an answer");
        gssize n = cvd_socket_receive(socket, (char *)data + done, size - done, &got, 1);
        if (n <= 0)
            g_error("the server closed the connection instead of answering");
        if (got >= 0) {
            g_assert_cmpint(fd, ==, -1);
            fd = got;
        }
        done += (gsize)n;
    }
    return fd;
}

static guint32 receive_number(int socket)
{
    char text[11] = {0};

    g_assert_cmpint(receive(socket, text, 10), ==, -1);
    g_assert_true(g_str_has_prefix(text, "0x"));
    return (guint32)strtoul(text, NULL, 16);
}

static int receive_fd(int socket)
{
    static const char zero[8];
    char bytes[8];
    int fd = receive(socket, bytes, sizeof bytes);

    g_assert_cmpmem(bytes, sizeof bytes, zero, sizeof zero);
    g_assert_cmpint(fd, >=, 0);
    return fd;
}

void test_say_hello(int socket)
{
    char version[14];

    send_text(socket, "GET PROTOCOL_VER");
    g_assert_cmpint(receive(socket, version, sizeof version), ==, -1);
    g_assert_cmpmem(version, sizeof version, "PROTOCOL_VER 0", 14);
}

static void request(TestRegion *region, const char *name)
{
    g_autofree char *length =
        g_strdup_printf("INFORM REGION_NAME_LEN: 0x%08x", (guint)strlen(name));

    send_text(region->socket, length);
    send_text(region->socket, "GET REGION: ");
    send_text(region->socket, name);
    region->begin = receive_number(region->socket);
    if (region->begin == G_MAXUINT32)
        g_error("the server knows no region '%s'", name);
    region->end = receive_number(region->socket);
    region->guest_to_host = receive_fd(region->socket);
    region->host_to_guest = receive_fd(region->socket);
    region->window = receive_fd(region->socket);
}

static void read_descriptor(TestRegion *region, const char *name)
{
    struct vsoc_shm_layout_descriptor header;
    struct vsoc_device_region descriptor;

    memcpy(&header, region->map, sizeof header);
    g_assert_cmpuint(header.size, ==, region->window_size);
    for (guint i = 0; i < header.region_count; i++) {
        memcpy(&descriptor, region->map + header.vsoc_region_desc_offset + i * sizeof descriptor,
               sizeof descriptor);
        if (strncmp(descriptor.device_name, name, sizeof descriptor.device_name) != 0)
            continue;
        g_assert_cmpuint(descriptor.region_begin_offset, ==, region->begin);
        g_assert_cmpuint(descriptor.region_end_offset, ==, region->end);
        region->data_offset = descriptor.offset_of_region_data;
        region->in.lg2 = descriptor.guest_to_host_signal_table.num_nodes_lg2;
        region->in.table = descriptor.guest_to_host_signal_table.futex_uaddr_table_offset;
        region->in.word = descriptor.guest_to_host_signal_table.interrupt_signalled_offset;
        region->out.lg2 = descriptor.host_to_guest_signal_table.num_nodes_lg2;
        region->out.table = descriptor.host_to_guest_signal_table.futex_uaddr_table_offset;
        region->out.word = descriptor.host_to_guest_signal_table.interrupt_signalled_offset;
        return;
    }
    g_error("the window has no descriptor of region '%s'", name);
}

guint32 *test_region_word(const TestRegion *region, guint32 offset)
{
    g_assert_cmpuint(offset, <, region->end - region->begin);
    return (guint32 *)(gpointer)(region->map + region->begin + offset);
}

static guint32 exchange(guint32 *word, guint32 value)
{
    return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}

static gboolean receive_signals(TestRegion *region, guint32 wanted)
{
    gboolean found = FALSE;

    exchange(test_region_word(region, region->in.word), 0);
    for (guint32 i = 0; i < 1u << region->in.lg2; i++)
        if (exchange(test_region_word(region, region->in.table + 4 * i), 0) == wanted)
            found = TRUE;
    return found;
}

void test_visit_again(int socket, const char *name)
{
    TestRegion region = {.socket = socket};

    request(&region, name);
    g_assert_cmpuint(region.begin, <, region.end);
    cvd_close_fd(&region.window);
    cvd_close_fd(&region.guest_to_host);
    cvd_close_fd(&region.host_to_guest);
}

static void wait_end(int socket)
{
    char byte;

    test_wait_readable(socket, "the end of the connection");
    g_assert_cmpint(read(socket, &byte, 1), ==, 0);
}

/* A descriptor is out of the server's table before the other end of its socket hears of it. */
void test_visit(const char *socket_path, const char *name)
{
    cvd_autofd socket = test_connect(socket_path);

    test_say_hello(socket);
    test_visit_again(socket, name);
    g_assert_no_errno(shutdown(socket, SHUT_WR));
    wait_end(socket);
}

TestRegion *test_region_attach(const char *socket_path, const char *name)
{
    TestRegion *region = g_new0(TestRegion, 1);
    struct stat st;

    region->socket = test_connect(socket_path);
    test_say_hello(region->socket);
    request(region, name);
    g_assert_cmpint(fstat(region->window, &st), ==, 0);
    region->window_size = (gsize)st.st_size;
    region->map =
        mmap(NULL, region->window_size, PROT_READ | PROT_WRITE, MAP_SHARED, region->window, 0);
    g_assert_true(region->map != MAP_FAILED);
    read_descriptor(region, name);
    receive_signals(region, 0);
    if (__atomic_load_n(test_region_word(region, region->out.word), __ATOMIC_SEQ_CST) != 0)
        test_region_ring(region);
    return region;
}

void test_region_wait_closed(TestRegion *region)
{
    wait_end(region->socket);
}

gboolean test_region_is_closed(const TestRegion *region)
{
    struct pollfd poll_fd = {.fd = region->socket, .events = POLLIN};

    return poll(&poll_fd, 1, 0) > 0;
}

void test_region_free(TestRegion *region)
{
    munmap(region->map, region->window_size);
    cvd_close_fd(&region->window);
    cvd_close_fd(&region->guest_to_host);
    cvd_close_fd(&region->host_to_guest);
    cvd_close_fd(&region->socket);
    g_free(region);
}

void test_region_ring(TestRegion *region)
{
    guint64 one = 1;

    g_assert_cmpint(write(region->host_to_guest, &one, sizeof one), ==, sizeof one);
}

gboolean test_region_is_rung(const TestRegion *region)
{
    struct pollfd poll_fd = {.fd = region->guest_to_host, .events = POLLIN};

    return poll(&poll_fd, 1, 0) > 0;
}

void test_region_wait_ring(TestRegion *region)
{
    guint64 count;

    test_wait_readable(region->guest_to_host, "a ring of the guest");
    g_assert_cmpint(read(region->guest_to_host, &count, sizeof count), ==, sizeof count);
    g_assert_cmpuint(count, >, 0);
}

void test_region_signal(TestRegion *region, guint32 offset)
{
    guint32 mask = (1u << region->out.lg2) - 1;
    guint32 i;

    for (i = 0; i <= mask; i++) {
        guint32 seen = 0;
        guint32 slot = ((offset >> 2) + i) & mask;
        if (__atomic_compare_exchange_n(test_region_word(region, region->out.table + 4 * slot),
                                        &seen, offset, FALSE, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
            seen == offset)
            break;
    }
    if (i > mask)
        g_error("the signal table is full");
    if (exchange(test_region_word(region, region->out.word), 1) == 0)
        test_region_ring(region);
}

/*
 * The ring first, then the table: the guest rings after every signal that finds the word zero, and
 * this order leaves no ring behind that a later wait could take for its own.
 */
void test_region_wait_signal(TestRegion *region, guint32 offset)
{
    do
        test_region_wait_ring(region);
    while (!receive_signals(region, offset));
}

static gboolean is_zero(const TestRegion *region, guint32 table, guint32 lg2, guint32 word)
{
    guint32 any = *test_region_word(region, word);

    for (guint32 i = 0; i < 1u << lg2; i++)
        any |= *test_region_word(region, table + 4 * i);
    return any == 0;
}

gboolean test_region_signals_are_zero(const TestRegion *region)
{
    return is_zero(region, region->in.table, region->in.lg2, region->in.word) &&
           is_zero(region, region->out.table, region->out.lg2, region->out.word);
}

void test_region_ping(TestRegion *region, guint32 offset, guint32 value)
{
    __atomic_store_n(test_region_word(region, offset + 4), 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(test_region_word(region, offset), value, __ATOMIC_SEQ_CST);
    test_region_signal(region, offset);
    test_region_wait_signal(region, offset + 4);
    g_assert_cmpuint(__atomic_load_n(test_region_word(region, offset + 4), __ATOMIC_SEQ_CST), ==,
                     value + 1);
}

void test_region_wait_room(TestRegion *region, const char *socket_path, const char *barrier)
{
    guint32 asked = region->data_offset, n_slots = 1u << region->in.lg2;
    guint32 *slots = test_region_word(region, region->in.table);

    *test_region_word(region, asked) = 41;
    *test_region_word(region, asked + 4) = 0;
    for (guint32 i = 0; i < n_slots; i++)
        exchange(&slots[i], asked + 8 + 4 * i);
    test_region_signal(region, asked);
    test_ping(socket_path, barrier); /* by now the guest has seen the signal */
    for (guint32 i = 0; i < n_slots; i++)
        g_assert_cmpuint(slots[i], ==, asked + 8 + 4 * i);
    exchange(&slots[n_slots - 1], 0);
    test_region_wait_signal(region, asked + 4);
    g_assert_cmpuint(*test_region_word(region, asked + 4), ==, 42);
}

void test_region_echo(TestRegion *region)
{
    test_region_ring(region);
    test_region_wait_ring(region);
}

void test_ping(const char *socket_path, const char *name)
{
    g_autoptr(TestRegion) region = test_region_attach(socket_path, name);

    test_region_ping(region, region->data_offset, 41);
}

GPtrArray *test_list_regions(const char *socket_path)
{
    cvd_autofd fd = test_connect(socket_path);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    test_say_hello(fd);
    send_text(fd, "GET REGIONS");
    for (guint32 n = receive_number(fd); n > 0; n--) {
        guint32 begin = receive_number(fd);
        g_assert_cmpuint(begin, <, receive_number(fd));
        guint32 length = receive_number(fd);
        g_assert_cmpuint(length, <=, 15);
        char *name = g_malloc0(length + 1);
        receive(fd, name, length);
        g_ptr_array_add(names, name);
    }
    return names;
}

static int receive_vm(int socket, gint64 expected, gboolean wants_fd)
{
    gint64 value;
    int fd = receive(socket, &value, sizeof value);

    g_assert_cmpint(GINT64_FROM_LE(value), ==, expected);
    g_assert_cmpint(fd >= 0, ==, wants_fd);
    return fd;
}

int test_vm_receive(int socket, guint n_regions)
{
    receive_vm(socket, 0, FALSE);
    receive_vm(socket, 1, FALSE);
    int window = receive_vm(socket, -1, TRUE);
    for (guint i = 0; i < 2 * n_regions; i++) {
        cvd_autofd doorbell = receive_vm(socket, i < n_regions ? 0 : 1, TRUE);
        g_assert_cmpint(doorbell, >=, 0);
    }
    return window;
}

void test_vm_assert_refused(int socket)
{
    gint64 version = 0;

    test_wait_readable(socket, "the refusal");
    g_assert_cmpint(read(socket, &version, sizeof version), ==, sizeof version);
    g_assert_cmpint(GINT64_FROM_LE(version), ==, 1);
    test_wait_readable(socket, "the end of the connection");
    g_assert_cmpint(read(socket, &version, 1), <=, 0);
}
