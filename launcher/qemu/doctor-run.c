/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the process counts, not that of its output, which a child of it may hold open. Its
 * group is killed before it is reaped: until then the number belongs to nobody else. What has left
 * the group becomes our child, as we are a subreaper, and is killed as such.
 */
#include "launcher/qemu/doctor-run.h"

#include "base/fd.h"
#include "base/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_SIZE 4096
/* One that forks faster than this is let go. */
#define MAX_ORPHANS 100

static void set_up_child(gpointer data)
{
    pid_t parent = GPOINTER_TO_INT(data);
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    setpgid(0, 0);
    dup2(STDOUT_FILENO, STDERR_FILENO);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

/* Returns: whether there may be more; what is beyond the bound is read and forgotten */
static gboolean read_some(int fd, GString *output)
{
    char bytes[READ_SIZE];
    gssize n = read(fd, bytes, sizeof bytes);

    for (gssize i = 0; i < n && output->len < CVD_DOCTOR_MAX_OUTPUT; i++)
        if (bytes[i] != '\0')
            g_string_append_c(output, bytes[i]);
    return n > 0;
}

static gboolean has_ended(int children_fd, pid_t pid)
{
    siginfo_t info = {0};

    cvd_children_forget(children_fd);
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* Returns: whether it has ended in time */
static gboolean wait_end(int children_fd, pid_t pid, int *output_fd, GString *output,
                         guint limit_ms)
{
    gint64 end_us = g_get_monotonic_time() + limit_ms * G_TIME_SPAN_MILLISECOND;

    for (;;) {
        gint64 left_us = end_us - g_get_monotonic_time();
        struct pollfd fds[] = {{.fd = children_fd, .events = POLLIN},
                               {.fd = *output_fd, .events = POLLIN}};
        if (left_us <= 0)
            return FALSE;
        int n = poll(fds, G_N_ELEMENTS(fds), (int)(left_us / 1000) + 1);
        if (n < 0 && errno != EINTR)
            return FALSE;
        if (n <= 0)
            continue;
        if (fds[0].revents != 0 && has_ended(children_fd, pid))
            return TRUE;
        if (fds[1].revents != 0 && !read_some(*output_fd, output))
            cvd_close_fd(output_fd);
    }
}

/* Its last words; somebody who has left its group may go on for ever. */
static void read_rest(int fd, GString *output)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    for (gsize n = 0; n < CVD_DOCTOR_MAX_OUTPUT; n += READ_SIZE)
        if (poll(&ready, 1, 0) <= 0 || !read_some(fd, output))
            break;
}

/* Of this thread; each number has a space behind it. */
static char *list_children(void)
{
    char *text = NULL;

    return g_file_get_contents("/proc/thread-self/children", &text, NULL, NULL) ? text
                                                                                : g_strdup("");
}

/* @before: children that a program has which then becomes this one. Returns: 0 if there is no other
 */
static pid_t find_orphan(const char *before)
{
    g_autofree char *text = list_children();
    g_auto(GStrv) known = g_strsplit(before, " ", -1);
    g_auto(GStrv) pids = g_strsplit(text, " ", -1);

    for (char **pid = pids; *pid != NULL; pid++)
        if (!g_strv_contains((const char *const *)known, *pid))
            return (pid_t)g_ascii_strtoll(*pid, NULL, 10);
    return 0;
}

static int reap(pid_t pid)
{
    int status = -1;

    kill(pid, SIGKILL); /* has no effect on one that has ended, and is not reaped */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* The end of each may make its children ours. */
static void kill_orphans(const char *before)
{
    pid_t pid;

    for (guint i = 0; i < MAX_ORPHANS && (pid = find_orphan(before)) > 0; i++)
        reap(pid);
}

char *cvd_doctor_run(const char *const *argv, const char *input, guint limit_ms, CvdDoctorEnd *end)
{
    g_autoptr(GString) output = g_string_new(NULL);
    g_autofree char *before = list_children();
    cvd_autofd input_fd = -1, output_fd = -1, children_fd = cvd_children_watch();
    GPid pid;

    *end = CVD_DOCTOR_FAILED;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (!g_spawn_async_with_pipes(
            NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
            set_up_child, GINT_TO_POINTER(getpid()), &pid, &input_fd, &output_fd, NULL, NULL))
        return g_strdup("");
    if (input != NULL && write(input_fd, input, strlen(input)) < 0)
        g_debug("%s: its input: %s", argv[0], g_strerror(errno));
    cvd_close_fd(&input_fd);
    gboolean is_in_time = wait_end(children_fd, pid, &output_fd, output, limit_ms);
    kill(-pid, SIGKILL);
    read_rest(output_fd, output);
    int status = reap(pid);
    kill_orphans(before);
    if (!is_in_time)
        *end = CVD_DOCTOR_TIMED_OUT;
    else if (status == 0)
        *end = CVD_DOCTOR_SUCCEEDED;
    return g_string_free(g_steal_pointer(&output), FALSE);
}
