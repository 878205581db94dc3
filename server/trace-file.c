/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records are kept until there is a number of them or the owner says so, and then written with one
 * call, each at the place that its number says. What could not be written has no number: the next
 * one gets it.
 */
#include "server/trace-file.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_UNWRITTEN 128

struct CvdTraceFile {
    char *path;
    int fd;
    gsize header_size;
    guint64 capacity;
    guint64 sequence; /* of the first of `unwritten` */
    CvdTraceRecord unwritten[MAX_UNWRITTEN];
    guint n_unwritten;
    guint64 n_lost;     /* records, since the last one that says so */
    gboolean is_losing; /* the last write failed */
    CvdLogLimit log_limit;
};

static guint64 read_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (guint64)now.tv_sec * 1000000000 + (guint64)now.tv_nsec;
}

guint64 cvd_trace_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/* ---- Writing ---- */

static gboolean may_log(CvdTraceFile *file)
{
    return cvd_log_limit_pass(&file->log_limit, g_get_monotonic_time());
}

static void note_written(CvdTraceFile *file, guint n)
{
    gboolean was_below = file->sequence < file->capacity;

    if (file->is_losing && may_log(file))
        g_message("trace %s: is written again", file->path);
    file->is_losing = FALSE;
    file->sequence += n;
    if (was_below && file->sequence >= file->capacity)
        g_message("trace %s: has its full size; from now on the oldest rings are overwritten "
                  "(limits.trace_size)",
                  file->path);
}

static void lose(CvdTraceFile *file, guint first, int saved_errno)
{
    for (guint i = first; i < file->n_unwritten; i++) {
        const CvdTraceRecord *record = &file->unwritten[i];
        file->n_lost += record->kind == CVD_TRACE_LOST ? record->count : 1;
    }
    if (!file->is_losing && may_log(file))
        g_warning("trace %s: rings are not recorded: %s", file->path, g_strerror(saved_errno));
    file->is_losing = TRUE;
}

/* Up to the end of the file, behind which its beginning follows. Returns: how many were written */
static guint write_some(CvdTraceFile *file, guint first, int *saved_errno)
{
    guint8 bytes[MAX_UNWRITTEN * CVD_TRACE_RECORD_SIZE];
    guint64 place = file->sequence % file->capacity;
    guint n = (guint)MIN(file->n_unwritten - first, file->capacity - place);

    for (guint i = 0; i < n; i++) {
        file->unwritten[first + i].sequence = file->sequence + i;
        cvd_trace_pack_record(&file->unwritten[first + i], bytes + i * CVD_TRACE_RECORD_SIZE);
    }
    gssize size =
        TEMP_FAILURE_RETRY(pwrite(file->fd, bytes, n * CVD_TRACE_RECORD_SIZE,
                                  (off_t)(file->header_size + place * CVD_TRACE_RECORD_SIZE)));
    *saved_errno = size < 0 ? errno : ENOSPC;
    return size < 0 ? 0 : (guint)size / CVD_TRACE_RECORD_SIZE;
}

void cvd_trace_file_flush(CvdTraceFile *file)
{
    for (guint done = 0; done < file->n_unwritten;) {
        int saved_errno;
        guint n = write_some(file, done, &saved_errno);
        if (n == 0) {
            lose(file, done, saved_errno);
            break;
        }
        note_written(file, n);
        done += n;
    }
    file->n_unwritten = 0;
}

static void append(CvdTraceFile *file, const CvdTraceRecord *record)
{
    if (file->n_unwritten == MAX_UNWRITTEN)
        cvd_trace_file_flush(file);
    file->unwritten[file->n_unwritten++] = *record;
}

void cvd_trace_file_add(CvdTraceFile *file, CvdTraceRecord record)
{
    const CvdTraceRecord lost = {
        .time_ns = record.time_ns,
        .count = file->n_lost,
        .kind = CVD_TRACE_LOST,
    };

    file->n_lost = 0;
    if (lost.count > 0)
        append(file, &lost);
    append(file, &record);
}

/* ---- Beginning and end ---- */

/* A mistyped name must not cost a configuration. */
static gboolean check_content(int fd, const struct stat *status, GError **error)
{
    guint8 bytes[8];
    gssize n = pread(fd, bytes, sizeof bytes, 0);

    if (status->st_size == 0 || (n > 0 && cvd_trace_is_one(bytes, (gsize)n)))
        return TRUE;
    return cvd_fail(error, CVD_ERROR_FOREIGN,
                    "is there already, and is no trace; remove it or name another file");
}

static int open_file(const char *path, GError **error)
{
    cvd_autofd fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot be opened");
        return -1;
    }
    if (!S_ISREG(status.st_mode)) {
        cvd_fail(error, CVD_ERROR_FOREIGN, "is not a regular file; name another");
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        cvd_fail(error, CVD_ERROR_BUSY, "another launch writes it; name another file");
        return -1;
    }
    return check_content(fd, &status, error) ? g_steal_fd(&fd) : -1;
}

static guint8 *make_header(const CvdTraceFile *file, const CvdLayout *layout)
{
    guint8 *bytes = g_malloc(file->header_size);
    g_auto(CvdTraceHeader) header = {
        .capacity = file->capacity,
        .start_ns = cvd_trace_now_ns(),
        .start_wall_ns = read_clock(CLOCK_REALTIME),
        .n_regions = layout->n_regions,
        .names = g_malloc0_n(layout->n_regions, sizeof *header.names),
    };

    for (guint i = 0; i < layout->n_regions; i++)
        g_strlcpy(header.names[i], layout->regions[i].name, sizeof header.names[i]);
    cvd_trace_pack_header(&header, bytes);
    return bytes;
}

static gboolean begin(CvdTraceFile *file, const CvdLayout *layout, GError **error)
{
    g_autofree guint8 *header = make_header(file, layout);

    if (ftruncate(file->fd, 0) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot be emptied");
    errno = ENOSPC; /* of a write that is short */
    return TEMP_FAILURE_RETRY(pwrite(file->fd, header, file->header_size, 0)) ==
               (gssize)file->header_size ||
           cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot be written");
}

CvdTraceFile *cvd_trace_file_new(const char *path, guint64 max_size, const CvdLayout *layout,
                                 GError **error)
{
    g_autoptr(CvdTraceFile) file = g_new0(CvdTraceFile, 1);

    g_assert(max_size >= CVD_TRACE_MIN_SIZE);
    file->path = g_strdup(path);
    file->header_size = cvd_trace_get_header_size(layout->n_regions);
    file->capacity = (max_size - file->header_size) / CVD_TRACE_RECORD_SIZE;
    file->fd = open_file(path, error);
    if (file->fd >= 0 && begin(file, layout, error))
        return g_steal_pointer(&file);
    g_prefix_error(error, "trace %s: ", path);
    return NULL;
}

void cvd_trace_file_free(CvdTraceFile *file)
{
    cvd_trace_file_flush(file);
    cvd_close_fd(&file->fd);
    g_free(file->path);
    g_free(file);
}
