/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes of the tests. One poll() over both pipes and a pidfd serves every wait, so that a
 * process which writes much is never held up by a test that waits for something else. Waits end by
 * events; the time limit is only there to fail instead of hanging.
 */
#include "tests/support/process.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void become_child(const TestSandbox *sandbox, const char *const *argv, int out, int err,
                         TestProcessSetup setup, gconstpointer data)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    sigset_t none;
    int null = open("/dev/null", O_RDONLY);

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++)
        signal(signals[i], SIG_DFL); /* a script's background jobs ignore some */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    test_sandbox_set_environment(sandbox);
    if (dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    if (null > STDERR_FILENO)
        close(null);
    if (setup != NULL)
        setup(data);
    execvp(argv[0], (char *const *)argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], g_strerror(errno));
    _exit(127);
}

TestProcess *test_process_start(const TestSandbox *sandbox, const char *const *argv,
                                TestProcessSetup setup, gconstpointer data)
{
    TestProcess *process = g_new0(TestProcess, 1);
    int out[2], err[2];

    g_assert_cmpint(pipe2(out, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(err, O_CLOEXEC), ==, 0);
    process->pid = fork();
    g_assert_cmpint(process->pid, >=, 0);
    if (process->pid == 0)
        become_child(sandbox, argv, out[1], err[1], setup, data);
    close(out[1]);
    close(err[1]);
    process->out_fd = out[0];
    process->err_fd = err[0];
    process->out = g_string_new(NULL);
    process->err = g_string_new(NULL);
    process->pidfd = test_open_pid(process->pid);
    return process;
}

/* TRUE as long as the stream may bring more. */
static gboolean read_some(int *fd, GString *text)
{
    char buffer[4096];
    gssize n = read(*fd, buffer, sizeof buffer);

    if (n > 0)
        g_string_append_len(text, buffer, n);
    else if (n == 0 || errno != EINTR)
        cvd_close_fd(fd);
    return n > 0;
}

static void read_rest(int *fd, GString *text)
{
    struct pollfd poll_fd = {.fd = *fd, .events = POLLIN};

    while (*fd >= 0 && poll(&poll_fd, 1, 0) > 0 && read_some(fd, text))
        ;
}

static void reap(TestProcess *process)
{
    int status;

    g_assert_cmpint(waitpid(process->pid, &status, 0), ==, process->pid);
    process->status = status;
    process->has_ended = TRUE;
    read_rest(&process->out_fd, process->out);
    read_rest(&process->err_fd, process->err);
}

/* Waits for one event. Returns FALSE when the time is over. */
static gboolean pump(TestProcess *process, gint64 deadline_us)
{
    struct pollfd fds[] = {
        {.fd = process->out_fd, .events = POLLIN},
        {.fd = process->err_fd, .events = POLLIN},
        {.fd = process->pidfd, .events = POLLIN},
    };
    gint64 left_us = deadline_us - g_get_monotonic_time();

    if (left_us <= 0)
        return FALSE;
    int n = poll(fds, G_N_ELEMENTS(fds), (int)(left_us / 1000) + 1);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    if (fds[0].revents != 0)
        read_some(&process->out_fd, process->out);
    if (fds[1].revents != 0)
        read_some(&process->err_fd, process->err);
    if (fds[2].revents != 0)
        reap(process);
    return TRUE;
}

static gboolean has_lines(const char *text, const char *wanted, guint n)
{
    for (const char *p = text; n > 0; n--) {
        p = strstr(p, wanted);
        if (p == NULL)
            return FALSE;
        p = strchr(p, '\n');
        if (p == NULL)
            return FALSE;
        p++;
    }
    return TRUE;
}

static void wait_text(TestProcess *process, const GString *text, const char *wanted, guint n)
{
    gint64 deadline_us = g_get_monotonic_time() + TEST_TIMEOUT_MS * 1000;

    while (!has_lines(text->str, wanted, n)) {
        if (process->has_ended)
            test_process_fail(process, "it ended without saying '%s' (%u times)", wanted, n);
        if (!pump(process, deadline_us))
            test_process_fail(process, "it did not say '%s' (%u times) in time", wanted, n);
    }
}

void test_process_wait_err(TestProcess *process, const char *text, guint n)
{
    wait_text(process, process->err, text, n);
}

void test_process_wait_out(TestProcess *process, const char *text, guint n)
{
    wait_text(process, process->out, text, n);
}

gboolean test_process_has_err(const TestProcess *process, const char *text)
{
    return strstr(process->err->str, text) != NULL;
}

void test_process_wait_end(TestProcess *process)
{
    gint64 deadline_us = g_get_monotonic_time() + TEST_TIMEOUT_MS * 1000;

    while (!process->has_ended)
        if (!pump(process, deadline_us))
            test_process_fail(process, "it did not end in time");
}

int test_process_wait_exit(TestProcess *process)
{
    test_process_wait_end(process);
    if (!WIFEXITED(process->status))
        test_process_fail(process, "it was killed by signal %d", WTERMSIG(process->status));
    return WEXITSTATUS(process->status);
}

guint64 test_process_get_cpu_us(const TestProcess *process)
{
    clockid_t clock;
    struct timespec time;

    g_assert_no_errno(clock_getcpuclockid(process->pid, &clock));
    g_assert_no_errno(clock_gettime(clock, &time));
    return (guint64)time.tv_sec * G_USEC_PER_SEC + (guint64)time.tv_nsec / 1000;
}

void test_process_signal(TestProcess *process, int signal)
{
    g_assert_false(process->has_ended);
    g_assert_cmpint(pidfd_send_signal(process->pidfd, signal, NULL, 0), ==, 0);
}

void test_process_fail(const TestProcess *process, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    g_error("process %d: %s\n--- stdout\n%s--- stderr\n%s---", process->pid, message,
            process->out->str, process->err->str);
}

void test_process_free(TestProcess *process)
{
    if (!process->has_ended) {
        test_process_signal(process, SIGKILL);
        test_process_wait_end(process);
    }
    cvd_close_fd(&process->pidfd);
    cvd_close_fd(&process->out_fd);
    cvd_close_fd(&process->err_fd);
    g_string_free(process->out, TRUE);
    g_string_free(process->err, TRUE);
    g_free(process);
}

static pid_t read_parent(const char *pid)
{
    g_autofree char *path = g_build_filename("/proc", pid, "stat", NULL);
    g_autofree char *stat = NULL;
    pid_t parent = 0;

    if (!g_file_get_contents(path, &stat, NULL, NULL))
        return 0;
    /* The second field, the name in parentheses, may hold anything. */
    const char *after_name = strrchr(stat, ')');
    if (after_name == NULL || sscanf(after_name, ") %*c %d", &parent) != 1)
        return 0;
    return parent;
}

pid_t test_find_child(pid_t parent)
{
    g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
    const char *name;
    pid_t child = 0;

    while ((name = g_dir_read_name(proc)) != NULL)
        if (g_ascii_isdigit(name[0]) && read_parent(name) == parent) {
            g_assert_cmpint(child, ==, 0);
            child = atoi(name);
        }
    return child;
}

int test_open_pid(pid_t pid)
{
    int fd = pidfd_open(pid, 0);

    if (fd < 0)
        g_error("pidfd_open %d: %s", pid, g_strerror(errno));
    return fd;
}

void test_wait_readable(int fd, const char *what)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&poll_fd, 1, TEST_TIMEOUT_MS);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        g_error("%s: nothing came", what);
}

void test_wait_file(const char *path, const char *text, guint n)
{
    cvd_autofd watch = inotify_init1(IN_CLOEXEC);
    char events[4096];

    g_assert_cmpint(watch, >=, 0);
    if (inotify_add_watch(watch, path, IN_MODIFY) < 0)
        g_error("%s: %s", path, g_strerror(errno));
    for (;;) {
        g_autofree char *content = NULL;
        g_assert_true(g_file_get_contents(path, &content, NULL, NULL));
        if (has_lines(content, text, n))
            return;
        struct pollfd poll_fd = {.fd = watch, .events = POLLIN};
        if (poll(&poll_fd, 1, TEST_TIMEOUT_MS) <= 0)
            g_error("%s: '%s' (%u times) did not appear in:\n%s", path, text, n, content);
        g_assert_cmpint(read(watch, events, sizeof events), >, 0);
    }
}

typedef struct {
    GTestDataFunc test;
    gconstpointer data;
    char *(*why_not)(void);
} Isolated;

static int skip_pipe = -1;

void test_skip(const char *reason)
{
    g_assert_cmpint(write(skip_pipe, reason, strlen(reason)), >, 0);
}

static void run_isolated(gconstpointer data)
{
    const Isolated *isolated = data;
    char reason[256] = {0};
    int skip[2];
    int status;

    g_autofree char *why_not = isolated->why_not != NULL ? isolated->why_not() : NULL;
    if (why_not != NULL) {
        g_test_skip(why_not);
        return;
    }
    g_assert_cmpint(pipe2(skip, O_CLOEXEC), ==, 0);
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        skip_pipe = skip[1];
        isolated->test(isolated->data);
        _exit(0);
    }
    close(skip[1]);
    gssize n = read(skip[0], reason, sizeof reason - 1);
    close(skip[0]);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (status != 0) {
        g_test_fail_printf("see stderr (wait status %d)", status);
        if (g_getenv("CVD_KEEP") == NULL)
            test_sandbox_remove_of(pid);
    } else if (n > 0)
        g_test_skip(reason);
}

void test_add_unless(const char *path, gconstpointer data, GTestDataFunc test,
                     char *(*why_not)(void))
{
    Isolated *isolated = g_new(Isolated, 1);

    *isolated = (Isolated){.test = test, .data = data, .why_not = why_not};
    g_test_add_data_func_full(path, isolated, run_isolated, g_free);
}

void test_add(const char *path, gconstpointer data, GTestDataFunc test)
{
    test_add_unless(path, data, test, NULL);
}
