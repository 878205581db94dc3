/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exclusive regions: one process at a time, with the real server and programs that are processes of
 * their own.
 */
#include "server/cvd-server.h"

#include "base/fd.h"
#include "tests/unit/layout-spec.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST(name) "INFORM REGION_NAME_LEN: 0x00000007GET REGION: " name /* of seven letters */
#define HANDSHAKE     "GET PROTOCOL_VER" REQUEST("sensors")

/* Old seccomp profiles refuse it. */
static gboolean has_no_pidfd;

int pidfd_open(pid_t pid, unsigned int flags)
{
    if (!has_no_pidfd)
        return (int)syscall(SYS_pidfd_open, pid, flags);
    errno = EPERM;
    return -1;
}

typedef struct {
    GMainContext *context;
    char *dir;
    char *vm_socket;
    char *client_socket;
    char *legacy_socket;
    CvdServer *server;
    guint n_detached;
    gboolean stop_when_detached;
} Fixture;

static void client_detached(CvdServer *server, int pid, Fixture *f)
{
    f->n_detached++;
    if (f->stop_when_detached)
        cvd_server_stop(server);
}

static CvdLayout *layout_new(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    test_add_region(spec, "general", 4096);
    test_add_region(spec, "sensors", 4096)->is_exclusive = TRUE;
    test_add_region(spec, "cameras", 4096)->is_exclusive = TRUE;
    return test_compute_layout(spec);
}

static Fixture *fixture_new(CvdAccess access)
{
    const CvdAccessRule rule = {.subject = CVD_SUBJECT_EVERYBODY, .access = access};
    g_autoptr(CvdAccessRules) rules = cvd_access_rules_new(&rule, 1);
    g_autoptr(CvdLayout) layout = layout_new();
    Fixture *f = g_new0(Fixture, 1);
    GError *error = NULL;

    test_log_forget();
    f->context = g_main_context_new();
    f->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    f->vm_socket = g_build_filename(f->dir, "vm.sock", NULL);
    f->client_socket = g_build_filename(f->dir, "client.sock", NULL);
    f->legacy_socket = g_build_filename(f->dir, "legacy.sock", NULL);
    g_main_context_push_thread_default(f->context);
    f->server =
        g_object_new(CVD_TYPE_SERVER, "layout", layout, "vm-socket", f->vm_socket, "client-socket",
                     f->client_socket, "legacy-socket", f->legacy_socket, "access", rules, NULL);
    g_main_context_pop_thread_default(f->context);
    g_signal_connect(f->server, "client-detached", G_CALLBACK(client_detached), f);
    g_assert_true(cvd_server_start(f->server, &error));
    g_assert_no_error(error);
    return f;
}

static void fixture_free(Fixture *f)
{
    g_clear_object(&f->server);
    g_assert_no_errno(g_rmdir(f->dir));
    g_free(f->dir);
    g_free(f->vm_socket);
    g_free(f->client_socket);
    g_free(f->legacy_socket);
    g_main_context_unref(f->context);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

/* ---- Connections of this process ---- */

static char *hear_all(Fixture *f, int peer)
{
    GString *text = g_string_new(NULL);
    char byte;

    for (;;) {
        gssize n = recv(peer, &byte, 1, MSG_DONTWAIT);
        if (n == 0)
            return g_string_free(text, FALSE);
        if (n == 1)
            g_string_append_c(text, byte);
        else
            g_main_context_iteration(f->context, TRUE);
    }
}

static void hear_region(Fixture *f, int peer)
{
    char bytes[2 * 10 + 3 * 8];

    for (gsize i = 0; i < sizeof bytes; i++) {
        int fd = test_receive(f->context, peer, bytes + i, 1);
        cvd_close_fd(&fd);
    }
    g_assert_cmpint(bytes[2], ==, '0'); /* no refusal */
}

static int ask(Fixture *f)
{
    int peer = test_connect(f->client_socket);

    test_send(peer, HANDSHAKE, strlen(HANDSHAKE), -1);
    test_expect(f->context, peer, "PROTOCOL_VER 0");
    return peer;
}

static void assert_refused(Fixture *f, const char *holder)
{
    cvd_autofd peer = ask(f);
    g_autofree char *answer = hear_all(f, peer);
    g_autofree char *expected = g_strdup_printf("0xffffffff in use by %s", holder);

    g_assert_cmpstr(answer, ==, expected);
}

static int attach(Fixture *f)
{
    int peer = ask(f);

    hear_region(f, peer);
    return peer;
}

/* ---- Another program ---- */

/* What has the region: a process that a test can end, and that says so when it has it. */
typedef struct {
    pid_t pid;
    int control; /* at whose end it closes its connection, and ends */
} Program;

/* In the child: blocking, and without anything of the parent's but the path. */
static void run_program(const char *path, int control)
{
    cvd_autofd server = test_connect(path);
    char bytes[14 + 2 * 10 + 3 * 8];
    gsize n = 0;

    prctl(PR_SET_NAME, "a \033 program");
    test_send(server, HANDSHAKE, strlen(HANDSHAKE), -1);
    while (n < sizeof bytes) {
        poll(&(struct pollfd){.fd = server, .events = POLLIN}, 1, -1);
        if (recv(server, bytes + n++, 1, 0) != 1)
            _exit(1);
    }
    g_assert_cmpint(write(control, "Y", 1), ==, 1);
    if (read(control, bytes, 1) == 1 && bytes[0] == 'f' && fork() == 0) {
        g_assert_cmpint(write(control, "F", 1), ==, 1); /* it has everything, too, and stays */
        poll(&(struct pollfd){.fd = server, .events = POLLIN}, 1, -1);
        _exit(0);
    }
    if (bytes[0] == 'f')
        pause();
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_REMOVE;
}

/* Serves until another process has done something. */
static void serve_until_readable(Fixture *f, int fd)
{
    g_autoptr(GSource) source = g_unix_fd_source_new(fd, G_IO_IN | G_IO_HUP);
    gboolean is_readable = FALSE;

    g_source_set_callback(source, G_SOURCE_FUNC(on_readable), &is_readable, NULL);
    g_source_attach(source, f->context);
    test_iterate_until(f->context, is_readable);
}

static void hear_byte(Fixture *f, Program *program, char expected)
{
    char byte;

    serve_until_readable(f, program->control);
    g_assert_cmpint(recv(program->control, &byte, 1, 0), ==, 1);
    g_assert_cmpint(byte, ==, expected);
}

static Program start_program(Fixture *f)
{
    int fds[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        run_program(f->client_socket, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    Program program = {.pid = child, .control = fds[0]};
    hear_byte(f, &program, 'Y');
    return program;
}

/* From now on a child of the program has the connection as well. */
static void make_fork(Fixture *f, Program *program)
{
    g_assert_cmpint(write(program->control, "f", 1), ==, 1);
    hear_byte(f, program, 'F');
}

static void kill_program(Program *program)
{
    g_assert_no_errno(kill(program->pid, SIGKILL));
    g_assert_cmpint(waitpid(program->pid, NULL, 0), ==, program->pid);
}

static void end_program(Program *program)
{
    cvd_close_fd(&program->control);
    g_assert_cmpint(waitpid(program->pid, NULL, 0), ==, program->pid);
}

static char *describe(const Program *program)
{
    return g_strdup_printf("pid %d (a \\x1b program)", program->pid);
}

/* ---- Stories ---- */

/* The second is refused as for an unknown region, with a reason behind that; the log says it once,
 * however often the same process tries. */
static void test_second_is_refused(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    Program program = start_program(f);
    g_autofree char *holder = describe(&program);
    g_autofree char *line =
        g_strdup_printf("refused: region \"sensors\" is exclusive, and %s has it", holder);

    for (guint i = 0; i < 3; i++)
        assert_refused(f, holder);
    g_assert_cmpuint(test_log_count(line), ==, 1);
    g_assert_cmpuint(test_log_count("CVD_REGION=sensors"), ==, 1);

    end_program(&program);
    cvd_autofd peer = attach(f);
    g_assert_cmpint(peer, >=, 0);
}

/* Nothing was dispatched between the end of the first and the request of the second. */
static void test_first_is_killed(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    Program program = start_program(f);

    kill_program(&program);
    cvd_autofd peer = attach(f);
    g_assert_cmpint(peer, >=, 0);
    cvd_close_fd(&program.control);
}

/* The process is what counts, whoever has inherited its connection. */
static void test_killed_with_an_heir(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    Program program = start_program(f);
    guint n = f->n_detached;

    make_fork(f, &program);
    kill_program(&program);
    test_iterate_until(f->context, f->n_detached == n + 1);
    cvd_autofd peer = attach(f);
    g_assert_cmpint(peer, >=, 0);
    serve_until_readable(f, program.control);
    test_expect_end(NULL, program.control); /* the heir has seen the end, and is gone */
    cvd_close_fd(&program.control);
}

/* The same, but the next is faster than the report of the end. */
static void test_killed_with_an_heir_and_asked_at_once(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    Program program = start_program(f);

    make_fork(f, &program);
    cvd_autofd peer = ask(f);
    g_autofree char *answer = hear_all(f, peer);
    g_assert_true(g_str_has_prefix(answer, "0xffffffff"));
    kill_program(&program);
    cvd_autofd second = attach(f);
    g_assert_cmpint(second, >=, 0);
    cvd_close_fd(&program.control);
}

/* Where there are no pidfds the region is free when its last connection has ended. */
static void test_without_pidfd(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);

    has_no_pidfd = TRUE;
    Program program = start_program(f);
    make_fork(f, &program);
    kill_program(&program);
    g_autofree char *holder = g_strdup_printf("pid %d", program.pid);
    assert_refused(f, holder);
    shutdown(program.control, SHUT_RDWR);
    cvd_close_fd(&program.control);
    has_no_pidfd = FALSE;
    cvd_server_hold_clients(f->server);
    cvd_server_admit_clients(f->server);
    cvd_autofd peer = attach(f);
    g_assert_cmpint(peer, >=, 0);

    has_no_pidfd = TRUE;
    cvd_close_fd(&peer);
    Program plain = start_program(f);
    kill_program(&plain);
    peer = attach(f);
    cvd_close_fd(&plain.control);
    has_no_pidfd = FALSE;
}

/* One process, however many connections; the region is free when the last has ended. */
static void test_one_process_twice(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    int one = attach(f), two = attach(f);
    CvdPassedRegion passed;

    cvd_close_fd(&one);
    test_iterate_until(f->context, f->n_detached == 1);
    g_assert_false(cvd_server_open_region(f->server, "sensors", NULL, &passed, NULL));
    cvd_close_fd(&two);
    g_assert_true(cvd_server_open_region(f->server, "sensors", NULL, &passed, NULL));
    cvd_passed_region_clear(&passed);
}

/* Whoever asks for another region on the same connection still has the descriptors of the first. */
static void test_kept_with_another_region(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    cvd_autofd peer = attach(f);
    CvdPassedRegion passed;

    test_send(peer, REQUEST("cameras"), strlen(REQUEST("cameras")), -1);
    hear_region(f, peer);
    test_send(peer, REQUEST("general"), strlen(REQUEST("general")), -1);
    hear_region(f, peer);
    g_assert_false(cvd_server_open_region(f->server, "sensors", NULL, &passed, NULL));
    g_assert_false(cvd_server_open_region(f->server, "cameras", NULL, &passed, NULL));
    cvd_close_fd(&peer);
    g_assert_true(cvd_server_open_region(f->server, "sensors", NULL, &passed, NULL));
    cvd_passed_region_clear(&passed);
    g_assert_true(cvd_server_open_region(f->server, "cameras", NULL, &passed, NULL));
    cvd_passed_region_clear(&passed);
}

/* Who may only read takes no signal from anybody: any number of them, beside the one. */
static void test_readers(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_ONLY);
    Program program = start_program(f);
    cvd_autofd peer = attach(f);

    g_assert_cmpint(peer, >=, 0);
    end_program(&program);
}

/* Returns: messages 10 and 11 of one that only looks; what it has can neither be written nor rung
 */
static char *observe(Fixture *f, const char *handshake)
{
    cvd_autofd peer = test_connect(f->client_socket);
    char bytes[20 + 1] = {0}, zeros[8];
    const guint64 ring = 1;

    test_send(peer, handshake, strlen(handshake), -1);
    test_expect(f->context, peer, "PROTOCOL_VER 0");
    g_assert_cmpint(test_receive(f->context, peer, bytes, 20), ==, -1);
    for (guint i = 0; i < 2; i++) {
        cvd_autofd doorbell = test_receive(f->context, peer, zeros, sizeof zeros);
        g_assert_cmpint(write(doorbell, &ring, sizeof ring), ==, sizeof ring);
    }
    cvd_autofd window = test_receive(f->context, peer, zeros, sizeof zeros);
    test_assert_read_only(window);
    g_assert_cmpint(test_receive(f->context, peer, bytes, 20), ==, -1);
    return g_strdup(bytes);
}

#define OBSERVE(name) "GET PROTOCOL_VEROBSERVE REGION_NAME_LEN: 0x00000007GET REGION: " name

static void count_client(const CvdServerClient *client, gpointer data)
{
    g_assert_true(client->is_read_only);
    ++*(guint *)data;
}

/* Whoever only looks learns who has the region, and is in nobody's way. */
static void test_observers(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    g_autofree char *shared = observe(f, OBSERVE("general"));
    g_autofree char *free_one = observe(f, OBSERVE("sensors"));
    Program program = start_program(f);
    g_autofree char *taken = observe(f, OBSERVE("sensors"));
    g_autofree char *expected = g_strdup_printf("0x000000020x%08x", program.pid);

    g_assert_cmpstr(shared, ==, "0x000000000x00000000");
    g_assert_cmpstr(free_one, ==, "0x000000010x00000000");
    g_assert_cmpstr(taken, ==, expected);
    end_program(&program);
    test_iterate_until(f->context, cvd_server_get_n_clients(f->server) == 0);

    cvd_autofd observer = test_connect(f->client_socket);
    test_send(observer, OBSERVE("sensors"), strlen(OBSERVE("sensors")), -1);
    test_expect(f->context, observer, "PROTOCOL_VER 0");
    hear_region(f, observer);
    test_expect(f->context, observer, "0x000000010x00000000");
    guint n = 0;
    cvd_server_foreach_client(f->server, count_client, &n);
    g_assert_cmpuint(n, ==, 1);
    cvd_autofd peer = attach(f);
    g_assert_cmpint(peer, >=, 0);

    /* It may become the one that has it, when that is free again. */
    test_send(observer, REQUEST("cameras"), strlen(REQUEST("cameras")), -1);
    hear_region(f, observer);
    CvdPassedRegion passed;
    g_assert_false(cvd_server_open_region(f->server, "cameras", NULL, &passed, NULL));
}

static void test_observers_of_nothing(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    cvd_autofd peer = test_connect(f->client_socket);

    test_send(peer, OBSERVE("nothing"), strlen(OBSERVE("nothing")), -1);
    g_autofree char *answer = hear_all(f, peer);
    g_assert_cmpstr(answer, ==, "PROTOCOL_VER 00xffffffff");
}

/* Others are served as ever. */
static void test_other_regions(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    Program program = start_program(f);
    cvd_autofd peer = test_connect(f->client_socket);
    static const char general[] = "GET PROTOCOL_VER" REQUEST("general") REQUEST("cameras");

    test_send(peer, general, strlen(general), -1);
    test_expect(f->context, peer, "PROTOCOL_VER 0");
    hear_region(f, peer);
    hear_region(f, peer);
    end_program(&program);
}

/* A program of 2017 is refused as for an unknown region, and refuses others. */
static void test_legacy(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    Program program = start_program(f);
    cvd_autofd peer = test_connect(f->legacy_socket);
    guint32 version;
    char bytes[8];

    g_assert_cmpint(test_receive(f->context, peer, &version, sizeof version), ==, -1);
    test_send(peer, "\7\0sensors", 9, -1);
    test_expect_end(f->context, peer);
    g_assert_cmpuint(test_log_count("is exclusive"), ==, 1);
    end_program(&program);

    cvd_autofd again = test_connect(f->legacy_socket);
    CvdPassedRegion passed;
    g_assert_cmpint(test_receive(f->context, again, &version, sizeof version), ==, -1);
    test_send(again, "\7\0sensors", 9, -1);
    G_GNUC_UNUSED cvd_autofd fd = test_receive(f->context, again, bytes, sizeof bytes);
    g_assert_false(cvd_server_open_region(f->server, "sensors", NULL, &passed, NULL));
}

/* A reset closes the first; of those who come then the first to be served has the region. */
static void test_reset(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    Program program = start_program(f);

    cvd_server_hold_clients(f->server);
    cvd_autofd peer = test_connect(f->client_socket);
    test_send(peer, HANDSHAKE, strlen(HANDSHAKE), -1);
    cvd_server_admit_clients(f->server);
    test_expect(f->context, peer, "PROTOCOL_VER 0");
    hear_region(f, peer);
    end_program(&program);
}

/* A program that is about to be started has its region before anybody knows its number. */
static void test_passed(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    CvdPassedRegion passed, other;
    g_autoptr(GError) error = NULL;

    g_assert_true(cvd_server_open_region(f->server, "sensors", NULL, &passed, NULL));
    assert_refused(f, "another program");
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    cvd_server_set_client_pid(f->server, passed.client, child);
    cvd_passed_region_clear(&passed);

    g_autofree char *name = g_strdup_printf("pid %d (", child);
    g_assert_false(cvd_server_open_region(f->server, "sensors", NULL, &other, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, "is exclusive"));
    g_assert_nonnull(strstr(error->message, name));

    Program program = {.pid = child};
    kill_program(&program);
    g_assert_true(cvd_server_open_region(f->server, "sensors", NULL, &other, NULL));
    cvd_passed_region_clear(&other);
}

/* A program that was said to be the holder is gone, and somebody else has its descriptors. */
static void test_passed_and_inherited(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    CvdPassedRegion passed;

    g_assert_true(cvd_server_open_region(f->server, "sensors", NULL, &passed, NULL));
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    cvd_server_set_client_pid(f->server, passed.client, child);
    Program program = {.pid = child};
    kill_program(&program);
    test_expect_end(f->context, passed.fds[CVD_PASSED_CONNECTION]); /* which we still have */
    G_GNUC_UNUSED cvd_autofd peer = attach(f);
    cvd_passed_region_clear(&passed);
}

/* That the first has ended is found out while the second is served, and its owner stops it all. */
static void test_stopped_by_a_handler(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    Program program = start_program(f);
    cvd_autofd peer = ask(f);
    g_autofree char *answer = hear_all(f, peer);

    g_assert_true(g_str_has_prefix(answer, "0xffffffff"));
    cvd_autofd second = test_connect(f->client_socket);
    test_send(second, "GET PROTOCOL_VER", 16, -1);
    test_expect(f->context, second, "PROTOCOL_VER 0");
    f->stop_when_detached = TRUE;
    test_send(second, REQUEST("sensors"), strlen(REQUEST("sensors")), -1);
    kill_program(&program);
    test_expect_end(f->context, second);
    cvd_close_fd(&program.control);
}

static void test_stopped_while_a_region_is_opened(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_ACCESS_READ_WRITE);
    Program program = start_program(f);
    CvdPassedRegion passed;
    g_autoptr(GError) error = NULL;

    f->stop_when_detached = TRUE;
    kill_program(&program);
    g_assert_false(cvd_server_open_region(f->server, "sensors", NULL, &passed, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
    cvd_close_fd(&program.control);
}

static void test_nothing(void)
{
    g_test_skip("valgrind has no pidfd_open(2)");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    if (g_getenv("CVD_UNDER_VALGRIND") != NULL) {
        g_test_add_func("/server-exclusive", test_nothing);
        return g_test_run();
    }
    g_test_add_func("/server-exclusive/second-is-refused", test_second_is_refused);
    g_test_add_func("/server-exclusive/first-is-killed", test_first_is_killed);
    g_test_add_func("/server-exclusive/killed-with-an-heir", test_killed_with_an_heir);
    g_test_add_func("/server-exclusive/killed-with-an-heir-and-asked-at-once",
                    test_killed_with_an_heir_and_asked_at_once);
    g_test_add_func("/server-exclusive/without-pidfd", test_without_pidfd);
    g_test_add_func("/server-exclusive/one-process-twice", test_one_process_twice);
    g_test_add_func("/server-exclusive/kept-with-another-region", test_kept_with_another_region);
    g_test_add_func("/server-exclusive/readers", test_readers);
    g_test_add_func("/server-exclusive/observers", test_observers);
    g_test_add_func("/server-exclusive/observers-of-nothing", test_observers_of_nothing);
    g_test_add_func("/server-exclusive/other-regions", test_other_regions);
    g_test_add_func("/server-exclusive/legacy", test_legacy);
    g_test_add_func("/server-exclusive/reset", test_reset);
    g_test_add_func("/server-exclusive/passed", test_passed);
    g_test_add_func("/server-exclusive/passed-and-inherited", test_passed_and_inherited);
    g_test_add_func("/server-exclusive/stopped-by-a-handler", test_stopped_by_a_handler);
    g_test_add_func("/server-exclusive/stopped-while-a-region-is-opened",
                    test_stopped_while_a_region_is_opened);
    return g_test_run();
}
