/* SPDX-License-Identifier: Apache-2.0 */
/* What others have written, QEMU, a guest or the launcher of another user, as text for people. */
#include "ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

char *cvd_ctl_printable(const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (g_unichar_isprint(c))
            g_string_append_unichar(out, c);
        else
            g_string_append_printf(out, "\\u%04x", c);
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

char *cvd_ctl_format_uptime(guint64 us)
{
    guint64 s = us / G_USEC_PER_SEC;

    if (us == 0)
        return g_strdup("-");
    if (s < 10)
        return g_strdup_printf("%.1fs", (double)us / G_USEC_PER_SEC);
    if (s < 60)
        return g_strdup_printf("%us", (guint)s);
    if (s < 3600)
        return g_strdup_printf("%um %us", (guint)(s / 60), (guint)(s % 60));
    if (s < 86400)
        return g_strdup_printf("%uh %um", (guint)(s / 3600), (guint)(s / 60 % 60));
    return g_strdup_printf("%ud %uh", (guint)(s / 86400), (guint)(s / 3600 % 24));
}

gboolean cvd_ctl_print(GError **error, const char *format, ...)
{
    g_autoptr(GString) out = g_string_new(NULL);
    va_list arguments;

    va_start(arguments, format);
    for (const char *at; (at = strchr(format, '%')) != NULL;) {
        char *conversion;
        g_string_append_len(out, format, at - format);
        int width = (int)strtol(at + 1, &conversion, 10);
        if (*conversion == 'u') {
            g_string_append_printf(out, "%*u", width, va_arg(arguments, guint));
        } else {
            g_assert(*conversion == 's');
            g_autofree char *text = cvd_ctl_printable(va_arg(arguments, const char *));
            g_string_append_printf(out, "%*s", width, text);
        }
        format = conversion + 1;
    }
    va_end(arguments);
    g_string_append(out, format);
    return cvd_tool_put(out->str, out->len, error);
}
