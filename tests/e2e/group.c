/* SPDX-License-Identifier: Apache-2.0 */
/* Machines of one configuration: how they come up together, and that they stay apart. */
#include "tests/support/group.h"
#include "base/fd.h"
#include "tests/support/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CTL(f, ...)        test_ctl((f)->sandbox, __VA_ARGS__, NULL)
#define START_UP(f, ...)   test_group_up(f, (const char *const[]){__VA_ARGS__, NULL})
#define UP(f, status, ...) test_group_finish(START_UP(f, __VA_ARGS__), status)

static gboolean is_running(const TestGroup *f, guint index)
{
    g_autofree char *name = test_group_name(index);
    g_autofree char *list = test_ctl_finish(CTL(f, "list"), 0);
    g_autofree char *row = g_strdup_printf("(?m)^%s +running ", name);

    return g_regex_match_simple(row, list, 0, 0);
}

/* All of @first to @last, and they answer. */
static void assert_serving(const TestGroup *f, guint first, guint last)
{
    for (guint i = first; i <= last; i++) {
        g_autofree char *name = test_group_name(i);
        const char *const argv[] = {
            g_getenv("CVD_CLIENT"), "-n", name, "ping", "region1", "-c", "3", NULL};
        g_autoptr(TestProcess) ping = test_process_start(f->sandbox, argv, NULL, NULL);
        g_assert_cmpint(test_process_wait_exit(ping), ==, 0);
        g_assert_nonnull(strstr(ping->out->str, "3 sent, 3 answered, 0 wrong"));
    }
}

static void stop(const TestGroup *f, guint first, guint last)
{
    for (guint i = first; i <= last; i++) {
        g_autofree char *name = test_group_name(i);
        test_ctl_done(CTL(f, "-n", name, "stop"));
    }
}

/* ---- Up ---- */

static void test_up(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("");
    g_autofree char *said = UP(f, 0, "--jobs", "4");

    g_assert_cmpstr(said, ==, "cvd-up: group: 8 of 8 up after TIME\n");
    assert_serving(f, 1, 8);
    stop(f, 3, 3);
    g_autofree char *again = UP(f, 0, NULL);
    g_assert_cmpstr(again, ==, "cvd-up: group: 8 of 8 up after TIME, 7 of them before\n");
    assert_serving(f, 3, 3);
    stop(f, 1, 8);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void test_index(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("");
    g_autofree char *said = UP(f, 0, "--index", "2,7..8");

    g_assert_cmpstr(said, ==, "cvd-up: group: 3 of 3 up after TIME\n");
    assert_serving(f, 2, 2);
    assert_serving(f, 7, 8);
    g_assert_false(is_running(f, 1));
    stop(f, 2, 2);
    stop(f, 7, 8);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* What has no group in it is one machine. */
static void test_single(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("");
    g_autofree char *said = UP(f, 0, "--set", "instances=null", "--set", "name=group-1");

    g_assert_cmpstr(said, ==, "cvd-up: group-1: 1 of 1 up after TIME\n");
    assert_serving(f, 1, 1);
    stop(f, 1, 1);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* The guest of the snapshot is there in each, and none has booted. */
static void test_from_snapshot(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("\"ivshmem\": {\"migratable\": true},");

    g_free(UP(f, 0, "--index", "8"));
    assert_serving(f, 8, 8);
    test_ctl_done(CTL(f, "-n", "group-8", "snapshot", "base"));
    g_autofree char *said = UP(f, 0, "--from", "base", "--index", "1..3");
    g_assert_cmpstr(said, ==, "cvd-up: group: 3 of 3 up after TIME\n");
    assert_serving(f, 1, 3);
    for (guint i = 1; i <= 3; i++) {
        g_autofree char *name = test_group_name(i);
        g_autofree char *console = test_ctl_finish(CTL(f, "-n", name, "logs"), 0);
        g_assert_null(strstr(console, "cvd-guest: ready"));
    }
    g_autofree char *again = UP(f, 0, "--from", "base", "--index", "1..3");
    g_assert_cmpstr(again, ==,
                    "cvd-up: group: 3 of 3 up after TIME, 3 of them before; what ran before keeps "
                    "the snapshot and the settings that it was started with\n");
    stop(f, 1, 3);
    g_autofree char *missing = UP(f, 2, "--jobs", "1", "--from", "other", "--index", "1..2");
    g_assert_nonnull(strstr(missing, "group-1: "));
    g_assert_nonnull(strstr(missing, "other: there is no such snapshot"));
    g_assert_nonnull(strstr(missing, "as group-1: group-2\n"));
    g_autofree char *unlike =
        UP(f, 2, "--from", "base", "--index", "1", "--set", "qemu.memory=64M");
    g_assert_nonnull(strstr(unlike, "group-1: qemu.memory: is 64M, and in snapshot base 32M"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* ---- What fails ---- */

/* One has no kernel: the others start, and it can be started later. */
static void test_one_fails(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("");
    g_autofree char *set = g_strdup_printf("qemu.kernel=%s/k${index}", f->sandbox->dir);

    for (guint i = 1; i <= 4; i++) {
        g_autofree char *kernel = g_strdup_printf("%s/k%u", f->sandbox->dir, i);
        if (i != 2)
            g_assert_no_errno(symlink(g_getenv("CVD_GUEST"), kernel));
    }
    g_autofree char *expected = g_strdup_printf(
        "cvd-up: error: group-2: qemu.kernel: %s/k2: No such file or directory; name a kernel that "
        "exists and can be read, or \"builtin\"\n"
        "cvd-up: group: 3 of 4 up after TIME; 1 failed\n",
        f->sandbox->dir);
    g_autofree char *said = UP(f, 1, "--index", "1..4", "--set", set);
    g_assert_cmpstr(said, ==, expected);
    assert_serving(f, 1, 1);
    assert_serving(f, 3, 4);
    g_autofree char *later = UP(f, 0, "--index", "1..4");
    g_assert_cmpstr(later, ==, "cvd-up: group: 4 of 4 up after TIME, 3 of them before\n");
    stop(f, 1, 4);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* The reason is said once, with the advice. */
static void test_all_fail(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("");
    g_autofree char *said =
        UP(f, 1, "--jobs", "1", "--set", "qemu.extra_args=[\"-bogus${index}\"]");

    g_assert_cmpstr(
        said, ==,
        "cvd-up: error: group-1: qemu-system-x86_64 exited with status 1 before the VM was running;"
        " this version of QEMU does not know an option in qemu.extra_args\n"
        "cvd-up: error: as group-1: group-2, group-3, group-4, group-5, group-6, group-7, group-8\n"
        "cvd-up: group: 0 of 8 up after TIME; 8 failed\n");
    test_sandbox_assert_clean(f->sandbox, TEST_LOGS_LEFT);
}

/* Nothing is started if it could not be for any. */
static void test_misconfigured(gconstpointer data)
{
    static const struct {
        const char *arguments[5];
        const char *said;
    } rows[] = {
        {{"--set", "qemu.memroy=1G"}, "memroy: unknown key; did you mean \"memory\"?"},
        {{"--set", "instances=0"}, "instances: found 0; expected how many machines"},
        {{"--set", "name=a-${index}-b"}, "name: found \"a-${index}-b\"; expected NAME"},
        {{"--index", "8..9"}, "--index: found '8..9'; expected numbers from 1 to 8, such as"},
        {{"--index", "1", "--set", "instances=null", "--set"}, "see cvd-up --help"},
        {{"--from", ""}, "--from needs the name or path of a snapshot; see cvd-up --help"},
        {{"--jobs", "0"}, "--jobs 0: expected a number from 1 to 1000; see cvd-up --help"},
        {{"other.json"}, "unexpected argument 'other.json'"},
    };
    g_autoptr(TestGroup) f = test_group_new("");

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *said = test_group_finish(test_group_up(f, rows[i].arguments), 2);
        if (strstr(said, rows[i].said) == NULL)
            g_error("\"%s\" does not contain \"%s\"", said, rows[i].said);
    }
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* ---- What is killed ---- */

/* A launcher takes its own machine along, and nothing else. */
static void test_launcher_killed(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("");
    g_free(UP(f, 0, "--index", "1..3"));
    cvd_autofd first = test_open_pid(test_find_child(test_group_find_launcher(f, 1)));
    cvd_autofd second = test_open_pid(test_find_child(test_group_find_launcher(f, 2)));
    pid_t third = test_find_child(test_group_find_launcher(f, 3));
    struct pollfd untouched = {.fd = first, .events = POLLIN};

    g_assert_no_errno(kill(test_group_find_launcher(f, 2), SIGKILL));
    test_wait_readable(second, "the end of the QEMU of the launcher that was killed");
    assert_serving(f, 1, 1);
    assert_serving(f, 3, 3);
    g_assert_cmpint(poll(&untouched, 1, 0), ==, 0);
    g_assert_cmpint(test_find_child(test_group_find_launcher(f, 3)), ==, third);
    g_autofree char *again = UP(f, 0, "--index", "1..3");
    g_assert_cmpstr(again, ==, "cvd-up: group: 3 of 3 up after TIME, 2 of them before\n");
    stop(f, 1, 3);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* One that crashes again and again uses up its own restarts. */
static void test_crash_loop(gconstpointer data)
{
    g_autoptr(TestGroup) f =
        test_group_new("\"lifecycle\": {\"on_crash\": \"restart\", \"restart_limit\": 2,"
                       " \"restart_delay_ms\": 0},");
    g_free(UP(f, 0, "--index", "1..3"));
    pid_t others[] = {test_find_child(test_group_find_launcher(f, 1)),
                      test_find_child(test_group_find_launcher(f, 3))};
    pid_t launcher = test_group_find_launcher(f, 2);
    cvd_autofd end = test_open_pid(launcher);

    for (guint i = 0; i < 3; i++) {
        test_group_wait(f, 2, "running");
        pid_t qemu = test_find_child(launcher);
        cvd_autofd qemu_end = test_open_pid(qemu);
        g_assert_no_errno(kill(qemu, SIGKILL));
        test_wait_readable(qemu_end, "the end of QEMU");
    }
    test_wait_readable(end, "the end of the launcher whose QEMU crashes");
    g_assert_cmpint(test_find_child(test_group_find_launcher(f, 1)), ==, others[0]);
    g_assert_cmpint(test_find_child(test_group_find_launcher(f, 3)), ==, others[1]);
    assert_serving(f, 1, 1);
    assert_serving(f, 3, 3);
    stop(f, 1, 1);
    stop(f, 3, 3);
    test_ctl_done(CTL(f, "-n", "group-2", "forget"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* ---- What is interrupted ---- */

/* Those that are under way go on by themselves, and no others are started. */
static void test_starter_killed(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new_gated();
    g_autoptr(TestProcess) up = START_UP(f, "--jobs", "2");

    test_group_wait(f, 1, "starting");
    test_group_wait(f, 2, "starting");
    test_process_signal(up, SIGKILL);
    test_process_wait_end(up);
    test_group_open_gate(f, "\n\n");
    for (guint i = 1; i <= 2; i++)
        test_group_wait(f, i, "ready");
    assert_serving(f, 1, 2);
    g_autofree char *list = test_ctl_finish(CTL(f, "list", "--json"), 0);
    g_assert_null(strstr(list, "group-3"));
    stop(f, 1, 2);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* What this run has started is taken down, up or not, and no more is started. */
static void test_interrupted(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new_gated();
    const int number = GPOINTER_TO_INT(data);
    TestProcess *before = START_UP(f, "--index", "8");

    test_group_wait(f, 8, "starting");
    test_group_open_gate(f, "\n\n\n");
    g_free(test_group_finish(before, 0));
    TestProcess *up = START_UP(f, "--jobs", "2");
    for (guint i = 1; i <= 2; i++)
        test_group_wait(f, i, "ready");
    test_group_wait(f, 3, "starting");
    test_group_wait(f, 4, "starting");
    test_process_signal(up, number);
    g_autofree char *interrupted = test_group_finish(up, 1);
    g_assert_cmpstr(interrupted, ==,
                    "cvd-up: group: stopping the 4 that were started here; ctrl-c again does not "
                    "wait for it\n"
                    "cvd-up: group: interrupted; 4 of 4 stopped after TIME\n");
    g_autofree char *list = test_ctl_finish(CTL(f, "list", "--json"), 0);
    g_assert_null(strstr(list, "group-1"));
    g_assert_null(strstr(list, "group-4"));
    g_assert_null(strstr(list, "group-5"));
    assert_serving(f, 8, 8);
    stop(f, 8, 8);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* For guests that do not power off the user need not wait. */
static void test_interrupted_twice(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new_gated();
    TestProcess *up = START_UP(f, "--jobs", "1", "--set", "qemu.append=hang", "--set",
                               "lifecycle.stop_timeout_s=600");

    test_group_wait(f, 1, "starting");
    test_group_open_gate(f, "\n\n");
    test_group_wait(f, 3, "starting");
    test_process_signal(up, SIGTERM);
    test_group_wait(f, 3, "stopped");
    for (guint i = 1; i <= 2; i++)
        test_group_wait(f, i, "stopping");
    test_process_signal(up, SIGTERM);
    g_autofree char *said = test_group_finish(up, 1);
    g_assert_nonnull(strstr(said, "stopping the 3 that were started here"));
    g_assert_nonnull(strstr(said,
                            "group: interrupted; 1 of 3 stopped after TIME, the others were told "
                            "to stop\n"));
    for (guint i = 1; i <= 2; i++) {
        g_autofree char *name = test_group_name(i);
        test_ctl_done(CTL(f, "-n", name, "stop", "--now"));
    }
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* ---- On a terminal ---- */

/* Of those that are taken down, as far as they are. */
static void test_interrupted_on_terminal(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new_gated();
    g_autoptr(TestTerminal) terminal = test_group_up_on_terminal(
        f, (const char *const[]){"--index", "1..2", "--jobs", "1", "--set", "qemu.append=hang",
                                 "--set", "lifecycle.stop_timeout_s=600", NULL});

    test_group_wait(f, 1, "starting");
    test_group_open_gate(f, "\n");
    test_group_wait(f, 2, "starting");
    test_terminal_type(terminal, "\003");
    test_terminal_see(terminal, "\r1/2 stopped, ", 1);
    test_ctl_done(CTL(f, "-n", "group-1", "stop", "--now"));
    g_assert_cmpint(WEXITSTATUS(test_terminal_finish(terminal)), ==, 1);
    g_assert_nonnull(strstr(terminal->seen->str, "group: interrupted; 2 of 2 stopped after "));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* The last line that is to be seen when all is over has no bar. */
static const char *last_line(const TestTerminal *terminal)
{
    const char *end = strrchr(terminal->seen->str, '\n');
    const char *start = end;

    while (start > terminal->seen->str && start[-1] != '\n')
        start--;
    return start;
}

static void test_on_terminal(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("");
    g_autoptr(TestTerminal) terminal =
        test_group_up_on_terminal(f, (const char *const[]){"--index", "1..3", NULL});

    test_terminal_see(terminal, "\r0/3 up, ", 1);
    int status = test_terminal_finish(terminal);
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    g_assert_true(g_regex_match_simple("\r1/3 up, [0-9.]+ s \\[#+\\.+\\]  33%\033\\[K",
                                       terminal->seen->str, 0, 0));
    g_assert_true(
        g_regex_match_simple("(?s)^\r.*\r\033\\[Kcvd-up: group: 3 of 3 up after [0-9.]+ s\r\n$",
                             last_line(terminal), 0, 0));
    stop(f, 1, 3);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/group/up", NULL, test_up);
    test_add("/group/index", NULL, test_index);
    test_add("/group/single", NULL, test_single);
    test_add("/group/from-snapshot", NULL, test_from_snapshot);
    test_add("/group/one-fails", NULL, test_one_fails);
    test_add("/group/all-fail", NULL, test_all_fail);
    test_add("/group/misconfigured", NULL, test_misconfigured);
    test_add("/group/launcher-killed", NULL, test_launcher_killed);
    test_add("/group/crash-loop", NULL, test_crash_loop);
    test_add("/group/starter-killed", NULL, test_starter_killed);
    test_add("/group/interrupted", GINT_TO_POINTER(SIGINT), test_interrupted);
    test_add("/group/terminal-closed", GINT_TO_POINTER(SIGHUP), test_interrupted);
    test_add("/group/interrupted-twice", NULL, test_interrupted_twice);
    test_add("/group/interrupted-on-a-terminal", NULL, test_interrupted_on_terminal);
    test_add("/group/on-a-terminal", NULL, test_on_terminal);
    return g_test_run();
}
