/* SPDX-License-Identifier: Apache-2.0 */
/* Regions that a program inherits, open: a client like any other that has not said a word. */
#include "server/cvd-server.h"

#include "base/fd.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_REGIONS 3
#define NOBODY    65534
#define A_GROUP   4321
#define A_PID     12345

typedef struct {
    GMainContext *context;
    CvdLayout *layout;
    char *dir;
    char *vm_socket;
    char *client_socket;
    CvdServer *server;
    GString *events;
    gboolean stop_when_attached;
} Fixture;

static void client_attached(CvdServer *server, int pid, const char *region, Fixture *f)
{
    g_string_append_printf(f->events, "+%s:%d ", region, pid);
    if (f->stop_when_attached)
        cvd_server_stop(server);
}

static void client_detached(CvdServer *server, int pid, Fixture *f)
{
    g_string_append_printf(f->events, "-%d ", pid);
}

static Fixture *fixture_new(CvdAccessRules *access, guint max_clients)
{
    Fixture *f = g_new0(Fixture, 1);
    GError *error = NULL;

    test_log_forget();
    f->context = g_main_context_new();
    f->layout = test_layout_new(N_REGIONS);
    f->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    f->vm_socket = g_build_filename(f->dir, "vm.sock", NULL);
    f->client_socket = g_build_filename(f->dir, "client.sock", NULL);
    f->events = g_string_new(NULL);
    g_main_context_push_thread_default(f->context);
    f->server = g_object_new(CVD_TYPE_SERVER, "layout", f->layout, "vm-socket", f->vm_socket,
                             "client-socket", f->client_socket, "access", access, "max-clients",
                             max_clients, NULL);
    g_main_context_pop_thread_default(f->context);
    g_signal_connect(f->server, "client-attached", G_CALLBACK(client_attached), f);
    g_signal_connect(f->server, "client-detached", G_CALLBACK(client_detached), f);
    g_assert_true(cvd_server_start(f->server, &error));
    g_assert_no_error(error);
    return f;
}

static void fixture_free(Fixture *f)
{
    g_clear_object(&f->server);
    g_assert_no_errno(g_rmdir(f->dir));
    g_free(f->vm_socket);
    g_free(f->client_socket);
    g_free(f->dir);
    g_string_free(f->events, TRUE);
    cvd_layout_unref(f->layout);
    g_main_context_unref(f->context);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static CvdPassedRegion open_as(Fixture *f, const char *region, const CvdServerUser *user)
{
    CvdPassedRegion passed;
    GError *error = NULL;

    g_assert_true(cvd_server_open_region(f->server, region, user, &passed, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(passed.client, !=, 0);
    for (guint i = 0; i < CVD_PASSED_N_FDS; i++)
        g_assert_true(fcntl(passed.fds[i], F_GETFD) & FD_CLOEXEC);
    return passed;
}

static CvdPassedRegion open_one(Fixture *f, const char *region)
{
    return open_as(f, region, NULL);
}

static void assert_refused(Fixture *f, const char *region, CvdError code, const char *part)
{
    guint n_fds = test_count_fds();
    CvdPassedRegion passed;
    g_autoptr(GError) error = NULL;

    g_assert_false(cvd_server_open_region(f->server, region, NULL, &passed, &error));
    g_assert_error(error, CVD_ERROR, (int)code);
    g_assert_nonnull(strstr(error->message, part));
    g_assert_cmpuint(passed.client, ==, 0);
    cvd_passed_region_clear(&passed); /* allowed, and in vain */
    g_assert_cmpuint(test_count_fds(), ==, n_fds);
}

static void describe_client(const CvdServerClient *client, gpointer data)
{
    g_string_append_printf(data, "%s:%d:%u%s%s ", client->region, client->pid, client->uid,
                           client->is_read_only ? ":ro" : "", client->is_shared ? ":shared" : "");
}

static char *list_clients(Fixture *f)
{
    GString *clients = g_string_new(NULL);

    cvd_server_foreach_client(f->server, describe_client, clients);
    return g_string_free(clients, FALSE);
}

static void assert_clients(Fixture *f, const char *expected)
{
    g_autofree char *clients = list_clients(f);

    g_assert_cmpstr(clients, ==, expected);
}

static char *client_text(const char *region, int pid, uid_t uid, const char *more)
{
    return g_strdup_printf("%s:%d:%u%s ", region, pid, uid, more);
}

/* What QEMU has of region 1, by the hand-over. */
typedef struct {
    int socket;
    int guest_to_host;
    int host_to_guest;
} Vm;

static int hear_message(Fixture *f, int peer)
{
    gint64 value;

    return test_receive(f->context, peer, &value, sizeof value);
}

static Vm vm_attach(Fixture *f)
{
    Vm vm = {.socket = cvd_server_connect_vm(f->server, NULL)};

    for (guint i = 0; i < 3; i++) { /* version, peer, window */
        cvd_autofd fd = hear_message(f, vm.socket);
        g_assert_true((fd >= 0) == (i == 2));
    }
    for (guint i = 0; i < 2 * N_REGIONS; i++) {
        cvd_autofd fd = hear_message(f, vm.socket);
        if (i == 1)
            vm.guest_to_host = g_steal_fd(&fd);
        else if (i == N_REGIONS + 1)
            vm.host_to_guest = g_steal_fd(&fd);
    }
    return vm;
}

static void vm_clear(Vm *vm)
{
    cvd_close_fd(&vm->socket);
    cvd_close_fd(&vm->guest_to_host);
    cvd_close_fd(&vm->host_to_guest);
}

/* Window and doorbells are the VM's. It is shown as ours until somebody knows whose it is. */
static void test_open_and_close(void)
{
    g_autoptr(Fixture) f = fixture_new(NULL, 8);
    guint n_fds = test_count_fds();
    Vm vm = vm_attach(f);
    CvdPassedRegion passed = open_one(f, "region1");
    g_autofree char *before = client_text("region1", getpid(), geteuid(), "");
    g_autofree char *after = client_text("region1", A_PID, geteuid(), "");
    g_autofree char *events = g_strdup_printf("+region1:%d -%d ", A_PID, A_PID);

    g_assert_true(
        test_is_window(passed.fds[CVD_PASSED_WINDOW], cvd_server_get_window_fd(f->server)));
    g_assert_true(test_is_doorbell(passed.fds[CVD_PASSED_HOST_TO_GUEST], vm.host_to_guest));
    g_assert_true(test_is_doorbell(vm.guest_to_host, passed.fds[CVD_PASSED_GUEST_TO_HOST]));
    g_assert_cmpuint(cvd_server_get_n_clients(f->server), ==, 1);
    assert_clients(f, before);
    g_assert_cmpstr(f->events->str, ==, "");

    cvd_server_set_client_pid(f->server, passed.client, A_PID);
    assert_clients(f, after);
    cvd_passed_region_clear(&passed);
    test_iterate_until(f->context, cvd_server_get_n_clients(f->server) == 0);
    g_assert_cmpstr(f->events->str, ==, events);
    assert_clients(f, "");
    vm_clear(&vm);
    test_iterate_until(f->context, cvd_server_get_vm_pid(f->server) == 0);
    g_assert_cmpuint(test_count_fds(), ==, n_fds);
}

static void test_names(void)
{
    g_autofree char *names = cvd_passed_region_get_names("a.window");

    g_assert_cmpstr(names, ==,
                    "a.window.window:a.window.to-guest:a.window.to-host:a.window.connection");
}

/* A program that cannot be started after all is no client that anybody has heard of. */
static void test_never_started(void)
{
    g_autoptr(Fixture) f = fixture_new(NULL, 8);
    CvdPassedRegion passed = open_one(f, "region1");
    guint client = passed.client;

    cvd_passed_region_clear(&passed);
    cvd_passed_region_clear(&passed);
    test_iterate_until(f->context, cvd_server_get_n_clients(f->server) == 0);
    cvd_server_set_client_pid(f->server, client, A_PID); /* too late */
    g_assert_cmpstr(f->events->str, ==, "");
}

/* However a program ends, its region is free: here by kill -9, with all descriptors inherited. */
static void test_killed(void)
{
    g_autoptr(Fixture) f = fixture_new(NULL, 8);
    CvdPassedRegion passed = open_one(f, "region1");
    pid_t child = fork();

    if (child == 0)
        for (;;)
            pause();
    cvd_server_set_client_pid(f->server, passed.client, child);
    cvd_passed_region_clear(&passed);
    g_autofree char *clients = client_text("region1", child, geteuid(), "");
    while (g_main_context_iteration(f->context, FALSE))
        ;
    assert_clients(f, clients);
    g_assert_no_errno(kill(child, SIGKILL));
    test_iterate_until(f->context, cvd_server_get_n_clients(f->server) == 0);
    g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
}

/* A reset, another VM and a stop close it, and while clients are held none is opened. */
static void test_held(void)
{
    g_autoptr(Fixture) f = fixture_new(NULL, 8);
    CvdPassedRegion passed = open_one(f, "region1");
    guint first = passed.client;

    cvd_server_set_client_pid(f->server, first, A_PID);
    cvd_server_hold_clients(f->server);
    test_expect_end(NULL, passed.fds[CVD_PASSED_CONNECTION]);
    g_assert_true(g_str_has_suffix(f->events->str, "-12345 "));
    assert_refused(f, "region1", CVD_ERROR_BUSY, "while the guest is reset");
    g_assert_true(cvd_server_renew(f->server, NULL));
    assert_refused(f, "region1", CVD_ERROR_BUSY, "while the guest is reset");
    cvd_server_admit_clients(f->server);
    cvd_passed_region_clear(&passed);

    passed = open_one(f, "region1");
    g_assert_cmpuint(passed.client, !=, first);
    g_assert_true(cvd_server_renew(f->server, NULL));
    test_expect_end(NULL, passed.fds[CVD_PASSED_CONNECTION]);
    cvd_passed_region_clear(&passed);

    passed = open_one(f, "region1");
    cvd_server_stop(f->server);
    test_expect_end(NULL, passed.fds[CVD_PASSED_CONNECTION]);
    assert_refused(f, "region1", CVD_ERROR_FAILED, "stopped");
    cvd_server_set_client_pid(f->server, passed.client, A_PID);
    cvd_passed_region_clear(&passed);
}

/* The kernel has noted the server itself as the peer: so a request, of whatever dialect, is not
 * answered with what the server's own user may have. */
static void test_asks_for_more(void)
{
    static const char *const requests[] = {
        "GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x00000007GET REGION: region2",
        "INFORM REGION_NAME_LEN: 0x00000007GET REGION: region2",
        "GET REGIONS",
        " ",
        "\7",
    };
    g_autoptr(Fixture) f = fixture_new(NULL, 8);

    for (gsize i = 0; i < G_N_ELEMENTS(requests); i++) {
        CvdPassedRegion passed = open_one(f, "region1");
        int connection = passed.fds[CVD_PASSED_CONNECTION];
        cvd_server_set_client_pid(f->server, passed.client, A_PID);
        test_send(connection, requests[i], strlen(requests[i]), -1);
        test_expect_end(f->context, connection);
        cvd_passed_region_clear(&passed);
        test_iterate_until(f->context, cvd_server_get_n_clients(f->server) == 0);
    }
    g_assert_cmpuint(test_log_count("client of pid 12345"), ==, G_N_ELEMENTS(requests));
    g_assert_cmpuint(test_log_count("broke the protocol"), ==, G_N_ELEMENTS(requests));
}

/* Places are shared with all other clients: at N the next is refused, and those who come by
 * themselves wait. */
static void test_limit(void)
{
    g_autoptr(Fixture) f = fixture_new(NULL, 2);
    CvdPassedRegion first = open_one(f, "region0");
    CvdPassedRegion second = open_one(f, "region1");
    cvd_autofd waiting = test_connect(f->client_socket);

    assert_refused(f, "region2", CVD_ERROR_RESOURCES, "there are 2 client connections");
    test_send(waiting, "GET PROTOCOL_VER", 16, -1);
    while (g_main_context_iteration(f->context, FALSE))
        ;
    g_assert_cmpuint(cvd_server_get_n_clients(f->server), ==, 2);
    cvd_passed_region_clear(&first);
    test_expect(f->context, waiting, "PROTOCOL_VER 0");
    cvd_passed_region_clear(&second);
    test_iterate_until(f->context, cvd_server_get_n_clients(f->server) == 1);
    second = open_one(f, "region2");
    cvd_passed_region_clear(&second);
}

static void test_unknown_region(void)
{
    g_autoptr(Fixture) f = fixture_new(NULL, 8);

    assert_refused(f, "region3", CVD_ERROR_INVALID, "region3");
    assert_refused(f, "", CVD_ERROR_INVALID, "");
    g_assert_cmpuint(cvd_server_get_n_clients(f->server), ==, 0);
}

static CvdAccessRules *read_only_rules(void)
{
    static char name[] = "region1";
    static char *regions[] = {name, NULL};
    const CvdAccessRule rules[] = {
        {.subject = CVD_SUBJECT_USER,
         .id = NOBODY,
         .regions = regions,
         .access = CVD_ACCESS_READ_ONLY},
        {.subject = CVD_SUBJECT_GROUP, .id = A_GROUP, .access = CVD_ACCESS_READ_ONLY},
    };

    return cvd_access_rules_new(rules, G_N_ELEMENTS(rules));
}

static void assert_access(Fixture *f, const char *region, const CvdServerUser *user,
                          gboolean is_read_only)
{
    CvdPassedRegion passed = open_as(f, region, user);
    const int *fds = passed.fds;
    g_autofree char *clients = client_text(region, getpid(), user != NULL ? user->uid : geteuid(),
                                           is_read_only ? ":ro" : "");

    if (is_read_only)
        test_assert_read_only(fds[CVD_PASSED_WINDOW]);
    else
        g_assert_true(test_is_window(fds[CVD_PASSED_WINDOW], cvd_server_get_window_fd(f->server)));
    assert_clients(f, clients);
    cvd_passed_region_clear(&passed);
    test_iterate_until(f->context, cvd_server_get_n_clients(f->server) == 0);
}

/* To be named as a region's program is permission enough; a rule for its user says how. */
static void test_access(void)
{
    g_autoptr(CvdAccessRules) rules = read_only_rules();
    g_autoptr(Fixture) f = fixture_new(rules, 8);
    const gid_t group = A_GROUP;
    const CvdServerUser nobody = {.uid = NOBODY};
    const CvdServerUser member = {.uid = NOBODY, .gids = &group, .n_gids = 1};

    assert_access(f, "region1", NULL, FALSE);
    assert_access(f, "region1", &nobody, TRUE);
    assert_access(f, "region2", &nobody, FALSE);
    assert_access(f, "region2", &member, TRUE);
}

/* Whoever may only read can neither ring the VM nor take a wake-up from another. */
static void test_reader_has_no_doorbell(void)
{
    g_autoptr(CvdAccessRules) rules = read_only_rules();
    g_autoptr(Fixture) f = fixture_new(rules, 8);
    const CvdServerUser nobody = {.uid = NOBODY};
    Vm vm = vm_attach(f);
    CvdPassedRegion passed = open_as(f, "region1", &nobody);
    const guint64 ring = 1;
    guint64 rings;

    g_assert_cmpint(write(passed.fds[CVD_PASSED_HOST_TO_GUEST], &ring, sizeof ring), ==,
                    sizeof ring);
    g_assert_cmpint(read(vm.host_to_guest, &rings, sizeof rings), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
    g_assert_cmpint(write(vm.guest_to_host, &ring, sizeof ring), ==, sizeof ring);
    g_assert_cmpint(read(passed.fds[CVD_PASSED_GUEST_TO_HOST], &rings, sizeof rings), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
    cvd_passed_region_clear(&passed);
    vm_clear(&vm);
}

/* It is seen, and said, that a program shares a region with somebody else. */
static void test_shared(void)
{
    g_autoptr(Fixture) f = fixture_new(NULL, 8);
    CvdPassedRegion one = open_one(f, "region1"), two = open_one(f, "region1");
    g_autofree char *first = client_text("region1", A_PID, geteuid(), ":shared");
    g_autofree char *second = client_text("region1", A_PID + 1, geteuid(), ":shared");
    g_autofree char *both = g_strconcat(first, second, NULL);

    cvd_server_set_client_pid(f->server, one.client, A_PID);
    cvd_server_set_client_pid(f->server, two.client, A_PID + 1);
    assert_clients(f, both);
    g_assert_cmpuint(test_log_count("another one has region \"region1\" too"), >=, 1);
    cvd_passed_region_clear(&one);
    cvd_passed_region_clear(&two);
}

static void test_no_descriptors_left(void)
{
    if (!test_may_lower_fd_limit())
        return;

    g_autoptr(Fixture) f = fixture_new(NULL, 8);
    struct rlimit before, few;
    cvd_autofd lowest = dup(0);
    CvdPassedRegion passed;

    g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &before));
    for (rlim_t n_free = 0; n_free < 6; n_free++) { /* 3 of the region, 2 of a pair */
        g_autoptr(GError) error = NULL;
        few = (struct rlimit){.rlim_cur = (rlim_t)lowest + 1 + n_free, .rlim_max = before.rlim_max};
        g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &few));
        gboolean is_open = cvd_server_open_region(f->server, "region1", NULL, &passed, &error);
        g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &before));
        g_assert_true(is_open == (n_free == 5));
        if (!is_open)
            g_assert_error(error, CVD_ERROR, CVD_ERROR_RESOURCES);
    }
    cvd_passed_region_clear(&passed);
    test_iterate_until(f->context, cvd_server_get_n_clients(f->server) == 0);
}

static void test_stopped_by_a_handler(void)
{
    g_autoptr(Fixture) f = fixture_new(NULL, 8);
    CvdPassedRegion passed = open_one(f, "region1");

    f->stop_when_attached = TRUE;
    cvd_server_set_client_pid(f->server, passed.client, A_PID);
    test_expect_end(NULL, passed.fds[CVD_PASSED_CONNECTION]);
    g_assert_cmpstr(f->events->str, ==, "+region1:12345 -12345 ");
    cvd_passed_region_clear(&passed);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    g_test_add_func("/server-passed/open-and-close", test_open_and_close);
    g_test_add_func("/server-passed/names", test_names);
    g_test_add_func("/server-passed/never-started", test_never_started);
    g_test_add_func("/server-passed/killed", test_killed);
    g_test_add_func("/server-passed/held", test_held);
    g_test_add_func("/server-passed/asks-for-more", test_asks_for_more);
    g_test_add_func("/server-passed/limit", test_limit);
    g_test_add_func("/server-passed/unknown-region", test_unknown_region);
    g_test_add_func("/server-passed/access", test_access);
    g_test_add_func("/server-passed/reader-has-no-doorbell", test_reader_has_no_doorbell);
    g_test_add_func("/server-passed/shared", test_shared);
    g_test_add_func("/server-passed/no-descriptors-left", test_no_descriptors_left);
    g_test_add_func("/server-passed/stopped-by-a-handler", test_stopped_by_a_handler);
    return g_test_run();
}
