/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdInstanceDir:
 *
 * An instance's runtime directory, owned through a lock in it: cvd-launch(1), FILES.
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
 * Makes the directory, locks it, and removes what a launcher that crashed left there, logs and the
 * record of a failure apart.
 *
 * Returns: (transfer full) (nullable): the directory
 */
CvdInstanceDir *cvd_instance_dir_acquire(const char *name, GError **error);

/** cvd_instance_dir_remove_records: removes what an earlier failure left, to make room for new logs
 */
void cvd_instance_dir_remove_records(CvdInstanceDir *dir);

/**
 * cvd_instance_dir_release:
 * @dir: (transfer full): a directory
 * @has_failed: whether the logs and the record of the failure stay
 *
 * Removes the directory's files, the directory if it is then empty, and the one that instances
 * share if that is.
 */
void cvd_instance_dir_release(CvdInstanceDir *dir, gboolean has_failed);

const char *cvd_instance_dir_get_path(const CvdInstanceDir *dir);

/**
 * cvd_instance_dir_record_processes:
 * @record: all processes of the launch, each by cvd_process_id_format()
 *
 * Has the next launcher that acquires the directory end these processes first, should they have
 * outlived this one.
 */
void cvd_instance_dir_record_processes(CvdInstanceDir *dir, const char *record);

/**
 * cvd_instance_dir_create_file:
 * @file: one of those that a failure leaves behind: `console.log`, `qemu.log`, `failure.json`,
 *   `window.img`, or `programs/NAME.log` of a host program; or `disk-N.qcow2`, which nothing does
 *
 * Returns: a descriptor of the new, empty file, mode 0600, open for reading and writing, in place
 *   of any that was there; −1 on failure
 */
int cvd_instance_dir_create_file(CvdInstanceDir *dir, const char *file, GError **error);

/**
 * cvd_instance_dir_rotate_log:
 * @file: `console.log`, `qemu.log`, `launcher.log` or `programs/NAME.log`
 *
 * The log becomes `FILE.1`, in place of the one before.
 *
 * Returns: a descriptor of a new one, as cvd_instance_dir_create_file(); −1 on failure
 */
int cvd_instance_dir_rotate_log(CvdInstanceDir *dir, const char *file, GError **error);

/** cvd_instance_dir_open_rotated: Returns: a descriptor of what cvd_instance_dir_rotate_log() has
 * made `FILE.1`, for reading; −1: there is none */
int cvd_instance_dir_open_rotated(const CvdInstanceDir *dir, const char *file);

G_END_DECLS
