/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of what a cvd-launch says, and how it ends. A shell plays it. */
#include "launcher/group/starter.h"

#include <signal.h>
#include <string.h>

typedef struct {
    gboolean has_ended;
    gboolean is_refused;
    char *failure;
} End;

static void on_ended(const char *failure, gboolean is_refused, gpointer data)
{
    End *end = data;

    g_assert_false(end->has_ended);
    end->has_ended = TRUE;
    end->is_refused = is_refused;
    end->failure = g_strdup(failure);
}

static End run_to_end(const char *script, gboolean is_stopped)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    g_autoptr(GError) error = NULL;
    End end = {0};
    CvdStarter *starter = cvd_starter_new(argv, on_ended, &end, &error);

    g_assert_no_error(error);
    if (is_stopped)
        cvd_starter_stop(starter);
    while (!end.has_ended)
        g_main_context_iteration(NULL, TRUE);
    cvd_starter_free(starter);
    return end;
}

/* Returns: (transfer full) (nullable): the failure */
static char *run(const char *script, gboolean is_stopped)
{
    return run_to_end(script, is_stopped).failure;
}

static void test_refused(void)
{
    for (guint status = 0; status < 4; status++) {
        g_autofree char *script = g_strdup_printf("exit %u", status);
        End end = run_to_end(script, FALSE);
        g_assert_cmpint(end.is_refused, ==, status == 2);
        g_free(end.failure);
    }
}

static void test_failures(void)
{
    static const struct {
        const char *script;
        const char *failure;
    } rows[] = {
        {"exit 0", NULL},
        {"echo 'x: error: a warning of a kind' >&2", NULL},
        {"exit 3", "cvd-launch exited with status 3"},
        {"echo out; exit 3", "cvd-launch exited with status 3"},
        {"kill -9 $$", "cvd-launch was killed by signal 9"},
        {"echo 'x: error: a' >&2; kill -9 $$", "cvd-launch was killed by signal 9"},
        {"printf 'x: a\\nx: error: b\\nx: error: c: d\\nx: e\\n' >&2; exit 1", "c: d"},
        {"printf 'x: a\\nx: b\\n\\n' >&2; exit 1", "x: b"},
        {"printf 'x: error: no end' >&2; exit 1", "no end"},
        {"printf 'x: error: a\\nx: what to do: b\\nx: c\\n' >&2; exit 1", "a; b"},
        {"printf 'x: error: a\\nx: what to do: b\\nx: error: c\\n' >&2; exit 1", "c"},
        {"printf 'x: what to do: b\\nx: error: c\\n' >&2; exit 1", "c"},
        /* All that is said before the end counts, in however many parts. */
        {"i=0; while [ $i -lt 3000 ]; do echo \"x: line $i\"; i=$((i + 1)); done >&2;"
         " printf 'x: err' >&2; printf 'or: last\\n' >&2; exit 1",
         "last"},
        /* It is told nothing of a service manager. */
        {"echo \"x: error: ${NOTIFY_SOCKET-none}\" >&2; exit 1", "none"},
    };

    g_setenv("NOTIFY_SOCKET", "/nonexistent", TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *failure = run(rows[i].script, FALSE);
        g_assert_cmpstr(failure, ==, rows[i].failure);
    }
}

/* A line that is too long is cut, and does not become another. */
static void test_long_line(void)
{
    g_autofree char *failure = run(
        "{ printf 'x: error: '; head -c 100000 /dev/zero | tr '\\0' y; echo; } >&2; exit 1", FALSE);

    g_assert_cmpuint(strlen(failure), ==, CVD_STARTER_MAX_LINE - strlen("x: error: "));
    g_assert_cmpuint(strspn(failure, "y"), ==, strlen(failure));
}

static void test_stop(void)
{
    g_autofree char *failure = run("exec sleep 600", TRUE);

    g_assert_cmpstr(failure, ==, "cvd-launch was killed by signal 15");
}

/* Who has what it had open, and goes on, is not waited for. */
static void test_output_goes_on(void)
{
    g_autofree char *failure = run("sleep 600 & echo \"x: error: $!\" >&2; exit 1", FALSE);
    pid_t pid = (pid_t)g_ascii_strtoll(failure, NULL, 10);

    g_assert_cmpint(pid, >, 1);
    g_assert_no_errno(kill(pid, SIGKILL));
}

static guint count_fds(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint n = 0;

    while (g_dir_read_name(dir) != NULL)
        n++;
    return n;
}

/* A group may have more machines than a process may have descriptors, and some of them write on. */
static void test_nothing_stays_open(void)
{
    static const char *const scripts[] = {"exit 0", "exit 1", "sleep 1 &"};
    g_autofree char *warmed_up = run("exit 0", FALSE);
    guint n_before = count_fds();

    g_assert_null(warmed_up);
    for (gsize i = 0; i < G_N_ELEMENTS(scripts); i++) {
        const char *const argv[] = {"sh", "-c", scripts[i], NULL};
        End end = {0};
        CvdStarter *starter = cvd_starter_new(argv, on_ended, &end, NULL);
        while (!end.has_ended)
            g_main_context_iteration(NULL, TRUE);
        g_assert_cmpuint(count_fds(), ==, n_before);
        cvd_starter_free(starter);
        g_free(end.failure);
    }
}

/* Ctrl-c of a terminal reaches a process group, and a hang-up a session. */
static void test_session(void)
{
    g_autofree char *failure = run("read -r stat < /proc/self/stat; set -- $stat; echo \"x: error: "
                                   "$(( $1 == $6 ))\" >&2; exit 1",
                                   FALSE);

    g_assert_cmpstr(failure, ==, "1");
}

static void test_no_program(void)
{
    const char *const argv[] = {"/nonexistent/cvd-launch", NULL};
    g_autoptr(GError) error = NULL;

    g_assert_null(cvd_starter_new(argv, on_ended, NULL, &error));
    g_assert_nonnull(strstr(error->message, "/nonexistent/cvd-launch"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-starter/failures", test_failures);
    g_test_add_func("/group-starter/refused", test_refused);
    g_test_add_func("/group-starter/long-line", test_long_line);
    g_test_add_func("/group-starter/stop", test_stop);
    g_test_add_func("/group-starter/output-goes-on", test_output_goes_on);
    g_test_add_func("/group-starter/nothing-stays-open", test_nothing_stays_open);
    g_test_add_func("/group-starter/session", test_session);
    g_test_add_func("/group-starter/no-program", test_no_program);
    return g_test_run();
}
