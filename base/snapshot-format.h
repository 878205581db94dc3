/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/snapshot-info.h"

G_BEGIN_DECLS

/** CVD_SNAPSHOT_FORMAT: the one that is written, and the newest that can be read */
#define CVD_SNAPSHOT_FORMAT 1

/** CVD_SNAPSHOT_MAX_TEXT: of a text in snapshot.json, in bytes: a path */
#define CVD_SNAPSHOT_MAX_TEXT 4096

typedef enum {
    CVD_SNAPSHOT_TEXT,
    CVD_SNAPSHOT_PATH, /* absolute; may be left out */
    CVD_SNAPSHOT_DIGEST,
    CVD_SNAPSHOT_NUMBER,
    CVD_SNAPSHOT_TIME,
} CvdSnapshotKind;

/** CvdSnapshotMember: of an object in snapshot.json, and where its value is in a structure */
typedef struct {
    const char *name;
    CvdSnapshotKind kind;
    gsize offset;
} CvdSnapshotMember;

/** cvd_snapshot_info_members: of #CvdSnapshotInfo; the last has no name */
extern const CvdSnapshotMember cvd_snapshot_info_members[];
/** cvd_snapshot_file_members: of #CvdSnapshotFile; the last has no name */
extern const CvdSnapshotMember cvd_snapshot_file_members[];

/** cvd_snapshot_format_time: Returns: (transfer full) (nullable): e.g. `2025-01-31T23:59:59Z` */
char *cvd_snapshot_format_time(gint64 time_s);

/** cvd_snapshot_is_file: Returns: whether snapshot.json may name such a file */
gboolean cvd_snapshot_is_file(const char *name);

/** cvd_snapshot_find_file: Returns: (transfer none) (nullable): @files: (element-type
 * CvdSnapshotFile) */
const CvdSnapshotFile *cvd_snapshot_find_file(GPtrArray *files, const char *name);

/* How snapshot.json ends: DIGEST_BEGIN, the digest of all that is before it, and DIGEST_END. */
#define CVD_SNAPSHOT_DIGEST_BEGIN  "  \"sha256\" : \""
#define CVD_SNAPSHOT_DIGEST_LENGTH 64
#define CVD_SNAPSHOT_DIGEST_END    "\"\n}\n"

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
 * @error: %CVD_ERROR_INVALID: it is damaged; %CVD_ERROR_FOREIGN: of a newer format
 *
 * Returns: (transfer full) (nullable): what it says
 */
CvdSnapshotInfo *cvd_snapshot_parse(const char *text, gsize size, GPtrArray **files,
                                    GError **error);

G_END_DECLS
