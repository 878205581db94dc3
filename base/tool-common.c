/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"

#include "base/json-text.h"
#include "base/json.h"
#include "base/nearest.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

gboolean cvd_tool_fail_usage(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, text);
    return FALSE;
}

gboolean cvd_tool_check_choice(const char *what, const char *text, const char *const *choices,
                               GError **error)
{
    if (g_strv_contains(choices, text))
        return TRUE;
    const char *nearest = cvd_nearest_name(text, choices);
    g_autofree char *all = g_strjoinv(", ", (char **)choices);
    g_autofree char *escaped = g_strescape(text, NULL);
    return cvd_tool_fail_usage(error, "no %s '%s'%s%s%s there are: %s", what, escaped,
                               nearest ? "; did you mean '" : ";", nearest ? nearest : "",
                               nearest ? "'?" : "", all);
}

gboolean cvd_tool_parse_number(const char *text, const char *what, guint min, guint max,
                               guint *value, GError **error)
{
    gboolean is_hex = text && g_ascii_strncasecmp(text, "0x", 2) == 0;
    guint64 number;
    if (!text)
        return TRUE;
    if (!g_ascii_string_to_unsigned(is_hex ? text + 2 : text, is_hex ? 16 : 10, min, max, &number,
                                    NULL)) {
        g_autofree char *escaped = g_strescape(text, NULL);
        return cvd_tool_fail_usage(error,
                                   "%s '%s': expected a number from %u to %u, decimal or with 0x",
                                   what, escaped, min, max);
    }
    *value = (guint)number;
    return TRUE;
}

gboolean cvd_tool_parse_seconds(const char *text, const char *what, guint max, guint *ms,
                                GError **error)
{
    char *end;
    if (!text)
        return TRUE;
    double seconds = g_ascii_strtod(text, &end);
    if (!g_ascii_isdigit(text[0]) || *end || !(seconds >= 0 && seconds <= max)) {
        g_autofree char *escaped = g_strescape(text, NULL);
        return cvd_tool_fail_usage(error, "%s '%s': expected seconds from 0 to %u, such as 0.5",
                                   what, escaped, max);
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

gboolean cvd_tool_set_output_error(GError **error, int error_number)
{
    g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(error_number),
                "cannot write to stdout: %s", g_strerror(error_number));
    return FALSE;
}

gboolean cvd_tool_put(gconstpointer data, gsize size, GError **error)
{
    const char *at = data;
    while (size > 0) {
        gssize n = write_some(at, size);
        if (n < 0)
            return cvd_tool_set_output_error(error, errno);
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

static char *format_json(const char *format, va_list *args)
{
    g_autoptr(GVariant) value = g_variant_ref_sink(g_variant_new_parsed_va(format, args));
    g_autoptr(JsonNode) root = json_gvariant_serialize(value);
    g_autofree char *text = cvd_json_to_string(root, FALSE);
    return cvd_json_text_format(text, strlen(text), FALSE);
}

gboolean cvd_tool_print_json(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = format_json(format, &args);
    va_end(args);
    return cvd_tool_print(error, "%s\n", text);
}

char *cvd_tool_format_json(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = format_json(format, &args);
    va_end(args);
    return text;
}

void cvd_tool_add_json(GVariantBuilder *builder, const char *format, ...)
{
    GVariantIter iter;
    GVariant *member;
    va_list args;
    va_start(args, format);
    g_autoptr(GVariant) members = g_variant_ref_sink(g_variant_new_parsed_va(format, &args));
    va_end(args);
    g_variant_iter_init(&iter, members);
    while ((member = g_variant_iter_next_value(&iter))) {
        g_variant_builder_add_value(builder, member);
        g_variant_unref(member);
    }
}

char *cvd_tool_get_time(void)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    return g_date_time_format(now, "%Y-%m-%dT%H:%M:%S.%fZ");
}

gboolean cvd_tool_poll(CvdTool *tool, GPollFD *fds, guint n_fds, int interval_ms,
                       gint64 deadline_us, GError **error)
{
    GPollFD all[CVD_TOOL_MAX_POLLED + 1];
    gint64 left_ms = (deadline_us - g_get_monotonic_time()) / 1000 + 1;
    if (deadline_us > 0 && left_ms <= 0) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                            "the time of --timeout is over");
        return FALSE;
    }
    if (deadline_us > 0 && (interval_ms < 0 || interval_ms > left_ms))
        interval_ms = (int)left_ms;
    memcpy(all, fds, n_fds * sizeof *fds);
    g_cancellable_make_pollfd(tool->cancellable, &all[n_fds]);
    gboolean is_ready = g_poll(all, n_fds + 1, interval_ms) > 0;
    g_cancellable_release_fd(tool->cancellable);
    for (guint i = 0; i < n_fds; i++)
        fds[i].revents = is_ready ? all[i].revents : 0;
    return !g_cancellable_set_error_if_cancelled(tool->cancellable, error);
}

gboolean cvd_tool_is_cancelled(const GError *error)
{
    return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}
