/* SPDX-License-Identifier: Apache-2.0 */
/* cvd-ctl --group: a verb for all machines of a group. */
#include "tests/support/group.h"
#include "tests/support/terminal.h"

#include <signal.h>
#include <string.h>
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

static void stop(const TestGroup *f, guint first, guint last)
{
    for (guint i = first; i <= last; i++) {
        g_autofree char *name = test_group_name(i);
        test_ctl_done(CTL(f, "-n", name, "stop"));
    }
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static void assert_matches(const char *text, const char *pattern)
{
    if (!g_regex_match_simple(pattern, text, G_REGEX_MULTILINE, 0))
        g_error("\"%s\" does not match \"%s\"", text, pattern);
}

static void assert_fails(TestProcess *take_ctl, int status, const char *text)
{
    g_autofree char *said = test_group_finish(take_ctl, status);

    g_assert_cmpstr(said, ==, text);
}

/* ---- Which they are ---- */

/* By their numbers, without those of no group and of others. */
static void test_shown(gconstpointer data)
{
    static const char *const verbs[] = {"list", "status"};
    g_autoptr(TestGroup) f = set_up();
    const char *const other[] = {"--index", "5", "--set", "name=group-x-${index}", NULL};

    g_free(test_group_finish(test_group_up(f, other), 0));
    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++) {
        g_autofree char *table = test_ctl_finish(GROUP(f, verbs[i]), 0);
        assert_matches(table, "^NAME.*\ngroup-1 +running.*\ngroup-2 .*\ngroup-3 .*\ngroup-4 .*\n$");
        g_autofree char *json = test_ctl_finish(GROUP(f, verbs[i], "--json"), 0);
        assert_matches(json, "^\\{\"name\":\"group-1\",.*\n.*\n.*\n\\{\"name\":\"group-4\",.*\n$");
    }
    test_ctl_done(CTL(f, "-n", "group-x-5", "stop"));
    stop(f, 1, 4);
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
    stop(f, 1, 3);
}

static void test_none(gconstpointer data)
{
    static const char *const verbs[] = {"list", "status", "top"};
    g_autoptr(TestGroup) f = set_up();

    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++) {
        assert_fails(CTL(f, "-g", "grup", verbs[i]), 1,
                     "cvd-ctl: group 'grup' has no machine; did you mean 'group'? cvd-up FILE "
                     "starts a group\n");
        assert_fails(CTL(f, "-g", "phone", verbs[i]), 1,
                     "cvd-ctl: group 'phone' has no machine: none is called phone-N; start them "
                     "with cvd-up FILE\n");
    }
    assert_fails(CTL(f, "-g", "a/b", "list"), 2,
                 "cvd-ctl: 'a/b' is no group's name; see cvd-ctl list --help\n");
    assert_fails(GROUP(f, "-n", "group-1", "list"), 2,
                 "cvd-ctl: --name and --group both say which instances; give one; see cvd-ctl list "
                 "--help\n");
    assert_fails(GROUP(f, "logs"), 2,
                 "cvd-ctl: logs has no --group: it is for one instance at a time; see cvd-ctl logs "
                 "--help\n");
    stop(f, 1, 4);
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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/group-verbs/shown", NULL, test_shown);
    test_add("/group-verbs/top", NULL, test_top);
    test_add("/group-verbs/none", NULL, test_none);
    test_add("/group-verbs/status-partial", NULL, test_status_partial);
    return g_test_run();
}
