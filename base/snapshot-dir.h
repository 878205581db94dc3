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

/* How the directory of a snapshot that is being made, or deleted, is called: `.NAME` and this */
#define CVD_SNAPSHOT_NEW ".cvd-new"
#define CVD_SNAPSHOT_OLD ".cvd-old"

/** cvd_snapshot_dir_is_temporary: Returns: whether @name is of one of those */
gboolean cvd_snapshot_dir_is_temporary(const char *name);

/**
 * cvd_snapshot_dir_lock:
 * @operation: of flock(2)
 *
 * Returns: 0, or −1 with `errno` set, to EWOULDBLOCK if another one keeps the lock
 */
int cvd_snapshot_dir_lock(int dir_fd, int operation);

/** cvd_snapshot_dir_count_users: Returns: how many have a shared lock on it; −1: some do, but it
 * cannot be seen how many */
int cvd_snapshot_dir_count_users(int dir_fd);

/**
 * cvd_snapshot_dir_check_owner:
 * @what: with a name, for the message
 * @error: %CVD_ERROR_FOREIGN
 *
 * Returns: whether only this user or root can change it
 */
gboolean cvd_snapshot_dir_check_owner(const struct stat *st, const char *what, GError **error);

/** cvd_snapshot_dir_list: Returns: (transfer full) (element-type utf8) (nullable): the names of
 * what is in a directory, in no order; with `errno` set */
GPtrArray *cvd_snapshot_dir_list(int dir_fd);

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

/**
 * cvd_snapshot_dir_remove:
 * @parent_fd: the directory that it is in
 * @name: it, locked exclusively
 *
 * Removes it, which is not to be seen any more from the beginning on. Returns: 0, or −1 with
 * `errno` set
 */
int cvd_snapshot_dir_remove(int parent_fd, const char *name, int dir_fd);

/**
 * cvd_snapshot_dir_clean:
 *
 * Removes from a directory what writers, and those who delete, have left there that were killed.
 */
void cvd_snapshot_dir_clean(int parent_fd);

/** cvd_snapshot_dir_fail_none: @error: %CVD_ERROR_CLOSED: there is no snapshot at @path. Returns:
 * %FALSE */
gboolean cvd_snapshot_dir_fail_none(const char *path, GError **error);

/** cvd_snapshot_format_stamp: Returns: (transfer full): what changes when somebody touches the file
 */
char *cvd_snapshot_format_stamp(const struct stat *st);

G_END_DECLS
