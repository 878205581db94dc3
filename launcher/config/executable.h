/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * cvd_executable_find:
 * @name: a path, or without a slash a name to look up in PATH
 * @why: (out) (transfer full): if there is none: what is wrong, after which a remedy can follow
 *
 * Returns: (transfer full) (nullable): the absolute path of a file that can be run
 */
char *cvd_executable_find(const char *name, char **why);

G_END_DECLS
