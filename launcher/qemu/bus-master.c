/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Five commands of the human monitor: keep the address port, select the command register, read it,
 * write it with the bit set, restore the address port, as a guest may have been stopped between its
 * own two accesses.
 */
#include "launcher/qemu/bus-master.h"

#include "base/error.h"

#include <string.h>

#define PCI_COMMAND_OFFSET 0x04
#define PCI_COMMAND_MASTER 0x04
#define CONFIG_ENABLE      0x80000000u

typedef enum {
    READ_ADDRESS,  /* to restore it */
    WRITE_ADDRESS, /* of the command register */
    READ_COMMAND,
    WRITE_COMMAND,
    RESTORE_ADDRESS,
} Step;

typedef struct {
    CvdQmp *qmp;
    Step step;        /* whose answer is awaited */
    guint32 selected; /* what the address port is to hold: enable, bus 0, slot, register */
    guint32 saved;
    CvdQmpReply done;
    gpointer user_data;
} Request;

static void on_answer(JsonNode *result, const GError *error, gpointer data);

static void run(Request *request, Step step, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void run(Request *request, Step step, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *line = g_strdup_vprintf(format, args);
    va_end(args);

    JsonObject *arguments = json_object_new();
    json_object_set_string_member(arguments, "command-line", line);
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), arguments);
    request->step = step;
    cvd_qmp_execute(request->qmp, "human-monitor-command", node, on_answer, request);
}

static void finish(Request *request, const GError *error)
{
    if (request->done != NULL)
        request->done(NULL, error, request->user_data);
    g_free(request);
}

/* What the monitor prints for `i`: `portl[0x0cf8] = 0x80008004`. Anything else is an error. */
static gboolean parse_value(JsonNode *result, guint32 *value, GError **error)
{
    gboolean is_text = json_node_get_value_type(result) == G_TYPE_STRING;
    const char *text = is_text ? json_node_get_string(result) : "";
    const char *equals = strstr(text, "= 0x");
    g_autofree char *digits =
        equals != NULL ? g_strstrip(g_strdup(equals + strlen("= 0x"))) : g_strdup("");
    guint64 number;

    if (!g_ascii_string_to_unsigned(digits, 16, 0, G_MAXUINT32, &number, NULL))
        return cvd_fail(error, CVD_ERROR_PROTOCOL, "QEMU's monitor answered \"%s\"", text);
    *value = (guint32)number;
    return TRUE;
}

static void on_answer(JsonNode *result, const GError *error, gpointer data)
{
    Request *request = data;
    gboolean is_read = request->step == READ_ADDRESS || request->step == READ_COMMAND;
    g_autoptr(GError) unexpected = NULL;
    guint32 value = 0;

    if (error != NULL || (is_read && !parse_value(result, &value, &unexpected))) {
        finish(request, error != NULL ? error : unexpected);
        return;
    }
    switch (request->step) {
    case READ_ADDRESS:
        request->saved = value;
        run(request, WRITE_ADDRESS, "o/w 0xcf8 0x%x", request->selected);
        return;
    case WRITE_ADDRESS:
        run(request, READ_COMMAND, "i/h 0xcfc");
        return;
    case READ_COMMAND:
        run(request, WRITE_COMMAND, "o/h 0xcfc 0x%x", (value | PCI_COMMAND_MASTER) & 0xffff);
        return;
    case WRITE_COMMAND:
        run(request, RESTORE_ADDRESS, "o/w 0xcf8 0x%x", request->saved);
        return;
    case RESTORE_ADDRESS:
        finish(request, NULL);
        return;
    }
    g_assert_not_reached();
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
    run(request, READ_ADDRESS, "i/w 0xcf8");
}
