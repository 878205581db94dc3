/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Written through a descriptor at an offset of our own. What QEMU or the guest writes can neither
 * fill the disk nor hold up the main loop.
 */
#include "launcher/log-file.h"

#include "base/fd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct CvdLogFile {
    CvdInstanceDir *dir;
    char *name;
    int fd;            /* −1 before the first byte, if the file is made with it */
    gsize size;        /* of the file */
    guint64 n_part;    /* bytes of this part that found room on the disk */
    gboolean has_lost; /* lines, and said so */
    GString *last;     /* of this part, whether there was room on the disk or not; or NULL */
};

CvdLogFile *cvd_log_file_new_deferred(CvdInstanceDir *dir, const char *name)
{
    CvdLogFile *log = g_new0(CvdLogFile, 1);

    log->dir = dir;
    log->name = g_strdup(name);
    log->fd = -1;
    return log;
}

CvdLogFile *cvd_log_file_new(CvdInstanceDir *dir, const char *name, GError **error)
{
    int fd = cvd_instance_dir_create_file(dir, name, error);
    if (fd < 0)
        return NULL;

    CvdLogFile *log = cvd_log_file_new_deferred(dir, name);
    log->fd = fd;
    log->last = g_string_new(NULL);
    return log;
}

void cvd_log_file_free(CvdLogFile *log)
{
    cvd_close_fd(&log->fd);
    if (log->last != NULL)
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

/* Begins the file, or another in place of the one that is full. */
static gboolean begin_file(CvdLogFile *log)
{
    g_autoptr(GError) error = NULL;
    int fd = log->fd < 0 ? cvd_instance_dir_create_file(log->dir, log->name, &error)
                         : cvd_instance_dir_rotate_log(log->dir, log->name, &error);

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
    if (log->fd < 0 || room == 0)
        return begin_file(log);

    gssize n = pwrite(log->fd, *bytes, MIN(*size, room), (off_t)log->size);
    if (n < 0 && errno == EINTR)
        return TRUE;
    if (n <= 0) {
        lose(log, g_strerror(errno));
        return FALSE;
    }
    log->has_lost = FALSE;
    log->size += (gsize)n;
    log->n_part += (gsize)n;
    *bytes += n;
    *size -= (gsize)n;
    return TRUE;
}

char *cvd_log_file_get_path(const CvdLogFile *log)
{
    return g_build_filename(cvd_instance_dir_get_path(log->dir), log->name, NULL);
}

void cvd_log_file_begin_part(CvdLogFile *log)
{
    log->n_part = 0;
    if (log->last != NULL)
        g_string_truncate(log->last, 0);
}

static void remember(CvdLogFile *log, const char *bytes, gsize size)
{
    g_string_append_len(log->last, bytes, (gssize)size);
    if (log->last->len > 2 * CVD_LOG_FILE_TAIL_SIZE)
        g_string_erase(log->last, 0, (gssize)(log->last->len - CVD_LOG_FILE_TAIL_SIZE));
}

void cvd_log_file_append(CvdLogFile *log, const char *bytes, gsize size)
{
    if (log->last != NULL)
        remember(log, bytes, size);
    while (size > 0 && write_some(log, &bytes, &size))
        ;
}

const char *cvd_log_file_tail(const CvdLogFile *log, gsize max_size, gsize *size)
{
    *size = MIN(MIN(max_size, CVD_LOG_FILE_TAIL_SIZE), log->last->len);
    return log->last->str + log->last->len - *size;
}

/* Returns: how many of the last @size bytes of a file could be read */
static gsize read_last(int fd, char *bytes, gsize size)
{
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    gsize n_wanted = MIN(size, (gsize)MAX(end, 0));
    gssize n = n_wanted > 0 ? pread(fd, bytes, n_wanted, end - (off_t)n_wanted) : 0;

    return (gsize)MAX(n, 0);
}

/* Of this part, from the file and the one before it; NUL is behind it. */
static char *read_tail(const CvdLogFile *log, gsize *size)
{
    gsize n_wanted = MIN(CVD_LOG_FILE_LINES_SIZE, log->n_part);
    gsize n_older = n_wanted - MIN(n_wanted, log->size);
    cvd_autofd older_fd = n_older > 0 ? cvd_instance_dir_open_rotated(log->dir, log->name) : -1;
    char *text = g_malloc0(CVD_LOG_FILE_LINES_SIZE + 1);

    *size = read_last(older_fd, text, n_older);
    *size += read_last(log->fd, text + *size, n_wanted - n_older);
    return text;
}

static char *copy_tail(const CvdLogFile *log, gsize *size)
{
    const char *tail = cvd_log_file_tail(log, CVD_LOG_FILE_LINES_SIZE, size);

    return g_memdup2(tail, *size + 1);
}

char **cvd_log_file_tail_lines(const CvdLogFile *log, guint max_lines)
{
    gsize size;
    g_autofree char *text = log->last != NULL ? copy_tail(log, &size) : read_tail(log, &size);

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
