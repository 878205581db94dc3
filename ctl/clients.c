/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"

#define ROW "%8s %8s  %-15s %9s  %-6s %s\n"

typedef struct {
    guint pid;
    guint uid;
    const char *region;
    guint64 age_us;
    gboolean is_read_only;
    gboolean is_shared;
} Client;

static gboolean print_json(const Client *client, GError **error)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();

    json_builder_begin_object(builder);
    cvd_tool_json_int(builder, "pid", client->pid);
    cvd_tool_json_int(builder, "uid", client->uid);
    cvd_tool_json_string(builder, "region", client->region);
    cvd_tool_json_double(builder, "age_s", (double)client->age_us / G_USEC_PER_SEC);
    cvd_tool_json_string(builder, "access", client->is_read_only ? "read" : "write");
    json_builder_set_member_name(builder, "shared");
    json_builder_add_boolean_value(builder, client->is_shared);
    json_builder_end_object(builder);
    return cvd_tool_print_json(builder, error);
}

static gboolean print_row(const Client *client, GError **error)
{
    g_autofree char *pid = g_strdup_printf("%u", client->pid);
    g_autofree char *uid = g_strdup_printf("%u", client->uid);
    g_autofree char *age = cvd_ctl_format_uptime(client->age_us);

    return cvd_tool_print(error, ROW, pid, uid, client->region, age,
                          client->is_read_only ? "read" : "write",
                          client->is_shared ? "shared: clients may take each other's signals" : "");
}

static gboolean print_clients(CvdTool *tool, GVariant *clients, GError **error)
{
    GVariantIter iter;
    Client client;

    if (!tool->json && g_variant_n_children(clients) > 0 &&
        !cvd_tool_print(error, ROW, "PID", "UID", "REGION", "AGE", "ACCESS", ""))
        return FALSE;
    g_variant_iter_init(&iter, clients);
    while (g_variant_iter_next(&iter, "(uu&stbb)", &client.pid, &client.uid, &client.region,
                               &client.age_us, &client.is_read_only, &client.is_shared))
        if (!(tool->json ? print_json : print_row)(&client, error))
            return FALSE;
    return TRUE;
}

static gboolean run_clients(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    g_autoptr(GVariant) clients = NULL;

    if (instance == NULL)
        return FALSE;
    if (cvd_dbus_instance1_call_list_clients_sync(instance, &clients, tool->cancellable, error))
        return print_clients(tool, clients, error);
    cvd_ctl_strip_error(*error);
    return FALSE;
}

const CvdToolVerb cvd_ctl_clients = {
    .name = "clients",
    .arguments = "",
    .summary = "Show the clients and their regions",
    .description = "Whether a client waits for signals nobody can see. Where several have one "
                   "region's doorbells,\nthose that do take each other's signals.",
    .run = run_clients,
};
