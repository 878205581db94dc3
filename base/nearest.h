/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * cvd_nearest_name:
 * @name: what was written
 * @known: (array zero-terminated=1): what is allowed
 *
 * Returns: (nullable) (transfer none): the member of @known with the least edit distance to @name,
 *   or %NULL if none is near
 */
const char *cvd_nearest_name(const char *name, const char *const *known);

G_END_DECLS
