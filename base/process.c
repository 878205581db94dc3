/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define SIGNAL_LIMIT_MS 2000

CvdProcessId cvd_process_id_get(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *stat = NULL;
    char state;
    guint64 start_time;

    if (!g_file_get_contents(path, &stat, NULL, NULL))
        return (CvdProcessId){0};
    /* The second field, the name in parentheses, may hold anything; the start is the 22nd. */
    const char *after_name = strrchr(stat, ')');
    if (after_name == NULL ||
        sscanf(after_name,
               ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %ju",
               &state, &start_time) != 2 ||
        strchr("ZX", state) != NULL)
        return (CvdProcessId){0};
    return (CvdProcessId){.pid = pid, .start_time = start_time};
}

gboolean cvd_process_id_is_alive(CvdProcessId id)
{
    return id.pid > 0 && cvd_process_id_get(id.pid).start_time == id.start_time;
}

char *cvd_process_get_name(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/comm", pid);
    g_autofree char *name = NULL;
    gsize size;

    if (!g_file_get_contents(path, &name, &size, NULL))
        return NULL;
    if (size > 0 && name[size - 1] == '\n')
        size--;
    return cvd_escape_bytes(name, size);
}

char *cvd_process_id_format(CvdProcessId id)
{
    if (id.pid == 0)
        return g_strdup("");
    return g_strdup_printf("%d %ju ", id.pid, id.start_time);
}

gboolean cvd_process_id_parse(const char **text, CvdProcessId *id)
{
    int n_read = 0;

    if (sscanf(*text, "%d %ju%n", &id->pid, &id->start_time, &n_read) != 2)
        return FALSE;
    *text += n_read;
    return id->pid > 0;
}

/* Returns: 0, or −1 with `errno` set */
static int end(CvdProcessId id)
{
    static const int signals[] = {SIGHUP, SIGKILL};
    cvd_autofd pidfd = pidfd_open(id.pid, 0); /* −1 where that is refused: poll() only waits then */
    struct pollfd has_ended = {.fd = pidfd, .events = POLLIN};

    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++) {
        if (!cvd_process_id_is_alive(id))
            return 0;
        if (kill(id.pid, signals[i]) < 0)
            return errno == ESRCH ? 0 : -1;
        poll(&has_ended, 1, SIGNAL_LIMIT_MS);
    }
    errno = ETIMEDOUT;
    return cvd_process_id_is_alive(id) ? -1 : 0;
}

gboolean cvd_process_end_all(const char *ids, GError **error)
{
    CvdProcessId id;

    while (cvd_process_id_parse(&ids, &id)) {
        if (!cvd_process_id_is_alive(id))
            continue;
        if (end(id) < 0)
            return cvd_set_error_errno(error, CVD_ERROR_BUSY, errno, "process %d cannot be ended",
                                       id.pid);
        g_message("ended process %d, which a launcher that crashed has left running", id.pid);
    }
    return TRUE;
}

int cvd_children_watch(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

void cvd_children_forget(int fd)
{
    struct signalfd_siginfo signal;

    while (read(fd, &signal, sizeof signal) == sizeof signal)
        ;
}
