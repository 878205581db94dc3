/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdInstanceDir:
 *
 * An instance's runtime directory, owned through a lock in it: section 3 of the launcher's
 * specification.
 */
typedef struct CvdInstanceDir CvdInstanceDir;

/**
 * cvd_instance_dir_path:
 * @name: the instance's name
 *
 * Returns: (transfer full): where its directory is or will be: `$XDG_RUNTIME_DIR/cvd/NAME`, as root
 *   without that variable `/run/cvd/NAME`, else `$TMPDIR/cvd-UID/NAME`
 */
char *cvd_instance_dir_path(const char *name);

/**
 * cvd_instance_dir_acquire:
 * @name: the instance's name
 * @error: %CVD_ERROR_BUSY: a live launcher holds it, whose pid the message names;
 *   %CVD_ERROR_FOREIGN: the directory, or something in it, is not ours; %CVD_ERROR_FAILED
 *
 * Makes the directory, locks it, and removes what a launcher that crashed left there.
 *
 * Returns: (transfer full) (nullable): the directory
 */
CvdInstanceDir *cvd_instance_dir_acquire(const char *name, GError **error);

/**
 * cvd_instance_dir_release:
 * @dir: (transfer full): a directory
 * @keep_logs: whether console.log and qemu.log stay
 *
 * Removes the directory's files, the directory if it is then empty, and the one that instances
 * share if that is.
 */
void cvd_instance_dir_release(CvdInstanceDir *dir, gboolean keep_logs);

const char *cvd_instance_dir_get_path(const CvdInstanceDir *dir);

/**
 * cvd_instance_dir_create_log:
 * @file: `console.log` or `qemu.log`
 *
 * Returns: a descriptor of the new, empty file, open for reading and writing; −1 on failure
 */
int cvd_instance_dir_create_log(CvdInstanceDir *dir, const char *file, GError **error);

G_END_DECLS
