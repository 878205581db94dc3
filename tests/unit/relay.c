/* SPDX-License-Identifier: Apache-2.0 */
/* What stands between the doorbells of both sides, and what it records. */
#include "server/relay.h"

#include "base/error.h"
#include "base/fd.h"
#include "client/tool/trace-reader.h"
#include "server/ringer.h"
#include "tests/unit/child.h"
#include "tests/unit/talk.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A failure, not a pause: what is tested either ends at once or never. */
#define HANG_S 20

typedef struct {
    GMainContext *context;
    CvdDoorbells *of_host;
    char *dir;
    char *path;
    CvdRelay *relay;
} Fixture;

static Fixture *fixture_new(guint n_regions)
{
    Fixture *f = g_new0(Fixture, 1);
    g_autoptr(CvdLayout) layout = test_layout_new(n_regions);
    g_autoptr(GError) error = NULL;

    f->context = g_main_context_new();
    f->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "trace", NULL);
    CvdTraceFile *file = cvd_trace_file_new(f->path, CVD_TRACE_MIN_SIZE, layout, &error);
    g_assert_no_error(error);
    f->of_host = cvd_doorbells_new(n_regions, &error);
    g_assert_no_error(error);
    f->relay = cvd_relay_new(f->context, n_regions, f->of_host, file, &error);
    g_assert_no_error(error);
    return f;
}

static void fixture_free(Fixture *f)
{
    g_clear_pointer(&f->relay, cvd_relay_free);
    cvd_doorbells_free(f->of_host);
    g_main_context_unref(f->context);
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static int host_rings(const Fixture *f, guint region)
{
    return cvd_doorbells_get_host_to_guest(f->of_host, region);
}

static int vm_hears(const Fixture *f, guint region)
{
    return cvd_doorbells_get_host_to_guest(cvd_relay_get_vm_doorbells(f->relay), region);
}

static int vm_rings(const Fixture *f, guint region)
{
    return cvd_doorbells_get_guest_to_host(cvd_relay_get_vm_doorbells(f->relay), region);
}

static int host_hears(const Fixture *f, guint region)
{
    return cvd_doorbells_get_guest_to_host(f->of_host, region);
}

static void ring(int doorbell, guint64 n)
{
    g_assert_cmpint(eventfd_write(doorbell, n), ==, 0);
}

/* Returns: how often, 0 = not */
static guint64 take(int doorbell)
{
    guint64 n = 0;

    return cvd_doorbell_take_count(doorbell, &n) ? n : 0;
}

static void pass_on(Fixture *f)
{
    while (g_main_context_iteration(f->context, FALSE))
        ;
}

/* The end writes what is left. @expected: `to region × count` of each, separated by spaces */
static void assert_recorded(Fixture *f, const char *expected)
{
    g_clear_pointer(&f->relay, cvd_relay_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) found = g_string_new(NULL);
    g_autoptr(CvdTraceReader) reader = cvd_trace_reader_open(f->path, &error);
    static const char *const names[] = {"guest", "host", "cleared", "lost"};
    CvdTraceRecord record;
    guint64 last_ns = 0;

    g_assert_no_error(error);
    while (cvd_trace_reader_next(reader, &record, &error) == CVD_TRACE_RECORD) {
        g_string_append_printf(found, "%s%s%u×%ju", found->len > 0 ? " " : "", names[record.kind],
                               record.region, record.count);
        g_assert_cmpuint(record.time_ns, >=, last_ns);
        g_assert_cmpuint(record.time_ns, <=, cvd_trace_now_ns());
        last_ns = record.time_ns;
    }
    g_assert_no_error(error);
    g_assert_cmpstr(found->str, ==, expected);
}

static void test_both_directions(void)
{
    g_autoptr(Fixture) f = fixture_new(3);
    guint64 to_guest, to_host;

    ring(host_rings(f, 1), 1);
    pass_on(f);
    g_assert_cmpuint(take(vm_hears(f, 1)), ==, 1);
    g_assert_cmpuint(take(host_rings(f, 1)), ==, 0);
    ring(vm_rings(f, 1), 1);
    pass_on(f);
    g_assert_cmpuint(take(host_hears(f, 1)), ==, 1);
    ring(vm_rings(f, 2), 1);
    pass_on(f);
    cvd_relay_get_rings(f->relay, 1, &to_guest, &to_host);
    g_assert_cmpuint(to_guest, ==, 1);
    g_assert_cmpuint(to_host, ==, 1);
    cvd_relay_get_rings(f->relay, 0, &to_guest, &to_host);
    g_assert_cmpuint(to_guest + to_host, ==, 0);
    assert_recorded(f, "guest1×1 host1×1 host2×1");
}

/* No other region is rung, and none in the other direction. */
static void test_each_to_its_own(void)
{
    g_autoptr(Fixture) f = fixture_new(4);

    for (guint i = 0; i < 4; i++) {
        ring(host_rings(f, i), 1);
        pass_on(f);
        for (guint other = 0; other < 4; other++) {
            g_assert_cmpuint(take(vm_hears(f, other)), ==, other == i ? 1 : 0);
            g_assert_cmpuint(take(host_hears(f, other)), ==, 0);
        }
    }
}

/* Several at once are one record with their count, and are as many on the other side. */
static void test_count(void)
{
    g_autoptr(Fixture) f = fixture_new(1);
    guint64 to_guest, to_host;

    ring(host_rings(f, 0), 1);
    ring(host_rings(f, 0), 1);
    ring(host_rings(f, 0), 5);
    pass_on(f);
    g_assert_cmpuint(take(vm_hears(f, 0)), ==, 7);
    ring(host_rings(f, 0), 1);
    pass_on(f);
    ring(host_rings(f, 0), 2);
    pass_on(f);
    g_assert_cmpuint(take(vm_hears(f, 0)), ==, 3); /* nobody took the first one before */
    cvd_relay_get_rings(f->relay, 0, &to_guest, &to_host);
    g_assert_cmpuint(to_guest, ==, 10);
    assert_recorded(f, "guest0×7 guest0×1 guest0×2");
}

/* More than are passed on at once are recorded all the same. */
static void test_large_count(void)
{
    static const struct {
        guint64 rung;
        guint64 heard;
    } rows[] = {
        {CVD_RINGER_MAX, CVD_RINGER_MAX},
        {CVD_RINGER_MAX + 1, CVD_RINGER_MAX},
        {G_MAXUINT64 - 1, CVD_RINGER_MAX}, /* all that fits */
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Fixture) f = fixture_new(1);
        g_autofree char *expected = g_strdup_printf("host0×%ju", rows[i].rung);
        ring(vm_rings(f, 0), rows[i].rung);
        pass_on(f);
        g_assert_cmpuint(take(host_hears(f, 0)), ==, rows[i].heard);
        assert_recorded(f, expected);
    }
}

/* A receiver fills its own counter, and has every write block from now on. */
static int pass_on_to_one_that_is_full(gconstpointer data)
{
    Fixture *f = fixture_new(2);
    int copy = dup(host_hears(f, 0));

    alarm(HANG_S);
    if (eventfd_write(copy, G_MAXUINT64 - 1) < 0 || fcntl(copy, F_SETFL, 0) < 0)
        return 1;
    for (guint i = 0; i < 1000; i++) {
        ring(vm_rings(f, 0), 3);
        ring(vm_rings(f, 1), 1);
        pass_on(f);
        if (take(host_hears(f, 1)) != 1)
            return 2;
    }
    fixture_free(f);
    return 0;
}

static void test_full_receiver(void)
{
    test_in_child(pass_on_to_one_that_is_full, NULL, "");
}

/* A sender's counter does not block either, when it is empty. */
static int take_from_one_that_is_empty(gconstpointer data)
{
    Fixture *f = fixture_new(1);
    int copy = dup(host_rings(f, 0));

    alarm(HANG_S);
    if (fcntl(copy, F_SETFL, 0) < 0)
        return 1;
    for (guint i = 0; i < 1000; i++) {
        ring(copy, 1);
        take(copy); /* what the relay is told of is gone by then */
        pass_on(f);
    }
    fixture_free(f);
    return 0;
}

static void test_thief(void)
{
    test_in_child(take_from_one_that_is_empty, NULL, "");
}

static gboolean count_turn(gpointer data)
{
    ++*(guint *)data;
    return G_SOURCE_CONTINUE;
}

/* Somebody rings as fast as it can: others in the loop get their turn, and no ring is lost. */
static void test_flood(void)
{
    enum {
        N_RINGS = 100000
    };
    g_autoptr(Fixture) f = fixture_new(2);
    g_autoptr(GSource) other = g_idle_source_new();
    guint n_turns = 0;
    guint64 to_guest = 0, to_host, n_heard = 0;

    g_source_set_priority(other, G_PRIORITY_DEFAULT);
    g_source_set_callback(other, count_turn, &n_turns, NULL);
    g_source_attach(other, f->context);
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        for (guint i = 0; i < N_RINGS; i++)
            if (eventfd_write(host_rings(f, 1), 1) < 0)
                _exit(1);
        _exit(0);
    }
    while (to_guest < N_RINGS) {
        guint before = n_turns;
        g_main_context_iteration(f->context, TRUE);
        g_assert_cmpuint(n_turns, ==, before + 1);
        n_heard += take(vm_hears(f, 1));
        cvd_relay_get_rings(f->relay, 1, &to_guest, &to_host);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpuint(to_guest, ==, N_RINGS);
    g_assert_cmpuint(n_heard, >, 0);
    g_assert_cmpuint(n_heard, <=, N_RINGS);
    g_source_destroy(other);
}

/* The main context polls one descriptor, and each region has its turn. */
static void test_many_regions(void)
{
    enum {
        N = 1024
    };
    g_autoptr(Fixture) f = fixture_new(N);
    GPollFD fds[8];
    int timeout, priority;
    guint64 to_guest, to_host;

    g_assert_true(g_main_context_acquire(f->context));
    g_main_context_prepare(f->context, &priority);
    /* That of the context itself is one. */
    g_assert_cmpint(g_main_context_query(f->context, priority, &timeout, fds, 8), ==, 2);
    g_main_context_release(f->context);
    for (guint i = 0; i < N; i++) {
        ring(host_rings(f, i), 1);
        ring(vm_rings(f, i), 2);
    }
    pass_on(f);
    for (guint i = 0; i < N; i++) {
        g_assert_cmpuint(take(vm_hears(f, i)), ==, 1);
        g_assert_cmpuint(take(host_hears(f, i)), ==, 2);
        cvd_relay_get_rings(f->relay, i, &to_guest, &to_host);
        g_assert_cmpuint(to_guest, ==, 1);
        g_assert_cmpuint(to_host, ==, 2);
    }
}

static goffset get_size(const Fixture *f)
{
    GStatBuf status;

    g_assert_cmpint(g_stat(f->path, &status), ==, 0);
    return status.st_size;
}

/* Many at once by their number, few by and by; and then there is nothing to wake up for. */
static void test_written_by_and_by(void)
{
    g_autoptr(Fixture) f = fixture_new(200);
    goffset empty = get_size(f);
    int timeout, priority;
    GPollFD fds[8];

    ring(host_rings(f, 0), 1);
    pass_on(f);
    g_assert_cmpint(get_size(f), ==, empty);
    test_iterate_until(f->context, get_size(f) > empty);
    g_assert_cmpint(get_size(f), ==, empty + CVD_TRACE_RECORD_SIZE);
    g_assert_true(g_main_context_acquire(f->context));
    g_main_context_prepare(f->context, &priority);
    g_main_context_query(f->context, priority, &timeout, fds, 8);
    g_main_context_release(f->context);
    g_assert_cmpint(timeout, ==, -1);
    for (guint i = 0; i < 200; i++)
        ring(host_rings(f, i), 1);
    pass_on(f);
    g_assert_cmpint(get_size(f), >=, empty + 100 * CVD_TRACE_RECORD_SIZE);
}

/* What was rung is recorded before, without a turn of the loop. */
static void test_cleared(void)
{
    g_autoptr(Fixture) f = fixture_new(2);

    ring(host_rings(f, 0), 1);
    cvd_relay_note_cleared(f->relay);
    g_assert_cmpuint(take(vm_hears(f, 0)), ==, 1);
    ring(vm_rings(f, 1), 4);
    cvd_relay_note_cleared(f->relay);
    assert_recorded(f, "guest0×1 cleared0×0 host1×4 cleared0×0");
}

/* And the VM finds nothing of it. */
static void test_drained(void)
{
    g_autoptr(Fixture) f = fixture_new(2);

    ring(host_rings(f, 0), 1);
    pass_on(f);
    ring(host_rings(f, 1), 1);
    cvd_relay_drain(f->relay);
    for (guint i = 0; i < 2; i++)
        g_assert_cmpuint(take(vm_hears(f, i)), ==, 0);
    assert_recorded(f, "guest0×1 guest1×1 cleared0×0");
}

static void test_rest_is_recorded_at_the_end(void)
{
    enum {
        N = 200
    };
    g_autoptr(Fixture) f = fixture_new(N);
    g_autoptr(GString) expected = g_string_new(NULL);

    for (guint i = 0; i < N; i++) {
        ring(host_rings(f, i), 1);
        g_string_append_printf(expected, "%sguest%u×1", i > 0 ? " " : "", i);
    }
    assert_recorded(f, expected->str);
}

static void test_no_descriptor_is_left(void)
{
    guint n_fds = test_count_fds();
    Fixture *f = fixture_new(3);

    ring(host_rings(f, 0), 1);
    pass_on(f);
    fixture_free(f);
    g_assert_cmpuint(test_count_fds(), ==, n_fds);
}

/* What the ringer has to fetch does not fill up. */
static void test_ringer_goes_on(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdRinger) ringer = cvd_ringer_new(&error);
    cvd_autofd doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    g_assert_no_error(error);
    for (guint64 i = 0; i < 5000; i++) {
        g_assert_true(cvd_ringer_ring(ringer, doorbell, 1 + i % (2 * CVD_RINGER_MAX)));
        g_assert_cmpuint(take(doorbell), ==, MIN(1 + i % (2 * CVD_RINGER_MAX), CVD_RINGER_MAX));
    }
}

static void test_ringer_of_no_doorbell(void)
{
    g_autoptr(CvdRinger) ringer = cvd_ringer_new(NULL);
    cvd_autofd file = open("/dev/null", O_RDONLY | O_CLOEXEC);

    g_assert_false(cvd_ringer_ring(ringer, file, 1));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/both-directions", test_both_directions);
    g_test_add_func("/relay/each-to-its-own", test_each_to_its_own);
    g_test_add_func("/relay/count", test_count);
    g_test_add_func("/relay/large-count", test_large_count);
    g_test_add_func("/relay/full-receiver-does-not-block", test_full_receiver);
    g_test_add_func("/relay/thief-does-not-block", test_thief);
    g_test_add_func("/relay/flood", test_flood);
    g_test_add_func("/relay/many-regions-one-descriptor", test_many_regions);
    g_test_add_func("/relay/written-by-and-by", test_written_by_and_by);
    g_test_add_func("/relay/cleared", test_cleared);
    g_test_add_func("/relay/drained", test_drained);
    g_test_add_func("/relay/rest-is-recorded-at-the-end", test_rest_is_recorded_at_the_end);
    g_test_add_func("/relay/no-descriptor-is-left", test_no_descriptor_is_left);
    g_test_add_func("/relay/ringer-goes-on", test_ringer_goes_on);
    g_test_add_func("/relay/ringer-of-no-doorbell", test_ringer_of_no_doorbell);
    return g_test_run();
}
