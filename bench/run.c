/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One group after the other, each in a child whose figures come through a pipe. ctrl-c, too, is an
 * event here: the child is killed, its own children go with it, and its directories are removed.
 */
#include "bench/run.h"

#include "base/fd.h"
#include "bench/values.h"
#include "tests/support/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static int signal_fd = -1;

static void fill_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

void run_begin(void)
{
    sigset_t set;

    fill_set(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    g_assert_cmpint(signal_fd, >=, 0);
    /* So that the children of one that is killed can be waited for. */
    g_assert_no_errno(prctl(PR_SET_CHILD_SUBREAPER, 1));
}

static void send_figures(int fd)
{
    g_autoptr(GBytes) saved = figures_save(figures_get());
    gsize size;
    const char *data = g_bytes_get_data(saved, &size);

    for (gsize done = 0; done < size;) {
        gssize n = write(fd, data + done, size - done);
        if (n < 0)
            _exit(1);
        done += (gsize)n;
    }
}

/* In a group of its own, so that a terminal's ctrl-c comes to the parent alone. Stdout is the
 * parent's as well: a failed assertion would write there. */
static void measure(const BenchGroup *group, const BenchOptions *options, int fd)
{
    sigset_t set;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    fill_set(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    group->measure(options);
    figure_progress(NULL);
    send_figures(fd);
    _exit(0);
}

/* Returns: FALSE when a signal came first */
static gboolean receive_figures(int fd, GByteArray *saved)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
    guint8 buffer[4096];

    for (;;) {
        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0)
            continue;
        if (fds[1].revents != 0)
            return FALSE;
        gssize n = read(fd, buffer, sizeof buffer);
        if (n <= 0)
            return TRUE;
        g_byte_array_append(saved, buffer, (guint)n);
    }
}

static void take_figures(Figures *figures, const BenchGroup *group, int status, GByteArray *saved)
{
    g_autoptr(GBytes) bytes = g_bytes_new(saved->data, saved->len);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !figures_load(figures, bytes))
        figures_add_gap(figures, group->name, "see stderr for what went wrong", TRUE);
}

gboolean run_group(Figures *figures, const BenchGroup *group, const BenchOptions *options)
{
    g_autoptr(GByteArray) saved = g_byte_array_new();
    int ends[2];
    int status;

    g_assert_no_errno(pipe2(ends, O_CLOEXEC));
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0)
        measure(group, options, ends[1]);
    setpgid(pid, pid);
    cvd_close_fd(&ends[1]);
    gboolean goes_on = receive_figures(ends[0], saved);
    if (!goes_on)
        kill(-pid, SIGKILL);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    while (!goes_on && waitpid(-1, NULL, 0) > 0)
        ;
    cvd_close_fd(&ends[0]);
    figure_progress(NULL);
    if (!goes_on || status != 0)
        test_sandbox_remove_of(pid);
    if (goes_on)
        take_figures(figures, group, status, saved);
    return goes_on;
}
