/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_HEXDUMP_WIDTH: bytes a line. */
#define CVD_HEXDUMP_WIDTH 16

/**
 * CvdHexdump:
 *
 * What a dump remembers between its pieces. Zero-initialised is ready to use.
 */
typedef struct {
    /*< private >*/
    guint8 previous[CVD_HEXDUMP_WIDTH];
    gboolean has_previous;
    gboolean is_squeezing;
} CvdHexdump;

/**
 * cvd_hexdump_add:
 * @dump: the dump
 * @out: where the lines are appended
 * @offset: of the first byte
 * @data: (array length=size): the bytes
 * @size: how many; a multiple of %CVD_HEXDUMP_WIDTH in all pieces but the last
 *
 * Formats bytes as `00000010  01 02 …  |..|`, 16 a line from @offset on, whether aligned or not. Of
 * equal lines that follow each other all but the first are one `*`.
 */
void cvd_hexdump_add(CvdHexdump *dump, GString *out, guint offset, const guint8 *data, gsize size);

/** cvd_hexdump_end: appends the offset after the last byte, @end, as a line */
void cvd_hexdump_end(GString *out, guint end);

G_END_DECLS
