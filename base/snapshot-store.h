/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** cvd_snapshot_clean: removes what writers, and those who delete, have left in @place that were
 * killed */
void cvd_snapshot_clean(const char *place);

/**
 * cvd_snapshot_list:
 * @place: of cvd_snapshot_get_place()
 * @error: %CVD_ERROR_FAILED: it cannot be read
 *
 * Returns: (transfer full) (element-type utf8) (nullable): the names of what is there and may be a
 *   snapshot, in order
 */
GPtrArray *cvd_snapshot_list(const char *place, GError **error);

/**
 * cvd_snapshot_delete:
 * @path: of cvd_snapshot_get_path()
 * @error: %CVD_ERROR_CLOSED: there is none; %CVD_ERROR_BUSY: machines run from it;
 *   %CVD_ERROR_FOREIGN: no snapshot, or it has files that none has; %CVD_ERROR_FAILED
 *
 * Removes a snapshot, also one that is damaged.
 */
gboolean cvd_snapshot_delete(const char *path, GError **error);

G_END_DECLS
