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

/**
 * cvd_ram_new_template:
 * @size: in bytes
 * @error: %CVD_ERROR_FAILED
 *
 * Makes memory that is to be filled, and then to be the beginning of any number of guests' RAM.
 *
 * Returns: (transfer full): the descriptor; −1 on failure
 */
int cvd_ram_new_template(guint64 size, GError **error);

/** cvd_ram_seal_template: has nobody change it any more; @error: %CVD_ERROR_FAILED */
gboolean cvd_ram_seal_template(int fd, GError **error);

G_END_DECLS
