/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sparse-zstd.h"

#include "base/error.h"
#include "base/sparse.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

/* The lowest: RAM is packed while somebody waits. */
#define LEVEL 1

/* ---- Packing ---- */

typedef struct {
    ZSTD_CCtx *context;
    int fd;
    guint64 at; /* all before has been packed */
    GCancellable *cancellable;
    guint8 *packed;
    guint8 *zeros;
} Packer;

static gboolean write_all(int fd, const guint8 *bytes, gsize size, GError **error)
{
    for (gsize done = 0; done < size;) {
        gssize n = TEMP_FAILURE_RETRY(write(fd, bytes + done, size - done));
        if (n < 0)
            return cvd_sparse_set_write_error(error);
        done += (gsize)n;
    }
    return TRUE;
}

static gboolean pack(const Packer *packer, const guint8 *bytes, gsize size,
                     ZSTD_EndDirective directive, GError **error)
{
    ZSTD_inBuffer in = {bytes, size, 0};
    gsize n_left;

    do {
        ZSTD_outBuffer out = {packer->packed, CVD_SPARSE_STEP, 0};
        n_left = ZSTD_compressStream2(packer->context, &out, &in, directive);
        if (ZSTD_isError(n_left))
            return cvd_fail(error, CVD_ERROR_FAILED, "zstd: %s", ZSTD_getErrorName(n_left));
        if (!write_all(packer->fd, packer->packed, out.pos, error))
            return FALSE;
    } while (in.pos < size || (directive == ZSTD_e_end && n_left > 0));
    return TRUE;
}

static gboolean pack_zeros(Packer *packer, guint64 end, GError **error)
{
    while (packer->at < end) {
        gsize size = (gsize)MIN(end - packer->at, CVD_SPARSE_STEP);
        if (g_cancellable_set_error_if_cancelled(packer->cancellable, error) ||
            !pack(packer, packer->zeros, size, ZSTD_e_continue, error))
            return FALSE;
        packer->at += size;
    }
    return TRUE;
}

static gboolean take_piece(gpointer data, const guint8 *bytes, gsize size, guint64 offset,
                           GError **error)
{
    Packer *packer = data;

    if (!pack_zeros(packer, offset, error) || !pack(packer, bytes, size, ZSTD_e_continue, error))
        return FALSE;
    packer->at = offset + size;
    return TRUE;
}

static gboolean pack_file(Packer *packer, int from, GError **error)
{
    const CvdSparseSink sink = {.take = take_piece, .data = packer};
    struct stat st;

    if (fstat(from, &st) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "fstat");
    guint64 size = (guint64)st.st_size;
    ZSTD_CCtx_setParameter(packer->context, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(packer->context, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setPledgedSrcSize(packer->context, size);
    return cvd_sparse_read(from, 0, size, &sink, packer->cancellable, error) &&
           pack_zeros(packer, size, error) && pack(packer, NULL, 0, ZSTD_e_end, error);
}

gboolean cvd_sparse_pack(int from, int to, GCancellable *cancellable, GError **error)
{
    g_autofree guint8 *packed = g_malloc(CVD_SPARSE_STEP);
    g_autofree guint8 *zeros = g_malloc0(CVD_SPARSE_STEP);
    Packer packer = {.context = ZSTD_createCCtx(),
                     .fd = to,
                     .cancellable = cancellable,
                     .packed = packed,
                     .zeros = zeros};
    gboolean is_done = pack_file(&packer, from, error);

    ZSTD_freeCCtx(packer.context);
    return is_done;
}

/* ---- Unpacking ---- */

typedef struct {
    ZSTD_DCtx *context;
    CvdSparseTarget *target;
    guint8 *bytes; /* whole pages, of which */
    gsize n_bytes; /* so many are there */
    guint64 at;    /* where they begin */
    gboolean is_within_frame;
    GCancellable *cancellable;
} Unpacker;

static gboolean put_piece(gpointer data, const guint8 *bytes, gsize size, guint64 offset,
                          GError **error)
{
    return cvd_sparse_target_write(data, bytes, size, offset, error);
}

static gboolean put(Unpacker *unpacker, GError **error)
{
    const CvdSparseSink sink = {.take = put_piece, .data = unpacker->target};

    if (g_cancellable_set_error_if_cancelled(unpacker->cancellable, error))
        return FALSE;
    if (unpacker->n_bytes > unpacker->target->size - unpacker->at)
        return cvd_fail(error, CVD_ERROR_INVALID, "unpacks to more than %ju bytes",
                        unpacker->target->size);
    if (!cvd_sparse_give(&sink, unpacker->bytes, unpacker->n_bytes, unpacker->at, error))
        return FALSE;
    unpacker->at += unpacker->n_bytes;
    unpacker->n_bytes = 0;
    return TRUE;
}

/* Ends when all of the input is used and what can be had of it is out: behind a frame, the mere
 * question whether there is more would begin another. */
static gboolean unpack(Unpacker *unpacker, const guint8 *bytes, gsize size, GError **error)
{
    ZSTD_inBuffer in = {bytes, size, 0};
    gboolean has_more = FALSE;

    while (in.pos < size || has_more) {
        ZSTD_outBuffer out = {unpacker->bytes, CVD_SPARSE_STEP, unpacker->n_bytes};
        gsize n_more = ZSTD_decompressStream(unpacker->context, &out, &in);
        if (ZSTD_isError(n_more))
            return cvd_fail(error, CVD_ERROR_INVALID, "zstd: %s", ZSTD_getErrorName(n_more));
        unpacker->is_within_frame = n_more > 0;
        unpacker->n_bytes = out.pos;
        has_more = out.pos == CVD_SPARSE_STEP && n_more > 0;
        if (out.pos == CVD_SPARSE_STEP && !put(unpacker, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean unpack_file(Unpacker *unpacker, int from, GError **error)
{
    g_autofree guint8 *packed = g_malloc(CVD_SPARSE_STEP);
    gssize n;

    for (off_t at = 0;; at += n) {
        n = TEMP_FAILURE_RETRY(pread(from, packed, CVD_SPARSE_STEP, at));
        if (n < 0)
            return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot be read");
        if (n == 0)
            break;
        if (!unpack(unpacker, packed, (gsize)n, error))
            return FALSE;
    }
    if (!put(unpacker, error))
        return FALSE;
    return (!unpacker->is_within_frame && unpacker->at == unpacker->target->size) ||
           cvd_fail(error, CVD_ERROR_INVALID, "ends after %ju bytes of %ju", unpacker->at,
                    unpacker->target->size);
}

gboolean cvd_sparse_unpack(int from, int to, guint64 size, GCancellable *cancellable,
                           GError **error)
{
    g_autofree guint8 *bytes = g_malloc(CVD_SPARSE_STEP);
    g_auto(CvdSparseTarget) target = {.fd = to};
    Unpacker unpacker = {.context = ZSTD_createDCtx(),
                         .target = &target,
                         .bytes = bytes,
                         .cancellable = cancellable};
    gboolean is_done = cvd_sparse_target_open(&target, to, size, error) &&
                       unpack_file(&unpacker, from, error) &&
                       cvd_sparse_target_finish(&target, error);

    ZSTD_freeDCtx(unpacker.context);
    return is_done;
}
