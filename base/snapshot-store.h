/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/snapshot.h"

G_BEGIN_DECLS

/**
 * cvd_snapshot_list:
 * @error: as cvd_snapshot_get_place(); %CVD_ERROR_FAILED
 *
 * Also removes what writers that were killed have left.
 *
 * Returns: (transfer full) (element-type utf8) (nullable): the names of what is in the place of
 *   cvd_snapshot_get_place() and may be a snapshot, in order
 */
GPtrArray *cvd_snapshot_list(GError **error);

/**
 * cvd_snapshot_delete:
 * @path: of cvd_snapshot_get_path()
 * @error: %CVD_ERROR_CLOSED: there is none; %CVD_ERROR_BUSY: machines run from it;
 *   %CVD_ERROR_FOREIGN: no snapshot, or it has files that none has; %CVD_ERROR_FAILED
 *
 * Removes a snapshot, also one that is damaged.
 */
gboolean cvd_snapshot_delete(const char *path, GError **error);

/** CVD_SNAPSHOT_USERS_UNKNOWN: /proc/locks does not say */
#define CVD_SNAPSHOT_USERS_UNKNOWN (-1)

/** cvd_snapshot_count_users: Returns: how many hold the snapshot open, by cvd_snapshot_open() */
int cvd_snapshot_count_users(const CvdSnapshot *snapshot);

G_END_DECLS
