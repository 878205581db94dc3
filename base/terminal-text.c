/* SPDX-License-Identifier: Apache-2.0 */
#include "base/terminal-text.h"

#define INCOMPLETE ((gunichar)-2)
#define INVALID    ((gunichar)-1)

static gboolean is_control(gunichar c)
{
    return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0);
}

/* What is no UTF-8 is escaped too, as some terminals take single bytes from 0x80 on for controls.
 */
static void append(GString *out, const char *bytes, gsize size, gboolean is_text)
{
    if (is_text)
        g_string_append_len(out, bytes, (gssize)size);
    else
        for (gsize i = 0; i < size; i++)
            g_string_append_printf(out, "\\x%02x", (guchar)bytes[i]);
}

gsize cvd_terminal_text_append(GString *out, const char *bytes, gsize size, gboolean is_last)
{
    gsize at = 0;

    while (at < size) {
        const char *p = bytes + at;
        gsize left = size - at;
        gunichar c = *p == '\0' ? 0 : g_utf8_get_char_validated(p, (gssize)left);
        if (!is_last && (c == INCOMPLETE || (c == '\r' && left == 1)))
            break;
        gboolean is_valid = c != INVALID && c != INCOMPLETE;
        gsize n = is_valid ? (gsize)(g_utf8_next_char(p) - p) : 1;
        gboolean is_line_end = c == '\r' && ((left > 1 && p[1] == '\n') ||
                                             (out->len > 0 && out->str[out->len - 1] == '\n'));
        if (!is_line_end)
            append(out, p, n, is_valid && !is_control(c));
        at += n;
    }
    return at;
}
