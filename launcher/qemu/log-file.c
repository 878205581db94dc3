/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Written through a descriptor at an offset of our own. What QEMU or the guest writes can neither
 * fill the disk nor hold up the main loop.
 */
#include "launcher/qemu/log-file.h"

#include "base/fd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What cvd_log_file_tail_lines() has at most. */
#define TAIL_LINES_SIZE 8192

struct CvdLogFile {
    CvdInstanceDir *dir;
    char *name;
    int fd;
    gsize size;
    gboolean has_lost; /* lines, and said so */
    GString *last;     /* of this part, whether there was room on the disk or not */
};

CvdLogFile *cvd_log_file_new(CvdInstanceDir *dir, const char *name, GError **error)
{
    int fd = cvd_instance_dir_create_file(dir, name, error);
    if (fd < 0)
        return NULL;

    CvdLogFile *log = g_new0(CvdLogFile, 1);
    log->dir = dir;
    log->name = g_strdup(name);
    log->fd = fd;
    log->last = g_string_new(NULL);
    return log;
}

void cvd_log_file_free(CvdLogFile *log)
{
    cvd_close_fd(&log->fd);
    g_string_free(log->last, TRUE);
    g_free(log->name);
    g_free(log);
}

static void lose(CvdLogFile *log, const char *why)
{
    if (!log->has_lost)
        g_warning("%s/%s: lines are lost: %s", cvd_instance_dir_get_path(log->dir), log->name, why);
    log->has_lost = TRUE;
}

static gboolean rotate(CvdLogFile *log)
{
    g_autoptr(GError) error = NULL;
    int fd = cvd_instance_dir_rotate_log(log->dir, log->name, &error);

    if (fd < 0) {
        lose(log, error->message);
        return FALSE;
    }
    cvd_close_fd(&log->fd);
    log->fd = fd;
    log->size = 0;
    return TRUE;
}

static gboolean write_some(CvdLogFile *log, const char **bytes, gsize *size)
{
    gsize room = CVD_LOG_FILE_MAX_SIZE - log->size;
    if (room == 0)
        return rotate(log);

    gssize n = pwrite(log->fd, *bytes, MIN(*size, room), (off_t)log->size);
    if (n < 0 && errno == EINTR)
        return TRUE;
    if (n <= 0) {
        lose(log, g_strerror(errno));
        return FALSE;
    }
    log->has_lost = FALSE;
    log->size += (gsize)n;
    *bytes += n;
    *size -= (gsize)n;
    return TRUE;
}

void cvd_log_file_begin_part(CvdLogFile *log)
{
    g_string_truncate(log->last, 0);
}

void cvd_log_file_append(CvdLogFile *log, const char *bytes, gsize size)
{
    g_string_append_len(log->last, bytes, (gssize)size);
    if (log->last->len > 2 * CVD_LOG_FILE_TAIL_SIZE)
        g_string_erase(log->last, 0, (gssize)(log->last->len - CVD_LOG_FILE_TAIL_SIZE));
    while (size > 0 && write_some(log, &bytes, &size))
        ;
}

const char *cvd_log_file_tail(const CvdLogFile *log, gsize max_size, gsize *size)
{
    *size = MIN(MIN(max_size, CVD_LOG_FILE_TAIL_SIZE), log->last->len);
    return log->last->str + log->last->len - *size;
}

char **cvd_log_file_tail_lines(const CvdLogFile *log, guint max_lines)
{
    gsize size;
    const char *tail = cvd_log_file_tail(log, TAIL_LINES_SIZE, &size);
    g_autofree char *text = g_memdup2(tail, size + 1);

    for (gsize i = 0; i < size; i++)
        if (text[i] == '\0')
            text[i] = '?';
    g_strchomp(text);
    char *first = text + strlen(text);
    for (guint n_lines = 0; first > text; first--)
        if (first[-1] == '\n' && ++n_lines == max_lines)
            break;
    return g_strsplit(first, "\n", -1);
}
