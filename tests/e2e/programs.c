/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host programs of a machine: started, awaited, started again, and ended; and what becomes of it
 * when they do not do as they should.
 */
#include "base/fd.h"
#include "tests/support/instance.h"
#include "tests/support/rows.h"

#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "devices"

/* JSON with ' in place of ". */
static char *make_setting(const char *key, const char *json)
{
    g_autofree char *value = g_strdelimit(g_strdup(json), "'", '"');

    return g_strdup_printf("%s=%s", key, value);
}

/* @settings: (nullable): further ones, `KEY=VALUE|KEY=VALUE`, JSON with ' in place of " */
static TestProcess *launch(const TestSandbox *sandbox, const char *programs, const char *settings,
                           TestProcessSetup setup)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) parts = g_strsplit(settings != NULL ? settings : "", "|", -1);

    g_ptr_array_add(args, g_strdup("--verbose"));
    if (programs != NULL) {
        g_ptr_array_add(args, g_strdup("--set"));
        g_ptr_array_add(args, make_setting("programs", programs));
    }
    for (char **part = parts; *part != NULL; part++) {
        g_ptr_array_add(args, g_strdup("--set"));
        g_ptr_array_add(args, g_strdelimit(g_strdup(*part), "'", '"'));
    }
    g_ptr_array_add(args, NULL);
    return test_launch_with(sandbox, NAME, (const char *const *)args->pdata, setup, sandbox);
}

/* ---- One run each ---- */

/*
 * @programs: the value of `programs`
 * @settings: further ones
 * @lines: between '|': what the launcher says, each at least once
 * @missing: (nullable): what it does not say
 * @status: its exit status, if it ends by itself; −1: it is asked to stop, and is 0
 */
typedef struct {
    const char *title;
    const char *programs;
    const char *settings;
    const char *lines;
    const char *missing;
    int status;
} Case;

#define SH(script) "'argv': ['sh', '-c', '" script "']"
/* Waits on a pipe that nobody writes to, as a sleep would. */
#define STAY       "exec tail -f /dev/null"
#define NO_RESTART "lifecycle.restart_limit=0"
#define AT_ONCE    "lifecycle.restart_delay_ms=0"

static const Case cases[] = {
    {"runs", "{'a': {" SH("echo it is up; " STAY) "}}", NULL, "a: it is up|running after", NULL,
     -1},
    {"does-not-exist", "{'a': {'argv': ['/nonexistent/device']}}", NULL,
     "programs.a.argv|/nonexistent/device", "running after", 2},
    {"is-not-executable", "{'a': {'argv': ['/etc/passwd']}}", NULL, "programs.a.argv|/etc/passwd",
     "running after", 2},
    {"circle", "{'a': {'argv': ['true'], 'after': ['b']}, 'b': {'argv': ['true'], 'after': ['a']}}",
     NULL, "programs.a.after", "running after", 2},
    {"in-order",
     "{'b': {" SH("echo second; " STAY) ", 'after': ['a']}, 'a': {" SH(
         "echo first; exit 0") ","
                               " 'oneshot': true}}",
     NULL, "a: first|b: second|running after", NULL, -1},
    {"oneshot-fails", "{'a': {" SH("echo no medium; exit 4") ", 'oneshot': true}}", NULL,
     "a: no medium|program a exited with status 4|stopped, as program a exited with status 4",
     "running after", 1},
    {"exits-at-once", "{'a': {'argv': ['true'], 'ready': 'notify', 'critical': true}}", NO_RESTART,
     "program a exited with status 0|stopped, as program a", "running after", 1},
    {"gives-up", "{'a': {'argv': ['false']}}", AT_ONCE "|lifecycle.restart_limit=2",
     "failure 1 of 2|failure 2 of 2|given up after 3 failures", NULL, -1},
    {"always", "{'a': {'argv': ['true'], 'restart': 'always'}}",
     AT_ONCE "|lifecycle.restart_limit=2", "failure 2 of 2|given up", NULL, -1},
    {"done", "{'a': {'argv': ['true']}}", NULL,
     "program a has ended with status 0, and is not started again|running after", "warning", -1},
    {"forks-and-exits",
     "{'a': {" SH("exec 3>&1; said=$(setsid sh -c \\\"tail -f /dev/null >&3 & echo forked\\\");"
                  " echo $said; exit 0") "}}",
     NULL, "a: forked|program a: process|left behind, was killed|running after", NULL, -1},
    {"ignores-its-stop-signal",
     "{'a': {" SH(
         "trap : TERM; echo deaf; while :; do tail -f /dev/null; done") ","
                                                                        " 'stop_timeout_s': 1}}",
     NULL, "a: deaf|running after", NULL, -1},
    {"own-stop-signal",
     "{'a': {" SH(
         "trap \\\"exit 0\\\" USR1; echo up; tail -f /dev/null & wait") ","
                                                                        " 'stop_signal': 'USR1'}}",
     NULL, "a: up|running after", "was killed, as", -1},
    {"is-stopped", "{'a': {" SH("echo up; kill -STOP $$; " STAY) "}}", NULL, "a: up|running after",
     NULL, -1},
    {"never-ready", "{'slow': {" SH(STAY) ", 'ready': 'notify'}}", "lifecycle.start_timeout_s=3",
     "waiting for programs to be ready: slow (has not sent|not ready within "
     "lifecycle.start_timeout_s (3 s): slow (has not sent READY=1)",
     "running after", 1},
    {"never-ended",
     "{'one': {" SH(STAY) ", 'oneshot': true}, 'two': {" SH(STAY) ", 'after': ['one']}}",
     "lifecycle.start_timeout_s=1",
     "start_timeout_s (1 s): one (has not ended), two (not started yet)", "running after", 1},
    {"never-ready-after-a-hook",
     "{'slow': {" SH(STAY) ", 'ready': 'attached', 'regions': ['sensors']}}",
     "lifecycle.start_timeout_s=1|hooks={'before_start': ['true'], 'timeout_s': 3600}",
     "start_timeout_s (1 s): slow (has not attached to all its regions)", "running after", 1},
    {"dies-before-the-guest-runs",
     "{'a': {" SH("exit 7") ", 'critical': true}, 'b': {" SH(STAY) ", 'ready': 'notify'}}",
     NO_RESTART, "stopped, as program a exited with status 7", "running after", 1},
    {"critical-dies",
     "{'a': {" SH(
         "read x < ${runtime}/console.log; until grep -q ready ${runtime}/console.log; do"
         " tail -n 0 -f ${runtime}/console.log | head -n 1; done; exit 7") ","
                                                                           " 'critical': true}}",
     NO_RESTART,
     "running after|given up after 1 failure within|stopped, as program a exited with status 7",
     NULL, 1},
    {"named-as-the-machine", "{'" NAME "': {" SH(STAY) "}}", NULL,
     "programs." NAME "|the machine has this name itself", "running after", 2},
    {"environment",
     "{'a': {" SH("echo name=$CVD_NAME program=$CVD_PROGRAM region=$CVD_REGION"
                  " more=$MORE notify=$NOTIFY_SOCKET; test -S $CVD_CLIENT_SOCKET && echo a "
                  "socket; " STAY) ", 'regions': ['hwcomposer', 'sensors'], 'env': {'MORE': "
                                   "'${name}-${index} $$'}}}",
     NULL,
     "a: name=" NAME " program=a region=hwcomposer,sensors more=" NAME "-0 $ notify=|a: a socket",
     NULL, -1},
    {"inherits-nothing",
     "{'a': {" SH("echo fds /proc/self/fd/* ;"
                  " grep -E \\\"^(SigBlk|SigIgn|NoNewPrivs)\\\" /proc/self/status; " STAY) "}}",
     NULL,
     "a: fds /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3|"
     "a: SigBlk:\t0000000000000000|a: SigIgn:\t0000000000000000|a: NoNewPrivs:\t1",
     "/proc/self/fd/4", -1},
    {"substitution-in-a-substitution", "{'a': {'argv': ['echo', '${na${name}}']}}", NULL,
     "programs.a.argv", "running after", 2},
    {"unknown-substitution", "{'a': {'argv': ['echo', '${nmae}']}}", NULL,
     "${nmae}|${client_socket}", "running after", 2},
    {"hooks-before-and-after", NULL,
     "hooks={'before_start': ['echo', 'before ${name}'], 'after_ready': ['echo', 'now'],"
     " 'after_stop': ['sh', '-c', 'exit 5']}",
     "hooks: before " NAME "|running after|hooks: now", NULL, -1},
#define SAY_READY                                                                                  \
    "perl -MIO::Socket::UNIX -e \\\"IO::Socket::UNIX->new(Type => SOCK_DGRAM,"                     \
    " Peer => \\\\$ENV{NOTIFY_SOCKET})->send(qq(STATUS=well\\\\nREADY=1))\\\""
    {"says-it-is-ready", "{'a': {" SH(SAY_READY "; " STAY) ", 'ready': 'notify'}}", NULL,
     "running after", "waiting for", -1},
    {"says-it-is-ready-and-exits", "{'a': {" SH("exec " SAY_READY) ", 'ready': 'notify'}}", NULL,
     "running after", "exited with", -1},
    {"hook-before-programs",
     "{'a': {" SH("grep -q done $CVD_RUNTIME/programs/hooks.log || exit 7; " STAY) ", 'critical':"
                                                                                   " true}}",
     NO_RESTART "|hooks={'before_start': ['sh', '-c', 'i=0; while [ $$i -lt 300000 ]; do"
                " i=$$((i+1)); done; echo done']}",
     "running after", "exited with", -1},
    {"back-end-never-ready",
     "{'slow': {" SH(STAY) ", 'ready': 'notify', 'sockets': {'s': 'listen'}}}",
     "lifecycle.start_timeout_s=3|qemu.chardevs=[{'id': 'c', 'backend': {'type': 'socket', 'data':"
     " {'addr': {'type': 'fd', 'data': {'str': '${socket:s}'}}, 'server': false}}}]",
     "waiting for programs to be ready: slow (has not sent|not ready within "
     "lifecycle.start_timeout_s (3 s): slow (has not sent READY=1)",
     "running after", 1},
};

/* clang-format off */
/* The runtime directory is closed to it. */
static const Case other_user = {
    .programs = "{'a': {" SH("id -u; perl -MIO::Socket::UNIX -e \\\"IO::Socket::UNIX->new(Type => SOCK_DGRAM,"
                             " Peer => \\\\$ENV{NOTIFY_SOCKET})->send(qq(READY=1))\\\"; " STAY) ","
                " 'ready': 'notify', 'user': 'nobody', 'cwd': '/'}}",
    .lines = "a: 65534|running after",
    .status = -1,
};
/* clang-format on */

static char *why_not_root(void)
{
    return geteuid() != 0 ? g_strdup("needs root, to become another user") : NULL;
}

static void test_case(gconstpointer data)
{
    const Case *test = data;
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_auto(GStrv) lines = g_strsplit(test->lines, "|", -1);
    g_autoptr(TestProcess) launcher = launch(sandbox, test->programs, test->settings, NULL);

    for (char **line = lines; *line != NULL; line++)
        test_process_wait_err(launcher, *line, 1);
    if (test->status < 0) {
        test_launcher_wait_running(launcher);
        test_launcher_stop_clean(launcher, SIGTERM, sandbox);
    } else {
        test_launcher_assert_exit(launcher, test->status);
        test_sandbox_assert_clean(sandbox, test->status == 1 ? TEST_LOGS_LEFT : TEST_NOTHING_LEFT);
    }
    if (test->missing != NULL && strstr(launcher->err->str, test->missing) != NULL)
        test_process_fail(launcher, "it says '%s'", test->missing);
}

/* Who waits for the end is told for whom, and can cut it short. */
static void test_slow_end(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher =
        launch(sandbox, "{'deaf': {" SH("trap : TERM; while :; do tail -f /dev/null; done") "}}",
               "programs.deaf.stop_timeout_s=600|lifecycle.stop=quit", NULL);

    test_launcher_wait_running(launcher);
    test_process_signal(launcher, SIGTERM);
    test_process_wait_err(launcher, "waiting for programs to end: deaf; ctrl-c kills them", 1);
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

/* ---- Much ---- */

static void test_hundred(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(GString) programs = g_string_new("{");

    for (guint i = 0; i < 100; i++)
        g_string_append_printf(programs, "%s'p%u': {" SH("echo up; " STAY) "}", i > 0 ? ", " : "",
                               i);
    g_string_append_c(programs, '}');
    g_autoptr(TestProcess) launcher = launch(sandbox, programs->str, NULL, NULL);
    test_launcher_wait_running(launcher);
    for (guint i = 0; i < 100; i++) {
        g_autofree char *line = g_strdup_printf("p%u: up", i);
        test_process_wait_err(launcher, line, 1);
    }
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

/* A hook of a machine that was ready does not keep the last one from being run, however often one
 * asks for the end. */
static void test_hook_at_the_end(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher = launch(
        sandbox, "{'a': {" SH("trap : TERM; echo deaf; while :; do tail -f /dev/null; done") "}}",
        "lifecycle.stop='quit'|hooks={'after_ready': ['sh', '-c', 'echo waits; exec tail -f"
        " /dev/null'], 'after_stop': ['echo', 'the last']}",
        NULL);

    test_process_wait_err(launcher, "a: deaf", 1);
    test_process_wait_err(launcher, "hooks: waits", 1);
    test_process_signal(launcher, SIGTERM);
    test_process_wait_err(launcher, "program a: stopping", 1);
    test_process_signal(launcher, SIGTERM);
    test_process_wait_err(launcher, "program a was killed, as it had not ended after SIGTERM", 1);
    test_process_wait_err(launcher, "hooks: the last", 1);
    test_launcher_assert_exit(launcher, 0);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void test_serve_only(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *programs = make_setting("programs", "{'a': {" SH(STAY) "}}");
    g_autoptr(TestProcess) launcher = test_launch(sandbox, NAME, "--serve-only", "--set", programs,
                                                  "--set", "hooks.after_stop=[\"true\"]", NULL);

    test_process_wait_err(launcher, "programs are not started with --serve-only", 1);
    test_process_wait_err(launcher, "hooks are not run with --serve-only", 1);
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

static void make_disk_small(gconstpointer data)
{
    const TestSandbox *sandbox = data;

    test_enter_mount_namespace();
    if (mount("tmpfs", sandbox->runtime, "tmpfs", 0, "size=64k,mode=0700") < 0)
        _exit(77);
}

static void test_full_disk(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher = launch(
        sandbox,
        "{'a': {" SH("yes 0123456789abcdef | head -c 200000; exit 3") ", 'restart': 'never'}}",
        NULL, make_disk_small);

    test_process_wait_err(launcher, "No space left on device", 1);
    test_process_wait_err(launcher, "program a exited with status 3", 1);
    test_launcher_wait_running(launcher);
    test_launcher_stop(launcher, SIGTERM);
}

/* ---- The launcher is killed ---- */

typedef struct {
    const char *title;
    const char *programs;
    const char *settings;
    const char *line; /* when it is killed */
    int signal;       /* sent a moment before; 0 = none */
} Kill;

#define THREE                                                                                      \
    "{'a': {" SH(                                                                                  \
        "trap : HUP TERM; (trap : TERM; " STAY                                                     \
        ") & echo up; wait") "},"                                                                  \
                             " 'b': {" SH(                                                         \
                                 "echo up; tail -f /dev/null & wait") ", 'after': ['a']},"         \
                                                                      " 'c': {" SH(                \
                                                                          "echo up; " STAY) ", "   \
                                                                                            "'aft" \
                                                                                            "er':" \
                                                                                            " ['"  \
                                                                                            "b']," \
                                                                                            " '"   \
                                                                                            "read" \
                                                                                            "y': " \
                                                                                            "'%s'" \
                                                                                            ", "   \
                                                                                            "'sto" \
                                                                                            "p_"   \
                                                                                            "time" \
                                                                                            "out_" \
                                                                                            "s': " \
                                                                                            "30}}"

static const Kill kills[] = {
    {"in-a-hook", NULL, "hooks={'before_start': ['sh', '-c', 'echo hook; exec tail -f /dev/null']}",
     "hooks: hook", 0},
    {"while-one-is-awaited", "notify", NULL, "c: up", 0},
    {"while-all-run", "started", NULL, "running after", 0},
    {"while-they-end", "started", "lifecycle.stop='quit'", "asked QEMU to quit", SIGTERM},
};

static void wait_until_all_are_gone(const TestSandbox *sandbox)
{
    for (;;) {
        g_autoptr(GArray) pids = test_sandbox_find_processes(sandbox);
        if (pids->len == 0)
            return;
        cvd_autofd pidfd = test_open_pid(g_array_index(pids, pid_t, 0));
        if (pidfd >= 0)
            test_wait_readable(pidfd, "a program's end");
    }
}

static void test_kill(gconstpointer data)
{
    const Kill *test = data;
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *programs =
        test->programs != NULL ? g_strdup_printf(THREE, test->programs) : NULL;
    g_autoptr(TestProcess) launcher = launch(sandbox, programs, test->settings, NULL);

    if (test->signal != 0) {
        test_launcher_wait_running(launcher);
        test_process_signal(launcher, test->signal);
    }
    test_process_wait_err(launcher, test->line, 1);
    test_process_signal(launcher, SIGKILL);
    test_process_wait_end(launcher);
    wait_until_all_are_gone(sandbox);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(test_add, "/programs/", cases, test_case);
    test_add("/programs/hook-at-the-end", NULL, test_hook_at_the_end);
    test_add("/programs/serve-only", NULL, test_serve_only);
    test_add_unless("/programs/notify-of-another-user", &other_user, test_case, why_not_root);
    test_add("/programs/slow-end", NULL, test_slow_end);
    test_add("/programs/hundred", NULL, test_hundred);
    test_add_unless("/programs/full-disk", NULL, test_full_disk, test_why_no_mount);
    test_add_rows(test_add, "/programs/launcher-is-killed/", kills, test_kill);
    return g_test_run();
}
