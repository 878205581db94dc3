/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * cvd_ram_new:
 * @size: in bytes
 * @error: %CVD_ERROR_FAILED
 *
 * Makes memory for a guest whose RAM the launcher can read: all zero, of a size that nobody can
 * change. Pages are allocated when the guest touches them.
 *
 * Returns: (transfer full): the descriptor; −1 on failure
 */
int cvd_ram_new(guint64 size, GError **error);

G_END_DECLS
