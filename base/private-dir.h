/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

G_BEGIN_DECLS

/**
 * CVD_PRIVATE_DIR_MADE:
 *
 * The mode of a directory that cvd_private_dir_open() has made: the sticky bit, which says nothing
 * else of a directory that one user alone can write to, distinguishes it from those that were there
 * before.
 */
#define CVD_PRIVATE_DIR_MADE (S_ISVTX | 0700)

/**
 * cvd_private_dir_open:
 * @parent_fd: what @name is relative to, or AT_FDCWD
 * @path: the whole path, for messages
 * @error: %CVD_ERROR_FOREIGN: it is another user's, or no directory; %CVD_ERROR_FAILED
 *
 * Opens a runtime directory of this user's, without following a link, and makes it if need be. The
 * mode of one that was there stays.
 *
 * Returns: (transfer full): its descriptor; −1 on failure
 */
int cvd_private_dir_open(int parent_fd, const char *name, const char *path, GError **error);

/** cvd_private_dir_is_removed: Returns: whether it has no name any more */
gboolean cvd_private_dir_is_removed(int fd);
/** cvd_private_dir_get_mode: Returns: without the bit that a directory may have from its parent */
mode_t cvd_private_dir_get_mode(int fd);

/** cvd_describe_user: Returns: (transfer full): name and number, for messages */
char *cvd_describe_user(uid_t uid);

G_END_DECLS
