/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is a hole and what is not differs from one file system to the next, and after each copy.
 * So holes only save the reading of them: what has been read is looked through for pages of zeros,
 * and nothing else depends on where the holes are.
 */
#include "base/sparse.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const guint8 zeros[CVD_SPARSE_PAGE];

static guint64 round_down(guint64 offset)
{
    return offset - offset % CVD_SPARSE_PAGE;
}

static gboolean is_zero(const guint8 *bytes, gsize size)
{
    return memcmp(bytes, zeros, size) == 0;
}

/* ---- Reading ---- */

/* Of the first data at @offset or behind it. Where nothing is known of holes, all is data. */
static void find_data(int fd, guint64 offset, guint64 end, guint64 *data_begin, guint64 *data_end)
{
    off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
    gboolean has_none = data < 0 && errno == ENXIO;
    off_t hole = data >= 0 ? lseek(fd, data, SEEK_HOLE) : -1;

    *data_begin = has_none ? end : data >= 0 ? MIN((guint64)data, end) : offset;
    *data_end = hole >= 0 ? MIN((guint64)hole, end) : end;
}

static gboolean read_at(int fd, guint8 *bytes, gsize size, guint64 offset, GError **error)
{
    for (gsize done = 0; done < size;) {
        gssize n = TEMP_FAILURE_RETRY(pread(fd, bytes + done, size - done, (off_t)(offset + done)));
        if (n < 0)
            return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot be read");
        if (n == 0)
            return cvd_fail(error, CVD_ERROR_FAILED, "became shorter while it was read");
        done += (gsize)n;
    }
    return TRUE;
}

/* Of the pages from @at on that are alike, how many bytes there are. */
static gsize measure_run(const guint8 *bytes, gsize at, gsize size, gboolean *is_hole)
{
    gsize end = at;

    while (end < size) {
        gsize n = MIN(CVD_SPARSE_PAGE, size - end);
        gboolean is_page_hole = is_zero(bytes + end, n);
        if (end == at)
            *is_hole = is_page_hole;
        else if (is_page_hole != *is_hole)
            break;
        end += n;
    }
    return end - at;
}

gboolean cvd_sparse_give(const CvdSparseSink *sink, const guint8 *bytes, gsize size, guint64 offset,
                         GError **error)
{
    gboolean is_hole = FALSE;

    for (gsize at = 0, n = 0; at < size; at += n) {
        n = measure_run(bytes, at, size, &is_hole);
        if (!is_hole && !sink->take(sink->data, bytes + at, n, offset + at, error))
            return FALSE;
    }
    return TRUE;
}

gboolean cvd_sparse_read(int fd, guint64 begin, guint64 end, const CvdSparseSink *sink,
                         GCancellable *cancellable, GError **error)
{
    g_autofree guint8 *bytes = g_malloc(CVD_SPARSE_STEP);
    guint64 at = begin, data_begin = 0, data_end = begin;

    while (at < end) {
        if (g_cancellable_set_error_if_cancelled(cancellable, error))
            return FALSE;
        if (at >= data_end) {
            find_data(fd, at, end, &data_begin, &data_end);
            at = MAX(at, round_down(data_begin));
        }
        /* The end of data may be within a page: the rest of that page is read too. */
        guint64 page_end = MIN(round_down(data_end + CVD_SPARSE_PAGE - 1), end);
        gsize size = (gsize)MIN(page_end - MIN(at, page_end), CVD_SPARSE_STEP);
        if (!read_at(fd, bytes, size, at, error) || !cvd_sparse_give(sink, bytes, size, at, error))
            return FALSE;
        at = size > 0 ? at + size : end;
        if (sink->went != NULL)
            sink->went(sink->data, at);
    }
    return TRUE;
}

guint64 cvd_sparse_count(int fd, guint64 begin, guint64 end)
{
    guint64 n = 0, data_begin, data_end;

    for (guint64 at = begin; at < end; at = data_end) {
        find_data(fd, at, end, &data_begin, &data_end);
        n += data_end - data_begin;
    }
    return n;
}

/* ---- Writing ---- */

gboolean cvd_sparse_target_open(CvdSparseTarget *target, int fd, guint64 size, GError **error)
{
    struct stat st;

    *target = (CvdSparseTarget){.fd = fd, .size = size};
    if (fstat(fd, &st) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "fstat");
    target->is_empty = cvd_sparse_count(fd, 0, (guint64)st.st_size) == 0;
    if (st.st_size == 0 && ftruncate(fd, (off_t)size) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot have %ju bytes", size);
    return st.st_size == 0 || (guint64)st.st_size == size ||
           cvd_fail(error, CVD_ERROR_INVALID, "has %ju bytes, not %ju", (guint64)st.st_size, size);
}

/* Of huge pages, which write(2) cannot. They are reserved by that. */
static gboolean map(CvdSparseTarget *target, GError **error)
{
    void *address;

    if (target->map != NULL)
        return TRUE;
    address = mmap(NULL, target->size, PROT_READ | PROT_WRITE, MAP_SHARED, target->fd, 0);
    if (address == MAP_FAILED)
        return cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "mmap");
    target->map = address;
    return TRUE;
}

gboolean cvd_sparse_set_write_error(GError **error)
{
    gboolean has_no_space = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;

    return cvd_set_error_errno(error, has_no_space ? CVD_ERROR_RESOURCES : CVD_ERROR_FAILED, errno,
                               "cannot be written");
}

static gboolean write_at(CvdSparseTarget *target, const guint8 *bytes, gsize size, guint64 offset,
                         GError **error)
{
    for (gsize done = 0; done < size && target->map == NULL;) {
        gssize n = TEMP_FAILURE_RETRY(
            pwrite(target->fd, bytes + done, size - done, (off_t)(offset + done)));
        if (n < 0 && errno != EINVAL)
            return cvd_sparse_set_write_error(error);
        if (n < 0 && !map(target, error))
            return FALSE;
        done += (gsize)MAX(n, 0);
    }
    if (target->map != NULL)
        memcpy(target->map + offset, bytes, size);
    return TRUE;
}

static gboolean clear_pages(gpointer data, const guint8 *bytes, gsize size, guint64 offset,
                            GError **error)
{
    for (gsize at = 0, n = 0; at < size; at += n) {
        n = MIN(CVD_SPARSE_PAGE, size - at);
        if (!write_at(data, zeros, n, offset + at, error))
            return FALSE;
    }
    return TRUE;
}

/* Memory that was reserved stays so: no hole is made. */
static gboolean skip_to(CvdSparseTarget *target, guint64 offset, GError **error)
{
    const CvdSparseSink sink = {.take = clear_pages, .data = target};
    gboolean is_clear = target->is_empty || offset == target->at ||
                        cvd_sparse_read(target->fd, target->at, offset, &sink, NULL, error);

    target->at = offset;
    return is_clear;
}

gboolean cvd_sparse_target_write(CvdSparseTarget *target, const guint8 *bytes, gsize size,
                                 guint64 offset, GError **error)
{
    g_assert(offset >= target->at && offset + size <= target->size);
    if (!skip_to(target, offset, error) || !write_at(target, bytes, size, offset, error))
        return FALSE;
    target->at = offset + size;
    return TRUE;
}

gboolean cvd_sparse_target_finish(CvdSparseTarget *target, GError **error)
{
    return skip_to(target, target->size, error);
}

void cvd_sparse_target_clear(CvdSparseTarget *target)
{
    if (target->map != NULL)
        munmap(target->map, target->size);
    target->map = NULL;
}

/* ---- Both ---- */

static gboolean take_piece(gpointer data, const guint8 *bytes, gsize size, guint64 offset,
                           GError **error)
{
    return cvd_sparse_target_write(data, bytes, size, offset, error);
}

gboolean cvd_sparse_copy(int from, int to, GCancellable *cancellable, GError **error)
{
    g_auto(CvdSparseTarget) target = {.fd = to};
    const CvdSparseSink sink = {.take = take_piece, .data = &target};
    struct stat st;

    if (fstat(from, &st) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "fstat");
    guint64 size = (guint64)st.st_size;
    return cvd_sparse_target_open(&target, to, size, error) &&
           cvd_sparse_read(from, 0, size, &sink, cancellable, error) &&
           cvd_sparse_target_finish(&target, error);
}

static void digest_number(GChecksum *digest, guint64 number)
{
    guint64 bytes = GUINT64_TO_LE(number);

    g_checksum_update(digest, (const guchar *)&bytes, sizeof bytes);
}

typedef struct {
    GChecksum *digest;
    void (*went)(gpointer data, guint64 offset);
    gpointer data;
} Digesting;

static gboolean digest_pages(gpointer data, const guint8 *bytes, gsize size, guint64 offset,
                             GError **error)
{
    const Digesting *digesting = data;

    for (gsize at = 0, n = 0; at < size; at += n) {
        n = MIN(CVD_SPARSE_PAGE, size - at);
        digest_number(digesting->digest, offset + at);
        g_checksum_update(digesting->digest, bytes + at, (gssize)n);
    }
    return TRUE;
}

static void digest_went(gpointer data, guint64 offset)
{
    const Digesting *digesting = data;

    if (digesting->went != NULL)
        digesting->went(digesting->data, offset);
}

char *cvd_sparse_digest(int fd, void (*went)(gpointer data, guint64 offset), gpointer data,
                        GCancellable *cancellable, GError **error)
{
    g_autoptr(GChecksum) digest = g_checksum_new(G_CHECKSUM_SHA256);
    Digesting digesting = {.digest = digest, .went = went, .data = data};
    const CvdSparseSink sink = {.take = digest_pages, .went = digest_went, .data = &digesting};
    struct stat st;

    if (fstat(fd, &st) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "fstat");
        return NULL;
    }
    if (!cvd_sparse_read(fd, 0, (guint64)st.st_size, &sink, cancellable, error))
        return NULL;
    digest_number(digest, (guint64)st.st_size);
    return g_strdup(g_checksum_get_string(digest));
}
