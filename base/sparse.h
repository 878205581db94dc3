/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/*
 * Files and memory that are mostly holes, or pages of zeros, which is the same here.
 */

/** CVD_SPARSE_PAGE: what is a hole if all of it is zeros */
#define CVD_SPARSE_PAGE 4096
/** CVD_SPARSE_STEP: so many bytes are read between two looks at the cancellable */
#define CVD_SPARSE_STEP (1024 * 1024)

/**
 * CvdSparseSink:
 * @take: gets @size bytes, at most %CVD_SPARSE_STEP, that begin on a page and have no page of
 * zeros; the last page may be shorter
 * @went: (nullable): all before @offset has been read
 * @data: for both
 *
 * What the content of a file is given to, in order.
 */
typedef struct {
    gboolean (*take)(gpointer data, const guint8 *bytes, gsize size, guint64 offset,
                     GError **error);
    void (*went)(gpointer data, guint64 offset);
    gpointer data;
} CvdSparseSink;

/**
 * cvd_sparse_read:
 * @fd: a file or memory, also of huge pages
 * @begin: where to begin, on a page
 * @end: how far
 * @error: of @sink; %G_IO_ERROR_CANCELLED; %CVD_ERROR_FAILED: reading, without the file's name
 */
gboolean cvd_sparse_read(int fd, guint64 begin, guint64 end, const CvdSparseSink *sink,
                         GCancellable *cancellable, GError **error);

/**
 * cvd_sparse_give:
 * @bytes: (array length=size): what is at @offset, on a page
 *
 * Gives @sink all but the pages of zeros.
 */
gboolean cvd_sparse_give(const CvdSparseSink *sink, const guint8 *bytes, gsize size, guint64 offset,
                         GError **error);

/** cvd_sparse_count: Returns: how many bytes from @begin on are no holes */
guint64 cvd_sparse_count(int fd, guint64 begin, guint64 end);

/**
 * CvdSparseTarget:
 * @fd: a file or memory, also of huge pages
 * @size: that it has
 * @at: all before is as it should be
 * @is_empty: it has had nothing but holes
 *
 * What gets a content, in order, with holes where it has zeros.
 */
typedef struct {
    int fd;
    guint64 size;
    guint64 at;
    gboolean is_empty;
    /*< private >*/
    guint8 *map;
} CvdSparseTarget;

/**
 * cvd_sparse_target_open:
 * @fd: of @size bytes, or empty, and then it gets that size
 * @error: %CVD_ERROR_INVALID: of another size; %CVD_ERROR_FAILED
 */
gboolean cvd_sparse_target_open(CvdSparseTarget *target, int fd, guint64 size, GError **error);

/**
 * cvd_sparse_target_write:
 * @offset: at least @target's @at; what is between becomes zeros
 * @error: %CVD_ERROR_RESOURCES: no space; %CVD_ERROR_FAILED; neither has a name
 *
 * As @take of a #CvdSparseSink has it.
 */
gboolean cvd_sparse_target_write(CvdSparseTarget *target, const guint8 *bytes, gsize size,
                                 guint64 offset, GError **error);

/** cvd_sparse_set_write_error: of `errno`: %CVD_ERROR_RESOURCES: no space; %CVD_ERROR_FAILED.
 * Returns: %FALSE */
gboolean cvd_sparse_set_write_error(GError **error);

/** cvd_sparse_target_finish: makes zeros of the rest */
gboolean cvd_sparse_target_finish(CvdSparseTarget *target, GError **error);
void cvd_sparse_target_clear(CvdSparseTarget *target);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdSparseTarget, cvd_sparse_target_clear)

/**
 * cvd_sparse_copy:
 * @to: as of cvd_sparse_target_open()
 * @error: as cvd_sparse_read() and cvd_sparse_target_write()
 *
 * Makes the content of @to that of @from.
 */
gboolean cvd_sparse_copy(int from, int to, GCancellable *cancellable, GError **error);

/**
 * cvd_sparse_digest:
 * @went: (nullable): as of #CvdSparseSink
 * @error: as cvd_sparse_read()
 *
 * Reads a file for its SHA-256 as docs/snapshots.md has it, whichever of its zeros are holes.
 *
 * Returns: (transfer full) (nullable): 64 hexadecimal digits
 */
char *cvd_sparse_digest(int fd, void (*went)(gpointer data, guint64 offset), gpointer data,
                        GCancellable *cancellable, GError **error);

G_END_DECLS
