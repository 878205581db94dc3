/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file is written through a descriptor at an offset of our own; when it is full its newer half
 * moves to the front. What QEMU or the guest writes can neither fill the disk nor hold up the main
 * loop: one dispatch reads one buffer, with less priority than the protocols.
 */
#include "launcher/stream-log.h"

#include "base/fd.h"
#include "base/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE  4096
#define INPUT_SIZE 256
/* What cvd_stream_log_tail() looks at. */
#define TAIL_SIZE 8192

struct CvdStreamLog {
    int fd;
    int file_fd;
    gsize size; /* of the file */
    GSource *readable;
    int stdin_fd; /* −1 without relay, as is the other */
    int stdout_fd;
    GSource *input;
    GSource *writable; /* only while the stream has no room for `pending` */
    char pending[INPUT_SIZE];
    gsize n_pending;
};

/* With less priority than the protocols have. */
static GSource *add_source(int fd, GIOCondition condition, GUnixFDSourceFunc callback,
                           CvdStreamLog *log)
{
    GSource *source = cvd_source_watch_fd(fd, condition, callback, log);

    g_source_set_priority(source, G_PRIORITY_LOW);
    return source;
}

static void drop_older_half(CvdStreamLog *log)
{
    gsize kept = CVD_STREAM_LOG_MAX_SIZE / 2;
    g_autofree char *newer = g_malloc(kept);

    gssize n = pread(log->file_fd, newer, kept, (off_t)(log->size - kept));
    n = n > 0 ? pwrite(log->file_fd, newer, (gsize)n, 0) : 0;
    log->size = n > 0 ? (gsize)n : 0;
    if (ftruncate(log->file_fd, (off_t)log->size) < 0)
        g_debug("cannot shorten a log: %s", g_strerror(errno));
}

/* A full disk costs the rest of the log, not the VM. */
static void append(CvdStreamLog *log, const char *bytes, gsize size)
{
    if (log->size + size > CVD_STREAM_LOG_MAX_SIZE)
        drop_older_half(log);
    gssize n = pwrite(log->file_fd, bytes, size, (off_t)log->size);
    if (n > 0)
        log->size += (gsize)n;
    if (log->stdout_fd >= 0 && cvd_fd_write_nowait(log->stdout_fd, bytes, size) < 0)
        g_debug("output lost: %s", g_strerror(errno));
}

/* Returns: whether there may be more to read */
static gboolean read_some(CvdStreamLog *log)
{
    char bytes[READ_SIZE];
    gssize n = read(log->fd, bytes, sizeof bytes);

    if (n > 0) {
        append(log, bytes, (gsize)n);
        return TRUE;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return FALSE;
    cvd_source_clear(&log->readable);
    cvd_source_clear(&log->input);
    cvd_source_clear(&log->writable);
    return FALSE;
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer data)
{
    read_some(data);
    return G_SOURCE_CONTINUE;
}

CvdStreamLog *cvd_stream_log_new(int take_stream_fd, int take_file_fd)
{
    CvdStreamLog *log = g_new0(CvdStreamLog, 1);

    log->fd = take_stream_fd;
    log->file_fd = take_file_fd;
    log->stdin_fd = -1;
    log->stdout_fd = -1;
    g_unix_set_fd_nonblocking(log->fd, TRUE, NULL);
    log->readable = add_source(log->fd, G_IO_IN, on_readable, log);
    return log;
}

void cvd_stream_log_free(CvdStreamLog *log)
{
    cvd_source_clear(&log->readable);
    cvd_source_clear(&log->input);
    cvd_source_clear(&log->writable);
    cvd_close_fd(&log->fd);
    cvd_close_fd(&log->file_fd);
    cvd_close_fd(&log->stdin_fd);
    cvd_close_fd(&log->stdout_fd);
    g_free(log);
}

static gboolean on_input(int fd, GIOCondition condition, gpointer data);

/* What QEMU does not want any more is dropped: waiting for room would never end, and never wait. */
static gboolean flush_pending(CvdStreamLog *log)
{
    gssize n = send(log->fd, log->pending, log->n_pending, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR)
        n = (gssize)log->n_pending;
    if (n > 0) {
        log->n_pending -= (gsize)n;
        memmove(log->pending, log->pending + n, log->n_pending);
    }
    return log->n_pending == 0;
}

static gboolean on_writable(int fd, GIOCondition condition, gpointer data)
{
    CvdStreamLog *log = data;

    if (!flush_pending(log))
        return G_SOURCE_CONTINUE;
    cvd_source_clear(&log->writable);
    log->input = add_source(log->stdin_fd, G_IO_IN, on_input, log);
    return G_SOURCE_REMOVE;
}

static gboolean on_input(int fd, GIOCondition condition, gpointer data)
{
    CvdStreamLog *log = data;
    gssize n = cvd_fd_read_nowait(fd, log->pending, sizeof log->pending);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    if (n <= 0) { /* its end, or a background job that may not read the terminal */
        cvd_source_clear(&log->input);
        return G_SOURCE_REMOVE;
    }
    log->n_pending = (gsize)n;
    if (flush_pending(log))
        return G_SOURCE_CONTINUE;
    cvd_source_clear(&log->input);
    log->writable = add_source(log->fd, G_IO_OUT, on_writable, log);
    return G_SOURCE_REMOVE;
}

void cvd_stream_log_relay(CvdStreamLog *log)
{
    log->stdout_fd = cvd_fd_reopen_nonblocking(STDOUT_FILENO, O_WRONLY | O_APPEND);
    if (log->stdout_fd < 0)
        g_warning("serial output goes to console.log only: stdout cannot be opened: %s",
                  g_strerror(errno));
    log->stdin_fd = cvd_fd_reopen_nonblocking(STDIN_FILENO, O_RDONLY);
    if (log->stdin_fd >= 0)
        log->input = add_source(log->stdin_fd, G_IO_IN, on_input, log);
}

void cvd_stream_log_read_rest(CvdStreamLog *log)
{
    for (gsize n = 0; n < CVD_STREAM_LOG_MAX_SIZE; n += READ_SIZE)
        if (log->readable == NULL || !read_some(log))
            break;
}

char **cvd_stream_log_tail(CvdStreamLog *log, guint max_lines)
{
    char text[TAIL_SIZE + 1];
    gsize start = log->size > TAIL_SIZE ? log->size - TAIL_SIZE : 0;
    gssize n = pread(log->file_fd, text, TAIL_SIZE, (off_t)start);

    text[MAX(n, 0)] = '\0';
    g_strchomp(text);
    char *first = text + strlen(text);
    for (guint n_lines = 0; first > text; first--)
        if (first[-1] == '\n' && ++n_lines == max_lines)
            break;
    return g_strsplit(first, "\n", -1);
}
