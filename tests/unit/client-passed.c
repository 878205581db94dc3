/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions that a program has inherited from the real server. The program is a child of the test,
 * as only there the descriptors can have the numbers that they have to have; it plays the guest as
 * well, by descriptors of its own.
 */
#include "client/cvd-client.h"
#include "client/passed.h"

#include "server/server.h"
#include "tests/unit/layout-spec.h"
#include "tests/unit/talk.h"
#include "vsoc/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE          8192U
#define BEGIN         (4096U + SIZE) /* of the second region */
#define DATA          40U            /* behind tables of 4 slots and their words */
#define FIRST_FD      3
#define HIGH_FD       100 /* above all that a test has open */
#define MAX_FDS       16
#define NAMES(region) region ".window:" region ".to-guest:" region ".to-host:" region ".connection"

/* ---- What the environment says ---- */

static char *describe(GPtrArray *regions)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < regions->len; i++) {
        const CvdPassed *passed = regions->pdata[i];
        g_string_append_printf(text, "%s=%d,%d,%d,%d ", passed->region, passed->fds[0],
                               passed->fds[1], passed->fds[2], passed->fds[3]);
    }
    return g_string_free(text, FALSE);
}

static void test_parse(void)
{
    static const struct {
        const char *n_fds, *names, *pid;
        const char *expected;
    } cases[] = {
        {"4", NAMES("a"), NULL, "a=3,4,5,6 "},
        {"4", NAMES("a"), "77", "a=3,4,5,6 "},
        {"8", NAMES("a") ":" NAMES("b"), NULL, "a=3,4,5,6 b=7,8,9,10 "},
        {"5", "fs:" NAMES("a"), NULL, "a=4,5,6,7 "},
        {"4", NAMES("a.window"), NULL, "a.window=3,4,5,6 "},
        {"4", "a.connection:a.to-host:a.to-guest:a.window", NULL, "a=6,5,4,3 "},
        {"4", NAMES("fifteen-letters"), NULL, "fifteen-letters=3,4,5,6 "},
        {"4", NAMES("sixteen-letters."), NULL, ""},
        {"2", "a.window:b.to-host", NULL, "a=3,-1,-1,-1 b=-1,-1,4,-1 "},
        {"2", "a.window:a.window", NULL, "a=3,-1,-1,-1 "},
        {"3", ".window:window:connection", NULL, ""},
        {"0", "", NULL, ""},
        {"0", NULL, NULL, ""},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const CvdPassedEnvironment environment = {cases[i].n_fds, cases[i].names, cases[i].pid};
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) regions = cvd_passed_parse(&environment, 77, &error);
        g_assert_no_error(error);
        g_autofree char *got = describe(regions);
        g_assert_cmpstr(got, ==, cases[i].expected);
    }
}

static void test_parse_fails(void)
{
    static const struct {
        const char *n_fds, *names, *pid;
        CvdRegionError code;
        const char *part;
    } cases[] = {
        {NULL, NAMES("a"), NULL, CVD_REGION_ERROR_NOT_PASSED, "LISTEN_FDS is not set"},
        {"4", NAMES("a"), "78", CVD_REGION_ERROR_NOT_PASSED, "to that process, and this is 77"},
        {"4", NAMES("a"), "", CVD_REGION_ERROR_PROTOCOL, "LISTEN_PID="},
        {"4", NAMES("a"), "-1", CVD_REGION_ERROR_PROTOCOL, "LISTEN_PID=-1"},
        {"4", NAMES("a"), "99999999999", CVD_REGION_ERROR_PROTOCOL, "LISTEN_PID=99999999999"},
        {"", NAMES("a"), NULL, CVD_REGION_ERROR_PROTOCOL, "LISTEN_FDS="},
        {"four", NAMES("a"), NULL, CVD_REGION_ERROR_PROTOCOL, "LISTEN_FDS=four"},
        {"-4", NAMES("a"), NULL, CVD_REGION_ERROR_PROTOCOL, "LISTEN_FDS=-4"},
        {"65537", NAMES("a"), NULL, CVD_REGION_ERROR_PROTOCOL, "LISTEN_FDS=65537"},
        {"3", NAMES("a"), NULL, CVD_REGION_ERROR_PROTOCOL, "has 4 names, and LISTEN_FDS is 3"},
        {"4", "", NULL, CVD_REGION_ERROR_PROTOCOL, "has 0 names, and LISTEN_FDS is 4"},
        {"4", NULL, NULL, CVD_REGION_ERROR_NOT_PASSED, "LISTEN_FDNAMES is not set"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const CvdPassedEnvironment environment = {cases[i].n_fds, cases[i].names, cases[i].pid};
        g_autoptr(GError) error = NULL;
        g_assert_null(cvd_passed_parse(&environment, 77, &error));
        g_assert_error(error, CVD_REGION_ERROR, (int)cases[i].code);
        g_assert_nonnull(strstr(error->message, cases[i].part));
    }
}

/* ---- A server, and a program that it starts ---- */

typedef struct {
    GMainContext *context;
    char *dir;
    char *vm_socket;
    char *client_socket;
    CvdServer *server;
    GString *names;
    int fds[MAX_FDS]; /* what the program inherits, from FIRST_FD on */
    guint n_fds;
    gboolean knows_socket;
    gboolean is_over;
} Fixture;

static Fixture *fixture_new(CvdAccess access)
{
    const CvdAccessRule rule = {.subject = CVD_SUBJECT_EVERYBODY, .access = access};
    g_autoptr(CvdAccessRules) rules = cvd_access_rules_new(&rule, 1);
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
    Fixture *f = g_new0(Fixture, 1);
    GError *error = NULL;

    test_add_whole_region(spec, "first", SIZE, 5, 3, 2, 2);
    test_add_whole_region(spec, "second", SIZE, 5, 3, 2, 2);
    g_autoptr(CvdLayout) layout = test_compute_layout(spec);
    f->context = g_main_context_new();
    f->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    f->vm_socket = g_build_filename(f->dir, "vm.sock", NULL);
    f->client_socket = g_build_filename(f->dir, "client.sock", NULL);
    f->names = g_string_new(NULL);
    g_main_context_push_thread_default(f->context);
    f->server = g_object_new(CVD_TYPE_SERVER, "layout", layout, "vm-socket", f->vm_socket,
                             "client-socket", f->client_socket, "access", rules, NULL);
    g_main_context_pop_thread_default(f->context);
    g_assert_true(cvd_server_start(f->server, &error));
    g_assert_no_error(error);
    return f;
}

static void fixture_free(Fixture *f)
{
    for (guint i = 0; i < f->n_fds; i++)
        close(f->fds[i]);
    g_clear_object(&f->server);
    g_assert_no_errno(g_rmdir(f->dir));
    g_free(f->dir);
    g_free(f->vm_socket);
    g_free(f->client_socket);
    g_string_free(f->names, TRUE);
    g_main_context_unref(f->context);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static void pass_region(Fixture *f, const char *region)
{
    g_autofree char *names = cvd_passed_region_get_names(region);
    CvdPassedRegion passed;
    GError *error = NULL;

    g_assert_true(cvd_server_open_region(f->server, region, NULL, &passed, &error));
    g_assert_no_error(error);
    g_string_append_printf(f->names, "%s%s", f->n_fds > 0 ? ":" : "", names);
    for (guint i = 0; i < CVD_PASSED_N_FDS; i++)
        f->fds[f->n_fds++] = passed.fds[i];
}

/* To be called in the child: from now on it is as if it had been executed. */
static void become_program(Fixture *f)
{
    g_autofree char *n_fds = g_strdup_printf("%u", f->n_fds);

    for (guint i = 0; i < f->n_fds; i++)
        g_assert_no_errno(dup2(f->fds[i], HIGH_FD + (int)i));
    for (guint i = 0; i < f->n_fds; i++) {
        g_assert_no_errno(dup2(HIGH_FD + (int)i, FIRST_FD + (int)i));
        g_assert_no_errno(close(HIGH_FD + (int)i));
    }
    close_range(FIRST_FD + f->n_fds, ~0U, 0);
    g_setenv("LISTEN_FDS", n_fds, TRUE);
    g_setenv("LISTEN_FDNAMES", f->names->str, TRUE);
    if (f->knows_socket)
        g_setenv("CVD_CLIENT_SOCKET", f->client_socket, TRUE);
}

static void on_end(GPid pid, int status, gpointer data)
{
    Fixture *f = data;

    g_assert_cmpint(status, ==, 0);
    f->is_over = TRUE;
}

static pid_t start_program(Fixture *f, void (*run)(void))
{
    pid_t child = fork();

    if (child == 0) {
        become_program(f);
        run();
        _exit(0);
    }
    g_assert_cmpint(child, >, 0);
    g_autoptr(GSource) source = g_child_watch_source_new(child);
    g_source_set_callback(source, G_SOURCE_FUNC(on_end), f, NULL);
    g_source_attach(source, f->context);
    return child;
}

static void run_program(Fixture *f, void (*run)(void))
{
    f->is_over = FALSE;
    start_program(f, run);
    test_iterate_until(f->context, f->is_over);
}

static CvdRegion *open_passed(const char *name)
{
    g_autoptr(GError) error = NULL;
    CvdRegion *region = cvd_region_open_passed(name, 0, &error);

    g_assert_no_error(error);
    return region;
}

static void assert_refused(const char *name, CvdRegionError code, const char *part)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(cvd_region_open_passed(name, 0, &error));
    g_assert_error(error, CVD_REGION_ERROR, (int)code);
    g_assert_nonnull(strstr(error->message, part));
}

static gboolean is_close_on_exec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

/* ---- Stories ---- */

static void open_one(void)
{
    g_autoptr(CvdRegion) region = open_passed("second");
    g_autofree char *socket = NULL;
    guint word;

    g_assert_cmpstr(cvd_region_get_name(region), ==, "second");
    g_assert_cmpuint(cvd_region_get_version(region), ==, 5);
    g_assert_cmpuint(cvd_region_get_begin(region), ==, BEGIN);
    g_assert_cmpuint(cvd_region_get_size(region), ==, SIZE);
    g_assert_cmpuint(cvd_region_get_data_offset(region), ==, DATA);
    g_assert_false(cvd_region_is_closed(region));
    g_assert_false(cvd_region_is_read_only(region));
    g_object_get(region, "socket-path", &socket, NULL);
    g_assert_null(socket);
    g_assert_true(cvd_region_store(region, SIZE - 4, 0xabcdef01, NULL));
    g_assert_true(cvd_region_load(region, SIZE - 4, &word, NULL));
    g_assert_cmphex(word, ==, 0xabcdef01);
    g_assert_cmpint(pread(FIRST_FD, &word, sizeof word, BEGIN + SIZE - 4), ==, sizeof word);
    g_assert_cmphex(word, ==, 0xabcdef01);

    for (int fd = FIRST_FD; fd < FIRST_FD + CVD_PASSED_N_FDS; fd++)
        g_assert_true(is_close_on_exec(fd));
    assert_refused("second", CVD_REGION_ERROR_NOT_PASSED, "was opened already");
    assert_refused(NULL, CVD_REGION_ERROR_NOT_PASSED, "open already");
    assert_refused("first", CVD_REGION_ERROR_NOT_PASSED, "which has second; name it");
    g_clear_object(&region);
    g_assert_cmpint(fcntl(FIRST_FD, F_GETFD), ==, -1);
    assert_refused("second", CVD_REGION_ERROR_NOT_PASSED, "was opened already");
}

static void test_open(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);

    pass_region(f, "second");
    run_program(f, open_one);
}

static void open_two(void)
{
    g_autoptr(CvdRegion) second = open_passed("second");

    for (int fd = FIRST_FD; fd < FIRST_FD + CVD_PASSED_N_FDS; fd++)
        g_assert_false(is_close_on_exec(fd));
    g_autoptr(CvdRegion) first = open_passed(NULL);
    g_assert_cmpstr(cvd_region_get_name(first), ==, "first");
    g_assert_cmpuint(cvd_region_get_begin(second) - cvd_region_get_begin(first), ==, SIZE);
    assert_refused(NULL, CVD_REGION_ERROR_NOT_PASSED, "open already");
}

static void test_two_regions(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);

    pass_region(f, "first");
    pass_region(f, "second");
    run_program(f, open_two);
}

/* What the guest does is done with descriptors of its own. */
static void exchange_signals(void)
{
    int to_guest = dup(FIRST_FD + CVD_PASSED_HOST_TO_GUEST);
    int to_host = dup(FIRST_FD + CVD_PASSED_GUEST_TO_HOST);
    guint8 *memory =
        mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, FIRST_FD + CVD_PASSED_WINDOW, BEGIN);
    struct vsoc_device_region descriptor;
    g_autoptr(GError) error = NULL;
    eventfd_t count;

    g_assert_cmpint(pread(FIRST_FD, &descriptor, sizeof descriptor,
                          sizeof(struct vsoc_shm_layout_descriptor) + sizeof descriptor),
                    ==, sizeof descriptor);
    struct vsoc_end guest = {memory, &descriptor, VSOC_GUEST};
    g_autoptr(CvdRegion) region = open_passed(NULL);

    g_assert_cmpint(vsoc_signals_send(&guest, DATA), ==, VSOC_SEND_RING);
    g_assert_no_errno(eventfd_write(to_host, 1));
    g_autoptr(GArray) offsets = cvd_region_wait(region, -1, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(offsets->len, ==, 1);
    g_assert_cmpuint(g_array_index(offsets, guint32, 0), ==, DATA);

    g_assert_cmpint(eventfd_read(to_guest, &count), ==, -1);
    g_assert_true(cvd_region_signal(region, DATA + 4, &error));
    g_assert_no_errno(eventfd_read(to_guest, &count));
    g_assert_true(cvd_region_interrupt(region, &error));
    g_assert_no_errno(eventfd_read(to_guest, &count));
}

static void test_signals(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);

    pass_region(f, "second");
    run_program(f, exchange_signals);
}

static void wait_for_the_end(void)
{
    g_autoptr(CvdRegion) region = open_passed(NULL);
    g_autoptr(GError) error = NULL;

    g_assert_true(cvd_region_interrupt(region, NULL)); /* which the test waits for */
    g_assert_null(cvd_region_wait(region, -1, NULL, &error));
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED);
    g_clear_error(&error);
    g_assert_true(cvd_region_is_closed(region));
    if (g_getenv("CVD_CLIENT_SOCKET") != NULL) {
        g_assert_true(cvd_region_reopen(region, NULL, &error));
        g_assert_no_error(error);
        g_assert_false(cvd_region_is_closed(region));
        return;
    }
    g_assert_false(cvd_region_reopen(region, NULL, &error));
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_NO_SERVER);
    g_assert_nonnull(strstr(error->message, "CVD_CLIENT_SOCKET"));
}

/* A reset ends the connection. Who knows the client socket opens the region there again. */
static void end_by_reset(gboolean knows_socket)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);

    f->knows_socket = knows_socket;
    pass_region(f, "second");
    start_program(f, wait_for_the_end);
    struct pollfd ring = {.fd = f->fds[CVD_PASSED_HOST_TO_GUEST], .events = POLLIN};
    g_assert_cmpint(poll(&ring, 1, -1), ==, 1);
    cvd_server_hold_clients(f->server);
    cvd_server_admit_clients(f->server);
    test_iterate_until(f->context, f->is_over);
}

static void test_closed(void)
{
    end_by_reset(FALSE);
}

static void test_reopened(void)
{
    end_by_reset(TRUE);
}

/* A program knows the machine that has started it, however many run; a name is another matter. */
static void find_own_machine(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *socket = cvd_find_client_socket(NULL, &error);

    g_assert_cmpstr(socket, ==, g_getenv("CVD_CLIENT_SOCKET"));
    g_assert_null(cvd_find_client_socket("none-of-that-name", &error));
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_NO_SERVER);
}

static void test_own_machine(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);

    f->knows_socket = TRUE;
    run_program(f, find_own_machine);
}

static void on_reopened(GObject *source, GAsyncResult *result, gpointer data)
{
    GError **error = data;

    g_assert_false(cvd_region_reopen_finish(CVD_REGION(source), result, error));
}

static void reopen_in_the_loop(void)
{
    g_autoptr(CvdRegion) region = open_passed(NULL);
    g_autoptr(GError) error = NULL;

    cvd_region_reopen_async(region, NULL, on_reopened, &error);
    test_iterate_until(NULL, error != NULL);
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_NO_SERVER);
}

static void test_not_reopened_in_the_loop(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);

    pass_region(f, "second");
    run_program(f, reopen_in_the_loop);
}

static void find_the_end(void)
{
    assert_refused("second", CVD_REGION_ERROR_CLOSED, "started with the next VM's regions");
    g_assert_false(is_close_on_exec(FIRST_FD));
}

static void test_closed_before_it_is_opened(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);

    pass_region(f, "second");
    cvd_server_stop(f->server);
    run_program(f, find_the_end);
}

static void only_read(void)
{
    g_autoptr(CvdRegion) region = open_passed(NULL);
    g_autoptr(GError) error = NULL;
    guint word;

    g_assert_true(cvd_region_is_read_only(region));
    g_assert_true(cvd_region_load(region, DATA, &word, NULL));
    g_assert_false(cvd_region_store(region, DATA, 1, &error));
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_READ_ONLY);
}

static void test_read_only(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_ONLY);

    pass_region(f, "second");
    run_program(f, only_read);
}

/* A failure costs nothing: what was not opened can be opened. */
static void ask_for_another_version(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(cvd_region_open_passed("second", 6, &error));
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_VERSION);
    g_assert_false(is_close_on_exec(FIRST_FD));
    g_clear_error(&error);
    G_GNUC_UNUSED g_autoptr(CvdRegion) region = cvd_region_open_passed("second", 5, &error);
    g_assert_no_error(error);
}

static void test_version(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);

    pass_region(f, "second");
    run_program(f, ask_for_another_version);
}

/* ---- Whoever started the program passed something else ---- */

static int new_unsealed(void)
{
    int fd = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_no_errno(ftruncate(fd, 65536));
    return fd;
}

static int new_empty(void)
{
    return memfd_create("window", MFD_CLOEXEC);
}

static int new_pipe(void)
{
    int fds[2];

    g_assert_no_errno(pipe2(fds, O_CLOEXEC));
    close(fds[1]);
    return fds[0];
}

static int new_datagram(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int new_inet(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int new_eventfd(void)
{
    return eventfd(0, EFD_CLOEXEC);
}

static const struct {
    CvdPassedFd kind;
    int (*make)(void); /* NULL: it is closed */
    CvdRegionError code;
    const char *part;
} wrong[] = {
    {CVD_PASSED_WINDOW, new_eventfd, CVD_REGION_ERROR_PROTOCOL, "3, second.window, is no memory"},
    {CVD_PASSED_WINDOW, new_empty, CVD_REGION_ERROR_PROTOCOL, "size that no window has"},
    {CVD_PASSED_WINDOW, new_unsealed, CVD_REGION_ERROR_PROTOCOL, "anybody can change the size"},
    {CVD_PASSED_WINDOW, NULL, CVD_REGION_ERROR_NOT_PASSED, "3, second.window, is not open"},
    {CVD_PASSED_HOST_TO_GUEST, new_empty, CVD_REGION_ERROR_PROTOCOL, "4, second.to-guest, is no e"},
    {CVD_PASSED_GUEST_TO_HOST, new_pipe, CVD_REGION_ERROR_PROTOCOL, "5, second.to-host, is no e"},
    {CVD_PASSED_GUEST_TO_HOST, NULL, CVD_REGION_ERROR_NOT_PASSED, "second.to-host, is not open"},
    {CVD_PASSED_CONNECTION, new_datagram, CVD_REGION_ERROR_PROTOCOL, "6, second.connection, is no"},
    {CVD_PASSED_CONNECTION, new_inet, CVD_REGION_ERROR_PROTOCOL, "is no UNIX stream socket"},
    {CVD_PASSED_CONNECTION, new_eventfd, CVD_REGION_ERROR_PROTOCOL, "is no UNIX stream socket"},
    {CVD_PASSED_CONNECTION, NULL, CVD_REGION_ERROR_NOT_PASSED, "second.connection, is not open"},
};

static void find_what_is_wrong(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        int place = FIRST_FD + (int)wrong[i].kind;
        g_assert_no_errno(dup2(place, HIGH_FD));
        if (wrong[i].make != NULL) {
            int fd = wrong[i].make();
            g_assert_no_errno(dup2(fd, place));
            close(fd);
        } else {
            close(place);
        }
        assert_refused("second", wrong[i].code, wrong[i].part);
        g_assert_no_errno(dup2(HIGH_FD, place));
        close(HIGH_FD);
    }
    G_GNUC_UNUSED g_autoptr(CvdRegion) region = open_passed("second");
}

static void test_wrong_descriptors(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);

    pass_region(f, "second");
    run_program(f, find_what_is_wrong);
}

static void find_what_is_missing(void)
{
    assert_refused("second", CVD_REGION_ERROR_PROTOCOL, "LISTEN_FDNAMES lacks second.connection");
    g_setenv("LISTEN_FDS", "4", TRUE);
    assert_refused("second", CVD_REGION_ERROR_PROTOCOL, "3 names");
    g_unsetenv("LISTEN_FDS");
    assert_refused(NULL, CVD_REGION_ERROR_NOT_PASSED, "LISTEN_FDS is not set");
    g_setenv("LISTEN_FDS", "1", TRUE);
    g_setenv("LISTEN_FDNAMES", "fs", TRUE);
    assert_refused(NULL, CVD_REGION_ERROR_NOT_PASSED, "LISTEN_FDNAMES has none");
    assert_refused("second", CVD_REGION_ERROR_NOT_PASSED, "which has none");
}

static void test_missing_descriptor(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);

    pass_region(f, "second");
    close(f->fds[--f->n_fds]);
    g_string_truncate(f->names, f->names->len - strlen(":second.connection"));
    run_program(f, find_what_is_missing);
}

/* ---- The guest has written into the header ---- */

static const gsize descriptor_at =
    sizeof(struct vsoc_shm_layout_descriptor) + sizeof(struct vsoc_device_region);

static void scribble(Fixture *f, gsize field, guint32 value)
{
    g_assert_cmpint(
        pwrite(f->fds[CVD_PASSED_WINDOW], &value, sizeof value, (off_t)(descriptor_at + field)), ==,
        sizeof value);
}

static void find_bad_descriptor(void)
{
    assert_refused("second", CVD_REGION_ERROR_BAD_DESCRIPTOR, "the guest may have overwritten it");
}

static void test_guest_has_written(void)
{
    static const struct {
        gsize field;
        guint32 value;
    } cases[] = {
        {offsetof(struct vsoc_device_region, device_name), 0},
        {offsetof(struct vsoc_device_region, region_begin_offset), 0},
        {offsetof(struct vsoc_device_region, region_begin_offset), BEGIN + 1},
        {offsetof(struct vsoc_device_region, region_begin_offset), 0xfffff000},
        {offsetof(struct vsoc_device_region, region_end_offset), 0xfffff000},
        {offsetof(struct vsoc_device_region, region_end_offset), BEGIN},
        {offsetof(struct vsoc_device_region, offset_of_region_data), SIZE + 4},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
        pass_region(f, "second");
        scribble(f, cases[i].field, cases[i].value);
        run_program(f, find_bad_descriptor);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_unsetenv("CVD_CLIENT_SOCKET");
    g_unsetenv("LISTEN_PID");
    g_test_add_func("/client-passed/parse", test_parse);
    g_test_add_func("/client-passed/parse-fails", test_parse_fails);
    g_test_add_func("/client-passed/open", test_open);
    g_test_add_func("/client-passed/two-regions", test_two_regions);
    g_test_add_func("/client-passed/signals", test_signals);
    g_test_add_func("/client-passed/closed", test_closed);
    g_test_add_func("/client-passed/reopened", test_reopened);
    g_test_add_func("/client-passed/own-machine", test_own_machine);
    g_test_add_func("/client-passed/not-reopened-in-the-loop", test_not_reopened_in_the_loop);
    g_test_add_func("/client-passed/closed-before-it-is-opened", test_closed_before_it_is_opened);
    g_test_add_func("/client-passed/read-only", test_read_only);
    g_test_add_func("/client-passed/version", test_version);
    g_test_add_func("/client-passed/wrong-descriptors", test_wrong_descriptors);
    g_test_add_func("/client-passed/missing-descriptor", test_missing_descriptor);
    g_test_add_func("/client-passed/guest-has-written", test_guest_has_written);
    return g_test_run();
}
