/* SPDX-License-Identifier: Apache-2.0 */
/* `cvd-launch --detach`: what whoever started it sees, and what goes on. */
#include "base/fd.h"
#include "tests/support/ctl.h"
#include "tests/support/instance.h"
#include "tests/support/manager.h"
#include "tests/support/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "detach"

#define CTL(f, ...)  test_ctl((f)->sandbox, "-n", NAME, __VA_ARGS__, NULL)
#define START(...)   test_instance_start(NAME, (const char *const[]){__VA_ARGS__, NULL})
#define HANGING_QEMU "#!/bin/sh\necho loading >> \"$XDG_RUNTIME_DIR/../loading\"\nexec sleep 600\n"
#define SET_BINARY   "qemu.binary="

/* ---- The machine's process ---- */

static pid_t find_machine(const TestInstance *f)
{
    g_autofree char *path = test_sandbox_instance_path(f->sandbox, NAME, "lock");
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return atoi(text);
}

static void stop(const TestInstance *f)
{
    cvd_autofd machine = test_open_pid(find_machine(f));

    test_ctl_done(CTL(f, "stop"));
    test_wait_readable(machine, "the end of the machine's process");
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void assert_link(pid_t pid, const char *fd, const char *expected)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd/%s", pid, fd);
    g_autofree char *target = g_file_read_link(path, NULL);

    g_assert_cmpstr(target, ==, expected);
}

/* ---- A start that succeeds ---- */

static void keep_pipe(gconstpointer data)
{
    g_assert_cmpint(dup2(*(const int *)data, 9), ==, 9);
}

/* It returns when the guest runs, and nobody who reads to the end of what it had waits longer. */
static void test_ready(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    int ends[2];
    char byte;

    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    f->launcher = test_launch_with(f->sandbox, NAME, (const char *const[]){"--detach", NULL},
                                   keep_pipe, &ends[1]);
    close(ends[1]);
    test_launcher_assert_exit(f->launcher, 0);
    test_launcher_assert_err(f->launcher, NAME ": running after ");
    test_launcher_assert_err(f->launcher, NAME ": goes on in the background; 'cvd-ctl -n " NAME
                                               " stop' ends it\n");
    test_wait_readable(ends[0], "the end of a pipe");
    g_assert_cmpint(read(ends[0], &byte, 1), ==, 0);
    close(ends[0]);
    g_assert_cmpint(f->launcher->out_fd, ==, -1); /* have been read to their ends */
    g_assert_cmpint(f->launcher->err_fd, ==, -1);
    g_autofree char *status = test_ctl_finish(CTL(f, "status"), 0);
    g_assert_nonnull(strstr(status, "state     running"));
    stop(f);
}

/* A session of its own, without a terminal; what it says from now on has a time, in a file. */
static void test_surroundings(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--detach");
    g_autofree char *log = test_sandbox_instance_path(f->sandbox, NAME, "launcher.log");
    g_autofree char *text = NULL;

    test_launcher_assert_exit(f->launcher, 0);
    pid_t machine = find_machine(f);
    g_assert_cmpint(getsid(machine), ==, machine);
    assert_link(machine, "0", "/dev/null");
    assert_link(machine, "1", "/dev/null");
    assert_link(machine, "2", log);
    test_ctl_done(CTL(f, "pause"));
    test_wait_file(log, " " NAME ": paused: a pause was asked for", 1);
    g_assert_true(g_file_get_contents(log, &text, NULL, NULL));
    g_assert_true(g_regex_match_simple(
        "^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3} " NAME ": paused", text, 0, 0));
    g_assert_false(test_process_has_err(f->launcher, "paused"));
    test_ctl_done(CTL(f, "resume"));
    g_autofree char *shown = test_ctl_finish(CTL(f, "logs", "--launcher", "--lines", "1"), 0);
    g_assert_true(g_str_has_suffix(shown, " " NAME ": running again\n"));
    test_ctl_done(CTL(f, "restart")); /* ready once more, which is nobody's business any more */
    stop(f);
}

/* Of one that fails later its log is left, and packed, and removed as all the rest. */
static void test_fails_later(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--detach");
    g_autofree char *log = test_sandbox_instance_path(f->sandbox, NAME, "launcher.log");
    g_autofree char *report = test_sandbox_path(f->sandbox, "report.tar.gz");

    test_launcher_assert_exit(f->launcher, 0);
    cvd_autofd machine = test_open_pid(find_machine(f));
    g_assert_no_errno(kill(test_find_child(find_machine(f)), SIGSEGV));
    test_wait_readable(machine, "the end of the machine's process");
    test_wait_file(log, "was killed by signal 11", 1);
    test_sandbox_assert_clean(f->sandbox, TEST_LOGS_LEFT);
    g_autoptr(TestProcess) ctl = CTL(f, "report", "-o", report);
    g_assert_cmpint(test_process_wait_exit(ctl), ==, 0);
    g_assert_nonnull(strstr(ctl->err->str, ", launcher.log"));
    test_ctl_done(CTL(f, "forget"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void test_serve_only(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    f->launcher = test_launch(f->sandbox, NAME, "--serve-only", "--detach", NULL);
    test_launcher_assert_exit(f->launcher, 0);
    g_assert_nonnull(strstr(f->launcher->out->str, f->vm_socket));
    stop(f);
}

/* What goes to the terminal with "stdio" has none here; and no console is given away. */
static void test_serial_stdio(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--detach", "--set", "qemu.serial=stdio");

    test_launcher_assert_exit(f->launcher, 0);
    test_launcher_wait_guest(f->sandbox, NAME, 1);
    g_assert_cmpstr(f->launcher->out->str, ==, "");
    stop(f);
}

/* ---- A service manager ---- */

/* It learns first which process the others' messages come from. */
static void test_service_manager(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autoptr(TestManager) manager = test_manager_new(f->sandbox);

    f->launcher = test_launch(f->sandbox, NAME, "--detach", NULL);
    test_manager_hide(manager);
    test_launcher_assert_exit(f->launcher, 0);
    g_autofree char *main_pid = g_strdup_printf("MAINPID=%d\n", find_machine(f));
    test_manager_receive(manager, "READY=1");
    g_assert_true(g_str_has_prefix(manager->notices->str, main_pid));
    test_ctl_done(CTL(f, "stop"));
    test_manager_receive(manager, "STOPPING=1");
}

/* And not before: the guest is to say so itself, which then stands here and not in a file. */
static void test_guest_is_ready(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--detach", "--set", "lifecycle.ready=guest");

    test_launcher_assert_exit(f->launcher, 0);
    test_launcher_assert_err(f->launcher, NAME ": ready after ");
    stop(f);
}

/* ---- A start that fails ---- */

/* Says the same, and has the same status, as one in the foreground. */
static void test_failures(gconstpointer data)
{
    static const struct {
        const char *set;
        int status;
        const char *why;
    } rows[] = {
        {"qemu.binary=/bin/true", 1, "error: true exited with status 0 before the VM was running"},
        {"qemu.binary=/nonexistent", 2, "/nonexistent"},
        {"name=", 2, "name"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(TestInstance) f = START("--detach", "--set", rows[i].set);
        test_launcher_assert_exit(f->launcher, rows[i].status);
        test_launcher_assert_err(f->launcher, rows[i].why);
        test_sandbox_assert_clean(f->sandbox, TEST_LOGS_LEFT);
    }
}

static void test_name_is_taken(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--detach");

    test_launcher_assert_exit(f->launcher, 0);
    g_autoptr(TestProcess) second = test_launch(f->sandbox, NAME, "--detach", NULL);
    test_launcher_assert_exit(second, 1);
    test_launcher_assert_err(second, "error: instance '" NAME "' is already running");
    stop(f);
}

/* Returns: (transfer full): the value of --set for a QEMU that loads for ever */
static char *write_hanging(const TestSandbox *sandbox)
{
    g_autofree char *path = test_sandbox_write_script(sandbox, "qemu", HANGING_QEMU);

    return g_strconcat(SET_BINARY, path, NULL);
}

static void wait_loading(const TestSandbox *sandbox)
{
    g_autofree char *path = test_sandbox_path(sandbox, "loading");

    test_wait_file(path, "loading", 1);
}

/* Whatever ends who waits for the start, the start ends too, and its status is no success. */
static void test_is_interrupted(gconstpointer data)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGKILL};

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autoptr(TestInstance) f = test_instance_new(NAME);
        g_autofree char *hanging = write_hanging(f->sandbox);
        G_GNUC_UNUSED g_autofree char *loading = test_sandbox_write(f->sandbox, "loading", "");
        f->launcher = test_launch(f->sandbox, NAME, "--detach", "--set", hanging, NULL);
        wait_loading(f->sandbox);
        cvd_autofd machine = test_open_pid(test_find_child(f->launcher->pid));
        test_process_signal(f->launcher, numbers[i]);
        test_process_wait_end(f->launcher);
        g_assert_true(WIFSIGNALED(f->launcher->status));
        g_assert_cmpint(WTERMSIG(f->launcher->status), ==, numbers[i]);
        test_wait_readable(machine, "the end of the machine's process");
        test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
    }
}

/* As a user does it: the key reaches the process on the terminal alone. */
static void test_ctrl_c(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *config = test_source_path("conf/cvd.json");
    g_autofree char *hanging = write_hanging(f->sandbox);
    G_GNUC_UNUSED g_autofree char *loading = test_sandbox_write(f->sandbox, "loading", "");
    const char *const argv[] = {test_launcher_path(), "-c",    config,  "-n",       NAME, "--set",
                                "qemu.accel=tcg",     "--set", hanging, "--detach", NULL};
    g_autoptr(TestTerminal) terminal = test_terminal_start(f->sandbox, argv);

    wait_loading(f->sandbox);
    test_terminal_type(terminal, "\x03");
    int status = test_terminal_finish(terminal);
    g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    g_assert_nonnull(strstr(terminal->seen->str, NAME ": stopped\r\n"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* Which is no failure of the machine's; but it is not ready. */
static void test_is_stopped(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *hanging = write_hanging(f->sandbox);

    f->launcher = test_launch(f->sandbox, NAME, "--detach", "--set", hanging, NULL);
    test_ctl_done(CTL(f, "wait", "starting"));
    test_ctl_done(CTL(f, "stop"));
    test_launcher_assert_exit(f->launcher, 1);
    test_launcher_assert_err(f->launcher, "error: it has ended before it was ready");
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void test_launcher_is_killed(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autofree char *hanging = write_hanging(f->sandbox);
    G_GNUC_UNUSED g_autofree char *loading = test_sandbox_write(f->sandbox, "loading", "");

    f->launcher = test_launch(f->sandbox, NAME, "--detach", "--set", hanging, NULL);
    wait_loading(f->sandbox);
    g_assert_no_errno(kill(test_find_child(f->launcher->pid), SIGKILL));
    test_launcher_assert_exit(f->launcher, 1);
    test_launcher_assert_err(f->launcher, "was killed by signal 9");
    test_ctl_done(CTL(f, "forget"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/detach/ready", NULL, test_ready);
    test_add("/detach/surroundings", NULL, test_surroundings);
    test_add("/detach/fails-later", NULL, test_fails_later);
    test_add("/detach/serve-only", NULL, test_serve_only);
    test_add("/detach/serial-stdio", NULL, test_serial_stdio);
    test_add("/detach/service-manager", NULL, test_service_manager);
    test_add("/detach/guest-is-ready", NULL, test_guest_is_ready);
    test_add("/detach/failures", NULL, test_failures);
    test_add("/detach/name-is-taken", NULL, test_name_is_taken);
    test_add("/detach/is-interrupted", NULL, test_is_interrupted);
    test_add("/detach/ctrl-c", NULL, test_ctrl_c);
    test_add("/detach/is-stopped", NULL, test_is_stopped);
    test_add("/detach/launcher-is-killed", NULL, test_launcher_is_killed);
    return g_test_run();
}
