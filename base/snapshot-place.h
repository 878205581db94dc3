/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * cvd_snapshot_get_place:
 * @error: %CVD_ERROR_INVALID: CVD_SNAPSHOT_DIR is no absolute path
 *
 * Returns: (transfer full) (nullable): the directory that has the snapshots of this user, which
 *   need not exist: `$CVD_SNAPSHOT_DIR`, as root `/var/lib/cvd/snapshots`, or
 *   `$XDG_STATE_HOME/cvd/snapshots`
 */
char *cvd_snapshot_get_place(GError **error);

/**
 * cvd_snapshot_get_path:
 * @name: a name as instances have it; or with a `/` a path, whose last part may be longer
 * @error: %CVD_ERROR_INVALID: no snapshot can have that name; as cvd_snapshot_get_place()
 *
 * Returns: (transfer full) (nullable): the absolute path of the snapshot, which need not exist
 */
char *cvd_snapshot_get_path(const char *name, GError **error);

/**
 * cvd_snapshot_make_place:
 * @path: of cvd_snapshot_get_path()
 * @error: %CVD_ERROR_FAILED: it cannot be made
 *
 * Makes the directory that @path is in, if that is the place of cvd_snapshot_get_place().
 */
gboolean cvd_snapshot_make_place(const char *path, GError **error);

G_END_DECLS
