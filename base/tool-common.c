/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"

#include "base/json.h"

#include <errno.h>
#include <gio/gio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

gboolean cvd_tool_parse_number(const char *text, const char *what, guint min, guint max,
                               guint *value, GError **error)
{
    gboolean is_hex = g_ascii_strncasecmp(text, "0x", 2) == 0;
    guint64 number;
    if (!g_ascii_string_to_unsigned(is_hex ? text + 2 : text, is_hex ? 16 : 10, min, max, &number,
                                    NULL)) {
        g_autofree char *escaped = g_strescape(text, NULL);
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "%s '%s': expected a number from %u to %u, decimal or with 0x", what, escaped,
                    min, max);
        return FALSE;
    }
    *value = (guint)number;
    return TRUE;
}

gboolean cvd_tool_parse_seconds(const char *text, const char *what, guint max, guint *ms,
                                GError **error)
{
    char *end;
    double seconds = g_ascii_strtod(text, &end);
    if (!g_ascii_isdigit(text[0]) || *end || !(seconds >= 0 && seconds <= max)) {
        g_autofree char *escaped = g_strescape(text, NULL);
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "%s '%s': expected seconds from 0 to %u, such as 0.5", what, escaped, max);
        return FALSE;
    }
    *ms = (guint)ceil(seconds * 1000);
    return TRUE;
}

/* stdout may be non-blocking, where its other users want it so. */
static gssize write_some(const char *data, gsize size)
{
    for (;;) {
        gssize n = TEMP_FAILURE_RETRY(write(STDOUT_FILENO, data, size));
        if (n >= 0 || errno != EAGAIN)
            return n;
        GPollFD wait = {.fd = STDOUT_FILENO, .events = G_IO_OUT};
        g_poll(&wait, 1, -1);
    }
}

gboolean cvd_tool_put(gconstpointer data, gsize size, GError **error)
{
    const char *at = data;
    while (size > 0) {
        gssize n = write_some(at, size);
        if (n < 0) {
            g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                        "cannot write to stdout: %s", g_strerror(errno));
            return FALSE;
        }
        at += n;
        size -= (gsize)n;
    }
    return TRUE;
}

gboolean cvd_tool_print(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    return cvd_tool_put(text, strlen(text), error);
}

gboolean cvd_tool_print_json(JsonBuilder *builder, GError **error)
{
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autofree char *text = cvd_json_to_string(root, FALSE);
    return cvd_tool_print(error, "%s\n", text);
}

void cvd_tool_json_string(JsonBuilder *builder, const char *name, const char *value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value);
}

void cvd_tool_json_int(JsonBuilder *builder, const char *name, gint64 value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_int_value(builder, value);
}

void cvd_tool_json_time(JsonBuilder *builder)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S.%fZ");

    cvd_tool_json_string(builder, "time", time);
}

void cvd_tool_json_double(JsonBuilder *builder, const char *name, double value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_double_value(builder, value);
}

gboolean cvd_tool_is_cancelled(const GError *error)
{
    return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}
