/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/snapshot.h"

G_BEGIN_DECLS

/**
 * CvdSnapshotWriter:
 *
 * A snapshot that is being made, in a directory beside its place, which nobody takes for one.
 */
typedef struct CvdSnapshotWriter CvdSnapshotWriter;

/**
 * cvd_snapshot_writer_new:
 * @path: of cvd_snapshot_get_path()
 * @error: %CVD_ERROR_BUSY: there is one of that name, or it is being made; %CVD_ERROR_RESOURCES: no
 *   space; %CVD_ERROR_FAILED
 *
 * Makes the directory. The one that it is in is made if it is the place of
 * cvd_snapshot_get_place().
 *
 * Returns: (transfer full) (nullable): the writer
 */
CvdSnapshotWriter *cvd_snapshot_writer_new(const char *path, GError **error);

/** cvd_snapshot_writer_free: Removes what is not finished. */
void cvd_snapshot_writer_free(CvdSnapshotWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdSnapshotWriter, cvd_snapshot_writer_free)

/**
 * cvd_snapshot_writer_create:
 * @file: one that a snapshot has
 *
 * Returns: (transfer full): a descriptor of the empty file, for reading and writing, to be written
 *   until cvd_snapshot_writer_finish() is called; −1 with @error set
 */
int cvd_snapshot_writer_create(CvdSnapshotWriter *writer, const char *file, GError **error);

/**
 * cvd_snapshot_writer_copy:
 * @file: one that a snapshot has
 * @fd: a file or memory, for reading, which should not change meanwhile
 * @error: %G_IO_ERROR_CANCELLED; %CVD_ERROR_RESOURCES: no space; %CVD_ERROR_FAILED. The file is
 * gone then.
 *
 * Makes the file a copy of what @fd has. Pages of zeros become holes.
 */
gboolean cvd_snapshot_writer_copy(CvdSnapshotWriter *writer, const char *file, int fd,
                                  GCancellable *cancellable, GError **error);

/**
 * cvd_snapshot_writer_compress:
 * @error: as cvd_snapshot_writer_copy()
 *
 * Packs %CVD_SNAPSHOT_RAM, which has been copied, into %CVD_SNAPSHOT_RAM_COMPRESSED, and removes
 * it.
 */
gboolean cvd_snapshot_writer_compress(CvdSnapshotWriter *writer, GCancellable *cancellable,
                                      GError **error);

/**
 * cvd_snapshot_writer_set_space_error:
 * @n_needed: how many bytes are still to be written; 0: not known
 *
 * Sets @error (%CVD_ERROR_RESOURCES) to say how much space there is, and what to do: for whoever
 * finds the disk full with a descriptor of cvd_snapshot_writer_create().
 *
 * Returns: %FALSE
 */
gboolean cvd_snapshot_writer_set_space_error(const CvdSnapshotWriter *writer, guint64 n_needed,
                                             GError **error);

/**
 * cvd_snapshot_writer_finish:
 * @info: what the snapshot says of itself; its @has_ram and @is_compressed follow from the files
 *   that there are
 * @error: as cvd_snapshot_writer_copy(); %CVD_ERROR_BUSY: there is one of that name
 *
 * Reads all files for their digests, has everything written to the disk, and gives the directory
 * its name. After an error the writer can only be freed.
 */
gboolean cvd_snapshot_writer_finish(CvdSnapshotWriter *writer, const CvdSnapshotInfo *info,
                                    GCancellable *cancellable, GError **error);

G_END_DECLS
