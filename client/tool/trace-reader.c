/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the newest record is, nothing says but the numbers: from the beginning of the file they
 * rise by one up to it, and what follows is older by the capacity. So it is found by bisection.
 */
#include "client/tool/trace-reader.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 1024

struct CvdTraceReader {
    char *path;
    int fd;
    gboolean is_live; /* somebody writes it */
    CvdTraceHeader header;
    gsize header_size;
    guint64 n_records; /* in the file */
    guint64 next;      /* number of the next record */
    guint64 end;       /* number after the last one */
    guint64 n_overwritten;
    guint8 chunk[CHUNK * CVD_TRACE_RECORD_SIZE];
    guint64 chunk_begin; /* number of the first record in it */
    guint chunk_size;    /* in records */
};

static gboolean fail(const CvdTraceReader *reader, GError **error, const char *what)
{
    return cvd_fail(error, CVD_ERROR_INVALID, "%s: %s", reader->path, what);
}

/* Returns: how many whole records came */
static gssize read_at(const CvdTraceReader *reader, guint64 place, guint8 *bytes, guint n,
                      GError **error)
{
    gsize size = n * CVD_TRACE_RECORD_SIZE;
    off_t offset = (off_t)(reader->header_size + place * CVD_TRACE_RECORD_SIZE);
    gssize n_bytes = TEMP_FAILURE_RETRY(pread(reader->fd, bytes, size, offset));

    if (n_bytes < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: read", reader->path);
    else if (n_bytes < CVD_TRACE_RECORD_SIZE)
        fail(reader, error, "ends too early; it was cut off");
    return n_bytes < CVD_TRACE_RECORD_SIZE ? -1 : n_bytes / CVD_TRACE_RECORD_SIZE;
}

/* One that was read while it was written is right when it is read again. */
static gboolean unpack(const CvdTraceReader *reader, guint64 place, const guint8 *bytes,
                       CvdTraceRecord *record, GError **error)
{
    guint8 again[CVD_TRACE_RECORD_SIZE];

    if (cvd_trace_unpack_record(bytes, &reader->header, record))
        return TRUE;
    if (read_at(reader, place, again, 1, error) < 0)
        return FALSE;
    return cvd_trace_unpack_record(again, &reader->header, record) ||
           cvd_fail(error, CVD_ERROR_INVALID, "%s: record %ju is damaged; the file was altered",
                    reader->path, place);
}

/* ---- Opening ---- */

static gboolean get_sequence(const CvdTraceReader *reader, guint64 place, guint64 *sequence,
                             GError **error)
{
    guint8 bytes[CVD_TRACE_RECORD_SIZE];
    CvdTraceRecord record = {0};

    if (read_at(reader, place, bytes, 1, error) < 0 ||
        !unpack(reader, place, bytes, &record, error))
        return FALSE;
    *sequence = record.sequence;
    return TRUE;
}

/* How many records from the first on are newer than those that may follow them. */
static gboolean count_newer(const CvdTraceReader *reader, guint64 first, guint64 *n, GError **error)
{
    guint64 low = 1, high = reader->n_records;

    while (low < high) {
        guint64 middle = low + (high - low) / 2, sequence;
        if (!get_sequence(reader, middle, &sequence, error))
            return FALSE;
        if (sequence >= first)
            low = middle + 1;
        else
            high = middle;
    }
    *n = low;
    return TRUE;
}

static gboolean find_records(CvdTraceReader *reader, GError **error)
{
    guint64 capacity = reader->header.capacity, first, n_newer;

    if (reader->n_records == 0)
        return TRUE;
    if (!get_sequence(reader, 0, &first, error) || !count_newer(reader, first, &n_newer, error))
        return FALSE;
    if (first % capacity != 0)
        return fail(reader, error, "its records are in no order; the file was altered");
    if (first > 0 && reader->n_records < capacity)
        return fail(reader, error, "records are missing at its end; it was cut off");
    reader->end = first + n_newer;
    reader->next = first > 0 ? reader->end - capacity : 0;
    reader->n_overwritten = reader->next;
    return TRUE;
}

static gboolean read_header(CvdTraceReader *reader, GError **error)
{
    g_autofree guint8 *bytes = g_malloc(CVD_TRACE_MAX_HEADER_SIZE);
    gssize size = TEMP_FAILURE_RETRY(pread(reader->fd, bytes, CVD_TRACE_MAX_HEADER_SIZE, 0));

    if (size < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: read", reader->path);
    if (!cvd_trace_unpack_header(bytes, (gsize)size, &reader->header, error)) {
        g_prefix_error(error, "%s: ", reader->path);
        return FALSE;
    }
    reader->header_size = cvd_trace_get_header_size(reader->header.n_regions);
    return TRUE;
}

/* What is less than a record at the end is what a full disk had no room for. */
static gboolean measure(CvdTraceReader *reader, GError **error)
{
    struct stat status;

    if (fstat(reader->fd, &status) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s", reader->path);
    if (!S_ISREG(status.st_mode))
        return fail(reader, error, "is not a regular file");
    if (!read_header(reader, error))
        return FALSE;
    guint64 size = (guint64)status.st_size - MIN((guint64)status.st_size, reader->header_size);
    reader->n_records = size / CVD_TRACE_RECORD_SIZE;
    if (size > reader->header.capacity * CVD_TRACE_RECORD_SIZE)
        return fail(reader, error, "is longer than its header allows; it was altered");
    return TRUE;
}

static gboolean is_locked(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB) < 0)
        return errno == EWOULDBLOCK;
    flock(fd, LOCK_UN);
    return FALSE;
}

CvdTraceReader *cvd_trace_reader_open(const char *path, GError **error)
{
    g_autoptr(CvdTraceReader) reader = g_new0(CvdTraceReader, 1);

    reader->path = g_strdup(path);
    reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (reader->fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s", path);
        return NULL;
    }
    reader->is_live = is_locked(reader->fd);
    return measure(reader, error) && find_records(reader, error) ? g_steal_pointer(&reader) : NULL;
}

void cvd_trace_reader_free(CvdTraceReader *reader)
{
    cvd_close_fd(&reader->fd);
    cvd_trace_header_clear(&reader->header);
    g_free(reader->path);
    g_free(reader);
}

const CvdTraceHeader *cvd_trace_reader_get_header(const CvdTraceReader *reader)
{
    return &reader->header;
}

guint64 cvd_trace_reader_get_n_overwritten(const CvdTraceReader *reader)
{
    return reader->n_overwritten;
}

/* ---- Reading ---- */

static gboolean read_chunk(CvdTraceReader *reader, GError **error)
{
    guint64 place = reader->next % reader->header.capacity;
    guint64 n = MIN(reader->end - reader->next, reader->n_records - place);
    gssize n_read = read_at(reader, place, reader->chunk, (guint)MIN(n, CHUNK), error);

    reader->chunk_begin = reader->next;
    reader->chunk_size = n_read > 0 ? (guint)n_read : 0;
    return n_read > 0;
}

/* Who writes has overtaken us: @sequence stands where an older record was. */
static void skip(CvdTraceReader *reader, guint64 sequence)
{
    guint64 oldest = sequence - reader->header.capacity + 1;

    reader->n_overwritten += oldest - reader->next;
    reader->next = oldest;
    reader->chunk_size = 0;
}

CvdTraceResult cvd_trace_reader_next(CvdTraceReader *reader, CvdTraceRecord *record, GError **error)
{
    while (reader->next < reader->end) {
        guint64 at = reader->next - reader->chunk_begin;
        guint64 place = reader->next % reader->header.capacity;
        if (at >= reader->chunk_size) {
            if (!read_chunk(reader, error))
                return CVD_TRACE_ERROR;
            at = 0;
        }
        if (!unpack(reader, place, reader->chunk + at * CVD_TRACE_RECORD_SIZE, record, error))
            return CVD_TRACE_ERROR;
        if (record->sequence == reader->next) {
            reader->next++;
            return CVD_TRACE_RECORD;
        }
        if (!reader->is_live || record->sequence < reader->next ||
            record->sequence % reader->header.capacity != place) {
            fail(reader, error, "its records are in no order; the file was altered");
            return CVD_TRACE_ERROR;
        }
        skip(reader, record->sequence);
    }
    return CVD_TRACE_END;
}
