/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh as a child whose output passes through here on its way to a terminal, as what another machine
 * prints is not for the terminal to obey.
 */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/terminal-text.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_SIGNAL 128 /* as shells have it */
#define MAX_READ      4096
#define PIPE_READS    (65536 / MAX_READ) /* all that a pipe holds (pipe(7)) */

extern char **environ;

/* ---- What it prints ---- */

/* One of its stdout and stderr, on the way to a terminal. */
typedef struct {
    int to;
    int fd;     /* −1: ssh writes there itself */
    int ssh_fd; /* the end that ssh has */
    GString *rest;
} Stream;

static gboolean stream_open(Stream *stream, int to, GError **error)
{
    int fds[2];

    *stream = (Stream){.to = to, .fd = -1, .ssh_fd = -1, .rest = g_string_new(NULL)};
    if (!isatty(to))
        return TRUE;
    if (!g_unix_open_pipe(fds, FD_CLOEXEC, error))
        return FALSE;
    stream->fd = fds[0];
    stream->ssh_fd = fds[1];
    return g_unix_set_fd_nonblocking(stream->fd, TRUE, error);
}

static void stream_close(Stream *stream)
{
    cvd_close_fd(&stream->fd);
    cvd_close_fd(&stream->ssh_fd);
    g_string_free(stream->rest, TRUE);
}

static gboolean stream_put(Stream *stream, gboolean is_last, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_erase(
        stream->rest, 0,
        (gssize)cvd_terminal_text_append(text, stream->rest->str, stream->rest->len, is_last));
    if (stream->to == STDOUT_FILENO)
        return cvd_tool_put(text->str, text->len, error);
    g_printerr("%s", text->str);
    return TRUE;
}

/* Takes of what is there at most @max_reads pieces: there may always be more. */
static gboolean stream_pass_on(Stream *stream, guint max_reads, GError **error)
{
    char bytes[MAX_READ];
    gssize n = 1;

    for (guint i = 0; stream->fd >= 0 && n > 0 && i < max_reads; i++) {
        n = TEMP_FAILURE_RETRY(read(stream->fd, bytes, sizeof bytes));
        if (n == 0)
            cvd_close_fd(&stream->fd);
        g_string_append_len(stream->rest, bytes, MAX(n, 0));
        if (n > 0 && !stream_put(stream, FALSE, error))
            return FALSE;
    }
    return TRUE;
}

/* ---- ssh ---- */

gboolean cvd_ctl_fail_ssh(int number, GError **error)
{
    return cvd_set_error_errno(error, CVD_ERROR_FAILED, number, "cannot run ssh%s",
                               number == ENOENT ? " (install openssh-client)" : "");
}

/* @stdin_path: (nullable): in place of this process's stdin; @out_fd: where stdout goes; −1: where
 * this one's goes. Returns: its pid; −1 with @error set */
static pid_t spawn_ssh(char **argv, const char *stdin_path, int out_fd, const Stream *streams,
                       GError **error)
{
    const int fds[] = {out_fd >= 0 ? out_fd : streams[0].ssh_fd, streams[1].ssh_fd};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t signals;
    pid_t pid = -1;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    if (stdin_path != NULL)
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, stdin_path, O_RDONLY, 0);
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
        if (fds[i] >= 0)
            posix_spawn_file_actions_adddup2(&actions, fds[i], streams[i].to);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int number = posix_spawnp(&pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (number == 0)
        return pid;
    cvd_ctl_fail_ssh(number, error);
    return -1;
}

/* Until it has ended: what a connection that outlives it (ssh_config(5), ControlPersist) has of its
 * descriptors does not count. */
static gboolean follow_ssh(CvdTool *tool, pid_t pid, Stream *streams, GError **error)
{
    cvd_autofd pidfd = pidfd_open(pid, 0);
    gboolean has_ended = FALSE;

    if (pidfd < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot wait for ssh");
    while (!has_ended) {
        GPollFD fds[] = {
            {.fd = streams[0].fd, .events = G_IO_IN},
            {.fd = streams[1].fd, .events = G_IO_IN},
            {.fd = pidfd, .events = G_IO_IN},
        };
        if (!cvd_tool_poll(tool, fds, G_N_ELEMENTS(fds), -1, 0, error))
            return FALSE;
        has_ended = fds[2].revents != 0;
        for (guint i = 0; i < 2; i++)
            if (!stream_pass_on(&streams[i], has_ended ? PIPE_READS : 1, error))
                return FALSE;
    }
    return stream_put(&streams[0], TRUE, error) && stream_put(&streams[1], TRUE, error);
}

static int wait_for_status(pid_t pid)
{
    int status = 0;

    TEMP_FAILURE_RETRY(waitpid(pid, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_SIGNAL + WTERMSIG(status);
}

gboolean cvd_ctl_run_ssh(CvdTool *tool, char **argv, gboolean with_stdin, int out_fd,
                         GError **error)
{
    Stream streams[2];
    pid_t pid = -1;

    cvd_tool_catch_signals(tool);
    gboolean is_done = stream_open(&streams[0], STDOUT_FILENO, error);
    is_done = stream_open(&streams[1], STDERR_FILENO, is_done ? error : NULL) && is_done;
    if (is_done)
        pid = spawn_ssh(argv, with_stdin ? NULL : "/dev/null", out_fd, streams, error);
    for (guint i = 0; i < G_N_ELEMENTS(streams); i++)
        cvd_close_fd(&streams[i].ssh_fd);
    is_done = pid > 0 && follow_ssh(tool, pid, streams, error);
    if (pid > 0 && !is_done)
        kill(pid, SIGTERM);
    if (pid > 0)
        tool->status = wait_for_status(pid);
    for (guint i = 0; i < G_N_ELEMENTS(streams); i++)
        stream_close(&streams[i]);
    return is_done;
}
