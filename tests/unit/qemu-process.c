/* SPDX-License-Identifier: Apache-2.0 */
/* The process around a shell that plays QEMU; the real one runs in the end-to-end tests. */
#include "launcher/qemu/process.h"

#include "base/error.h"
#include "base/fd.h"

#include "tests/support/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char *read_line(int fd)
{
    GString *line = g_string_new(NULL);
    char c;
    while (read(fd, &c, 1) == 1 && c != '\n')
        g_string_append_c(line, c);
    return g_string_free(line, FALSE);
}

/* A shell in QEMU's place: what it writes to descriptor N comes out of `ends[N - 2]`. */
typedef struct {
    GMainLoop *loop;
    CvdExit how;
    CvdQemuFds fds;
    int ends[4];
    CvdChildren *children;
    CvdQemuProcess *process;
} Run;

static void on_exited(CvdExit how, gpointer data)
{
    Run *run = data;
    run->how = how;
    g_main_loop_quit(run->loop);
}

static Run *run_new(void)
{
    Run *run = g_new0(Run, 1);
    int pipes[4][2];

    run->loop = g_main_loop_new(NULL, FALSE);
    for (int i = 0; i < 4; i++) {
        g_assert_no_errno(pipe2(pipes[i], O_CLOEXEC));
        run->ends[i] = pipes[i][0];
    }
    run->fds = (CvdQemuFds){.ivshmem = pipes[1][1],
                            .qmp = pipes[2][1],
                            .serial = pipes[3][1],
                            .ram = -1,
                            .output = pipes[0][1]};
    return run;
}

static void close_fds(CvdQemuFds *fds)
{
    cvd_close_fd(&fds->output);
    cvd_close_fd(&fds->ivshmem);
    cvd_close_fd(&fds->qmp);
    cvd_close_fd(&fds->serial);
}

static void run_spawn(Run *run, const char *script, const CvdRunAs *run_as)
{
    g_autoptr(GError) error = NULL;
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)script, NULL};

    run->children = cvd_children_new(NULL, &error);
    g_assert_no_error(error);
    run->process =
        cvd_qemu_process_spawn(run->children, argv, &run->fds, run_as, on_exited, run, &error);
    g_assert_no_error(error);
    g_assert_nonnull(run->process);
    close_fds(&run->fds);
}

#define OTHER_UID 65534

static void spawn_as_other(Run *run, const char *script)
{
    gid_t gids[] = {OTHER_UID, 4711};
    const CvdRunAs run_as = {
        .user = (char *)"other", .uid = OTHER_UID, .gid = OTHER_UID, .gids = gids, .n_gids = 2};

    run_spawn(run, script, &run_as);
}

static Run *run_shell(const char *script)
{
    Run *run = run_new();

    run_spawn(run, script, NULL);
    return run;
}

static void run_free(Run *run)
{
    g_clear_pointer(&run->process, cvd_qemu_process_free);
    g_clear_pointer(&run->children, cvd_children_free);
    close_fds(&run->fds);
    for (int i = 0; i < 4; i++)
        close(run->ends[i]);
    g_main_loop_unref(run->loop);
    g_free(run);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Run, run_free)

/* A pipe in place of a control group's file. */
static void test_control_group(void)
{
    g_autoptr(Run) run = run_new();
    int ends[2];
    char text[8];

    g_assert_no_errno(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    run->fds.cgroup_fd = ends[1];
    run_spawn(run, "true", NULL);
    g_main_loop_run(run->loop);
    g_assert_cmpint(read(ends[0], text, sizeof text), ==, 1);
    g_assert_cmpint(text[0], ==, '0');
    close(ends[0]);
    close(ends[1]);
}

static void test_no_control_group(void)
{
    g_autoptr(Run) run = run_new();
    cvd_autofd read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);

    run->fds.cgroup_fd = read_only;
    run_spawn(run, "echo it runs", NULL);
    g_main_loop_run(run->loop);
    g_autofree char *output = read_line(run->ends[0]);
    g_assert_cmpstr(output, ==, "cvd-launch: cannot enter the control group that was made for it");
}

static void test_descriptors(void)
{
    g_autoptr(Run) run = run_new();
    cvd_autofd secret = memfd_create("not for QEMU", 0); /* inheritable on purpose */
    static const char script[] = "echo ivshmem >&3; echo qmp >&4; echo serial >&5; cat;"
                                 "echo /proc/self/fd/*";
    run_spawn(run, script, NULL);
    g_assert_cmpint(secret, >=, 0);
    close_fds(&run->fds);
    g_main_loop_run(run->loop);

    g_autofree char *output = read_line(run->ends[0]);
    g_autofree char *ivshmem = read_line(run->ends[1]);
    g_autofree char *qmp = read_line(run->ends[2]);
    g_autofree char *serial = read_line(run->ends[3]);
    g_assert_cmpstr(ivshmem, ==, "ivshmem");
    g_assert_cmpstr(qmp, ==, "qmp");
    g_assert_cmpstr(serial, ==, "serial");
    /* The shell reads the directory through one more of its own, which may follow as the last. */
    g_assert_true(g_str_has_prefix(output, "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 "
                                           "/proc/self/fd/3 /proc/self/fd/4 /proc/self/fd/5"));
    g_auto(GStrv) listed = g_strsplit(output, " ", -1);
    g_assert_cmpuint(g_strv_length(listed), <=, 7);
}

/* Descriptors that take the numbers of all that we have open take none away that is still needed.
 */
static void test_many_descriptors(void)
{
    g_autoptr(Run) run = run_new();
    int others[200];

    for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
        others[i] = run->fds.serial;
    run->fds.others = others;
    run->fds.n_others = G_N_ELEMENTS(others);
    run_spawn(run, "sh -c ': </dev/tty' && echo on a terminal; echo last >/proc/self/fd/206", NULL);
    g_main_loop_run(run->loop);
    g_autofree char *output = read_line(run->ends[0]);
    g_autofree char *last = read_line(run->ends[3]);
    g_assert_cmpstr(output, ==, "on a terminal");
    g_assert_cmpstr(last, ==, "last");
}

/* FDSize of proc_pid_status(5): the slots that the process's table of descriptors has. */
static void test_room_for_descriptors(void)
{
    static const char script[] = "while read -r key value; do"
                                 "  if [ $key = FDSize: ]; then echo $value; fi;"
                                 "done </proc/$$/status";
    g_autoptr(Run) run = run_new();

    run->fds.n_received = 600;
    run_spawn(run, script, NULL);
    g_main_loop_run(run->loop);
    g_autofree char *size = read_line(run->ends[0]);
    g_assert_cmpint(g_ascii_strtoll(size, NULL, 10), >=, 600);
}

typedef struct {
    const char *title;
    const char *script;
    gboolean is_signal;
    int value;
} Exit;

static const Exit exits[] = {
    {"status-0", "exit 0", FALSE, 0},
    {"status-3", "exit 3", FALSE, 3},
    {"sigpipe-is-not-ignored", "kill -PIPE $$", TRUE, SIGPIPE},
    {"sigsys", "kill -SYS $$", TRUE, SIGSYS},
};

static void test_exit(gconstpointer data)
{
    const Exit *row = data;
    g_autoptr(Run) run = run_shell(row->script);
    g_main_loop_run(run->loop);
    g_assert_true(run->how.is_known);
    g_assert_cmpint(run->how.is_signal, ==, row->is_signal);
    g_assert_cmpint(run->how.value, ==, row->value);
    g_assert_cmpint(cvd_qemu_process_get_pid(run->process), ==, 0);
    cvd_qemu_process_terminate(run->process); /* of one that is gone: nothing */
    cvd_qemu_process_kill(run->process);
}

static void test_terminate(void)
{
    g_autoptr(Run) run = run_shell("echo; exec tail -f /dev/null");
    g_free(read_line(run->ends[0]));

    g_assert_cmpint(getpgid(cvd_qemu_process_get_pid(run->process)), ==,
                    cvd_qemu_process_get_pid(run->process));
    cvd_qemu_process_terminate(run->process);
    g_main_loop_run(run->loop);
    g_assert_cmpint(run->how.value, ==, SIGHUP);
}

/* SIGKILL reaches the children of QEMU too: the pipe that they hold ends. */
static void test_kill_group(void)
{
    g_autoptr(Run) run = run_shell("trap '' HUP; tail -f /dev/null & echo; wait");
    g_free(read_line(run->ends[0]));
    cvd_qemu_process_terminate(run->process);
    cvd_qemu_process_kill(run->process);
    g_main_loop_run(run->loop);
    g_assert_cmpint(run->how.value, ==, SIGKILL);
    g_autofree char *rest = read_line(run->ends[3]); /* returns when the last holder is gone */
    g_assert_cmpstr(rest, ==, "");
}

/* So does an exit of QEMU alone. */
static void test_exit_without_children(void)
{
    g_autoptr(Run) run = run_shell("tail -f /dev/null & exit 3");
    g_main_loop_run(run->loop);
    g_assert_cmpint(cvd_qemu_process_get_pid(run->process), ==, 0);
    g_assert_cmpint(run->how.value, ==, 3);
    g_assert_false(run->how.is_signal);
    g_autofree char *rest = read_line(run->ends[3]);
    g_assert_cmpstr(rest, ==, "");
}

/* What QEMU has started in a session of its own ends with it, by whichever way that ends. */
static void test_child_with_a_session(gconstpointer data)
{
    g_autoptr(Run) run =
        run_shell("(setsid sh -c 'trap \"\" HUP; echo $$; exec tail -f /dev/null' &);"
                  "exec tail -f /dev/null");
    g_autofree char *line = read_line(run->ends[0]);
    pid_t child = (pid_t)g_ascii_strtoll(line, NULL, 10);
    GLogLevelFlags fatal = g_log_set_always_fatal(G_LOG_FATAL_MASK); /* it warns */

    g_assert_no_errno(kill(child, 0));
    cvd_qemu_process_set_qemu(run->process, cvd_qemu_process_get_pid(run->process));
    if (data != NULL)
        cvd_qemu_process_kill(run->process);
    else
        cvd_qemu_process_terminate(run->process);
    g_main_loop_run(run->loop);
    g_assert_cmpint(run->how.value, ==, data != NULL ? SIGKILL : SIGHUP);
    g_assert_cmpint(kill(child, 0), ==, -1);
    g_assert_cmpint(errno, ==, ESRCH);
    g_log_set_always_fatal(fatal);
}

#define QEMU_PID "sh -c 'echo $$; exec tail -f /dev/null'"
#define QEMU     "sh -c 'echo; exec tail -f /dev/null'"

/* The launcher dies by SIGKILL: so does its QEMU, whatever stands between. */
typedef struct {
    const char *title;
    const char *script;
    gboolean needs_root;
    gboolean
        runs_as_other; /* the change of user takes the death signal away if it was set before */
} Wrapper;

static const Wrapper wrappers[] = {
    {"none", QEMU, FALSE, FALSE},
    {"no-exec", QEMU "; echo done", FALSE, FALSE},
    {"ignores-hangup", "trap '' HUP; exec " QEMU, FALSE, FALSE},
    {"timeout", "exec timeout 1000 " QEMU, FALSE, FALSE},
    {"setpriv", "exec setpriv --reuid 65534 --clear-groups " QEMU, TRUE, FALSE},
};

static const Wrapper run_as_other = {"run-as", "echo; exec sleep 1000", TRUE, TRUE};

static void test_dies_with_launcher(gconstpointer data)
{
    const Wrapper *row = data;

    if (row->needs_root && geteuid() != 0) {
        g_test_skip("only root can start a program as another user");
        return;
    }
    g_autoptr(Run) run = run_new();
    pid_t launcher = fork();
    g_assert_no_errno(launcher);
    if (launcher == 0) {
        if (row->runs_as_other)
            spawn_as_other(run, row->script);
        else
            run_spawn(run, row->script, NULL);
        pause();
        _exit(0);
    }
    close_fds(&run->fds);
    g_free(read_line(run->ends[0]));
    g_assert_no_errno(kill(launcher, SIGKILL));
    g_assert_cmpint(waitpid(launcher, NULL, 0), ==, launcher);
    g_autofree char *rest = read_line(run->ends[3]);
    g_assert_cmpstr(rest, ==, "");
}

/* ulimit -n is what the launcher was started with, or what QEMU needs if that is more. */
static void test_limit_of_descriptors(void)
{
    static const struct {
        guint n_received;
        const char *limit;
    } rows[] = {{0, "256"}, {192, "256"}, {193, "257"}};
    const char *preload = g_getenv("LD_PRELOAD");
    struct rlimit before, low;

    if (preload != NULL && strstr(preload, "vgpreload") != NULL) {
        g_test_skip("valgrind keeps RLIMIT_NOFILE to itself");
        return;
    }
    g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &before));
    low = before;
    low.rlim_cur = 256;
    g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &low));
    g_assert_true(cvd_raise_fd_limit(1, CVD_FDS_PER_REGION, NULL));
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Run) run = run_new();
        run->fds.n_received = rows[i].n_received;
        run_spawn(run, "ulimit -Sn", NULL);
        g_main_loop_run(run->loop);
        g_autofree char *limit = read_line(run->ends[0]);
        g_assert_cmpstr(limit, ==, rows[i].limit);
    }
    g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &before));
}

/* Whoever is adopted because we are a subreaper, or the first process of a container, is reaped. */
static void test_orphans(void)
{
    g_autoptr(Run) run = run_shell("(sleep 0 & echo $!); exec tail -f /dev/null");
    g_autofree char *orphan = read_line(run->ends[0]);
    while (kill((pid_t)g_ascii_strtoll(orphan, NULL, 10), 0) == 0)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpint(cvd_qemu_process_get_pid(run->process), !=, 0);
}

static void on_other_exited(CvdExit how, gpointer data)
{
    g_main_loop_quit(data);
}

/* What QEMU has left to us, and needs, is not taken for a host program's that ends. */
static void test_orphan_of_another(void)
{
    static const CvdChildHandlers other_handlers = {.exited = on_other_exited};
    g_autoptr(Run) run =
        run_shell("(setsid tail -f /dev/null & echo $!); echo left; exec tail -f /dev/null");
    g_autofree char *orphan = read_line(run->ends[0]);
    g_autofree char *left = read_line(run->ends[0]);
    char *argv[] = {(char *)"true", NULL};
    cvd_autofd output = open("/dev/null", O_WRONLY | O_CLOEXEC);
    const CvdSpawn spawn = {.argv = argv, .output = output, .mark = "CVD_PROGRAM=a"};
    g_autoptr(GError) error = NULL;
    CvdChild *other = cvd_child_spawn(run->children, &spawn, &other_handlers, run->loop, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(left, ==, "left");
    g_main_loop_run(run->loop);
    cvd_child_free(other);
    g_assert_no_errno(kill((pid_t)g_ascii_strtoll(orphan, NULL, 10), 0));
}

/* Signals are for QEMU, and it has ended when both have. */
typedef struct {
    const char *title;
    const char *script;
    int number; /* that the wrapper gets; 0: QEMU is asked to terminate */
    gboolean is_signal;
    int value;
} Behind;

static const Behind behind[] = {
    {"terminate", QEMU_PID "; exit 7", 0, FALSE, 7},
    {"wrapper-is-killed", "setsid -w " QEMU_PID "; exit 7", SIGKILL, TRUE, SIGKILL},
};

static void test_behind_a_wrapper(gconstpointer data)
{
    const Behind *row = data;
    g_autoptr(Run) run = run_shell(row->script);
    g_autofree char *line = read_line(run->ends[0]);
    pid_t qemu = (pid_t)g_ascii_strtoll(line, NULL, 10),
          wrapper = cvd_qemu_process_get_pid(run->process);
    GLogLevelFlags fatal = g_log_set_always_fatal(G_LOG_FATAL_MASK); /* it warns */
    cvd_qemu_process_set_qemu(run->process, qemu);
    g_assert_cmpint(cvd_qemu_process_get_pid(run->process), ==, qemu);
    if (row->number != 0)
        g_assert_no_errno(kill(wrapper, row->number));
    else
        cvd_qemu_process_terminate(run->process);
    g_main_loop_run(run->loop);
    g_assert_cmpint(run->how.is_signal, ==, row->is_signal);
    g_assert_cmpint(run->how.value, ==, row->value);
    g_assert_cmpint(kill(qemu, 0), ==, -1);
    g_assert_cmpint(errno, ==, ESRCH);
    g_log_set_always_fatal(fatal);
}

static void test_missing_program(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Run) run = run_new();
    char *argv[] = {(char *)"/nonexistent/qemu", NULL};

    run->children = cvd_children_new(NULL, NULL);
    g_assert_null(
        cvd_qemu_process_spawn(run->children, argv, &run->fds, NULL, on_exited, run, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "/nonexistent/qemu"));
}

static void test_run_as(void)
{

    if (geteuid() != 0) {
        g_test_skip("only root can start a program as another user");
        return;
    }
    g_autoptr(Run) run = run_new();
    spawn_as_other(run, "grep -E '^(Uid|Gid|Groups|CapEff)' /proc/self/status");
    g_main_loop_run(run->loop);
    g_assert_cmpint(run->how.value, ==, 0);
    const char *expected[] = {"Uid:\t65534\t65534\t65534\t65534",
                              "Gid:\t65534\t65534\t65534\t65534", "Groups:\t4711 65534 ",
                              "CapEff:\t0000000000000000"};
    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autofree char *line = read_line(run->ends[0]);
        g_assert_cmpstr(line, ==, expected[i]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN); /* as the launcher does */
    g_test_add_func("/qemu-process/inherits-its-descriptors-only", test_descriptors);
    g_test_add_func("/qemu-process/control-group", test_control_group);
    g_test_add_func("/qemu-process/control-group-fails", test_no_control_group);
    g_test_add_func("/qemu-process/many-descriptors", test_many_descriptors);
    g_test_add_func("/qemu-process/room-for-descriptors", test_room_for_descriptors);
    test_add_rows(g_test_add_data_func, "/qemu-process/exit/", exits, test_exit);
    g_test_add_func("/qemu-process/terminate", test_terminate);
    g_test_add_func("/qemu-process/kill-the-group", test_kill_group);
    g_test_add_func("/qemu-process/exit-takes-the-group", test_exit_without_children);
    test_add_rows(g_test_add_data_func, "/qemu-process/dies-with-the-launcher/", wrappers,
                  test_dies_with_launcher);
    g_test_add_func("/qemu-process/limit-of-descriptors", test_limit_of_descriptors);
    g_test_add_func("/qemu-process/orphans-are-reaped", test_orphans);
    g_test_add_func("/qemu-process/orphan-of-another-child", test_orphan_of_another);
    g_test_add_data_func("/qemu-process/child-with-a-session/exit", NULL,
                         test_child_with_a_session);
    g_test_add_data_func("/qemu-process/child-with-a-session/kill", "", test_child_with_a_session);
    test_add_rows(g_test_add_data_func, "/qemu-process/behind-a-wrapper/", behind,
                  test_behind_a_wrapper);
    g_test_add_func("/qemu-process/missing-program", test_missing_program);
    g_test_add_func("/qemu-process/run-as", test_run_as);
    g_test_add_data_func("/qemu-process/run-as/dies-with-us", &run_as_other,
                         test_dies_with_launcher);
    return g_test_run();
}
