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

static const struct {
    const char *command;
    guint for_step; /* which writes what this one reads; 0 = this one writes */
    guint32 set;    /* with these bits set */
} steps[] = {
    {"i/w 0xcf8", 4, 0},
    {"o/w 0xcf8", 0, 0}, /* enable, bus 0, slot, register */
    {"i/h 0xcfc", 3, PCI_COMMAND_MASTER},
    {"o/h 0xcfc", 0, 0},
    {"o/w 0xcf8", 0, 0},
};

typedef struct {
    CvdQmp *qmp;
    guint step; /* whose answer is awaited */
    guint32 values[G_N_ELEMENTS(steps)];
    CvdQmpReply done;
    gpointer user_data;
} Request;

static void on_answer(CvdJsonSpan result, const GError *error, gpointer data);

static void run(Request *request)
{
    g_autofree char *value = steps[request->step].for_step == 0
                                 ? g_strdup_printf(" 0x%x", request->values[request->step])
                                 : g_strdup("");
    g_autofree char *arguments =
        g_strdup_printf("{\"command-line\":\"%s%s\"}", steps[request->step].command, value);

    cvd_qmp_execute(request->qmp, "human-monitor-command", arguments, on_answer, request);
}

static void finish(Request *request, const GError *error)
{
    if (request->done != NULL)
        request->done((CvdJsonSpan){0}, error, request->user_data);
    g_free(request);
}

/* What the monitor prints for `i`: `portl[0x0cf8] = 0x80008004`. Anything else is an error. */
static gboolean parse_value(CvdJsonSpan result, guint32 *value, GError **error)
{
    g_autoptr(JsonNode) node = cvd_json_parse_leniently(result);
    gboolean is_text = json_node_get_value_type(node) == G_TYPE_STRING;
    const char *text = is_text ? json_node_get_string(node) : "";
    const char *equals = strstr(text, "= 0x");
    g_autofree char *digits =
        equals != NULL ? g_strstrip(g_strdup(equals + strlen("= 0x"))) : g_strdup("");
    guint64 number;

    if (!g_ascii_string_to_unsigned(digits, 16, 0, G_MAXUINT32, &number, NULL))
        return cvd_fail(error, CVD_ERROR_PROTOCOL, "QEMU's monitor answered \"%s\"", text);
    *value = (guint32)number;
    return TRUE;
}

static void on_answer(CvdJsonSpan result, const GError *error, gpointer data)
{
    Request *request = data;
    guint for_step = steps[request->step].for_step;
    g_autoptr(GError) unexpected = NULL;
    guint32 value = 0;

    if (error != NULL || (for_step != 0 && !parse_value(result, &value, &unexpected))) {
        finish(request, error != NULL ? error : unexpected);
        return;
    }
    if (for_step != 0)
        request->values[for_step] = value | steps[request->step].set;
    if (++request->step == G_N_ELEMENTS(steps))
        finish(request, NULL);
    else
        run(request);
}

void cvd_bus_master_enable(CvdQmp *qmp, guint slot, CvdQmpReply done, gpointer user_data)
{
    Request *request = g_new(Request, 1);

    *request = (Request){
        .qmp = qmp,
        .values = {[1] = CONFIG_ENABLE | slot << 11 | PCI_COMMAND_OFFSET},
        .done = done,
        .user_data = user_data,
    };
    run(request);
}
