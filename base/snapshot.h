/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/snapshot-info.h"
#include "base/snapshot-place.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/*
 * A snapshot is a directory of files, which docs/snapshots.md describes. It is complete when it has
 * its name, and does not change from then on. Whoever runs from it holds a shared lock on the
 * directory, and so keeps it from being deleted.
 *
 * Objects are used by one thread at a time, whichever that is. All but the functions on names may
 * take long: they belong in a thread of their own.
 */

typedef struct CvdSnapshot CvdSnapshot;

/**
 * cvd_snapshot_open:
 * @path: of cvd_snapshot_get_path()
 * @error: %CVD_ERROR_CLOSED: there is none; %CVD_ERROR_FOREIGN: no snapshot, or one that another
 *   user has or can change; %CVD_ERROR_INVALID: made by a newer cvd-launch, incomplete or damaged;
 *   %CVD_ERROR_BUSY: it is being deleted; %CVD_ERROR_FAILED: it cannot be read
 *
 * Checks all that can be without reading the large files: what it says of itself, and that each
 * file is there, with the size that it had.
 *
 * Returns: (transfer full) (nullable): the snapshot, which cannot be deleted until it is freed
 */
CvdSnapshot *cvd_snapshot_open(const char *path, GError **error);

/**
 * cvd_snapshot_look:
 *
 * As cvd_snapshot_open(), for a moment: it does not keep the snapshot from being deleted.
 */
CvdSnapshot *cvd_snapshot_look(const char *path, GError **error);

void cvd_snapshot_free(CvdSnapshot *snapshot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdSnapshot, cvd_snapshot_free)

const CvdSnapshotInfo *cvd_snapshot_get_info(const CvdSnapshot *snapshot);
/** cvd_snapshot_get_dir: Returns: the path that it was opened by */
const char *cvd_snapshot_get_dir(const CvdSnapshot *snapshot);
/** cvd_snapshot_get_dir_fd: Returns: (transfer none): a descriptor of that directory */
int cvd_snapshot_get_dir_fd(const CvdSnapshot *snapshot);

/**
 * cvd_snapshot_pass_error:
 * @file: of the snapshot
 * @reason: (inout): why it could not be read; %CVD_ERROR_INVALID: it is damaged;
 *   %CVD_ERROR_FOREIGN: of a newer format
 *
 * Adds the names, and passes the error on. Returns: %FALSE
 */
gboolean cvd_snapshot_pass_error(const CvdSnapshot *snapshot, const char *file, GError **reason,
                                 GError **error);

/**
 * CvdSnapshotProgress:
 * @done: bytes of @total that have been read
 * @total: in the files that are read, not counting those that need not be
 */
typedef void CvdSnapshotProgress(gpointer data, guint64 done, guint64 total);

/** CVD_SNAPSHOT_TRUSTED_SIZE: a larger file is not read if nobody has touched it: docs/snapshots.md
 */
#define CVD_SNAPSHOT_TRUSTED_SIZE (16 * 1024 * 1024)

/**
 * cvd_snapshot_verify:
 * @all: read all files; %FALSE: not those larger than %CVD_SNAPSHOT_TRUSTED_SIZE that are, by inode
 *   and times, as they were when they were written or last verified
 * @progress: (nullable): called after each MiB
 * @error: %CVD_ERROR_INVALID: a file is not what was written; %G_IO_ERROR_CANCELLED;
 *   %CVD_ERROR_FAILED
 */
gboolean cvd_snapshot_verify(CvdSnapshot *snapshot, gboolean all, CvdSnapshotProgress *progress,
                             gpointer data, GCancellable *cancellable, GError **error);

/**
 * cvd_snapshot_open_file:
 * @file: of the snapshot
 *
 * Returns: (transfer full): a read-only descriptor; −1 with @error set
 */
int cvd_snapshot_open_file(const CvdSnapshot *snapshot, const char *file, GError **error);

/** cvd_snapshot_get_size: Returns: of a file, in bytes; 0: there is none */
guint64 cvd_snapshot_get_size(const CvdSnapshot *snapshot, const char *file);
/** cvd_snapshot_get_files: Returns: (transfer none) (element-type CvdSnapshotFile): all but
 * snapshot.json */
GPtrArray *cvd_snapshot_get_files(const CvdSnapshot *snapshot);
/** cvd_snapshot_get_space: Returns: what its files take up on the disk, in bytes */
guint64 cvd_snapshot_get_space(const CvdSnapshot *snapshot);

/** CVD_SNAPSHOT_USERS_UNKNOWN: there are some */
#define CVD_SNAPSHOT_USERS_UNKNOWN (-1)

/** cvd_snapshot_count_users: Returns: how many have it by cvd_snapshot_open() */
int cvd_snapshot_count_users(const CvdSnapshot *snapshot);

/**
 * cvd_snapshot_copy_out:
 * @file: of the snapshot; %CVD_SNAPSHOT_RAM_COMPRESSED is unpacked
 * @fd: a file or memory, of that size (of RAM, the guest's memory) or empty, with any content; may
 *   have huge pages
 * @error: %G_IO_ERROR_CANCELLED; %CVD_ERROR_INVALID: damaged; %CVD_ERROR_RESOURCES: no space;
 *   %CVD_ERROR_FAILED
 *
 * Makes the content of @fd that of the file, without memory or space for its holes.
 */
gboolean cvd_snapshot_copy_out(const CvdSnapshot *snapshot, const char *file, int fd,
                               GCancellable *cancellable, GError **error);

G_END_DECLS
