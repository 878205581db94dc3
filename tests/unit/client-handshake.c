/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's half of the conversation against a server that is played byte by byte: section 3 of
 * the protocols' specification. The conversation never blocks, so both ends take turns in one
 * thread.
 */
#include "client/handshake.h"

#include "base/fd.h"
#include "client/instance.h"
#include "client/region.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LONG_MS 60000

typedef struct {
    char *dir;
    char *path;
    int listener;
    int peer; /* the server's end */
    CvdHandshake *handshake;
    guint n_fds;
} Fixture;

static guint count_fds(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint n = 0;

    while (g_dir_read_name(dir) != NULL)
        n++;
    return n - 1;
}

static void set_up(Fixture *fixture, gconstpointer data)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    fixture->n_fds = count_fds();
    fixture->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->dir, "socket", NULL);
    g_strlcpy(address.sun_path, fixture->path, sizeof address.sun_path);
    fixture->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fixture->listener, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fixture->listener, 1), ==, 0);
    fixture->peer = -1;
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    g_clear_pointer(&fixture->handshake, cvd_handshake_free);
    cvd_close_fd(&fixture->peer);
    cvd_close_fd(&fixture->listener);
    g_unlink(fixture->path);
    g_rmdir(fixture->dir);
    g_free(fixture->path);
    g_free(fixture->dir);
    g_assert_cmpuint(count_fds(), ==, fixture->n_fds);
}

static void step_again(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;

    CvdHandshakeStep step = cvd_handshake_step(fixture->handshake, &error);
    g_assert_no_error(error);
    g_assert_cmpint(step, ==, CVD_HANDSHAKE_AGAIN);
}

static void step_done(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;

    CvdHandshakeStep step = cvd_handshake_step(fixture->handshake, &error);
    g_assert_no_error(error);
    g_assert_cmpint(step, ==, CVD_HANDSHAKE_DONE);
}

static void step_fails(Fixture *fixture, CvdRegionError code)
{
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(cvd_handshake_step(fixture->handshake, &error), ==, CVD_HANDSHAKE_FAILED);
    g_assert_error(error, CVD_REGION_ERROR, (int)code);
    g_test_message("%s", error->message);
    g_clear_pointer(&fixture->handshake, cvd_handshake_free);
}

static void begin(Fixture *fixture, const char *region)
{
    g_clear_pointer(&fixture->handshake, cvd_handshake_free);
    cvd_close_fd(&fixture->peer);
    fixture->handshake = cvd_handshake_new(fixture->path, region, LONG_MS);
    step_again(fixture);
    fixture->peer = accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC);
    g_assert_cmpint(fixture->peer, >=, 0);
}

/* The client has said this and no more. */
static void expect(Fixture *fixture, const char *text)
{
    char bytes[128];
    gssize n = recv(fixture->peer, bytes, sizeof bytes, MSG_DONTWAIT);

    g_assert_cmpint(n, ==, strlen(text));
    g_assert_cmpmem(bytes, (gsize)n, text, strlen(text));
}

static void say(Fixture *fixture, const void *bytes, gsize size, const int *fds, guint n_fds)
{
    if (size > 0)
        g_assert_cmpint(cvd_socket_send(fixture->peer, bytes, size, fds, n_fds), ==, size);
}

static void say_text(Fixture *fixture, const char *text)
{
    say(fixture, text, strlen(text), NULL, 0);
}

static void say_fd(Fixture *fixture, int fd)
{
    say(fixture, "\0\0\0\0\0\0\0", 8, &fd, 1);
}

/* Up to the request. */
static void greet(Fixture *fixture, const char *region)
{
    begin(fixture, region);
    expect(fixture, "GET PROTOCOL_VER");
    say_text(fixture, "PROTOCOL_VER 0");
    step_again(fixture);
}

static gboolean is_same(int a, int b)
{
    eventfd_t value;

    return eventfd_write(a, 5) == 0 && eventfd_read(b, &value) == 0 && value == 5;
}

static void test_whole(Fixture *fixture, gconstpointer data)
{
    cvd_autofd in = eventfd(0, EFD_CLOEXEC);
    cvd_autofd out = eventfd(0, EFD_CLOEXEC);
    cvd_autofd window = eventfd(0, EFD_CLOEXEC); /* it is not looked at here */

    greet(fixture, "hwcomposer");
    expect(fixture, "INFORM REGION_NAME_LEN: 0x0000000aGET REGION: hwcomposer");
    say_text(fixture, "0x000010000x00005000");
    say_fd(fixture, in);
    say_fd(fixture, out);
    step_again(fixture);
    say_fd(fixture, window);
    step_done(fixture);

    CvdHandshakeResult *result = cvd_handshake_get_result(fixture->handshake);
    g_assert_cmpuint(result->begin, ==, 0x1000);
    g_assert_cmpuint(result->end, ==, 0x5000);
    g_assert_true(is_same(in, result->guest_to_host));
    g_assert_true(is_same(out, result->host_to_guest));
    g_assert_true(is_same(window, result->window));
    g_assert_cmpint(fcntl(result->window, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    say_text(fixture, "x");
    char byte;
    g_assert_cmpint(recv(result->connection, &byte, 1, 0), ==, 1);
}

/* The answer of 14 + 20 + 24 bytes, cut in two anywhere after the version. */
static void test_every_split(Fixture *fixture, gconstpointer data)
{
    static const char numbers[] = "0x000010000x00005000";
    cvd_autofd fd = eventfd(0, EFD_CLOEXEC);

    for (gsize cut = 1; cut < 14; cut++) {
        begin(fixture, "a");
        say(fixture, "PROTOCOL_VER 0", cut, NULL, 0);
        step_again(fixture);
        say(fixture, &"PROTOCOL_VER 0"[cut], 14 - cut, NULL, 0);
        step_again(fixture);
        expect(fixture, "GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x00000001GET REGION: a");
    }
    for (gsize cut = 1; cut < 20; cut++) {
        greet(fixture, "a");
        say(fixture, numbers, cut, NULL, 0);
        step_again(fixture);
        say_text(fixture, numbers + cut);
        for (guint i = 0; i < 3; i++) {
            step_again(fixture);
            say(fixture, "\0\0\0\0\0\0\0", cut % 8, &fd, cut % 8 > 0);
            step_again(fixture);
            say(fixture, "\0\0\0\0\0\0\0", 8 - cut % 8, &fd, cut % 8 == 0);
        }
        step_done(fixture);
        g_assert_cmpuint(cvd_handshake_get_result(fixture->handshake)->end, ==, 0x5000);
    }
}

static void test_close_at_each(Fixture *fixture, gconstpointer data)
{
    static const char *const numbers[] = {"0x00001000", "0x00005000"};
    cvd_autofd fd = eventfd(0, EFD_CLOEXEC);

    for (guint n = 0; n <= 5; n++) {
        for (guint is_amid = 0; is_amid < 2; is_amid++) {
            begin(fixture, "a");
            if (n > 0) {
                say_text(fixture, "PROTOCOL_VER 0");
                step_again(fixture);
            }
            for (guint i = 1; i < n; i++) {
                if (i <= 2)
                    say_text(fixture, numbers[i - 1]);
                else
                    say_fd(fixture, fd);
                step_again(fixture);
            }
            if (is_amid)
                say(fixture, n == 0 ? "PRO" : n <= 2 ? "0x0" : "\0\0\0", 3, &fd, n > 2);
            shutdown(fixture->peer, SHUT_WR);
            step_fails(fixture, CVD_REGION_ERROR_CLOSED);
        }
    }
}

static void test_reset(Fixture *fixture, gconstpointer data)
{
    begin(fixture, "a");
    cvd_close_fd(&fixture->peer); /* with the version unread: a reset */
    step_fails(fixture, CVD_REGION_ERROR_CLOSED);
}

static void test_garbage(Fixture *fixture, gconstpointer data)
{
    static const char *const answers[] = {"garbage garbage", "0x0000100g", "          ",
                                          "0xffffff0x", "00001000  "};

    begin(fixture, "a");
    say_text(fixture, "HTTP/1.1 400 Bad Request");
    step_fails(fixture, CVD_REGION_ERROR_PROTOCOL);
    for (guint i = 0; i < G_N_ELEMENTS(answers); i++) {
        greet(fixture, "a");
        say_text(fixture, answers[i]);
        step_fails(fixture, CVD_REGION_ERROR_PROTOCOL);
        greet(fixture, "a");
        say_text(fixture, "0x00001000");
        say_text(fixture, answers[i]);
        step_fails(fixture, CVD_REGION_ERROR_PROTOCOL);
    }
}

/* A byte too many after the version moves all that follows. */
static void test_extra_byte(Fixture *fixture, gconstpointer data)
{
    begin(fixture, "a");
    say_text(fixture, "PROTOCOL_VER 0\n");
    say_text(fixture, "0x00001000");
    step_fails(fixture, CVD_REGION_ERROR_PROTOCOL);
}

static void test_versions(Fixture *fixture, gconstpointer data)
{
    begin(fixture, "a");
    say_text(fixture, "PROTOCOL_VER 1");
    step_fails(fixture, CVD_REGION_ERROR_VERSION);

    begin(fixture, "a");
    say_text(fixture, "0x00000000");
    step_again(fixture);
    expect(fixture, "GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x00000001GET REGION: a");
}

static void test_unknown_region(Fixture *fixture, gconstpointer data)
{
    greet(fixture, "a");
    say_text(fixture, "0xffffffff");
    step_fails(fixture, CVD_REGION_ERROR_UNKNOWN_REGION);
}

static void begin_to_observe(Fixture *fixture)
{
    g_clear_pointer(&fixture->handshake, cvd_handshake_free);
    cvd_close_fd(&fixture->peer);
    fixture->handshake = cvd_handshake_new(fixture->path, "a", LONG_MS);
    cvd_handshake_observe(fixture->handshake);
    step_again(fixture);
    fixture->peer = accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC);
    expect(fixture, "GET PROTOCOL_VER");
    say_text(fixture, "PROTOCOL_VER 0");
    step_again(fixture);
    expect(fixture, "OBSERVE REGION_NAME_LEN: 0x00000001GET REGION: a");
    say_text(fixture, "0x000010000x00002000");
    cvd_autofd fd = eventfd(0, EFD_CLOEXEC);
    for (guint i = 0; i < 3; i++)
        say_fd(fixture, fd);
    step_again(fixture);
}

/* Two more numbers say who has the region. */
static void test_observe(Fixture *fixture, gconstpointer data)
{
    begin_to_observe(fixture);
    say_text(fixture, "0x000000020x0000");
    step_again(fixture);
    say_text(fixture, "00ff");
    step_done(fixture);
    CvdHandshakeResult *result = cvd_handshake_get_result(fixture->handshake);
    g_assert_cmpint(result->sharing, ==, VSOC_WIRE_TAKEN);
    g_assert_cmpuint(result->holder, ==, 0xff);
    g_assert_cmpuint(result->begin, ==, 0x1000);

    begin_to_observe(fixture);
    say_text(fixture, "0x00000003");
    step_fails(fixture, CVD_REGION_ERROR_PROTOCOL);
    begin_to_observe(fixture);
    say_text(fixture, "0x00000001");
    shutdown(fixture->peer, SHUT_RDWR);
    step_fails(fixture, CVD_REGION_ERROR_CLOSED);
}

/* Who has it comes from a server that may say anything. */
static void test_region_in_use(Fixture *fixture, gconstpointer data)
{
    static const struct {
        const char *answer;
        CvdRegionError code;
        const char *part;
    } cases[] = {
        {"0xffffffff in use by pid 7 (a program)", CVD_REGION_ERROR_IN_USE,
         "region 'a' is exclusive, and pid 7 (a program) has it;"},
        {"0xffffffff in use by \033[2Jx\n", CVD_REGION_ERROR_IN_USE, "and ?[2Jx? has it"},
        {"0xffffffff in use by ", CVD_REGION_ERROR_IN_USE, "another program has it"},
        {"0xffffffff in use", CVD_REGION_ERROR_UNKNOWN_REGION, "no region 'a'"},
        {"0xffffffff0x00000000", CVD_REGION_ERROR_UNKNOWN_REGION, "no region 'a'"},
        {"0xffffffff in use by "
         "0123456789012345678901234567890123456789012345678901234567890123456789",
         CVD_REGION_ERROR_IN_USE, "and 0123456789"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        greet(fixture, "a");
        say_text(fixture, cases[i].answer);
        g_assert_cmpint(cvd_handshake_step(fixture->handshake, &error), ==, CVD_HANDSHAKE_FAILED);
        g_assert_error(error, CVD_REGION_ERROR, (int)cases[i].code);
        g_assert_nonnull(strstr(error->message, cases[i].part));
    }
}

/* What no region can be called is not asked for. */
static void test_impossible_names(Fixture *fixture, gconstpointer data)
{
    static const char *const names[] = {"", "1234567890123456", "a b", "a\n"};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        fixture->handshake = cvd_handshake_new(fixture->path, names[i], LONG_MS);
        step_fails(fixture, CVD_REGION_ERROR_UNKNOWN_REGION);
    }
}

static void test_descriptors_missing(Fixture *fixture, gconstpointer data)
{
    cvd_autofd fd = eventfd(0, EFD_CLOEXEC);

    for (guint n = 0; n < 3; n++) {
        greet(fixture, "a");
        say_text(fixture, "0x000010000x00005000");
        for (guint i = 0; i < n; i++)
            say_fd(fixture, fd);
        say(fixture, "\0\0\0\0\0\0\0", 8, NULL, 0);
        step_fails(fixture, CVD_REGION_ERROR_PROTOCOL);
    }
    greet(fixture, "a");
    say_text(fixture, "0x000010000x00005000");
    say(fixture, "\0\0\0\0\0\0\0\1", 8, &fd, 1);
    step_fails(fixture, CVD_REGION_ERROR_PROTOCOL);
}

/* Three with one message, one with each of its bytes, and some with numbers: none stays open. */
static void test_descriptors_surplus(Fixture *fixture, gconstpointer data)
{
    cvd_autofd fd = eventfd(0, EFD_CLOEXEC);
    const int fds[3] = {fd, fd, fd};

    greet(fixture, "a");
    say(fixture, "0x00001000", 10, fds, 3);
    say(fixture, "0x00005000", 10, fds, 1);
    guint before = count_fds();
    say(fixture, "\0\0\0\0\0\0\0", 8, fds, 3);
    step_again(fixture);
    for (guint i = 0; i < 8; i++)
        say(fixture, "", 1, fds, 1);
    step_again(fixture);
    g_assert_cmpuint(count_fds(), ==, before + 2);
    say_fd(fixture, fd);
    step_done(fixture);
    g_assert_cmpuint(count_fds(), ==, before + 3);
}

static void test_listing(Fixture *fixture, gconstpointer data)
{
    static const char text[] = "0x000000020x000010000x000050000x00000001a"
                               "0x000050000x000060000x0000000f123456789012345";

    greet(fixture, NULL);
    expect(fixture, "GET REGIONS");
    for (gsize i = 0; i < sizeof text - 2; i++) {
        say(fixture, &text[i], 1, NULL, 0);
        step_again(fixture);
    }
    say(fixture, &text[sizeof text - 2], 1, NULL, 0);
    step_done(fixture);

    GArray *regions = cvd_handshake_get_result(fixture->handshake)->regions;
    g_assert_cmpuint(regions->len, ==, 2);
    CvdRegionInfo *second = &g_array_index(regions, CvdRegionInfo, 1);
    g_assert_cmpstr(g_array_index(regions, CvdRegionInfo, 0).name, ==, "a");
    g_assert_cmpstr(second->name, ==, "123456789012345");
    g_assert_cmpuint(second->begin, ==, 0x5000);
    g_assert_cmpuint(second->end, ==, 0x6000);
}

static void test_listing_bounds(Fixture *fixture, gconstpointer data)
{
    greet(fixture, NULL);
    say_text(fixture, "0x00000800"); /* 2048 */
    step_again(fixture);
    say_text(fixture, "0x000010000x000050000x00000010");
    step_fails(fixture, CVD_REGION_ERROR_PROTOCOL);

    greet(fixture, NULL);
    say_text(fixture, "0x00000801");
    step_fails(fixture, CVD_REGION_ERROR_PROTOCOL);

    greet(fixture, NULL);
    say_text(fixture, "0x00000000");
    step_done(fixture);
    g_assert_cmpuint(cvd_handshake_get_result(fixture->handshake)->regions->len, ==, 0);
}

static void test_nobody(Fixture *fixture, gconstpointer data)
{
    g_autofree char *missing = g_build_filename(fixture->dir, "missing", NULL);
    g_autofree char *long_path = g_strnfill(200, '/');

    fixture->handshake = cvd_handshake_new(missing, "a", LONG_MS);
    step_fails(fixture, CVD_REGION_ERROR_NO_SERVER);
    fixture->handshake = cvd_handshake_new(long_path, "a", LONG_MS);
    step_fails(fixture, CVD_REGION_ERROR_NO_SERVER);
    cvd_close_fd(&fixture->listener);
    fixture->handshake = cvd_handshake_new(fixture->path, "a", LONG_MS);
    step_fails(fixture, CVD_REGION_ERROR_NO_SERVER);
}

static void test_silence(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    struct rusage before, after;

    fixture->handshake = cvd_handshake_new(fixture->path, "a", 30);
    g_assert_no_errno(getrusage(RUSAGE_THREAD, &before));
    g_assert_false(cvd_handshake_run(fixture->handshake, NULL, &error));
    g_assert_no_errno(getrusage(RUSAGE_THREAD, &after));
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_PROTOCOL);
    g_assert_cmpint(after.ru_nvcsw, >, before.ru_nvcsw); /* it has slept */
}

/* A full backlog refuses without a descriptor to wait for. */
static void test_full_backlog(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    CvdHandshake *others[2];

    for (guint i = 0; i < 2; i++) { /* a backlog of n holds n + 1 */
        others[i] = cvd_handshake_new(fixture->path, "a", LONG_MS);
        g_assert_cmpint(cvd_handshake_step(others[i], NULL), ==, CVD_HANDSHAKE_AGAIN);
    }
    fixture->handshake = cvd_handshake_new(fixture->path, "a", 30);
    g_assert_false(cvd_handshake_run(fixture->handshake, NULL, &error));
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_PROTOCOL);

    /* One that waits gets in when there is room. */
    g_clear_pointer(&fixture->handshake, cvd_handshake_free);
    fixture->handshake = cvd_handshake_new(fixture->path, "a", LONG_MS);
    step_again(fixture);
    for (guint i = 0; i < 2; i++) {
        fixture->peer = accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC);
        cvd_close_fd(&fixture->peer);
        cvd_handshake_free(others[i]);
    }
    step_again(fixture);
    fixture->peer = accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC);
    expect(fixture, "GET PROTOCOL_VER");
}

static void test_cancelled(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    g_cancellable_cancel(cancellable);
    fixture->handshake = cvd_handshake_new(fixture->path, "a", LONG_MS);
    g_assert_false(cvd_handshake_run(fixture->handshake, cancellable, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void keep_error(CvdHandshake *handshake, const GError *error, gpointer data)
{
    GError **kept = data;

    g_assert_null(*kept);
    *kept = g_error_copy(error);
}

static GError *run_source(Fixture *fixture, GCancellable *cancellable)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GSource) source = cvd_handshake_source_new(fixture->handshake, cancellable);
    GError *error = NULL;

    g_source_set_callback(source, G_SOURCE_FUNC(keep_error), &error, NULL);
    g_source_attach(source, context);
    g_main_context_iteration(context, FALSE);
    g_cancellable_cancel(cancellable);
    while (error == NULL)
        g_main_context_iteration(context, TRUE);
    g_assert_true(g_source_is_destroyed(source));
    return error;
}

static void test_source_cancelled(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();

    fixture->handshake = cvd_handshake_new(fixture->path, "a", LONG_MS);
    g_autoptr(GError) error = run_source(fixture, cancellable);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void test_source_silence(Fixture *fixture, gconstpointer data)
{
    fixture->handshake = cvd_handshake_new(fixture->path, "a", 30);
    g_autoptr(GError) error = run_source(fixture, NULL);
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_PROTOCOL);
}

#define ADD(name, function)                                                                        \
    g_test_add("/client-handshake/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("whole", test_whole);
    ADD("every-split", test_every_split);
    ADD("close-at-each-message", test_close_at_each);
    ADD("reset", test_reset);
    ADD("garbage", test_garbage);
    ADD("extra-byte", test_extra_byte);
    ADD("versions", test_versions);
    ADD("unknown-region", test_unknown_region);
    ADD("region-in-use", test_region_in_use);
    ADD("observe", test_observe);
    ADD("impossible-names", test_impossible_names);
    ADD("descriptors-missing", test_descriptors_missing);
    ADD("descriptors-surplus-are-closed", test_descriptors_surplus);
    ADD("listing-byte-by-byte", test_listing);
    ADD("listing-bounds", test_listing_bounds);
    ADD("nobody-listens", test_nobody);
    ADD("silent-server", test_silence);
    ADD("full-backlog", test_full_backlog);
    ADD("cancelled", test_cancelled);
    ADD("source-cancelled", test_source_cancelled);
    ADD("source-silent-server", test_source_silence);
    return g_test_run();
}
