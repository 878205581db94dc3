/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

G_BEGIN_DECLS

/*
 * The directories of snapshots: what is in one, and how it goes.
 */

/** CVD_SNAPSHOT_CHECKED: the file that has the stamps of files that were verified later */
#define CVD_SNAPSHOT_CHECKED "checked"

/**
 * cvd_snapshot_dir_check_owner:
 * @what: with a name, for the message
 * @error: %CVD_ERROR_FOREIGN
 *
 * Returns: whether only this user or root can change it
 */
gboolean cvd_snapshot_dir_check_owner(const struct stat *st, const char *what, GError **error);

/**
 * cvd_snapshot_dir_find_stranger:
 *
 * Returns: (transfer full) (nullable): an entry that no snapshot has
 */
char *cvd_snapshot_dir_find_stranger(int dir_fd);

/**
 * cvd_snapshot_dir_empty:
 *
 * Removes the files of a snapshot from the directory. Returns: 0, or −1 with `errno` set
 */
int cvd_snapshot_dir_empty(int dir_fd);

/** cvd_snapshot_format_stamp: Returns: (transfer full): what changes when somebody touches the file
 */
char *cvd_snapshot_format_stamp(const struct stat *st);

G_END_DECLS
