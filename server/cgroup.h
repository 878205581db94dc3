/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * cvd_cgroup_get_free_memory:
 * @root: (nullable): what `/proc/self/cgroup` and `/sys/fs/cgroup` are looked for below; %NULL: /
 * @limit_file: (out) (transfer full): where the narrowest limit stands; %NULL without one
 *
 * How much memory the control groups of this process, of either version, still let it have, all
 * those above included. What can be given back at once, as cached files that nobody uses, counts as
 * free.
 *
 * Returns: bytes; %G_MAXUINT64 without a limit
 */
guint64 cvd_cgroup_get_free_memory(const char *root, char **limit_file);

G_END_DECLS
