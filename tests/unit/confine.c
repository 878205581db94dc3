/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a confined program can and cannot do, tried by tests/unit/attempt.c under the real
 * bubblewrap. What it cannot do it does without confinement, or that would say nothing.
 */
#include "launcher/programs/confine.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MIB   (1024 * 1024)
#define N_FDS 40 /* that the program may have */

static const char *attempt; /* the program that tries */

typedef struct {
    char *root;       /* a directory of the test's, not in /tmp, of which the program has its own */
    char *secret;     /* what the configuration does not name, as all but the next two */
    char *outside;    /* a file that is not there */
    char *readable;   /* a file that it names as read-only */
    char *shared;     /* a directory that it names as writable */
    char *new_file;   /* in it */
    char *client;     /* a socket that somebody listens on */
    char *notify;     /* another */
    char *port;       /* of another, on the network */
    char *pid;        /* of this process */
    int sockets[3];   /* the ones that listen */
    int inherited[4]; /* the second is left out */
    char *read_only[2];
    char *writable[2];
    char *regions[2];
    CvdConfine confine;
    CvdProgramConfig program;
    CvdConfig config;
    CvdRunAs *run_as;
    CvdChildren *children;
    gboolean is_over;
    CvdExit how;
} Fixture;

static int listen_at(const struct sockaddr *address, socklen_t size)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_no_errno(bind(fd, address, size));
    g_assert_no_errno(listen(fd, 100));
    return fd;
}

static int listen_at_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = listen_at((struct sockaddr *)&address, sizeof address);
    g_assert_no_errno(chmod(path, 0666));
    return fd;
}

static void listen_on_network(Fixture *f)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    f->sockets[2] = listen_at((struct sockaddr *)&address, size);
    g_assert_no_errno(getsockname(f->sockets[2], (struct sockaddr *)&address, &size));
    f->port = g_strdup_printf("%d", ntohs(address.sin_port));
}

/* A file with its number, as the program has it, in it. */
static int open_inherited(const Fixture *f, int number)
{
    g_autofree char *path = g_build_filename(f->root, "inherited", NULL);
    g_autofree char *text = g_strdup_printf("%d", number);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_assert_no_errno(unlink(path));
    return fd;
}

static void make_files(Fixture *f)
{
    f->secret = g_build_filename(f->root, "secret", NULL);
    f->outside = g_build_filename(f->root, "new", NULL);
    f->readable = g_build_filename(f->root, "settings", NULL);
    f->shared = g_build_filename(f->root, "shared", NULL);
    f->new_file = g_build_filename(f->shared, "new", NULL);
    f->client = g_build_filename(f->root, "client.sock", NULL);
    f->notify = g_build_filename(f->root, "notify.sock", NULL);
    g_assert_no_errno(mkdir(f->shared, 0700));
    g_assert_true(g_file_set_contents(f->secret, "s", 1, NULL));
    g_assert_true(g_file_set_contents(f->readable, "s", 1, NULL));
    f->sockets[0] = listen_at_path(f->client);
    f->sockets[1] = listen_at_path(f->notify);
}

static void set_up(Fixture *f, gconstpointer data)
{
    f->root = g_mkdtemp(g_strdup("/var/tmp/cvd-XXXXXX"));
    make_files(f);
    listen_on_network(f);
    f->pid = g_strdup_printf("%d", getpid());
    f->read_only[0] = f->readable;
    f->writable[0] = f->shared;
    f->regions[0] = (char *)"echo";
    f->confine = (CvdConfine){.memory_bytes = 200 * MIB,
                              .n_fds = N_FDS,
                              .cpu_s = 1,
                              .has_file_system = TRUE,
                              .read_only = f->read_only,
                              .writable = f->writable};
    f->program = (CvdProgramConfig){.name = (char *)"echo",
                                    .regions = f->regions,
                                    .stop_signal = SIGTERM,
                                    .confine = &f->confine};
    f->config = (CvdConfig){.name = (char *)"t", .directory = f->root, .client_socket = f->client};
    for (int i = 0; i < 4; i++)
        f->inherited[i] = i == 1 ? -1 : open_inherited(f, CVD_CHILD_FIRST_FD + i);
    f->children = cvd_children_new(NULL, NULL);
    g_assert_nonnull(f->children);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *command = g_strdup_printf("rm -r '%s'", f->root);

    cvd_children_free(f->children);
    for (int i = 0; i < 4; i++)
        cvd_close_fd(&f->inherited[i]);
    for (int i = 0; i < 3; i++)
        cvd_close_fd(&f->sockets[i]);
    char *texts[] = {f->secret, f->outside, f->readable, f->shared, f->new_file,
                     f->client, f->notify,  f->port,     f->pid,    f->root};
    g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
}

static void on_exited(CvdExit how, gpointer data)
{
    Fixture *f = data;

    f->how = cvd_confine_unwrap_exit(&f->program, how);
    f->is_over = TRUE;
}

/* Returns: where the number goes */
static char *find_pid_text(char **environment)
{
    while (!g_str_has_prefix(*environment, "LISTEN_PID="))
        environment++;
    return *environment + strlen("LISTEN_PID=");
}

/* As the supervisor starts it. @output: what it prints on. */
static CvdChild *spawn(Fixture *f, char **argv, int output)
{
    static const CvdChildHandlers handlers = {.exited = on_exited};
    g_auto(GStrv) wrapped = cvd_confine_wrap(&f->config, &f->program, argv, f->notify);
    g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), "LISTEN_PID", "0000000000", TRUE);
    CvdLimit limits[CVD_CONFINE_MAX_LIMITS];
    g_autoptr(GError) error = NULL;
    const CvdSpawn how = {
        .argv = wrapped,
        .environment = environment,
        .pid_text = find_pid_text(environment),
        .directory = f->root,
        .run_as = f->run_as,
        .output = output,
        .fds = f->inherited,
        .n_fds = G_N_ELEMENTS(f->inherited),
        .limits = limits,
        .n_limits = cvd_confine_get_limits(f->program.confine, limits),
        .has_no_new_privileges = f->program.confine != NULL,
    };

    f->is_over = FALSE;
    CvdChild *child = cvd_child_spawn(f->children, &how, &handlers, f, &error);
    g_assert_no_error(error);
    return child;
}

static void wait_end(Fixture *f)
{
    while (!f->is_over)
        g_main_context_iteration(NULL, TRUE);
}

/* Returns: whether it could */
static gboolean run(Fixture *f, const char *what, const char *argument)
{
    char *argv[] = {(char *)attempt, (char *)what, (char *)argument, NULL};
    cvd_autofd output = dup(STDERR_FILENO);
    G_GNUC_UNUSED g_autoptr(CvdChild) child = spawn(f, argv, output);

    wait_end(f);
    return !f->how.is_signal && f->how.value == 0;
}

static void assert_can(Fixture *f, const char *what, const char *argument)
{
    if (!run(f, what, argument))
        g_error("it cannot %s %s", what, argument);
}

static void assert_cannot(Fixture *f, const char *what, const char *argument)
{
    CvdConfine *confine = f->program.confine;

    f->program.confine = NULL;
    if (!run(f, what, argument))
        g_error("not even without confinement it can %s %s", what, argument);
    f->program.confine = confine;
    if (run(f, what, argument))
        g_error("it can %s %s", what, argument);
}

/* Somebody who is not root may be denied a namespace of users. */
static gboolean has_bwrap(void)
{
    g_autofree char *bwrap = g_find_program_in_path("bwrap");
    int status = 0;

    if (bwrap == NULL)
        g_test_skip("bubblewrap is not there");
    else if (!g_spawn_command_line_sync("bwrap --unshare-user --disable-userns --ro-bind / / true",
                                        NULL, NULL, &status, NULL) ||
             status != 0)
        g_test_skip("bubblewrap does not work here");
    else
        return TRUE;
    return FALSE;
}

/* ---- A file system of its own ---- */

static void test_files(Fixture *f, gconstpointer data)
{
    if (!has_bwrap())
        return;
    if (geteuid() == 0)
        assert_cannot(f, "read", "/etc/shadow");
    assert_cannot(f, "list", g_get_home_dir());
    assert_cannot(f, "read", f->secret);
    assert_cannot(f, "write", f->outside);
    assert_cannot(f, "write", f->readable);
    assert_can(f, "read", "/usr/bin/env");
    assert_can(f, "read", f->readable);
    assert_can(f, "write", f->new_file);
    g_assert_true(g_file_test(f->new_file, G_FILE_TEST_EXISTS));
}

/* What all may write to elsewhere is its own. */
static void test_temporary_files(Fixture *f, gconstpointer data)
{
    static const char *const places[] = {"/tmp", "/dev/shm"};

    if (!has_bwrap())
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = g_strdup_printf("%s/cvd-confined-%d", places[i], getpid());
        assert_can(f, "write", path);
        g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    }
}

/* With what the configuration has to allow, it starts. */
static void test_least_descriptors(Fixture *f, gconstpointer data)
{
    f->confine.n_fds = 3 + G_N_ELEMENTS(f->inherited) + CVD_BUBBLEWRAP_N_FDS;
    if (has_bwrap())
        assert_can(f, "inherited", "6");
}

static void test_whole_file_system(Fixture *f, gconstpointer data)
{
    f->read_only[0] = (char *)"/";
    if (!has_bwrap())
        return;
    assert_can(f, "read", f->secret);
    assert_can(f, "write", f->new_file);
    assert_cannot(f, "write", f->outside);
    assert_cannot(f, "signal", f->pid);
}

static void test_others(Fixture *f, gconstpointer data)
{
    g_autofree char *control = g_build_filename(f->root, "control.sock", NULL);

    if (!has_bwrap())
        return;
    assert_cannot(f, "connect", f->port);
    assert_cannot(f, "signal", f->pid);
    if (geteuid() == 0) /* for others it is the kernel's settings that say */
        assert_cannot(f, "trace", f->pid);
    G_GNUC_UNUSED cvd_autofd listener = listen_at_path(control);
    assert_cannot(f, "connect-path", control);
    f->confine.network = TRUE;
    assert_can(f, "connect", f->port);
}

/* It has them if it needs them. */
static void test_sockets(Fixture *f, gconstpointer data)
{
    if (!has_bwrap())
        return;
    assert_can(f, "connect-path", f->client);
    assert_can(f, "connect-path", f->notify);
    f->program.pass_fds = TRUE;
    assert_cannot(f, "connect-path", f->client);
    f->program.pass_fds = FALSE;
    f->regions[0] = NULL;
    assert_cannot(f, "connect-path", f->client);
}

static void test_privileges(Fixture *f, gconstpointer data)
{
    if (!has_bwrap())
        return;
    assert_cannot(f, "privileges", "");
    assert_cannot(f, "users", "");
}

/* Root needs no capability for what is in /proc/sys, which is the host's: such as the command that
 * the kernel runs when a process crashes. */
static void test_kernel_settings(Fixture *f, gconstpointer data)
{
    static const char setting[] = "/proc/sys/kernel/core_pattern";

    if (!has_bwrap())
        return;
    if (geteuid() == 0)
        assert_cannot(f, "open-for-writing", setting);
    f->read_only[0] = (char *)"/";
    g_assert_false(run(f, "open-for-writing", setting));
    assert_can(f, "open-for-writing", "/dev/stderr");
}

static void test_inherited(Fixture *f, gconstpointer data)
{
    if (!has_bwrap())
        return;
    f->program.pass_fds = TRUE;
    assert_can(f, "inherited", "3");
    assert_can(f, "inherited", "5");
    assert_can(f, "inherited", "6");
    g_assert_false(run(f, "inherited", "4")); /* was left out */
    assert_can(f, "number", "LISTEN_PID");
    f->program.confine = NULL;
    assert_can(f, "number", "LISTEN_PID");
}

/* The launcher is root, the program is not. */
static void test_other_user(Fixture *f, gconstpointer data)
{
    CvdRunAs nobody = {.user = (char *)"nobody", .uid = 65534, .gid = 65534};

    if (!has_bwrap())
        return;
    if (geteuid() != 0) {
        g_test_skip("needs root, to become another user");
        return;
    }
    f->run_as = &nobody;
    g_assert_no_errno(chmod(f->root, 0777));
    g_assert_no_errno(chmod(f->shared, 0777));
    if (!run(f, "read", "/usr/bin/env")) {
        g_test_skip("the build directory is closed to other users");
        return;
    }
    assert_cannot(f, "read", f->secret);
    assert_cannot(f, "write", f->outside);
    assert_cannot(f, "connect", f->port);
    assert_can(f, "read", f->readable);
    assert_can(f, "write", f->new_file);
    assert_can(f, "connect-path", f->client);
    assert_can(f, "inherited", "3");
}

/* ---- Limits, with such a file system and without ---- */

static void assert_limits(Fixture *f)
{
    g_autofree char *most = g_strdup_printf("%d", N_FDS - 3 - 3);
    g_autofree char *one_more = g_strdup_printf("%d", N_FDS - 3 - 3 + 1);

    assert_can(f, "descriptors", most);
    assert_cannot(f, "descriptors", one_more);
    assert_can(f, "memory", "100");
    assert_cannot(f, "memory", "200");
    assert_cannot(f, "processor", "2");
    g_assert_true(f->how.is_signal);
    g_assert_cmpint(f->how.value, ==, SIGXCPU);
}

static void test_limits(Fixture *f, gconstpointer data)
{
    f->confine.has_file_system = FALSE;
    assert_cannot(f, "privileges", "");
    assert_limits(f);
}

static void test_limits_in_file_system(Fixture *f, gconstpointer data)
{
    if (has_bwrap())
        assert_limits(f);
}

static void test_limits_as_values(void)
{
    CvdLimit limits[CVD_CONFINE_MAX_LIMITS];
    CvdConfine confine = {0};

    g_assert_cmpuint(cvd_confine_get_limits(NULL, limits), ==, 0);
    g_assert_cmpuint(cvd_confine_get_limits(&confine, limits), ==, 0);
    confine = (CvdConfine){.memory_bytes = MIB, .n_fds = 100, .cpu_s = 60};
    g_assert_cmpuint(cvd_confine_get_limits(&confine, limits), ==, 3);
    g_assert_cmpint(limits[0].resource, ==, RLIMIT_AS);
    g_assert_cmpuint(limits[0].soft, ==, MIB);
    g_assert_cmpuint(limits[0].hard, ==, MIB);
    g_assert_cmpint(limits[1].resource, ==, RLIMIT_NOFILE);
    g_assert_cmpuint(limits[1].soft, ==, 100);
    g_assert_cmpuint(limits[1].hard, ==, limits[1].soft);
    g_assert_cmpint(limits[2].resource, ==, RLIMIT_CPU);
    g_assert_cmpuint(limits[2].soft, ==, 60);
    g_assert_cmpuint(limits[2].hard, >, 60);
}

/* ---- Its end ---- */

static void run_script(Fixture *f, const char *script, int signal_number)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
    int ends[2];
    char line[16] = "";

    g_assert_no_errno(pipe2(ends, O_CLOEXEC));
    g_autoptr(CvdChild) child = spawn(f, argv, ends[1]);
    close(ends[1]);
    g_assert_cmpint(read(ends[0], line, sizeof line - 1), ==, 3);
    g_assert_cmpstr(line, ==, "up\n");
    g_assert_no_errno(cvd_child_kill_group(child, signal_number));
    wait_end(f);
    while (read(ends[0], line, sizeof line) > 0) /* ends, as nothing of it is left */
        ;
    close(ends[0]);
}

#define WAIT_FOR_EVER "while :; do sleep 1000 & wait $!; done"

/* Whatever the program's stop signal is, bubblewrap leaves it to the program. */
static void test_stop_signals(Fixture *f, gconstpointer data)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};

    for (gsize i = 0; has_bwrap() && i < G_N_ELEMENTS(signals); i++) {
        g_autofree char *script = g_strdup_printf("trap 'exit %d' %d; echo up; " WAIT_FOR_EVER,
                                                  20 + signals[i], signals[i]);
        f->program.stop_signal = signals[i];
        run_script(f, script, signals[i]);
        g_assert_false(f->how.is_signal);
        g_assert_cmpint(f->how.value, ==, 20 + signals[i]);

        run_script(f, "echo up; exec sleep 1000", signals[i]);
        g_assert_true(f->how.is_signal);
        g_assert_cmpint(f->how.value, ==, signals[i]);
    }
}

static void test_nothing_is_left(Fixture *f, gconstpointer data)
{
    if (!has_bwrap())
        return;
    f->program.stop_signal = SIGKILL;
    run_script(f, "setsid sleep 1000 & trap '' TERM; echo up; " WAIT_FOR_EVER, SIGKILL);
    g_assert_true(f->how.is_signal);
    g_assert_cmpint(f->how.value, ==, SIGKILL);
}

static void test_exits(void)
{
    static const struct {
        CvdExit how;
        gboolean is_signal;
        int value;
    } rows[] = {
        {{.is_known = TRUE, .value = 0}, FALSE, 0},
        {{.is_known = TRUE, .value = 128}, FALSE, 128},
        {{.is_known = TRUE, .value = 128 + SIGSEGV}, TRUE, SIGSEGV},
        {{.is_known = TRUE, .value = 255}, FALSE, 255},
        {{.is_known = TRUE, .is_signal = TRUE, .value = SIGKILL}, TRUE, SIGKILL},
    };
    CvdConfine confine = {.has_file_system = TRUE};
    CvdProgramConfig program = {.confine = &confine};

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        CvdExit how = cvd_confine_unwrap_exit(&program, rows[i].how);
        g_assert_cmpint(how.is_signal, ==, rows[i].is_signal);
        g_assert_cmpint(how.value, ==, rows[i].value);
    }
    confine.has_file_system = FALSE;
    g_assert_false(cvd_confine_unwrap_exit(&program, rows[2].how).is_signal);
}

static void test_unconfined(void)
{
    const char *const argv[] = {"program", "argument", NULL};
    CvdConfine confine = {.n_fds = 100};
    CvdProgramConfig program = {.name = (char *)"echo"};
    CvdConfig config = {.name = (char *)"t"};
    g_auto(GStrv) without = cvd_confine_wrap(&config, &program, (char **)argv, NULL);
    program.confine = &confine;
    g_auto(GStrv) with_limits = cvd_confine_wrap(&config, &program, (char **)argv, NULL);

    g_assert_cmpstrv(without, argv);
    g_assert_cmpstrv(with_limits, argv);
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    attempt = g_getenv("CVD_ATTEMPT");
    g_assert_nonnull(attempt);
    add("/confine/files", test_files);
    add("/confine/temporary-files", test_temporary_files);
    add("/confine/whole-file-system-to-read", test_whole_file_system);
    add("/confine/others", test_others);
    add("/confine/sockets", test_sockets);
    add("/confine/privileges", test_privileges);
    add("/confine/kernel-settings", test_kernel_settings);
    add("/confine/inherited-descriptors", test_inherited);
    add("/confine/least-descriptors", test_least_descriptors);
    add("/confine/other-user", test_other_user);
    add("/confine/limits", test_limits);
    add("/confine/limits-in-its-file-system", test_limits_in_file_system);
    g_test_add_func("/confine/limits-as-values", test_limits_as_values);
    add("/confine/stop-signals", test_stop_signals);
    add("/confine/nothing-is-left", test_nothing_is_left);
    g_test_add_func("/confine/exits", test_exits);
    g_test_add_func("/confine/unconfined", test_unconfined);
    return g_test_run();
}
