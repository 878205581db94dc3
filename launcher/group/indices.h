/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

G_BEGIN_DECLS

/**
 * cvd_indices_parse:
 * @text: (nullable): numbers and ranges of a group, such as `1,4..8`; %NULL = all
 * @error: %CVD_ERROR_INVALID
 *
 * Returns: (transfer full) (element-type guint) (nullable): the numbers, each once, in order
 */
GArray *cvd_indices_parse(const char *text, const CvdGroup *group, GError **error);

G_END_DECLS
