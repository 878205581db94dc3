/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/snapshot-info.h"

G_BEGIN_DECLS

/** CVD_SNAPSHOT_FORMAT: the one that is written, and the newest that can be read */
#define CVD_SNAPSHOT_FORMAT 1

/**
 * CvdSnapshotFile:
 * @size: in bytes
 * @digest: as of cvd_sparse_digest()
 * @stamp: of cvd_snapshot_format_stamp(), when it had been written
 *
 * What snapshot.json says of another file.
 */
typedef struct {
    char *name;
    guint64 size;
    char *digest;
    char *stamp;
} CvdSnapshotFile;

void cvd_snapshot_file_free(CvdSnapshotFile *file);

/** cvd_snapshot_is_file: Returns: whether snapshot.json may name such a file */
gboolean cvd_snapshot_is_file(const char *name);

/** cvd_snapshot_find_file: Returns: (transfer none) (nullable): @files: (element-type
 * CvdSnapshotFile) */
const CvdSnapshotFile *cvd_snapshot_find_file(GPtrArray *files, const char *name);

/**
 * cvd_snapshot_format:
 * @files: (element-type CvdSnapshotFile)
 *
 * Returns: (transfer full): the text of snapshot.json, whose last member is a digest of the others
 */
char *cvd_snapshot_format(const CvdSnapshotInfo *info, GPtrArray *files);

/**
 * cvd_snapshot_parse:
 * @text: (array length=size): what snapshot.json has; may hold anything
 * @files: (out) (transfer full) (element-type CvdSnapshotFile)
 * @error: %CVD_ERROR_INVALID: it is damaged, or of a newer format
 *
 * Returns: (transfer full) (nullable): what it says
 */
CvdSnapshotInfo *cvd_snapshot_parse(const char *text, gsize size, GPtrArray **files,
                                    GError **error);

G_END_DECLS
