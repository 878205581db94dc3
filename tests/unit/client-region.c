/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client library against the real server, which runs in a thread of its own. The guest is
 * played here too: it holds the same doorbells and the other sides of the signal tables.
 */
#include "client/cvd-client.h"

#include "client/handshake.h"
#include "client/mapping.h"
#include "client/tool/pinger.h"
#include "server/server.h"

#include "tests/unit/layout-spec.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SIZE 8192U
/* Tables of 4 slots and their words come first. */
#define DATA 40U

/* Before 5.8 an eventfd does not know RWF_NOWAIT. */
static gboolean is_old_kernel;

ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
    if (!is_old_kernel)
        return syscall(SYS_preadv2, fd, iov, n, offset, offset, flags);
    errno = EOPNOTSUPP;
    return -1;
}

typedef struct {
    char *dir;
    char *client_socket;
    char *vm_socket;
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
    CvdServer *server; /* of that thread */
    GAsyncQueue *done;
} Fixture;

static CvdLayout *layout_new(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    for (const char *const *name = (const char *const[]){"first", "second", "third", NULL}; *name;
         name++)
        test_add_whole_region(spec, *name, SIZE, 5, 3, 2, 2);
    return test_compute_layout(spec);
}

static gpointer serve(gpointer data)
{
    Fixture *fixture = data;
    g_autoptr(CvdLayout) layout = layout_new();
    g_autoptr(GError) error = NULL;

    g_main_context_push_thread_default(fixture->context);
    fixture->server = g_object_new(CVD_TYPE_SERVER, "layout", layout, "vm-socket",
                                   fixture->vm_socket, "client-socket", fixture->client_socket,
                                   "vm-access", CVD_VM_ACCESS_SAME_USER, NULL);
    g_assert_true(cvd_server_start(fixture->server, &error));
    g_async_queue_push(fixture->done, fixture);
    g_main_loop_run(fixture->loop);
    g_clear_object(&fixture->server);
    g_main_context_pop_thread_default(fixture->context);
    return NULL;
}

static void set_up(Fixture *fixture, gconstpointer data)
{
    fixture->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    fixture->client_socket = g_build_filename(fixture->dir, "client", NULL);
    fixture->vm_socket = g_build_filename(fixture->dir, "vm", NULL);
    fixture->context = g_main_context_new();
    fixture->loop = g_main_loop_new(fixture->context, FALSE);
    fixture->done = g_async_queue_new();
    fixture->thread = g_thread_new("server", serve, fixture);
    g_async_queue_pop(fixture->done);
}

/* In the server's thread; returns when it is done. */
static void in_server(Fixture *fixture, GSourceFunc function)
{
    g_main_context_invoke(fixture->context, function, fixture);
    g_async_queue_pop(fixture->done);
}

static gboolean do_quit(gpointer data)
{
    Fixture *fixture = data;

    g_main_loop_quit(fixture->loop);
    g_async_queue_push(fixture->done, fixture);
    return G_SOURCE_REMOVE;
}

static gboolean do_stop(gpointer data)
{
    Fixture *fixture = data;

    cvd_server_stop(fixture->server);
    g_async_queue_push(fixture->done, fixture);
    return G_SOURCE_REMOVE;
}

static gboolean do_reset(gpointer data)
{
    Fixture *fixture = data;
    g_autoptr(GError) error = NULL;

    cvd_server_hold_clients(fixture->server);
    cvd_server_clear_signals(fixture->server, &error);
    g_assert_no_error(error);
    cvd_server_admit_clients(fixture->server);
    g_async_queue_push(fixture->done, fixture);
    return G_SOURCE_REMOVE;
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    in_server(fixture, do_quit);
    g_thread_join(fixture->thread);
    g_main_loop_unref(fixture->loop);
    g_main_context_unref(fixture->context);
    g_async_queue_unref(fixture->done);
    g_assert_cmpint(g_rmdir(fixture->dir), ==, 0);
    g_free(fixture->client_socket);
    g_free(fixture->vm_socket);
    g_free(fixture->dir);
}

static CvdRegion *open_region(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    CvdRegion *region = cvd_region_open(fixture->client_socket, "second", 5, NULL, &error);

    g_assert_no_error(error);
    return region;
}

/* What the guest has of a region. */
typedef struct {
    CvdHandshake *handshake;
    CvdHandshakeResult *result;
    CvdMapping *mapping;
    struct vsoc_end end;
} Guest;

static Guest *guest_new(Fixture *fixture)
{
    Guest *guest = g_new0(Guest, 1);
    g_autoptr(GError) error = NULL;

    guest->handshake = cvd_handshake_new(fixture->client_socket, "second", CVD_HANDSHAKE_LIMIT_MS);
    cvd_handshake_run(guest->handshake, NULL, &error);
    g_assert_no_error(error);
    guest->result = cvd_handshake_get_result(guest->handshake);
    guest->mapping = cvd_mapping_new(guest->result->window, "second", guest->result->begin,
                                     guest->result->end, 0, &error);
    g_assert_no_error(error);
    guest->end = (struct vsoc_end){guest->mapping->base, &guest->mapping->descriptor, VSOC_GUEST};
    return guest;
}

static void guest_free(Guest *guest)
{
    cvd_mapping_free(guest->mapping);
    cvd_handshake_free(guest->handshake);
    g_free(guest);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Guest, guest_free)

static void guest_ring(Guest *guest)
{
    g_assert_cmpint(eventfd_write(guest->result->guest_to_host, 1), ==, 0);
}

static void guest_signal(Guest *guest, guint32 offset)
{
    enum vsoc_send result = vsoc_signals_send(&guest->end, offset);

    g_assert_cmpint(result, !=, VSOC_SEND_FULL);
    if (result == VSOC_SEND_RING)
        guest_ring(guest);
}

static guint32 *guest_word(Guest *guest, guint32 offset)
{
    return (guint32 *)(void *)(guest->mapping->base + offset);
}

static gboolean guest_is_rung(Guest *guest)
{
    eventfd_t count;

    return eventfd_read(guest->result->host_to_guest, &count) == 0;
}

/* One of the slots in which the host finds what the guest signals. */
static guint32 *guest_slot(Guest *guest, guint32 i)
{
    return guest_word(guest,
                      guest->end.region->guest_to_host_signal_table.futex_uaddr_table_offset) +
           i;
}

static void take(void *offsets, guint32 offset)
{
    g_array_append_val((GArray *)offsets, offset);
}

static GArray *guest_receive(Guest *guest)
{
    GArray *offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
    const struct vsoc_receiver receiver = {
        .first = 4, .last = SIZE - 4, .take = take, .data = offsets};

    vsoc_signals_receive(&guest->end, &receiver);
    return offsets;
}

static void assert_wait(CvdRegion *region, guint n, guint32 first)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) offsets = cvd_region_wait(region, -1, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(offsets->len, ==, n);
    if (n > 0)
        g_assert_cmpuint(g_array_index(offsets, guint32, 0), ==, first);
}

static void assert_wait_fails(CvdRegion *region, int timeout_ms, GQuark domain, int code)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(cvd_region_wait(region, timeout_ms, NULL, &error));
    g_assert_error(error, domain, code);
}

#define assert_fails(call, code)                                                                   \
    G_STMT_START                                                                                   \
    {                                                                                              \
        g_autoptr(GError) why_ = NULL;                                                             \
        GError **why = &why_;                                                                      \
        g_assert_false(call);                                                                      \
        g_assert_error(why_, CVD_REGION_ERROR, code);                                              \
    }                                                                                              \
    G_STMT_END

static void test_open(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    gsize size;

    g_assert_cmpstr(cvd_region_get_name(region), ==, "second");
    g_assert_cmpuint(cvd_region_get_version(region), ==, 5);
    g_assert_cmpuint(cvd_region_get_min_compatible_version(region), ==, 3);
    /* One page of descriptors, then the first region. */
    g_assert_cmpuint(cvd_region_get_begin(region), ==, 4096 + SIZE);
    g_assert_cmpuint(cvd_region_get_size(region), ==, SIZE);
    g_assert_cmpuint(cvd_region_get_data_offset(region), ==, DATA);
    guint8 *bytes = cvd_region_get_data(region, &size);
    g_assert_cmpuint(size, ==, SIZE - DATA);
    bytes[size - 1] = 0x12;
    guint word;
    g_assert_true(cvd_region_load(region, SIZE - 4, &word, NULL));
    g_assert_cmphex(word, ==, 0x12000000);
    g_assert_false(cvd_region_is_closed(region));
}

static void test_open_fails(Fixture *fixture, gconstpointer data)
{
    const char *path = fixture->client_socket;

    assert_fails(cvd_region_open(path, "fourth", 0, NULL, why), CVD_REGION_ERROR_UNKNOWN_REGION);
    assert_fails(cvd_region_open(path, "second", 2, NULL, why), CVD_REGION_ERROR_VERSION);
    assert_fails(cvd_region_open(path, "second", 6, NULL, why), CVD_REGION_ERROR_VERSION);
    assert_fails(cvd_region_open(fixture->dir, "second", 0, NULL, why), CVD_REGION_ERROR_NO_SERVER);
    g_autoptr(CvdRegion) region = cvd_region_open(path, "second", 3, NULL, NULL);
    g_assert_nonnull(region);
}

static void test_observe(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdRegion) writer = open_region(fixture);
    g_autoptr(CvdRegion) region =
        cvd_region_observe(fixture->client_socket, "second", 5, NULL, &error);
    gboolean is_observer = FALSE;
    guint word;

    g_assert_no_error(error);
    g_object_get(region, "observer", &is_observer, NULL);
    g_assert_true(is_observer);
    g_assert_true(cvd_region_store(writer, DATA, 42, NULL));
    for (guint i = 0; i < 2; i++) {
        g_assert_true(cvd_region_is_read_only(region));
        g_assert_true(cvd_region_load(region, DATA, &word, NULL));
        g_assert_cmpuint(word, ==, 42);
        assert_fails(cvd_region_store(region, DATA, 0, why), CVD_REGION_ERROR_READ_ONLY);
        assert_fails(cvd_region_signal(region, DATA, why), CVD_REGION_ERROR_READ_ONLY);
        assert_wait_fails(region, 0, CVD_REGION_ERROR, CVD_REGION_ERROR_READ_ONLY);
        g_assert_true(cvd_region_reopen(region, NULL, &error));
    }
    assert_fails(cvd_region_observe(fixture->client_socket, "fourth", 0, NULL, why),
                 CVD_REGION_ERROR_UNKNOWN_REGION);
}

static void test_list(Fixture *fixture, gconstpointer data)
{
    static const char *const names[] = {"first", "second", "third"};
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) regions = cvd_list_regions(fixture->client_socket, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(regions->len, ==, 3);
    for (guint i = 0; i < 3; i++) {
        CvdRegionInfo *info = &g_array_index(regions, CvdRegionInfo, i);
        g_assert_cmpstr(info->name, ==, names[i]);
        g_assert_cmpuint(info->begin, ==, 4096 + i * SIZE);
        g_assert_cmpuint(info->end, ==, 4096 + (i + 1) * SIZE);
    }
}

static void test_words(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    guint value;

    g_assert_true(cvd_region_store(region, SIZE - 4, 0xabcdef01, NULL));
    g_assert_true(cvd_region_load(region, SIZE - 4, &value, NULL));
    g_assert_cmphex(value, ==, 0xabcdef01);
    static const guint bad[] = {SIZE, SIZE - 3, 1, 0xfffffffc, 0xffffffff};
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_fails(cvd_region_load(region, bad[i], &value, why), CVD_REGION_ERROR_BAD_OFFSET);
        assert_fails(cvd_region_store(region, bad[i], 0, why), CVD_REGION_ERROR_BAD_OFFSET);
        assert_fails(cvd_region_signal(region, bad[i], why), CVD_REGION_ERROR_BAD_OFFSET);
        assert_fails(cvd_region_wait_word(region, bad[i], 0, 0, NULL, why),
                     CVD_REGION_ERROR_BAD_OFFSET);
    }
    assert_fails(cvd_region_signal(region, 0, why), CVD_REGION_ERROR_BAD_OFFSET);
}

static void test_bytes(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autofree char *text = g_strnfill(SIZE + 1, 'x');
    g_autoptr(GBytes) whole = g_bytes_new(text, SIZE - DATA);
    g_autoptr(GBytes) one_more = g_bytes_new(text, SIZE - DATA + 1);
    g_autoptr(GBytes) none = g_bytes_new(NULL, 0);

    g_assert_true(cvd_region_write(region, DATA, whole, NULL));
    assert_fails(cvd_region_write(region, DATA, one_more, why), CVD_REGION_ERROR_BAD_OFFSET);
    assert_fails(cvd_region_write(region, 0xffffffff, one_more, why), CVD_REGION_ERROR_BAD_OFFSET);
    g_assert_true(cvd_region_write(region, SIZE, none, NULL));
    assert_fails(cvd_region_write(region, SIZE + 1, none, why), CVD_REGION_ERROR_BAD_OFFSET);

    g_autoptr(GBytes) read = cvd_region_read(region, DATA, SIZE - DATA, NULL);
    g_assert_true(g_bytes_equal(read, whole));
    assert_fails(cvd_region_read(region, DATA, SIZE - DATA + 1, why), CVD_REGION_ERROR_BAD_OFFSET);
    assert_fails(cvd_region_read(region, 1, G_MAXSIZE, why), CVD_REGION_ERROR_BAD_OFFSET);
    g_autoptr(GBytes) end = cvd_region_read(region, SIZE, 0, NULL);
    g_assert_cmpuint(g_bytes_get_size(end), ==, 0);

    g_assert_true(cvd_region_allocate(region, 0, SIZE, NULL));
    g_assert_true(cvd_region_allocate(region, SIZE, 0, NULL));
    assert_fails(cvd_region_allocate(region, 1, SIZE, why), CVD_REGION_ERROR_BAD_OFFSET);
    assert_fails(cvd_region_allocate(region, SIZE, 1, why), CVD_REGION_ERROR_BAD_OFFSET);
}

static void test_signal(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);
    g_autoptr(GError) error = NULL;

    g_assert_true(cvd_region_signal(region, DATA, &error));
    g_assert_true(guest_is_rung(guest));
    g_assert_true(cvd_region_signal(region, SIZE - 4, &error));
    g_assert_false(guest_is_rung(guest)); /* it has not looked yet */
    g_autoptr(GArray) offsets = guest_receive(guest);
    g_assert_cmpuint(offsets->len, ==, 2);
    g_assert_cmpuint(g_array_index(offsets, guint32, 1), ==, SIZE - 4);

    for (guint i = 0; i < 4; i++)
        g_assert_true(cvd_region_signal(region, DATA + 4 * i, &error));
    assert_fails(cvd_region_signal(region, DATA + 16, why), CVD_REGION_ERROR_TABLE_FULL);
    g_assert_true(guest_is_rung(guest));
    g_assert_true(cvd_region_interrupt(region, &error));
    g_assert_true(guest_is_rung(guest));
}

static void test_wait(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);

    assert_wait_fails(region, 0, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    guest_signal(guest, DATA);
    guest_signal(guest, DATA + 8);
    assert_wait(region, 2, DATA);
    assert_wait_fails(region, 1, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    guest_ring(guest);
    assert_wait(region, 0, 0);
    assert_wait_fails(region, 0, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    /* A guest that ended before ringing. */
    vsoc_signals_send(&guest->end, DATA + 4);
    assert_wait(region, 1, DATA + 4);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    guest_signal(guest, DATA + 12);
    g_autoptr(GArray) offsets = cvd_region_wait(region, -1, cancellable, NULL);
    g_assert_cmpuint(offsets->len, ==, 1);
}

/* A ring is told once, and one that nobody was told of stays for whoever waits next. */
static void test_rings_at_the_end(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Guest) guest = guest_new(fixture);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();

    for (guint is_told = 0; is_told < 2; is_told++) {
        g_autoptr(CvdRegion) region = open_region(fixture);
        assert_wait_fails(region, 0, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
        guest_ring(guest);
        if (is_told)
            assert_wait(region, 0, 0);
        g_clear_object(&region);
        region = open_region(fixture);
        if (!is_told)
            assert_wait(region, 0, 0);
        assert_wait_fails(region, 0, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    }
    /* From one way of waiting to the other. */
    g_autoptr(CvdRegion) region = open_region(fixture);
    assert_wait_fails(region, 0, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    guest_ring(guest);
    g_autoptr(GArray) ring = cvd_region_wait(region, -1, cancellable, NULL);
    g_assert_cmpuint(ring->len, ==, 0);
    guest_ring(guest);
    assert_wait(region, 0, 0);
    g_assert_null(cvd_region_wait(region, 0, cancellable, NULL));
}

static void test_rings_on_an_old_kernel(Fixture *fixture, gconstpointer data)
{
    is_old_kernel = TRUE;
    test_rings_at_the_end(fixture, data);
    is_old_kernel = FALSE;
}

static void test_opener(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Guest) guest = guest_new(fixture);
    g_autoptr(CvdRegion) region = NULL;
    struct vsoc_end host = cvd_mapping_get_end(guest->mapping);

    /* Signals without word or ring, and one of ours that was never rung. */
    *guest_slot(guest, 1) = DATA + 4;
    vsoc_signals_send(&host, DATA);
    region = open_region(fixture);
    g_assert_true(guest_is_rung(guest));
    assert_wait(region, 1, DATA + 4);
    assert_wait_fails(region, 0, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    g_assert_false(guest_is_rung(guest));
}

static void test_round_trip(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);

    guest_signal(guest, DATA | 1);
    assert_wait(region, 1, DATA);
    g_assert_true(guest_is_rung(guest));
    g_autoptr(GArray) offsets = guest_receive(guest);
    g_assert_cmpuint(offsets->len, ==, 1);
    g_assert_cmpuint(g_array_index(offsets, guint32, 0), ==, DATA);
}

/* A guest can put an offset into every slot: each is reported once, in order. */
static void test_each_once(Fixture *fixture, gconstpointer data)
{
    static const guint32 values[] = {DATA + 8, DATA, (DATA + 8) | 2, DATA | 2};
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(values); i++)
        *guest_slot(guest, i) = values[i];
    g_autoptr(GArray) offsets = cvd_region_wait(region, -1, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(offsets->data, offsets->len * 4, ((const guint32[]){DATA, DATA + 8}), 8);
}

/* Asked for a round trip without room for the answer: both come once there is some. */
static void test_round_trip_without_room(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < 4; i++)
        g_assert_true(cvd_region_signal(region, DATA + 4 + 4 * i, &error));
    guest_signal(guest, DATA | 1);
    assert_wait_fails(region, 20, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    g_autoptr(GArray) first = guest_receive(guest);
    g_assert_cmpuint(first->len, ==, 4);
    assert_wait(region, 1, DATA);
    g_autoptr(GArray) answer = guest_receive(guest);
    g_assert_cmpmem(answer->data, answer->len * 4, ((const guint32[]){DATA}), 4);
}

/* Somebody who holds the doorbell too has made it block, and takes the ring. */
static void test_blocking_doorbell(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    fcntl(guest->result->guest_to_host, F_SETFL, 0);
    vsoc_signals_send(&guest->end, DATA);
    g_autoptr(GArray) offsets = cvd_region_wait(region, -1, cancellable, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(offsets->len, ==, 1);
    g_assert_null(cvd_region_wait(region, 0, cancellable, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
}

/* And fills it: a counter that is full was rung. */
static void test_blocking_full_doorbell(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);
    g_autoptr(GError) error = NULL;
    int doorbell = guest->result->host_to_guest;

    fcntl(doorbell, F_SETFL, 0);
    g_assert_cmpint(eventfd_write(doorbell, G_MAXUINT64 - 1), ==, 0);
    g_assert_true(cvd_region_signal(region, DATA, &error));
    g_assert_true(cvd_region_interrupt(region, &error));
    g_assert_true(cvd_region_reopen(region, NULL, &error)); /* an opener rings for DATA */
    g_assert_true(guest_is_rung(guest));
    g_assert_true(cvd_region_interrupt(region, &error));
    g_assert_true(guest_is_rung(guest));
}

static gpointer cancel(gpointer data)
{
    g_cancellable_cancel(data);
    return NULL;
}

static void test_cancel(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    GThread *thread = g_thread_new("cancel", cancel, cancellable);

    for (guint i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(cvd_region_wait(region, -1, cancellable, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
        if (i == 0)
            g_thread_join(thread);
    }
    g_autoptr(GError) error = NULL;
    g_assert_null(cvd_region_open(fixture->client_socket, "second", 0, cancellable, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void test_closed_and_reopened(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(GError) error = NULL;

    in_server(fixture, do_reset);
    assert_wait_fails(region, -1, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED);
    assert_wait_fails(region, 0, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED);
    g_assert_true(cvd_region_is_closed(region));
    assert_fails(cvd_region_signal(region, DATA, why), CVD_REGION_ERROR_CLOSED);
    assert_fails(cvd_region_interrupt(region, why), CVD_REGION_ERROR_CLOSED);
    /* The mapping stays until then. */
    g_assert_true(cvd_region_store(region, DATA, 5, NULL));

    g_assert_true(cvd_region_reopen(region, NULL, &error));
    g_assert_no_error(error);
    g_assert_false(cvd_region_is_closed(region));
    g_autoptr(Guest) guest = guest_new(fixture);
    guest_signal(guest, DATA);
    assert_wait(region, 1, DATA);
    g_assert_true(cvd_region_signal(region, DATA, &error));

    in_server(fixture, do_stop);
    g_assert_true(cvd_region_is_closed(region));
    assert_fails(cvd_region_reopen(region, NULL, why), CVD_REGION_ERROR_NO_SERVER);
    g_assert_true(cvd_region_store(region, DATA, 6, NULL));
}

/* A guest that never stops signalling cannot hide the end. */
static void test_closed_while_signalled(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);

    in_server(fixture, do_reset);
    guest_signal(guest, DATA);
    assert_wait_fails(region, -1, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED);
}

/* What the object's signals told. */
typedef struct {
    GString *text;
    GMainContext *context;
} Told;

static void on_signalled(CvdRegion *region, guint offset, Told *told)
{
    g_assert_true(g_main_context_is_owner(told->context));
    g_string_append_printf(told->text, "%u ", offset);
}

static void on_interrupted(CvdRegion *region, Told *told)
{
    g_string_append(told->text, "ring ");
}

static void on_closed(CvdRegion *region, Told *told)
{
    g_string_append(told->text, "closed ");
}

static void expect_told(Told *told, const char *text)
{
    while (told->text->len < strlen(text))
        g_main_context_iteration(told->context, TRUE);
    g_assert_cmpstr(told->text->str, ==, text);
    g_string_truncate(told->text, 0);
}

static void test_started(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    Told told = {g_string_new(NULL), context};

    g_main_context_push_thread_default(context);
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);
    g_signal_connect(region, "signalled", G_CALLBACK(on_signalled), &told);
    g_signal_connect(region, "interrupted", G_CALLBACK(on_interrupted), &told);
    g_signal_connect(region, "closed", G_CALLBACK(on_closed), &told);
    cvd_region_start(region);
    cvd_region_start(region);

    guest_signal(guest, DATA + 8);
    guest_signal(guest, DATA);
    expect_told(&told, "40 48 ");
    guest_ring(guest);
    expect_told(&told, "ring ");
    in_server(fixture, do_reset);
    expect_told(&told, "closed ");
    g_assert_true(cvd_region_reopen(region, NULL, NULL));
    guest_signal(guest, DATA + 4);
    expect_told(&told, "44 ");

    cvd_region_stop(region);
    guest_signal(guest, DATA + 4);
    while (g_main_context_iteration(context, FALSE))
        ;
    g_assert_cmpstr(told.text->str, ==, "");
    cvd_region_start(region);
    expect_told(&told, "44 ");
    g_main_context_pop_thread_default(context);
    g_string_free(told.text, TRUE);
}

static void on_closed_reopen(CvdRegion *region, Told *told)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(cvd_region_reopen(region, NULL, &error));
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_BAD_DESCRIPTOR);
    g_string_append(told->text, "closed ");
}

/* The guest ruins the descriptor when it goes on: who tries again when it closes does so once. */
static void test_started_and_ruined(Fixture *fixture, gconstpointer data)
{
    Told told = {g_string_new(NULL), g_main_context_default()};
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);
    const guint32 too_large = 17;

    g_signal_connect(region, "closed", G_CALLBACK(on_closed_reopen), &told);
    cvd_region_start(region);
    in_server(fixture, do_reset);
    /* The second of the descriptors, after the header. */
    g_assert_cmpint(pwrite(guest->result->window, &too_large, 4, 16 + 60 + 16), ==, 4);
    expect_told(&told, "closed ");
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_assert_cmpstr(told.text->str, ==, "");
    g_string_free(told.text, TRUE);
}

static gboolean on_source(CvdRegion *region, GArray *offsets, const GError *error, gpointer data)
{
    GString *text = data;

    if (error != NULL) {
        g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED);
        g_string_append(text, "closed ");
    }
    for (guint i = 0; i < offsets->len; i++)
        g_string_append_printf(text, "%u ", g_array_index(offsets, guint32, i));
    return G_SOURCE_CONTINUE;
}

static void test_source(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    Told told = {g_string_new(NULL), context};
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);

    for (guint i = 0; i < 2; i++) {
        g_autoptr(GSource) source = cvd_region_source_new(region);
        g_source_set_callback(source, G_SOURCE_FUNC(on_source), told.text, NULL);
        g_source_attach(source, context);
        guest_signal(guest, DATA);
        expect_told(&told, "40 ");
        guest_signal(guest, DATA + 4);
        expect_told(&told, "44 ");
        if (i == 0) /* the server ends it, or it is opened anew */
            in_server(fixture, do_reset);
        else
            g_assert_true(cvd_region_reopen(region, NULL, NULL));
        expect_told(&told, "closed ");
        g_assert_true(g_source_is_destroyed(source));
        if (i == 0)
            g_assert_true(cvd_region_reopen(region, NULL, NULL));
    }
    /* A source keeps its region. */
    g_autoptr(GSource) last = cvd_region_source_new(region);
    g_source_set_callback(last, G_SOURCE_FUNC(on_source), told.text, NULL);
    g_source_attach(last, context);
    g_clear_object(&region);
    guest_signal(guest, DATA);
    expect_told(&told, "40 ");
    g_source_destroy(last);
    g_string_free(told.text, TRUE);
}

static void keep_result(GObject *object, GAsyncResult *result, gpointer data)
{
    *(GAsyncResult **)data = g_object_ref(result);
}

static GAsyncResult *await_result(GMainContext *context, GAsyncResult **result)
{
    while (*result == NULL)
        g_main_context_iteration(context, TRUE);
    return *result;
}

static void test_async(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GAsyncResult) opened = NULL;
    g_autoptr(GAsyncResult) reopened = NULL;
    g_autoptr(GAsyncResult) unknown = NULL;
    g_autoptr(GAsyncResult) cancelled = NULL;
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    g_main_context_push_thread_default(context);
    cvd_region_open_async(fixture->client_socket, "second", 5, NULL, keep_result, &opened);
    g_assert_null(opened);
    g_autoptr(CvdRegion) region = cvd_region_open_finish(await_result(context, &opened), &error);
    g_assert_no_error(error);
    g_assert_cmpuint(cvd_region_get_size(region), ==, SIZE);

    in_server(fixture, do_reset);
    g_assert_true(cvd_region_is_closed(region));
    cvd_region_reopen_async(region, NULL, keep_result, &reopened);
    g_assert_true(cvd_region_reopen_finish(region, await_result(context, &reopened), &error));
    g_assert_false(cvd_region_is_closed(region));

    cvd_region_open_async(fixture->client_socket, "none", 0, NULL, keep_result, &unknown);
    assert_fails(cvd_region_open_finish(await_result(context, &unknown), why),
                 CVD_REGION_ERROR_UNKNOWN_REGION);
    cvd_region_open_async(fixture->client_socket, "second", 0, cancellable, keep_result,
                          &cancelled);
    g_cancellable_cancel(cancellable);
    g_assert_null(cvd_region_open_finish(await_result(context, &cancelled), &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_main_context_pop_thread_default(context);
}

static void keep_result_and_cancel(GObject *object, GAsyncResult *result, gpointer data)
{
    g_cancellable_cancel(g_task_get_cancellable(G_TASK(result)));
    keep_result(object, result, data);
}

/* Too late: it is open. */
static void test_cancelled_when_open(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GCancellable) first = g_cancellable_new();
    g_autoptr(GCancellable) second = g_cancellable_new();
    g_autoptr(GAsyncResult) opened = NULL;
    g_autoptr(GAsyncResult) reopened = NULL;
    g_autoptr(GError) error = NULL;

    cvd_region_open_async(fixture->client_socket, "second", 0, first, keep_result_and_cancel,
                          &opened);
    g_autoptr(CvdRegion) region = cvd_region_open_finish(await_result(NULL, &opened), &error);
    g_assert_no_error(error);
    in_server(fixture, do_reset);
    cvd_region_reopen_async(region, second, keep_result_and_cancel, &reopened);
    g_assert_true(cvd_region_reopen_finish(region, await_result(NULL, &reopened), &error));
    g_assert_no_error(error);
    g_assert_false(cvd_region_is_closed(region));
}

static gpointer sleep_on_word(gpointer data)
{
    CvdRegion *region = data;
    guint value = 0;

    while (value == 0) {
        g_assert_true(cvd_region_wait_word(region, DATA, 0, -1, NULL, NULL));
        g_assert_true(cvd_region_load(region, DATA, &value, NULL));
    }
    return GUINT_TO_POINTER(value);
}

static void count_notify(GObject *object, GParamSpec *property, guint *n)
{
    ++*n;
}

/* As a program in another language sees a region: an object that is made by its properties. */
static void test_properties(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdRegion) region =
        g_initable_new(CVD_TYPE_REGION, NULL, &error, "socket-path", fixture->client_socket, "name",
                       "first", "wanted-version", 4, NULL);
    g_autoptr(CvdRegion) unnamed = g_initable_new(CVD_TYPE_REGION, NULL, &error, NULL);
    g_autofree char *name = NULL;
    guint version = 0, size = 0, n_closed = 0;
    gboolean is_closed = TRUE;

    g_assert_null(unnamed);
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_FAILED);
    g_object_get(region, "name", &name, "version", &version, "size", &size, "closed", &is_closed,
                 NULL);
    g_assert_cmpstr(name, ==, "first");
    g_assert_cmpuint(version, ==, 5);
    g_assert_cmpuint(size, ==, SIZE);
    g_assert_false(is_closed);
    g_signal_connect(region, "notify::closed", G_CALLBACK(count_notify), &n_closed);
    g_assert_true(cvd_region_reopen(region, NULL, NULL));
    g_assert_cmpuint(n_closed, ==, 1);
}

static void test_wait_word(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(CvdRegion) other = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);
    g_autoptr(GError) error = NULL;

    g_assert_false(cvd_region_wait_word(region, DATA, 0, 0, NULL, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    g_assert_true(
        cvd_region_wait_word(region, DATA, 1, -1, NULL, NULL)); /* it holds another value */

    GThread *thread = g_thread_new("sleeper", sleep_on_word, other);
    g_assert_true(cvd_region_store(region, DATA, 7, NULL));
    guest_signal(guest, DATA);
    assert_wait(region, 1, DATA);
    g_assert_cmpuint(GPOINTER_TO_UINT(g_thread_join(thread)), ==, 7);
}

typedef struct {
    CvdRegion *region;
    GCancellable *cancellable;
    GError *error;
    int is_over; /* atomic */
} Sleeper;

static gpointer sleep_until_the_end(gpointer data)
{
    Sleeper *sleeper = data;

    while (
        cvd_region_wait_word(sleeper->region, DATA, 0, -1, sleeper->cancellable, &sleeper->error))
        ;
    return NULL;
}

/* Whatever comes first, the sleep or what ends it. */
static void test_wait_word_ends(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);

    for (guint i = 0; i < 100; i++) {
        g_autoptr(GCancellable) cancellable = g_cancellable_new();
        Sleeper sleeper = {.region = region, .cancellable = cancellable};
        GThread *thread = g_thread_new("sleeper", sleep_until_the_end, &sleeper);
        if (i % 2 == 0)
            g_cancellable_cancel(cancellable);
        else
            in_server(fixture, do_reset);
        g_thread_join(thread);
        if (i % 2 == 0)
            g_assert_error(sleeper.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
        else
            g_assert_error(sleeper.error, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED);
        g_clear_error(&sleeper.error);
        if (i % 2 != 0)
            g_assert_true(cvd_region_reopen(region, NULL, NULL));
    }
}

static gpointer sleep_once(gpointer data)
{
    Sleeper *sleeper = data;

    g_assert_true(cvd_region_wait_word(sleeper->region, DATA, 0, -1, NULL, NULL));
    g_atomic_int_set(&sleeper->is_over, TRUE);
    return NULL;
}

/* Who sleeps on a word of the old mapping is woken, to look at the new one. */
static void test_wait_word_reopened(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    Sleeper sleeper = {.region = region};
    GThread *thread = g_thread_new("sleeper", sleep_once, &sleeper);

    while (!g_atomic_int_get(&sleeper.is_over)) /* it may not have fallen asleep yet */
        g_assert_true(cvd_region_reopen(region, NULL, NULL));
    g_thread_join(thread);
}

/* Made by nobody's opening: all calls fail, none crashes. */
static void test_never_opened(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = g_object_new(CVD_TYPE_REGION, NULL);
    guint value;
    gsize size = 1;

    g_assert_true(cvd_region_is_closed(region));
    g_assert_cmpuint(cvd_region_get_size(region), ==, 0);
    g_assert_null(cvd_region_get_data(region, &size));
    g_assert_cmpuint(size, ==, 0);
    assert_fails(cvd_region_load(region, 0, &value, why), CVD_REGION_ERROR_BAD_OFFSET);
    assert_fails(cvd_region_read(region, 0, 1, why), CVD_REGION_ERROR_BAD_OFFSET);
    assert_fails(cvd_region_allocate(region, 0, 1, why), CVD_REGION_ERROR_BAD_OFFSET);
    assert_fails(cvd_region_signal(region, 4, why), CVD_REGION_ERROR_CLOSED);
    assert_wait_fails(region, 0, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED);
    cvd_region_start(region);
    cvd_region_stop(region);
}

/* With a guest that does as it is told here. */
static CvdPong ping(CvdPinger *pinger, guint timeout_ms)
{
    g_autoptr(GError) error = NULL;
    CvdPong pong;
    guint64 rtt_ns;

    g_assert_true(cvd_pinger_ping(pinger, timeout_ms, NULL, &pong, &rtt_ns, &error));
    g_assert_no_error(error);
    return pong;
}

static gpointer answer_once(gpointer data)
{
    Guest *guest = data;
    struct pollfd doorbell = {.fd = guest->result->host_to_guest, .events = POLLIN};

    g_assert_cmpint(poll(&doorbell, 1, -1), ==, 1);
    *guest_word(guest, SIZE - 4) = *guest_word(guest, SIZE - 8) + 1;
    return NULL;
}

/* A table that earlier programs left full has room again before the guest is to answer. */
static void test_pinger_makes_room(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);
    g_auto(CvdPinger) pinger = {0};
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < 4; i++)
        guest_signal(guest, DATA + 4 * i);
    g_assert_true(cvd_pinger_init(&pinger, region, 0, &error));
    for (guint i = 0; i < 4; i++)
        g_assert_cmpuint(*guest_slot(guest, i), ==, 0);
    assert_wait_fails(region, 0, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
}

/* The right number is an answer, although no signal came for it. */
static void test_pinger_looks_at_the_word(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_autoptr(Guest) guest = guest_new(fixture);
    g_auto(CvdPinger) pinger = {0};

    g_assert_true(cvd_pinger_init(&pinger, region, 0, NULL));
    GThread *thread = g_thread_new("guest", answer_once, guest);
    g_assert_cmpint(ping(&pinger, 200), ==, CVD_PONG_RIGHT);
    g_thread_join(thread);
    g_assert_cmpuint(pinger.n_sent, ==, 1);
    g_assert_cmpint(ping(&pinger, 1), ==, CVD_PONG_NONE);
    g_assert_cmpuint(pinger.n_sent, ==, 2);
}

/* What cannot be sent is not counted. */
static void test_pinger_without_room(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    g_auto(CvdPinger) pinger = {0};
    CvdPong pong;
    guint64 rtt_ns;

    g_assert_true(cvd_pinger_init(&pinger, region, 0, NULL));
    for (guint i = 0; i < 4; i++)
        g_assert_true(cvd_region_signal(region, DATA + 4 * i, NULL));
    assert_fails(cvd_pinger_ping(&pinger, 1, NULL, &pong, &rtt_ns, why),
                 CVD_REGION_ERROR_TABLE_FULL);
    g_assert_cmpuint(pinger.n_sent, ==, 0);
}

typedef struct {
    CvdRegion *region;
    int is_over; /* atomic */
} Signaller;

static gpointer signal_always(gpointer data)
{
    Signaller *signaller = data;
    guint value;

    while (!g_atomic_int_get(&signaller->is_over)) {
        g_assert_true(cvd_region_signal(signaller->region, DATA, NULL));
        g_assert_true(cvd_region_store(signaller->region, SIZE - 4, 1, NULL));
        g_assert_true(cvd_region_load(signaller->region, SIZE - 4, &value, NULL));
    }
    return NULL;
}

static void test_reopened_under_threads(Fixture *fixture, gconstpointer data)
{
    g_autoptr(CvdRegion) region = open_region(fixture);
    Signaller signaller = {.region = region};
    GThread *threads[2];

    for (guint i = 0; i < 2; i++)
        threads[i] = g_thread_new("signaller", signal_always, &signaller);
    for (guint i = 0; i < 200; i++)
        g_assert_true(cvd_region_reopen(region, NULL, NULL));
    g_atomic_int_set(&signaller.is_over, 1);
    for (guint i = 0; i < 2; i++)
        g_thread_join(threads[i]);
}

typedef struct {
    guint32 *words;
    gsize n_words;
    int is_over; /* atomic */
} Scribbler;

/* Over the descriptors and the region's tables, over and over. */
static gpointer scribble(gpointer data)
{
    static const guint32 values[] = {0, 1, 2, 16, SIZE, SIZE - 4, 4096, 4096 + SIZE, 0xffffffff};
    Scribbler *scribbler = data;
    GRand *rand = g_rand_new_with_seed(7);

    while (!g_atomic_int_get(&scribbler->is_over)) {
        gsize where = (gsize)g_rand_int_range(rand, 0, 50);
        if (g_rand_boolean(rand))
            where += (4096 + SIZE) / 4;
        __atomic_store_n(&scribbler->words[where],
                         values[g_rand_int_range(rand, 0, G_N_ELEMENTS(values))], __ATOMIC_RELAXED);
    }
    g_rand_free(rand);
    return NULL;
}

static void test_hostile_guest(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Guest) guest = guest_new(fixture);
    g_autoptr(CvdRegion) region = open_region(fixture);
    const gsize size = 4096 + 2 * SIZE;
    Scribbler scribbler = {.n_words = size / 4};

    scribbler.words =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, guest->result->window, 0);
    g_assert_true(scribbler.words != MAP_FAILED);
    GThread *thread = g_thread_new("scribbler", scribble, &scribbler);
    for (guint i = 0; i < 2000; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(CvdRegion) another =
            i % 4 != 0 ? NULL : cvd_region_open(fixture->client_socket, "second", 0, NULL, &error);
        if (another == NULL && error != NULL)
            g_assert_true(
                g_error_matches(error, CVD_REGION_ERROR, CVD_REGION_ERROR_BAD_DESCRIPTOR) ||
                g_error_matches(error, CVD_REGION_ERROR, CVD_REGION_ERROR_VERSION));
        if (another != NULL)
            cvd_region_signal(another, SIZE - 4, NULL);
        cvd_region_signal(region, DATA + 4 * (i % 8), NULL);
        g_autoptr(GArray) offsets = cvd_region_wait(region, 0, NULL, NULL);
        for (guint k = 0; offsets != NULL && k < offsets->len; k++) {
            guint32 offset = g_array_index(offsets, guint32, k);
            g_assert_true(offset % 4 == 0 && offset > 0 && offset <= SIZE - 4);
        }
    }
    g_atomic_int_set(&scribbler.is_over, 1);
    g_thread_join(thread);
    munmap(scribbler.words, size);
}

#define ADD(name, function)                                                                        \
    g_test_add("/client-region/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("open", test_open);
    ADD("open-fails", test_open_fails);
    ADD("observe", test_observe);
    ADD("list", test_list);
    ADD("words-up-to-the-last", test_words);
    ADD("bytes-up-to-the-last", test_bytes);
    ADD("signal", test_signal);
    ADD("wait", test_wait);
    ADD("rings-at-the-end", test_rings_at_the_end);
    ADD("rings-on-an-old-kernel", test_rings_on_an_old_kernel);
    ADD("opener-rings-and-receives", test_opener);
    ADD("round-trip", test_round_trip);
    ADD("each-offset-once-and-in-order", test_each_once);
    ADD("round-trip-without-room", test_round_trip_without_room);
    ADD("doorbell-made-blocking", test_blocking_doorbell);
    ADD("doorbell-made-blocking-and-full", test_blocking_full_doorbell);
    ADD("cancel", test_cancel);
    ADD("closed-and-reopened", test_closed_and_reopened);
    ADD("closed-while-signalled", test_closed_while_signalled);
    ADD("started-in-a-context", test_started);
    ADD("started-and-ruined", test_started_and_ruined);
    ADD("source-in-a-context", test_source);
    ADD("async", test_async);
    ADD("cancelled-when-open", test_cancelled_when_open);
    ADD("properties", test_properties);
    ADD("wait-word", test_wait_word);
    ADD("wait-word-ends", test_wait_word_ends);
    ADD("wait-word-reopened", test_wait_word_reopened);
    ADD("never-opened", test_never_opened);
    ADD("pinger-makes-room", test_pinger_makes_room);
    ADD("pinger-looks-at-the-word", test_pinger_looks_at_the_word);
    ADD("pinger-without-room", test_pinger_without_room);
    ADD("reopened-under-threads", test_reopened_under_threads);
    ADD("hostile-guest", test_hostile_guest);
    return g_test_run();
}
