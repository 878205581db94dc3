/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tool/hexdump.h"

#include <string.h>

static void add_line(GString *out, guint offset, const guint8 *data, gsize size)
{
    g_string_append_printf(out, "%08x ", offset);
    for (gsize i = 0; i < CVD_HEXDUMP_WIDTH; i++) {
        if (i % 8 == 0)
            g_string_append_c(out, ' ');
        if (i < size)
            g_string_append_printf(out, "%02x ", data[i]);
        else
            g_string_append(out, "   ");
    }
    g_string_append(out, " |");
    for (gsize i = 0; i < size; i++)
        g_string_append_c(out, g_ascii_isprint((char)data[i]) ? (char)data[i] : '.');
    g_string_append(out, "|\n");
}

void cvd_hexdump_add(CvdHexdump *dump, GString *out, guint offset, const guint8 *data, gsize size)
{
    for (gsize at = 0; at < size; at += CVD_HEXDUMP_WIDTH) {
        gsize width = MIN(size - at, CVD_HEXDUMP_WIDTH);
        gboolean is_whole = width == CVD_HEXDUMP_WIDTH;
        if (is_whole && dump->has_previous && memcmp(dump->previous, data + at, width) == 0) {
            if (!dump->is_squeezing)
                g_string_append(out, "*\n");
            dump->is_squeezing = TRUE;
            continue;
        }
        add_line(out, offset + (guint)at, data + at, width);
        memcpy(dump->previous, data + at, width);
        dump->has_previous = is_whole;
        dump->is_squeezing = FALSE;
    }
}

void cvd_hexdump_end(GString *out, guint end)
{
    g_string_append_printf(out, "%08x\n", end);
}
