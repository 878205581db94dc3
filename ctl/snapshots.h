/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/snapshot.h"
#include "base/tool.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/** cvd_ctl_format_size: Returns: (transfer full): `334K`, `1.2G` */
char *cvd_ctl_format_size(guint64 size);

/** cvd_ctl_format_age: Returns: (transfer full): of a snapshot, as cvd_ctl_format_uptime() has it
 */
char *cvd_ctl_format_age(gint64 time_s);

/** cvd_ctl_find_users: Returns: (transfer container) (element-type utf8): the names of the machines
 * that say that they run from the snapshot @path */
GPtrArray *cvd_ctl_find_users(CvdTool *tool, const char *path);

/** cvd_ctl_count_users: Returns: as cvd_snapshot_count_users(), with those that say so */
int cvd_ctl_count_users(CvdTool *tool, const CvdSnapshot *snapshot);

/** cvd_ctl_format_users: @n: of cvd_ctl_count_users(). Returns: (transfer full) */
char *cvd_ctl_format_users(int n);

/** cvd_ctl_load_snapshot_config: Returns: (transfer full) (nullable): the snapshot's cvd.json */
JsonNode *cvd_ctl_load_snapshot_config(const CvdSnapshot *snapshot);

/** cvd_ctl_get_region_name: @config: (nullable): of cvd_ctl_load_snapshot_config(). Returns:
 * (transfer none) (nullable) */
const char *cvd_ctl_get_region_name(JsonNode *config, guint region);

/**
 * cvd_ctl_find_needed_files:
 * @config: (nullable): of cvd_ctl_load_snapshot_config()
 *
 * Returns: (transfer full) (element-type utf8): the files that a machine from the snapshot opens
 *   beside those of the snapshot: kernel, firmware, backing files, and disks that are read-only
 */
GPtrArray *cvd_ctl_find_needed_files(const CvdSnapshot *snapshot, JsonNode *config);

/** cvd_ctl_get_snapshot_path: as cvd_snapshot_get_path(); @error: of usage */
char *cvd_ctl_get_snapshot_path(const char *name, GError **error);

/** cvd_ctl_add_snapshot: adds what the list says of one, as of cvd_tool_add_json() */
void cvd_ctl_add_snapshot(CvdTool *tool, GVariantBuilder *builder, const CvdSnapshot *snapshot);

G_END_DECLS
