/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * cvd_terminal_text_append:
 * @out: what is to be shown
 * @bytes: (array length=size): what a guest, QEMU or a peer said
 * @size: how many
 * @is_last: whether nothing follows
 *
 * Appends text that a terminal takes for text alone: control characters but line feed and tab (the
 * C1 ones are some, as UTF-8 and as single bytes), and bytes that are not UTF-8, become `\xNN`. A
 * carriage return beside a line feed is left out.
 *
 * Returns: how many bytes were taken; all of them if @is_last, else perhaps not a character that
 *   has not come in whole
 */
gsize cvd_terminal_text_append(GString *out, const char *bytes, gsize size, gboolean is_last);

G_END_DECLS
