/* SPDX-License-Identifier: Apache-2.0 */
/* What cvd-up makes of machines that somebody else has started: each is waited for, to be up or
 * gone. */
#include "tests/support/group.h"

#include "base/fd.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CTL(f, ...)        test_ctl((f)->sandbox, __VA_ARGS__, NULL)
#define START_UP(f, ...)   test_group_up(f, (const char *const[]){__VA_ARGS__, NULL})
#define UP(f, status, ...) test_group_finish(START_UP(f, __VA_ARGS__), status)

static void assert_serving(const TestGroup *f, guint index)
{
    g_autofree char *name = test_group_name(index);
    const char *const argv[] = {
        g_getenv("CVD_CLIENT"), "-n", name, "ping", "region1", "-c", "3", NULL};
    g_autoptr(TestProcess) ping = test_process_start(f->sandbox, argv, NULL, NULL);

    g_assert_cmpint(test_process_wait_exit(ping), ==, 0);
}

static void stop(const TestGroup *f)
{
    test_ctl_done(CTL(f, "-g", "group", "stop"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void signal_launcher(const TestGroup *f, guint index, int number)
{
    g_assert_no_errno(kill(test_group_find_launcher(f, index), number));
}

/* Returns: a second cvd-up for the first machine, once it is to be seen that it waits */
static TestTerminal *start_waiting(const TestGroup *f)
{
    TestTerminal *terminal =
        test_group_up_on_terminal(f, (const char *const[]){"--index", "1", NULL});

    test_terminal_see(terminal, "\r0/1 up, 1.", 1);
    return terminal;
}

static void assert_ended(TestTerminal *terminal, int status, const char *said)
{
    int got = test_terminal_finish(terminal);

    g_assert_true(WIFEXITED(got));
    if (WEXITSTATUS(got) != status || strstr(terminal->seen->str, said) == NULL)
        g_error("status %d, not %d with '%s': %s", WEXITSTATUS(got), status, said,
                terminal->seen->str);
}

static void test_starting(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new_gated();
    TestProcess *first = START_UP(f, "--index", "1");

    test_group_wait(f, 1, "starting");
    g_autoptr(TestTerminal) second = start_waiting(f);
    test_group_open_gate(f, "\n");
    assert_ended(second, 0, "group: 1 of 1 up after ");
    g_assert_nonnull(strstr(second->seen->str, ", 1 of them before\r\n"));
    assert_serving(f, 1);
    g_free(test_group_finish(first, 0));
    stop(f);
}

/* A launcher that does not listen yet, or no more, has its directory. */
static void test_held(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("");
    g_autofree char *file = test_sandbox_instance_path(f->sandbox, "group-1", "lock");
    g_autofree char *dir = g_path_get_dirname(file);
    g_autofree char *shared = g_path_get_dirname(dir);
    const char *const paths[] = {shared, dir};

    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_assert_no_errno(mkdir(paths[i], 0700));
        g_assert_no_errno(chmod(paths[i], S_ISVTX | 0700)); /* as launchers make them */
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_no_errno(flock(fd, LOCK_EX | LOCK_NB));
    g_autoptr(TestTerminal) up = start_waiting(f);
    cvd_close_fd(&fd);
    assert_ended(up, 0, "group: 1 of 1 up after ");
    assert_serving(f, 1);
    stop(f);
}

/* It is not tried again at once. */
static void test_start_fails(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new_gated();
    TestProcess *first = START_UP(f, "--index", "1");

    test_group_wait(f, 1, "starting");
    g_autoptr(TestTerminal) second = start_waiting(f);
    test_group_open_gate(f, "fail\n");
    assert_ended(second, 1, "cvd-up: error: group-1: has failed: ");
    g_assert_nonnull(strstr(second->seen->str, "; 1 failed\r\n"));
    g_free(test_group_finish(first, 1));
    test_sandbox_assert_clean(f->sandbox, TEST_LOGS_LEFT);
}

/* Its guest does not power off; another one is started when it is gone. */
static void test_stopping(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("");

    g_free(UP(f, 0, "--index", "1", "--set", "qemu.append=hang", "--set",
              "lifecycle.stop_timeout_s=600"));
    signal_launcher(f, 1, SIGTERM);
    test_group_wait(f, 1, "stopping");
    g_autoptr(TestTerminal) up = start_waiting(f);
    test_ctl_done(CTL(f, "-n", "group-1", "stop", "--now"));
    assert_ended(up, 0, "group: 1 of 1 up after ");
    g_assert_null(strstr(up->seen->str, "before"));
    assert_serving(f, 1);
    stop(f);
}

/* The same when it is killed. */
static void test_killed(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new_gated();
    g_autoptr(TestProcess) first = START_UP(f, "--index", "1");

    test_group_wait(f, 1, "starting");
    pid_t launcher = test_group_find_launcher(f, 1);
    g_autoptr(TestTerminal) second = start_waiting(f);
    test_process_signal(first, SIGKILL);
    test_process_wait_end(first);
    g_assert_no_errno(kill(launcher, SIGKILL));
    test_group_wait(f, 1, "starting");
    test_group_open_gate(f, "\n");
    assert_ended(second, 0, "group: 1 of 1 up after ");
    g_assert_null(strstr(second->seen->str, "before"));
    assert_serving(f, 1);
    stop(f);
}

#define UNANSWERED "cvd-launch has not answered within 5 s: it is stopped, or hangs"

/* One does not answer from the beginning, and keeps no other from its start. */
static void test_frozen(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("");

    g_free(UP(f, 0, "--index", "1"));
    signal_launcher(f, 1, SIGSTOP);
    g_autofree char *said = UP(f, 1, "--jobs", "1", "--index", "1..2");
    g_assert_cmpstr(said, ==,
                    "cvd-up: error: group-1: " UNANSWERED "\n"
                    "cvd-up: group: 1 of 2 up after TIME; 1 failed\n");
    assert_serving(f, 2);
    signal_launcher(f, 1, SIGCONT);
    stop(f);
}

static void test_frozen_later(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new_gated();
    TestProcess *first = START_UP(f, "--index", "1");

    test_group_wait(f, 1, "starting");
    g_autoptr(TestTerminal) second = start_waiting(f);
    signal_launcher(f, 1, SIGSTOP);
    assert_ended(second, 1, "cvd-up: error: group-1: " UNANSWERED);
    signal_launcher(f, 1, SIGCONT);
    test_group_open_gate(f, "\n");
    g_free(test_group_finish(first, 0));
    stop(f);
}

/* What does not run never says that it is ready. */
static void test_paused(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("\"lifecycle\": {\"ready\": \"guest\"},");
    g_autoptr(TestProcess) launcher =
        test_launch_config(f->sandbox, f->config, "--index", "1", "--paused", NULL);

    test_group_wait(f, 1, "paused");
    g_autofree char *said = UP(f, 1, "--index", "1");
    g_assert_nonnull(strstr(said, "cvd-up: error: group-1: is paused, not ready"));
    test_ctl_done(CTL(f, "-n", "group-1", "resume"));
    g_autofree char *again = UP(f, 0, "--index", "1");
    g_assert_cmpstr(again, ==, "cvd-up: group: 1 of 1 up after TIME, 1 of them before\n");
    stop(f);
    g_assert_cmpint(test_process_wait_exit(launcher), ==, 0);
}

/* Those that ran before are left alone, in whatever state. */
static void test_interrupted(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new_gated();
    TestProcess *first = START_UP(f, "--index", "1");

    test_group_wait(f, 1, "starting");
    g_autoptr(TestTerminal) second = start_waiting(f);
    test_terminal_type(second, "\003");
    assert_ended(second, 1, "group: interrupted; nothing was started");
    g_assert_nonnull(strstr(second->seen->str, "started; 1 ran before: left alone\r\n"));
    test_group_open_gate(f, "\n");
    g_free(test_group_finish(first, 0));
    stop(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/group-found/starting", NULL, test_starting);
    test_add("/group-found/held", NULL, test_held);
    test_add("/group-found/start-fails", NULL, test_start_fails);
    test_add("/group-found/stopping", NULL, test_stopping);
    test_add("/group-found/killed", NULL, test_killed);
    test_add("/group-found/frozen", NULL, test_frozen);
    test_add("/group-found/frozen-later", NULL, test_frozen_later);
    test_add("/group-found/paused", NULL, test_paused);
    test_add("/group-found/interrupted", NULL, test_interrupted);
    return g_test_run();
}
