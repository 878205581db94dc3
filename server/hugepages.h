/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * cvd_hugepages_set_error:
 * @page_size: of the huge pages, in bytes
 * @window_size: in bytes
 * @error: (out): %CVD_ERROR_RESOURCES
 *
 * Explains why the kernel has no huge pages for a window: how many are needed, how many are free,
 * and where to set more.
 */
void cvd_hugepages_set_error(guint64 page_size, guint64 window_size, GError **error);

G_END_DECLS
