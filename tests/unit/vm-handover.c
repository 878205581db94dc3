/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand-over as a server sends it, cut at every place, ended at every place, and wrong at every
 * place. The messages are those of section 2 of the protocols' specification.
 */
#include "guests/fake/handover.h"

#include "base/error.h"
#include "base/fd.h"

#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_REGIONS  2
#define N_MESSAGES (3 + 2 * N_REGIONS)
#define N_BYTES    (8 * N_MESSAGES)

/* What a server has: [2] is the window, those after it the doorbells in the order of sending. */
typedef struct {
    int server;
    int vm;
    int fds[N_MESSAGES];
    gint64 values[N_MESSAGES];
    CvdHandover handover;
} Talk;

static void talk_init(Talk *talk)
{
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), ==,
                    0);
    talk->server = pair[0];
    talk->vm = pair[1];
    for (guint i = 0; i < N_MESSAGES; i++) {
        talk->values[i] = i == 1 || i >= 3 + N_REGIONS ? 1 : i == 2 ? -1 : 0;
        talk->fds[i] = i < 2    ? -1
                       : i == 2 ? memfd_create("window", MFD_CLOEXEC)
                                : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        g_assert_true(i < 2 || talk->fds[i] >= 0);
    }
    cvd_handover_init(&talk->handover);
}

static void talk_clear(Talk *talk)
{
    cvd_handover_clear(&talk->handover);
    for (guint i = 0; i < N_MESSAGES; i++)
        cvd_close_fd(&talk->fds[i]);
    cvd_close_fd(&talk->server);
    cvd_close_fd(&talk->vm);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Talk, talk_clear)

static void send_fds(Talk *talk, const void *bytes, gsize size, const int *fds, guint n_fds)
{
    g_assert_cmpint(cvd_socket_send(talk->server, bytes, size, fds, n_fds), ==, (gssize)size);
}

/* Bytes @from … @to of the whole stream; a descriptor goes with the first byte of its message. */
static void send_bytes(Talk *talk, guint from, guint to)
{
    while (from < to) {
        guint i = from / 8, end = MIN(to, 8 * (i + 1));
        gint64 value = GINT64_TO_LE(talk->values[i]);
        gboolean with_fd = from % 8 == 0 && talk->fds[i] >= 0;

        send_fds(talk, (const char *)&value + from % 8, end - from, &talk->fds[i], with_fd ? 1 : 0);
        from = end;
    }
}

/* Reads what there is. Returns: the last event that was not an empty socket's */
static CvdHandoverEvent read_all(Talk *talk, GError **error)
{
    CvdHandoverEvent last = CVD_HANDOVER_EMPTY;

    for (;;) {
        CvdHandoverEvent event = cvd_handover_read(&talk->handover, talk->vm, error);
        if (event == CVD_HANDOVER_EMPTY)
            return last;
        last = event;
        if (event == CVD_HANDOVER_WINDOW)
            cvd_handover_set_regions(&talk->handover, N_REGIONS);
        if (event == CVD_HANDOVER_DONE || event == CVD_HANDOVER_FAILED)
            return event;
    }
}

static void assert_fails(Talk *talk, int code, const char *text)
{
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(read_all(talk, &error), ==, CVD_HANDOVER_FAILED);
    g_assert_error(error, CVD_ERROR, code);
    if (strstr(error->message, text) == NULL)
        g_error("'%s' does not have '%s'", error->message, text);
}

static gboolean is_same_eventfd(int a, int b)
{
    guint64 one = 1, count = 0;

    g_assert_cmpint(write(a, &one, sizeof one), ==, sizeof one);
    return read(b, &count, sizeof count) == sizeof count && count == 1;
}

static void assert_complete(const Talk *talk)
{
    const CvdHandover *handover = &talk->handover;
    char byte = 0;

    g_assert_cmpuint(handover->n_messages, ==, N_MESSAGES);
    g_assert_cmpint(pwrite(talk->fds[2], "w", 1, 0), ==, 1);
    g_assert_cmpint(pread(handover->window_fd, &byte, 1, 0), ==, 1);
    g_assert_cmpint(byte, ==, 'w');
    for (guint i = 0; i < N_REGIONS; i++) {
        g_assert_true(is_same_eventfd(talk->fds[3 + i], handover->guest_to_host[i]));
        g_assert_true(is_same_eventfd(talk->fds[3 + N_REGIONS + i], handover->host_to_guest[i]));
    }
}

static guint count_fds(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint n = 0;

    while (g_dir_read_name(dir) != NULL)
        n++;
    return n;
}

/* Who can be saved is peer 0, and the host peer 1. */
static void test_peer_0(void)
{
    g_auto(Talk) talk;

    talk_init(&talk);
    talk.values[1] = 0;
    for (guint i = 0; i < N_REGIONS; i++) {
        talk.values[3 + i] = 1;
        talk.values[3 + N_REGIONS + i] = 0;
    }
    send_bytes(&talk, 0, N_BYTES);
    g_assert_cmpint(read_all(&talk, NULL), ==, CVD_HANDOVER_DONE);
    assert_complete(&talk);
    g_assert_cmpuint(talk.handover.vm_id, ==, 0);
}

/* Whom it makes the other end is bound by it. */
static void test_peer_0_and_doorbells_of_1(void)
{
    for (guint i = 3; i < N_MESSAGES; i += N_REGIONS) {
        g_auto(Talk) talk;

        talk_init(&talk);
        talk.values[1] = 0;
        for (guint n = 3; n < i; n++)
            talk.values[n] = 1;
        send_bytes(&talk, 0, N_BYTES);
        assert_fails(&talk, CVD_ERROR_PROTOCOL, i == 3 ? "0 instead of 1" : "1 instead of 0");
        g_assert_cmpuint(talk.handover.n_messages, ==, i);
    }
}

static void test_at_once(void)
{
    g_auto(Talk) talk;

    talk_init(&talk);
    send_bytes(&talk, 0, N_BYTES);
    g_assert_cmpint(read_all(&talk, NULL), ==, CVD_HANDOVER_DONE);
    assert_complete(&talk);
}

static void test_every_split(void)
{
    for (guint cut = 1; cut < N_BYTES; cut++) {
        g_auto(Talk) talk;

        talk_init(&talk);
        send_bytes(&talk, 0, cut);
        CvdHandoverEvent event = read_all(&talk, NULL);
        g_assert_cmpint(event, ==, cut == 24 ? CVD_HANDOVER_WINDOW : CVD_HANDOVER_MORE);
        g_assert_cmpuint(talk.handover.n_messages, ==, cut / 8);
        send_bytes(&talk, cut, N_BYTES);
        g_assert_cmpint(read_all(&talk, NULL), ==, CVD_HANDOVER_DONE);
        assert_complete(&talk);
    }
}

static void test_byte_by_byte(void)
{
    g_auto(Talk) talk;

    talk_init(&talk);
    for (guint i = 0; i < N_BYTES; i++) {
        g_assert_cmpuint(talk.handover.n_messages, ==, i / 8);
        send_bytes(&talk, i, i + 1);
        read_all(&talk, NULL);
    }
    assert_complete(&talk);
}

/* A reader that stops at the end leaves what follows to others. */
static void test_reads_no_further(void)
{
    g_auto(Talk) talk;
    char byte;

    talk_init(&talk);
    send_bytes(&talk, 0, N_BYTES);
    send_fds(&talk, "x", 1, NULL, 0);
    g_assert_cmpint(read_all(&talk, NULL), ==, CVD_HANDOVER_DONE);
    g_assert_cmpint(recv(talk.vm, &byte, 1, MSG_DONTWAIT), ==, 1);
    g_assert_cmpint(byte, ==, 'x');
}

static void test_closed_at_once(void)
{
    g_auto(Talk) talk;

    talk_init(&talk);
    cvd_close_fd(&talk.server);
    assert_fails(&talk, CVD_ERROR_BUSY, "another VM is attached");
}

/* What QEMU ends on says the same to us. */
static void test_refused(void)
{
    g_auto(Talk) talk;
    const gint64 version = GINT64_TO_LE(1);

    talk_init(&talk);
    send_fds(&talk, &version, sizeof version, NULL, 0);
    cvd_close_fd(&talk.server);
    assert_fails(&talk, CVD_ERROR_BUSY, "another VM is attached");
}

static void test_closed_anywhere(void)
{
    for (guint cut = 1; cut < N_BYTES; cut++) {
        guint n_fds = count_fds();
        {
            g_auto(Talk) talk;
            g_autofree char *text = g_strdup_printf("after %u messages", cut / 8);

            talk_init(&talk);
            send_bytes(&talk, 0, cut);
            cvd_close_fd(&talk.server);
            assert_fails(&talk, CVD_ERROR_CLOSED, text);
        }
        g_assert_cmpuint(count_fds(), ==, n_fds);
    }
}

static void test_wrong_number(void)
{
    static const char *const names[] = {
        "version", "ID", "window", "doorbell of the host", "host", "doorbell of the VM", "VM"};

    for (guint i = 0; i < N_MESSAGES; i++) {
        g_auto(Talk) talk;

        talk_init(&talk);
        talk.values[i] = 7;
        send_bytes(&talk, 0, N_BYTES);
        assert_fails(&talk, CVD_ERROR_PROTOCOL, names[i]);
        g_assert_cmpuint(talk.handover.n_messages, ==, i);
    }
}

/* All eight bytes count, and they are little-endian. */
static void test_wide_number(void)
{
    g_auto(Talk) talk;

    talk_init(&talk);
    talk.values[0] = G_GINT64_CONSTANT(1) << 56;
    send_bytes(&talk, 0, 8);
    assert_fails(&talk, CVD_ERROR_PROTOCOL, "72057594037927936 instead of 0");
}

static void test_missing_descriptor(void)
{
    for (guint i = 2; i < N_MESSAGES; i++) {
        g_auto(Talk) talk;

        talk_init(&talk);
        cvd_close_fd(&talk.fds[i]);
        send_bytes(&talk, 0, N_BYTES);
        assert_fails(&talk, CVD_ERROR_PROTOCOL, "descriptor is missing");
        g_assert_cmpuint(talk.handover.n_messages, ==, i);
    }
}

static void test_descriptor_where_none_belongs(void)
{
    for (guint i = 0; i < 2; i++) {
        g_auto(Talk) talk;

        talk_init(&talk);
        talk.fds[i] = eventfd(0, EFD_CLOEXEC);
        send_bytes(&talk, 0, N_BYTES);
        assert_fails(&talk, CVD_ERROR_PROTOCOL, "where none belongs");
    }
}

static void test_two_descriptors(void)
{
    guint n_fds = count_fds();
    {
        g_auto(Talk) talk;
        gint64 value = GINT64_TO_LE(-1);

        talk_init(&talk);
        send_bytes(&talk, 0, 16);
        send_fds(&talk, &value, sizeof value, &talk.fds[2], 2);
        assert_fails(&talk, CVD_ERROR_PROTOCOL, "more than one descriptor");
    }
    g_assert_cmpuint(count_fds(), ==, n_fds);
}

static void test_two_descriptors_in_pieces(void)
{
    g_auto(Talk) talk;
    gint64 value = GINT64_TO_LE(-1);

    talk_init(&talk);
    send_bytes(&talk, 0, 16);
    send_fds(&talk, &value, 4, &talk.fds[2], 1);
    send_fds(&talk, (const char *)&value + 4, 4, &talk.fds[3], 1);
    assert_fails(&talk, CVD_ERROR_PROTOCOL, "more than one descriptor");
}

static void send_ready(Talk *talk, gint64 value, int fd)
{
    gint64 bytes = GINT64_TO_LE(value);

    send_fds(talk, &bytes, sizeof bytes, &fd, fd >= 0 ? 1 : 0);
}

/* A server that asks when the guest is ready sends one message more. */
static void test_ready(void)
{
    cvd_autofd doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    g_auto(Talk) talk;

    talk_init(&talk);
    send_bytes(&talk, 0, N_BYTES);
    send_ready(&talk, 2, doorbell);
    g_assert_cmpint(read_all(&talk, NULL), ==, CVD_HANDOVER_DONE);
    assert_complete(&talk);
    g_assert_cmpint(talk.handover.ready_fd, ==, -1);
    g_assert_cmpint(read_all(&talk, NULL), ==, CVD_HANDOVER_READY);
    g_assert_true(is_same_eventfd(doorbell, talk.handover.ready_fd));
    send_ready(&talk, 2, doorbell);
    assert_fails(&talk, CVD_ERROR_PROTOCOL, "a second time");
}

static void test_no_ready(void)
{
    static const struct {
        gint64 value;
        gboolean has_fd;
        const char *says;
    } rows[] = {{1, TRUE, "1 instead of 2"}, {2, FALSE, "descriptor is missing"}};

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        cvd_autofd doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        g_auto(Talk) talk;

        talk_init(&talk);
        send_bytes(&talk, 0, N_BYTES);
        g_assert_cmpint(read_all(&talk, NULL), ==, CVD_HANDOVER_DONE);
        send_ready(&talk, rows[i].value, rows[i].has_fd ? doorbell : -1);
        assert_fails(&talk, CVD_ERROR_PROTOCOL, rows[i].says);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vm-handover/at-once", test_at_once);
    g_test_add_func("/vm-handover/peer-0", test_peer_0);
    g_test_add_func("/vm-handover/peer-0-and-doorbells-of-1", test_peer_0_and_doorbells_of_1);
    g_test_add_func("/vm-handover/every-split", test_every_split);
    g_test_add_func("/vm-handover/byte-by-byte", test_byte_by_byte);
    g_test_add_func("/vm-handover/reads-no-further", test_reads_no_further);
    g_test_add_func("/vm-handover/closed-at-once", test_closed_at_once);
    g_test_add_func("/vm-handover/refused", test_refused);
    g_test_add_func("/vm-handover/closed-anywhere", test_closed_anywhere);
    g_test_add_func("/vm-handover/wrong-number", test_wrong_number);
    g_test_add_func("/vm-handover/wide-number", test_wide_number);
    g_test_add_func("/vm-handover/missing-descriptor", test_missing_descriptor);
    g_test_add_func("/vm-handover/descriptor-where-none-belongs",
                    test_descriptor_where_none_belongs);
    g_test_add_func("/vm-handover/two-descriptors", test_two_descriptors);
    g_test_add_func("/vm-handover/two-descriptors-in-pieces", test_two_descriptors_in_pieces);
    g_test_add_func("/vm-handover/ready", test_ready);
    g_test_add_func("/vm-handover/no-ready", test_no_ready);
    return g_test_run();
}
