/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"

#define HEAD "%8s %8s  %-15s %9s  %-6s %s\n"
#define ROW  "%8u %8u  %-15s %9s  %-6s %s\n"

static gboolean print_client(CvdTool *tool, GVariant *client, GError **error)
{
    guint pid, uid;
    const char *region;
    guint64 age_us;
    gboolean is_read_only, is_shared;

    g_variant_get(client, "(uu&stbb)", &pid, &uid, &region, &age_us, &is_read_only, &is_shared);
    const char *access = is_read_only ? "read" : "write";
    if (tool->json)
        return cvd_tool_print_json(error,
                                   "{'pid': <%u>, 'uid': <%u>, 'region': <%s>, 'age_s': <%d>,"
                                   " 'access': <%s>, 'shared': <%b>}",
                                   pid, uid, region, (double)age_us / G_USEC_PER_SEC, access,
                                   is_shared);
    g_autofree char *age = cvd_ctl_format_uptime(age_us);
    return cvd_ctl_print(error, ROW, pid, uid, region, age, access,
                         is_shared ? "shared: clients may take each other's signals" : "");
}

gboolean cvd_ctl_clients(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    g_autoptr(GVariant) clients = NULL;

    if (instance == NULL ||
        !cvd_dbus_instance1_call_list_clients_sync(instance, &clients, tool->cancellable, error))
        return FALSE;
    gsize n = g_variant_n_children(clients);
    if (n > 0 && !tool->json &&
        !cvd_tool_print(error, HEAD, "PID", "UID", "REGION", "AGE", "ACCESS", ""))
        return FALSE;
    for (gsize i = 0; i < n; i++) {
        g_autoptr(GVariant) client = g_variant_get_child_value(clients, i);
        if (!print_client(tool, client, error))
            return FALSE;
    }
    return TRUE;
}
