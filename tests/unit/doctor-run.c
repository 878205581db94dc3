/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/doctor-run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_MS  60000
#define SHORT_MS 300

static char *run(const char *script, const char *input, guint limit_ms, CvdDoctorEnd expected)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    CvdDoctorEnd end;
    char *output = cvd_doctor_run(argv, input, limit_ms, &end);

    g_assert_cmpint(end, ==, expected);
    return output;
}

static void assert_printed(const char *script, const char *input, const char *expected,
                           CvdDoctorEnd end)
{
    g_autofree char *output = run(script, input, LONG_MS, end);

    g_assert_cmpstr(output, ==, expected);
}

static void test_output(void)
{
    assert_printed("echo out; echo err >&2; exit 3", NULL, "out\nerr\n", CVD_DOCTOR_FAILED);
    assert_printed("echo out; kill -ABRT $$", NULL, "out\n", CVD_DOCTOR_FAILED);
    assert_printed("cat", "said\n", "said\n", CVD_DOCTOR_SUCCEEDED);
    assert_printed("printf 'a\\000b'", NULL, "ab", CVD_DOCTOR_SUCCEEDED);
    assert_printed(":", "nobody reads this", "", CVD_DOCTOR_SUCCEEDED);
}

static void test_missing(void)
{
    const char *argv[] = {"/nonexistent", NULL};
    CvdDoctorEnd end;
    g_autofree char *output = cvd_doctor_run(argv, NULL, LONG_MS, &end);

    g_assert_cmpstr(output, ==, "");
    g_assert_cmpint(end, ==, CVD_DOCTOR_FAILED);
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
    g_autofree char *output = run("sleep 1000 & echo $!", NULL, LONG_MS, CVD_DOCTOR_SUCCEEDED);

    assert_ended(open_printed(output));
}

/* Nor does one that has a session of its own. */
static void test_child_with_a_session(void)
{
    g_autofree char *output = run("echo $(setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!')",
                                  NULL, LONG_MS, CVD_DOCTOR_SUCCEEDED);

    assert_ended(open_printed(output));
}

/* What was started before, as by a script that then becomes this program, is nobody's business. */
static void test_child_of_before(void)
{
    pid_t child = fork();
    siginfo_t info = {0};

    if (child == 0) {
        pause();
        _exit(0);
    }
    assert_printed("echo out", NULL, "out\n", CVD_DOCTOR_SUCCEEDED);
    g_assert_no_errno(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT));
    g_assert_cmpint(info.si_pid, ==, 0);
    kill(child, SIGKILL);
    g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
}

static void leave_group(void)
{
    setpgid(0, getpgid(getppid()));
    pause();
}

/* Whatever group it has joined, it is killed and waited for. */
static void test_leaves_its_group(void)
{
    g_autofree char *script = g_strdup_printf("exec /proc/%d/exe leave-group", getpid());

    g_free(run(script, NULL, SHORT_MS, CVD_DOCTOR_TIMED_OUT));
}

static void test_hangs(void)
{
    g_autofree char *dir = g_dir_make_tmp("cvdt-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "pid", NULL);
    g_autofree char *script =
        g_strdup_printf("sleep 1000 & echo $! >%s.new; mv %s.new %s; wait", path, path, path);
    g_autofree char *text = NULL;
    g_free(run(script, NULL, SHORT_MS, CVD_DOCTOR_TIMED_OUT));

    /* It may not have come so far in that time. */
    if (g_file_get_contents(path, &text, NULL, NULL))
        assert_ended(open_printed(text));
    unlink(path);
    rmdir(dir);
}

static void test_endless_output(void)
{
    g_autofree char *output =
        run("yes | head -c 3000000; exec echo end", NULL, LONG_MS, CVD_DOCTOR_SUCCEEDED);
    g_assert_cmpuint(strlen(output), ==, CVD_DOCTOR_MAX_OUTPUT);

    /* What it said until then is kept. */
    g_autofree char *endless = run("exec yes", NULL, SHORT_MS, CVD_DOCTOR_TIMED_OUT);
    g_assert_true(g_str_has_prefix(endless, "y\ny\n"));
}

int main(int argc, char **argv)
{
    if (g_strcmp0(argv[1], "leave-group") == 0)
        leave_group();
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
    g_test_add_func("/doctor-run/child-with-a-session", test_child_with_a_session);
    g_test_add_func("/doctor-run/child-of-before", test_child_of_before);
    g_test_add_func("/doctor-run/leaves-its-group", test_leaves_its_group);
    g_test_add_func("/doctor-run/hangs", test_hangs);
    g_test_add_func("/doctor-run/endless-output", test_endless_output);
    return g_test_run();
}
