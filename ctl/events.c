/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"

#include "base/json-text.h"

#include <string.h>

typedef struct {
    gboolean json;
    GError *error;
} Printer;

/* The data goes through as QEMU wrote it. */
static char *format_json(const char *event, const char *first, const char *second)
{
    g_autofree char *time = cvd_tool_get_time();

    if (strcmp(event, "state") == 0)
        return cvd_tool_format_json("{'time': <%s>, 'event': <%s>, 'state': <%s>, 'reason': <%s>}",
                                    time, event, first, second);
    g_autofree char *text =
        cvd_tool_format_json("{'time': <%s>, 'event': <%s>, 'name': <%s>}", time, event, first);
    g_autofree char *data = cvd_json_text_format(second, strlen(second), FALSE);
    return g_strdup_printf("%.*s,\"data\":%s}", (int)strlen(text) - 1, text, data);
}

char *cvd_ctl_format_event(gboolean json, const char *event, const char *first, const char *second)
{
    gboolean is_empty = strcmp(second, "{}") == 0;

    if (json)
        return format_json(event, first, second);
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%H:%M:%S.%f");
    time[strlen("HH:MM:SS.mmm")] = '\0';
    g_autofree char *details = cvd_ctl_printable(is_empty ? "" : second);
    g_autofree char *what = cvd_ctl_printable(first);
    return g_strdup_printf("%s %-6s %s%s%s", time, event, what, *details ? " " : "", details);
}

static gboolean print_event(Printer *printer, const char *event, const char *first,
                            const char *second)
{
    g_autofree char *line = cvd_ctl_format_event(printer->json, event, first, second);

    return cvd_tool_print(&printer->error, "%s\n", line);
}

static gboolean print_state(const char *state, const char *reason, gpointer data)
{
    return print_event(data, "state", state, reason);
}

static gboolean print_guest_event(const char *name, const char *details, gpointer data)
{
    return print_event(data, "guest", name, details);
}

gboolean cvd_ctl_events(CvdTool *tool, char **arguments, GError **error)
{
    static const CvdCtlFollower follower = {.state = print_state, .guest_event = print_guest_event};
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    g_autoptr(GError) local_error = NULL;
    Printer printer = {.json = tool->json};

    if (instance == NULL)
        return FALSE;
    gboolean is_done = cvd_ctl_follow(tool, instance, &follower, &printer, 0, &local_error);
    if (printer.error != NULL) {
        g_propagate_error(error, printer.error);
        return FALSE;
    }
    if (is_done || g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_CLOSED) ||
        cvd_tool_is_cancelled(local_error))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&local_error));
    return FALSE;
}
