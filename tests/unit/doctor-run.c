/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/doctor-run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define LONG_MS  60000
#define SHORT_MS 300

static char *run(const char *script, const char *input, guint limit_ms, gboolean *has_timed_out)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};

    return cvd_doctor_run(argv, input, limit_ms, has_timed_out);
}

static void assert_printed(const char *script, const char *input, const char *expected)
{
    gboolean has_timed_out;
    g_autofree char *output = run(script, input, LONG_MS, &has_timed_out);

    g_assert_false(has_timed_out);
    g_assert_cmpstr(output, ==, expected);
}

static void test_output(void)
{
    assert_printed("echo out; echo err >&2; exit 3", NULL, "out\nerr\n");
    assert_printed("cat", "said\n", "said\n");
    assert_printed("printf 'a\\000b'", NULL, "ab");
    assert_printed(":", "nobody reads this", "");
}

static void test_missing(void)
{
    const char *argv[] = {"/nonexistent", NULL};
    gboolean has_timed_out;

    g_assert_null(cvd_doctor_run(argv, NULL, LONG_MS, &has_timed_out));
    g_assert_false(has_timed_out);
}

/* Returns: a pidfd of the process whose number is printed first */
static int open_printed(const char *output)
{
    int fd = pidfd_open((pid_t)g_ascii_strtoll(output, NULL, 10), 0);

    g_assert_true(fd >= 0 || errno == ESRCH);
    return fd;
}

static void assert_ended(int pidfd)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};

    g_assert_true(pidfd < 0 || poll(&ended, 1, LONG_MS) == 1);
    close(pidfd);
}

/* A child of it that holds its output open is not waited for, and does not outlive it. */
static void test_child_stays(void)
{
    gboolean has_timed_out;
    g_autofree char *output = run("sleep 1000 & echo $!", NULL, LONG_MS, &has_timed_out);

    g_assert_false(has_timed_out);
    g_assert_nonnull(output);
    assert_ended(open_printed(output));
}

static void test_hangs(void)
{
    g_autofree char *dir = g_dir_make_tmp("cvdt-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "pid", NULL);
    g_autofree char *script =
        g_strdup_printf("sleep 1000 & echo $! >%s.new; mv %s.new %s; wait", path, path, path);
    g_autofree char *text = NULL;
    gboolean has_timed_out;

    g_assert_null(run(script, NULL, SHORT_MS, &has_timed_out));
    g_assert_true(has_timed_out);
    /* It may not have come so far in that time. */
    if (g_file_get_contents(path, &text, NULL, NULL))
        assert_ended(open_printed(text));
    unlink(path);
    rmdir(dir);
}

static void test_endless_output(void)
{
    gboolean has_timed_out;
    g_autofree char *output =
        run("yes | head -c 3000000; exec echo end", NULL, LONG_MS, &has_timed_out);

    g_assert_false(has_timed_out);
    g_assert_cmpuint(strlen(output), ==, CVD_DOCTOR_MAX_OUTPUT);
    g_assert_null(run("exec yes", NULL, SHORT_MS, &has_timed_out));
    g_assert_true(has_timed_out);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    int pidfd = pidfd_open(getpid(), 0);
    if (pidfd < 0) {
        puts("1..0 # SKIP no pidfd_open here (valgrind has none)");
        return 0;
    }
    close(pidfd);
    signal(SIGPIPE, SIG_IGN); /* as the launcher does */
    g_test_add_func("/doctor-run/output", test_output);
    g_test_add_func("/doctor-run/missing", test_missing);
    g_test_add_func("/doctor-run/child-stays", test_child_stays);
    g_test_add_func("/doctor-run/hangs", test_hangs);
    g_test_add_func("/doctor-run/endless-output", test_endless_output);
    return g_test_run();
}
