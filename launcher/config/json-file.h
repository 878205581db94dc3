/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json.h"

G_BEGIN_DECLS

/**
 * cvd_json_load:
 * @path: a file
 * @opened: (nullable): the path by which it is opened, if @path is only what it is called
 * @duplicates: (nullable) (element-type utf8): as in cvd_json_parse_lines()
 * @lines: (nullable) (element-type JsonNode guint): as in cvd_json_parse_lines()
 * @error: %CVD_ERROR_INVALID as in cvd_json_parse(); %CVD_ERROR_FAILED: the file cannot be read.
 *   Either message starts with @path.
 *
 * Reads at most %CVD_JSON_MAX_SIZE + 1 bytes, and only from a regular file or a pipe. For the first
 * bytes of a FIFO it waits three seconds, and blocks: for use before a main loop runs. A byte order
 * mark, which some editors put in front, is skipped.
 *
 * Returns: (transfer full) (nullable): the root
 */
JsonNode *cvd_json_load(const char *path, const char *opened, GPtrArray *duplicates,
                        GHashTable *lines, GError **error);

G_END_DECLS
