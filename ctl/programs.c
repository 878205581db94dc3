/* SPDX-License-Identifier: Apache-2.0 */
/* The host programs of an instance. */
#include "ctl/ctl.h"

#include <string.h>

#define HEAD "%-15s %-10s %8s %8s %9s  %-20s %s\n"
#define ROW  "%-15s %-10s %8s %8u %9s  %-20s %s\n"

typedef struct {
    const char *method;
    const char *action;
} Action;

static const Action actions[] = {
    {"StartProgram", "start"}, {"StopProgram", "stop"}, {"RestartProgram", "restart"}};

static gboolean print_json(const char *name, const char *state, const char *reason, guint pid,
                           guint n_restarts, guint64 age_us, const char *const *regions,
                           GError **error)
{
    return cvd_tool_print_json(error,
                               "{'name': <%s>, 'state': <%s>, 'reason': <%s>, 'pid': <%u>,"
                               " 'restarts': <%u>, 'since_s': <%d>, 'regions': <%^as>}",
                               name, state, reason, pid, n_restarts,
                               (double)age_us / G_USEC_PER_SEC, regions);
}

static gboolean print_program(CvdTool *tool, GVariant *program, GError **error)
{
    const char *name, *state, *reason;
    g_autofree const char **regions = NULL;
    guint pid, n_restarts;
    guint64 age_us;

    g_variant_get(program, "(&s&s&suut^a&s)", &name, &state, &reason, &pid, &n_restarts, &age_us,
                  &regions);
    if (tool->json)
        return print_json(name, state, reason, pid, n_restarts, age_us, regions, error);
    g_autofree char *number = pid != 0 ? g_strdup_printf("%u", pid) : g_strdup("-");
    g_autofree char *age = cvd_ctl_format_uptime(age_us);
    g_autofree char *joined = g_strjoinv(",", (char **)regions);
    return cvd_ctl_print(error, ROW, name, state, number, n_restarts, age,
                         joined[0] != '\0' ? joined : "-", reason);
}

gboolean cvd_ctl_programs(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    g_autoptr(GVariant) programs = NULL;

    if (instance == NULL ||
        !cvd_dbus_instance1_call_list_programs_sync(instance, &programs, tool->cancellable, error))
        return FALSE;
    gsize n = g_variant_n_children(programs);
    if (n > 0 && !tool->json &&
        !cvd_tool_print(error, HEAD, "PROGRAM", "STATE", "PID", "RESTARTS", "SINCE", "REGIONS", ""))
        return FALSE;
    for (gsize i = 0; i < n; i++) {
        g_autoptr(GVariant) program = g_variant_get_child_value(programs, i);
        if (!print_program(tool, program, error))
            return FALSE;
    }
    return TRUE;
}

gboolean cvd_ctl_program(CvdTool *tool, char **arguments, GError **error)
{
    static const char *const names[] = {"start", "stop", "restart", NULL};
    g_autoptr(CvdDBusInstance1) instance = NULL;
    g_autoptr(GVariant) nothing = NULL;
    gsize i = 0;

    if (!cvd_tool_check_choice("action", arguments[0], names, error))
        return FALSE;
    while (strcmp(actions[i].action, arguments[0]) != 0)
        i++;
    instance = cvd_ctl_connect(tool, error);
    if (instance != NULL)
        nothing = g_dbus_proxy_call_sync(G_DBUS_PROXY(instance), actions[i].method,
                                         g_variant_new("(s)", arguments[1]), G_DBUS_CALL_FLAGS_NONE,
                                         G_MAXINT, tool->cancellable, error);
    return nothing != NULL;
}
