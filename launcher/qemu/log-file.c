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

/* What cvd_log_file_tail_lines() has. */
#define TAIL_LINES_SIZE 8192

struct CvdLogFile {
    CvdInstanceDir *dir;
    char *name;
    int fd;
    gsize size;
    int older_fd; /* −1 = none */
    gsize older_size;
    gboolean has_lost; /* and told so */
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
    log->older_fd = -1;
    log->last = g_string_new(NULL);
    return log;
}

void cvd_log_file_free(CvdLogFile *log)
{
    cvd_close_fd(&log->fd);
    cvd_close_fd(&log->older_fd);
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
    cvd_close_fd(&log->older_fd);
    log->older_fd = log->fd;
    log->older_size = log->size;
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
    if (log->last->len > 2 * TAIL_LINES_SIZE)
        g_string_erase(log->last, 0, (gssize)(log->last->len - TAIL_LINES_SIZE));
    while (size > 0 && write_some(log, &bytes, &size))
        ;
}

/* Returns: how many bytes of the end of a file were read, at most @max_size */
static gsize read_end(int fd, gsize size, char *out, gsize max_size)
{
    gsize wanted = MIN(size, max_size);

    if (fd < 0 || wanted == 0)
        return 0;
    gssize n = pread(fd, out, wanted, (off_t)(size - wanted));
    return n > 0 ? (gsize)n : 0;
}

GBytes *cvd_log_file_tail(CvdLogFile *log, gsize max_size)
{
    gsize of_older = MIN(log->older_fd >= 0 ? log->older_size : 0,
                         max_size > log->size ? max_size - log->size : 0);
    gsize wanted = MIN(max_size, log->size + of_older);
    char *bytes = g_malloc(wanted + 1);

    gsize n = read_end(log->older_fd, log->older_size, bytes, of_older);
    n += read_end(log->fd, log->size, bytes + n, wanted - of_older);
    return g_bytes_new_take(bytes, n);
}

char **cvd_log_file_tail_lines(CvdLogFile *log, guint max_lines)
{
    g_autofree char *text = g_memdup2(log->last->str, log->last->len + 1);

    for (gsize i = 0; i < log->last->len; i++)
        if (text[i] == '\0')
            text[i] = '?';
    g_strchomp(text);
    char *first = text + strlen(text);
    for (guint n_lines = 0; first > text; first--)
        if (first[-1] == '\n' && ++n_lines == max_lines)
            break;
    return g_strsplit(first, "\n", -1);
}
