/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdShmName:
 *
 * The name of a shared-memory object that tools open by name, held by this process: docs/window.md,
 * The memory object.
 */
typedef struct CvdShmName CvdShmName;

/**
 * cvd_shm_name_new:
 * @path: where the object is to be, e.g. `/dev/shm/ivshmem`
 * @lock_dir: (nullable): as of #CvdServerOptions
 * @fd: (out): a new, empty, unnamed file in that directory, mode 0600, locked as long as the
 *   name is held; the caller's
 * @error: %CVD_ERROR_BUSY: a live process holds the name; %CVD_ERROR_FOREIGN: what has it is not
 *   ours; %CVD_ERROR_FAILED
 *
 * Returns: (transfer full) (nullable): a name that the object does not have yet
 */
CvdShmName *cvd_shm_name_new(const char *path, const char *lock_dir, int *fd, GError **error);

/**
 * cvd_shm_name_link:
 * @fd: what cvd_shm_name_new() gave
 * @error: as there
 *
 * Gives the object its name, in place of a leftover: a file that by the lock's record was made for
 * this, or one that no process has locked and that begins as a window does, with its very size.
 * Anything else stays, and is an error.
 */
gboolean cvd_shm_name_link(CvdShmName *name, int fd, GError **error);

/** cvd_shm_name_free: Unlinks the name if it still stands for the same inode. */
void cvd_shm_name_free(CvdShmName *name);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdShmName, cvd_shm_name_free)

G_END_DECLS
