/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * QEMU's stream of the state of a VM (its docs/devel/migration).
 */

/**
 * cvd_state_unplace_window:
 * @state: (array length=size): the stream, made with the capability `x-ignore-shared`
 * @window_size: in bytes
 *
 * Of memory that it leaves out QEMU says where the guest had it, and takes the stream only where
 * it has it itself. The window is where the guest has placed its device, and a device that was just
 * made is at 0. Where the guest has it is elsewhere in the stream, too, and follows.
 *
 * Returns: whether there was such a window
 */
gboolean cvd_state_unplace_window(guint8 *state, gsize size, guint64 window_size);

G_END_DECLS
