/* SPDX-License-Identifier: Apache-2.0 */
/* cvd-ctl --group: a verb for all machines of a group. */
#include "base/fd.h"
#include "tests/support/group.h"
#include "tests/support/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>

#define CTL(f, ...)   test_ctl((f)->sandbox, __VA_ARGS__, NULL)
#define GROUP(f, ...) CTL(f, "-g", "group", __VA_ARGS__)

static TestGroup *set_up(void)
{
    TestGroup *f = test_group_new("");

    g_free(test_group_finish(test_group_up(f, (const char *const[]){"--index", "1..4", NULL}), 0));
    return f;
}

static void signal_launcher(const TestGroup *f, guint index, int number)
{
    g_assert_no_errno(kill(test_group_find_launcher(f, index), number));
}

static void assert_matches(const char *text, const char *pattern)
{
    if (!g_regex_match_simple(pattern, text, G_REGEX_MULTILINE, 0))
        g_error("\"%s\" does not match \"%s\"", text, pattern);
}

static void assert_says(TestProcess *take_ctl, int status, const char *text)
{
    g_autofree char *said = test_group_finish(take_ctl, status);

    g_assert_cmpstr(said, ==, text);
}

static void stop(const TestGroup *f)
{
    test_ctl_done(GROUP(f, "stop"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* ---- Which they are ---- */

/* By their numbers, without those of no group and of others. */
static void test_shown(gconstpointer data)
{
    static const char *const verbs[] = {"list", "status"};
    g_autoptr(TestGroup) f = set_up();
    const char *const other[] = {"--index", "5", "--set", "name=group-x-${index}", NULL};

    g_free(test_group_finish(test_group_up(f, other), 0));
    g_autofree char *one = test_ctl_finish(CTL(f, "-n", "group-2", "list"), 0);
    assert_matches(one, "^NAME.*\ngroup-2 +running.*\n$");
    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++) {
        g_autofree char *table = test_ctl_finish(GROUP(f, verbs[i]), 0);
        assert_matches(table, "^NAME.*\ngroup-1 +running.*\ngroup-2 .*\ngroup-3 .*\ngroup-4 .*\n$");
        g_autofree char *json = test_ctl_finish(GROUP(f, verbs[i], "--json"), 0);
        assert_matches(json, "^\\{\"name\":\"group-1\",.*\n.*\n.*\n\\{\"name\":\"group-4\",.*\n$");
    }
    test_ctl_done(CTL(f, "-n", "group-x-5", "stop"));
    stop(f);
}

static void test_top(gconstpointer data)
{
    g_autoptr(TestGroup) f = set_up();
    const char *const argv[] = {g_getenv("CVD_CTL"), "-g", "group", "top", "-i", "0.1", NULL};
    g_autofree char *table = test_ctl_finish(GROUP(f, "top", "--once"), 0);
    g_autofree char *single = test_ctl_finish(CTL(f, "-n", "group-2", "top", "--once"), 0);

    assert_matches(table, "^group-4 +running");
    g_assert_null(strstr(single, "group-4"));
    g_autoptr(TestTerminal) terminal = test_terminal_start(f->sandbox, argv);
    test_terminal_see(terminal, "instances: 4", 1);
    test_ctl_done(CTL(f, "-n", "group-4", "stop"));
    test_terminal_see(terminal, "instances: 3", 1);
    test_terminal_type(terminal, "q");
    g_assert_cmpint(test_terminal_finish(terminal), ==, 0);
    stop(f);
}

static void test_none(gconstpointer data)
{
    static const char *const verbs[] = {"list",    "status", "top",   "stop",
                                        "restart", "pause",  "forget"};
    g_autoptr(TestGroup) f = set_up();

    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++) {
        assert_says(CTL(f, "-g", "grup", verbs[i]), 1,
                    "cvd-ctl: group 'grup' has no machine; did you mean 'group'? cvd-up FILE "
                    "starts a group\n");
        assert_says(CTL(f, "-g", "phone", verbs[i]), 1,
                    "cvd-ctl: group 'phone' has no machine: none is called phone-N; start them "
                    "with cvd-up FILE\n");
    }
    assert_says(CTL(f, "-g", "group-1", "wait", "stopped"), 1,
                "cvd-ctl: group 'group-1' has no machine; did you mean 'group'? cvd-up FILE starts "
                "a group\n");
    assert_says(CTL(f, "-g", "a/b", "list"), 2,
                "cvd-ctl: 'a/b' is no group's name; see cvd-ctl list --help\n");
    assert_says(GROUP(f, "-n", "group-1", "list"), 2,
                "cvd-ctl: --name and --group both say which instances; give one; see cvd-ctl list "
                "--help\n");
    assert_says(GROUP(f, "logs"), 2,
                "cvd-ctl: logs has no --group: it is for one instance at a time; see cvd-ctl logs "
                "--help\n");
    stop(f);
}

/* ---- What all do ---- */

static void test_all(gconstpointer data)
{
    g_autoptr(TestGroup) f = set_up();

    assert_says(GROUP(f, "wait", "ready"), 0, "cvd-ctl: group: 4 of 4 ready after TIME\n");
    assert_says(GROUP(f, "restart"), 0, "cvd-ctl: group: 4 of 4 restarted after TIME\n");
    g_autofree char *json = test_ctl_finish(GROUP(f, "status", "--json"), 0);
    assert_matches(json, "^(\\{.*\"state\":\"running\",.*\"restarts\":1,.*\n){4}$");
    assert_says(GROUP(f, "pause"), 0, "cvd-ctl: group: 4 of 4 paused after TIME\n");
    assert_says(GROUP(f, "wait", "paused"), 0, "cvd-ctl: group: 4 of 4 paused after TIME\n");
    assert_says(GROUP(f, "resume"), 0, "cvd-ctl: group: 4 of 4 resumed after TIME\n");
    assert_says(GROUP(f, "reset"), 0, "cvd-ctl: group: 4 of 4 reset after TIME\n");
    assert_says(GROUP(f, "stop"), 0, "cvd-ctl: group: 4 of 4 stopped after TIME\n");
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* The reason that all have is said once. */
static void test_wait_in_vain(gconstpointer data)
{
    g_autoptr(TestGroup) f = set_up();
    g_autofree char *said = test_group_finish(GROUP(f, "wait", "--timeout", "0.1", "paused"), 1);

    assert_matches(said, "^cvd-ctl: group-[1-4]: is running, not paused, after TIME\n"
                         "cvd-ctl: as group-[1-4]: group-[1-4], group-[1-4], group-[1-4]\n"
                         "cvd-ctl: group: 0 of 4 paused after TIME; 4 failed\n$");
    stop(f);
}

/* ---- Those that do not answer, or have failed ---- */

/* One launcher is stopped and one is killed. */
static TestGroup *set_up_partial(void)
{
    TestGroup *f = set_up();

    signal_launcher(f, 2, SIGSTOP);
    signal_launcher(f, 3, SIGKILL);
    test_ctl_done(CTL(f, "-n", "group-3", "wait", "failed"));
    return f;
}

static void tear_down_partial(const TestGroup *f)
{
    signal_launcher(f, 2, SIGCONT);
    test_ctl_done(CTL(f, "-n", "group-2", "stop"));
    test_ctl_done(CTL(f, "-n", "group-3", "forget"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void test_status_partial(gconstpointer data)
{
    g_autoptr(TestGroup) f = set_up_partial();
    g_autoptr(TestProcess) status = GROUP(f, "status");

    g_assert_cmpint(test_process_wait_exit(status), ==, 1);
    assert_matches(status->out->str, "^NAME.*\ngroup-1 +running.*\ngroup-2 +no answer.*\n"
                                     "group-3 +failed.*\ngroup-4 +running.*\n$");
    g_assert_cmpstr(status->err->str, ==,
                    "cvd-ctl: group-2: cvd-launch has not answered within 5 s: it is stopped, or "
                    "hangs\n");
    test_ctl_done(GROUP(f, "list"));
    test_ctl_done(CTL(f, "-n", "group-1", "stop"));
    test_ctl_done(CTL(f, "-n", "group-4", "stop"));
    tear_down_partial(f);
}

/* The others answer only when the one behind them has begun. */
static void test_restart_beside_hung(gconstpointer data)
{
    g_autoptr(TestGroup) f = test_group_new("");

    g_free(test_group_finish(test_group_up(f, (const char *const[]){"--index", "1..8", NULL}), 0));
    g_autoptr(TestProcess) events = CTL(f, "-n", "group-8", "events");
    test_process_wait_out(events, "running", 1);
    for (guint i = 1; i < 8; i++)
        signal_launcher(f, i, SIGSTOP);
    TestProcess *restart = GROUP(f, "restart");
    test_process_wait_out(events, "restarting", 1);
    for (guint i = 1; i < 8; i++)
        signal_launcher(f, i, SIGCONT);
    assert_says(restart, 0, "cvd-ctl: group: 8 of 8 restarted after TIME\n");
    stop(f);
}

/* One that is stopped keeps none from its turn, and is said to be. One that was killed is down. */
static void test_partial(gconstpointer data)
{
    g_autoptr(TestGroup) f = set_up_partial();

    assert_says(
        GROUP(f, "restart"), 1,
        "cvd-ctl: group-3: has failed: cvd-launch ended without a word (killed?)\n"
        "cvd-ctl: group-2: cvd-launch has not answered within 5 s: it is stopped, or hangs\n"
        "cvd-ctl: group: 2 of 4 restarted after TIME; 2 failed\n");
    assert_says(GROUP(f, "wait", "--timeout", "4", "ready"), 1,
                "cvd-ctl: group-3: has failed: cvd-launch ended without a word (killed?)\n"
                "cvd-ctl: group-2: not ready: cvd-launch has not answered within 4 s: it is "
                "stopped, or hangs\n"
                "cvd-ctl: group: 2 of 4 ready after TIME; 2 failed\n");
    assert_says(
        GROUP(f, "stop"), 1,
        "cvd-ctl: group-2: cvd-launch has not answered within 5 s: it is stopped, or hangs\n"
        "cvd-ctl: group: 3 of 4 stopped after TIME, 1 of them before; 1 failed\n");
    tear_down_partial(f);
}

/* Of one of them, what is left is locked, as by a launcher that starts. The others run. */
static void test_forget(gconstpointer data)
{
    g_autoptr(TestGroup) f = set_up();
    g_autofree char *path = test_sandbox_instance_path(f->sandbox, "group-2", "lock");

    assert_says(GROUP(f, "forget"), 1, "cvd-ctl: group 'group': no machine has failed\n");
    for (guint i = 2; i <= 4; i++) {
        signal_launcher(f, i, SIGKILL);
        test_group_wait(f, i, "failed");
    }
    cvd_autofd lock = open(path, O_RDWR | O_CLOEXEC);
    g_assert_no_errno(flock(lock, LOCK_EX | LOCK_NB));
    g_autofree char *said = test_group_finish(GROUP(f, "forget"), 1);
    assert_matches(said, "^cvd-ctl: group-2: .*/group-2: cannot be locked: .*\n"
                         "cvd-ctl: group: 2 of 3 forgotten after TIME; 1 failed\n$");
    g_assert_no_errno(flock(lock, LOCK_UN));
    assert_says(GROUP(f, "forget"), 0, "cvd-ctl: group: 1 of 1 forgotten after TIME\n");
    assert_says(GROUP(f, "stop"), 0, "cvd-ctl: group: 1 of 1 stopped after TIME\n");
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* ---- While some are not done ---- */

/* The fourth has a guest that does not power off. */
static TestGroup *set_up_hanging(void)
{
    TestGroup *f = test_group_new("");
    const char *const good[] = {"--index", "1..3", NULL};
    const char *const hanging[] = {
        "--index", "4", "--set", "qemu.append=hang", "--set", "lifecycle.stop_timeout_s=600", NULL};

    g_free(test_group_finish(test_group_up(f, good), 0));
    g_free(test_group_finish(test_group_up(f, hanging), 0));
    return f;
}

/* @state: what the fourth is in until its launcher is killed */
static char *kill_fourth(const TestGroup *f, TestProcess *take_ctl, const char *state, int status)
{
    test_ctl_done(CTL(f, "-n", "group-4", "wait", state));
    signal_launcher(f, 4, SIGKILL);
    return test_group_finish(take_ctl, status);
}

static void test_killed(gconstpointer data)
{
    static const struct {
        const char *verb[2];
        const char *state;
        int status;
        const char *said;
    } rows[] = {
        {{"restart"},
         "restarting",
         1,
         "cvd-ctl: group-4: the instance has ended\n"
         "cvd-ctl: group: 3 of 4 restarted after TIME; 1 failed\n"},
        {{"stop"}, "stopping", 0, "cvd-ctl: group: 4 of 4 stopped after TIME\n"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(TestGroup) f = set_up_hanging();
        g_autofree char *said =
            kill_fourth(f, GROUP(f, rows[i].verb[0]), rows[i].state, rows[i].status);
        g_assert_cmpstr(said, ==, rows[i].said);
        test_ctl_done(CTL(f, "-n", "group-4", "wait", "failed"));
        test_ctl_done(CTL(f, "-n", "group-4", "forget"));
        if (rows[i].status != 0)
            test_ctl_done(GROUP(f, "stop"));
        test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
    }
}

static TestTerminal *start_on_terminal(const TestGroup *f, const char *verb, const char *argument)
{
    const char *const argv[] = {g_getenv("CVD_CTL"), "-g", "group", verb, argument, NULL};

    return test_terminal_start(f->sandbox, argv);
}

/* The last line that is to be seen has no bar. */
static void assert_ended(TestTerminal *terminal, int status, const char *line)
{
    g_autofree char *pattern = g_strdup_printf("(?s)\r\033\\[Kcvd-ctl: group: %s\r\n$", line);
    int got = test_terminal_finish(terminal);

    g_assert_true(WIFEXITED(got));
    g_assert_cmpint(WEXITSTATUS(got), ==, status);
    assert_matches(terminal->seen->str, pattern);
}

/* One that is not paused yet does not keep the others from being counted. */
static void test_on_terminal(gconstpointer data)
{
    g_autoptr(TestGroup) f = set_up();
    g_autoptr(TestTerminal) terminal = start_on_terminal(f, "wait", "paused");

    test_terminal_see(terminal, "\r0/4 paused, ", 1);
    for (guint i = 4; i > 0; i--) {
        g_autofree char *name = test_group_name(i);
        g_autofree char *progress = g_strdup_printf("\r%u/4 paused, ", 5 - i);
        test_ctl_done(CTL(f, "-n", name, "pause"));
        test_terminal_see(terminal, progress, 1);
    }
    assert_ended(terminal, 0, "4 of 4 paused after [0-9.]+ s");
    stop(f);
}

/* Who asks again does not wait for the guest; both find that all is as wanted. */
static void test_stopped_twice(gconstpointer data)
{
    g_autoptr(TestGroup) f = set_up_hanging();
    g_autoptr(TestTerminal) terminal = start_on_terminal(f, "stop", NULL);

    test_terminal_see(terminal, "\r3/4 stopped, ", 1);
    assert_says(GROUP(f, "stop"), 0, "cvd-ctl: group: 1 of 1 stopped after TIME\n");
    assert_ended(terminal, 0, "4 of 4 stopped after [0-9.]+ s");
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void test_killed_while_waited_for(gconstpointer data)
{
    g_autoptr(TestGroup) f = set_up();
    g_autoptr(TestTerminal) terminal = start_on_terminal(f, "wait", "paused");

    test_terminal_see(terminal, "\r0/4 paused, ", 1);
    signal_launcher(f, 4, SIGKILL);
    test_terminal_see(terminal, "cvd-ctl: group-4: not paused: the instance has ended\r\n", 1);
    for (guint i = 1; i < 4; i++) {
        g_autofree char *name = test_group_name(i);
        test_ctl_done(CTL(f, "-n", name, "pause"));
    }
    assert_ended(terminal, 1, "3 of 4 paused after [0-9.]+ s; 1 failed");
    test_ctl_done(CTL(f, "-n", "group-4", "forget"));
    stop(f);
}

/* What was asked of the others goes on. */
static void test_interrupted(gconstpointer data)
{
    g_autoptr(TestGroup) f = set_up_hanging();
    g_autoptr(TestTerminal) terminal = start_on_terminal(f, "stop", NULL);

    test_terminal_see(terminal, "\r3/4 stopped, ", 1);
    test_terminal_type(terminal, "\003");
    assert_ended(terminal, 1, "interrupted; 3 of 4 stopped after [0-9.]+ s");
    test_ctl_done(CTL(f, "-n", "group-4", "wait", "stopping"));
    test_ctl_done(GROUP(f, "stop", "--now"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* One that hangs does not keep ctrl-c waiting: this ends before its time is over. */
static void test_interrupted_while_one_hangs(gconstpointer data)
{
    g_autoptr(TestGroup) f = set_up();
    signal_launcher(f, 2, SIGSTOP);
    g_autoptr(TestTerminal) terminal = start_on_terminal(f, "wait", "paused");

    test_terminal_see(terminal, "\r0/4 paused, ", 1);
    test_terminal_type(terminal, "\003");
    assert_ended(terminal, 1, "interrupted; 0 of 4 paused after [0-9.]+ s");
    g_assert_null(strstr(terminal->seen->str, "has not answered"));
    signal_launcher(f, 2, SIGCONT);
    stop(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/group-verbs/shown", NULL, test_shown);
    test_add("/group-verbs/top", NULL, test_top);
    test_add("/group-verbs/none", NULL, test_none);
    test_add("/group-verbs/all", NULL, test_all);
    test_add("/group-verbs/wait-in-vain", NULL, test_wait_in_vain);
    test_add("/group-verbs/stopped-twice", NULL, test_stopped_twice);
    test_add("/group-verbs/partial", NULL, test_partial);
    test_add("/group-verbs/restart-beside-hung", NULL, test_restart_beside_hung);
    test_add("/group-verbs/forget", NULL, test_forget);
    test_add("/group-verbs/killed", NULL, test_killed);
    test_add("/group-verbs/on-a-terminal", NULL, test_on_terminal);
    test_add("/group-verbs/killed-while-waited-for", NULL, test_killed_while_waited_for);
    test_add("/group-verbs/interrupted", NULL, test_interrupted);
    test_add("/group-verbs/interrupted-while-one-hangs", NULL, test_interrupted_while_one_hangs);
    test_add("/group-verbs/status-partial", NULL, test_status_partial);
    return g_test_run();
}
