/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Five commands of the human monitor: keep the address port, select the command register, read it,
 * write it with the bit set, restore the address port, as a guest may have been stopped between its
 * own two accesses.
 */
#include "launcher/bus-master.h"

#include "base/error.h"

#include <string.h>

#define PCI_COMMAND_OFFSET 0x04
#define PCI_COMMAND_MASTER 0x04
#define CONFIG_ENABLE      0x80000000u

typedef struct {
    CvdQmp *qmp;
    guint32 selected; /* what the address port is to hold: enable, bus 0, slot, register */
    guint32 saved;
    CvdQmpReply done;
    gpointer user_data;
} Request;

static void run(Request *request, CvdQmpReply reply, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void run(Request *request, CvdQmpReply reply, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *line = g_strdup_vprintf(format, args);
    va_end(args);

    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "command-line", line);
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), arguments);
    cvd_qmp_execute(request->qmp, "human-monitor-command", node, reply, request);
}

static void finish(Request *request, const GError *error)
{
    if (request->done != NULL)
        request->done(NULL, error, request->user_data);
    g_free(request);
}

/* What the monitor prints for `i`: `portl[0x0cf8] = 0x80008004`. Anything else is an error. */
static gboolean parse_value(Request *request, JsonNode *result, const GError *error, guint32 *value)
{
    const char *text = NULL;
    const char *equals = NULL;
    guint64 number;

    if (result != NULL && json_node_get_value_type(result) == G_TYPE_STRING)
        text = json_node_get_string(result);
    if (text != NULL)
        equals = strstr(text, "= 0x");
    if (equals != NULL) {
        g_autofree char *digits = g_strstrip(g_strdup(equals + strlen("= 0x")));
        if (g_ascii_string_to_unsigned(digits, 16, 0, G_MAXUINT32, &number, NULL)) {
            *value = (guint32)number;
            return TRUE;
        }
    }
    g_autoptr(GError) unexpected =
        error != NULL ? g_error_copy(error)
                      : g_error_new(CVD_ERROR, CVD_ERROR_PROTOCOL, "QEMU's monitor answered \"%s\"",
                                    text != NULL ? text : "");
    finish(request, unexpected);
    return FALSE;
}

static void on_restored(JsonNode *result, const GError *error, gpointer data)
{
    finish(data, error);
}

static void on_written(JsonNode *result, const GError *error, gpointer data)
{
    Request *request = data;

    if (error != NULL)
        finish(request, error);
    else
        run(request, on_restored, "o/w 0xcf8 0x%x", request->saved);
}

static void on_command_register(JsonNode *result, const GError *error, gpointer data)
{
    Request *request = data;
    guint32 command;

    if (parse_value(request, result, error, &command))
        run(request, on_written, "o/h 0xcfc 0x%x", (command | PCI_COMMAND_MASTER) & 0xffff);
}

static void on_selected(JsonNode *result, const GError *error, gpointer data)
{
    Request *request = data;

    if (error != NULL)
        finish(request, error);
    else
        run(request, on_command_register, "i/h 0xcfc");
}

static void on_address_port(JsonNode *result, const GError *error, gpointer data)
{
    Request *request = data;

    if (parse_value(request, result, error, &request->saved))
        run(request, on_selected, "o/w 0xcf8 0x%x", request->selected);
}

void cvd_bus_master_enable(CvdQmp *qmp, guint slot, CvdQmpReply done, gpointer user_data)
{
    Request *request = g_new(Request, 1);

    *request = (Request){
        .qmp = qmp,
        .selected = CONFIG_ENABLE | slot << 11 | PCI_COMMAND_OFFSET,
        .done = done,
        .user_data = user_data,
    };
    run(request, on_address_port, "i/w 0xcf8");
}
