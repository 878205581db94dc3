/* SPDX-License-Identifier: Apache-2.0 */
/* What the control interface asks of a launch: each call ends in an event of the lifecycle or in a
 * QMP command, whose answer is the call's. */
#include "launcher/launch-private.h"

#include "base/error.h"
#include "launcher/json.h"

#include <string.h>

static CvdQmp *get_qmp(const CvdLaunch *launch)
{
    return cvd_vm_get_qmp(launch->vm);
}

static void get_status(CvdControlStatus *status, gpointer data)
{
    const CvdLaunch *launch = data;
    gint64 now_us = g_get_monotonic_time();

    *status = (CvdControlStatus){
        .state = cvd_launch_get_state_name(launch),
        .reason = launch->reason,
        .vm_pid = launch->vm != NULL
                      ? (guint)cvd_qemu_process_get_pid(cvd_vm_get_process(launch->vm))
                      : 0,
        .uptime_us = launch->ready_time_us != 0 ? (guint64)(now_us - launch->ready_time_us) : 0,
        .restarts = launch->n_restarts,
        .n_clients = cvd_server_get_n_clients(launch->host.server),
    };
}

static void refuse(CvdControlCall *take_call, const CvdLaunch *launch, const char *what)
{
    g_autoptr(GError) error = g_error_new(
        CVD_ERROR, CVD_ERROR_BUSY, "%s: the instance is %s; wait until it is %s", what,
        cvd_launch_get_state_name(launch), strcmp(what, "resume") == 0 ? "paused" : "running");
    cvd_control_call_finish(take_call, NULL, error);
}

static void finish(CvdControlCall *take_call)
{
    cvd_control_call_finish(take_call, NULL, NULL);
}

static void on_done(JsonNode *result, const GError *error, gpointer data)
{
    cvd_control_call_finish(data, NULL, error);
}

static void on_answer(JsonNode *result, const GError *error, gpointer data)
{
    g_autofree char *reply = result != NULL ? json_to_string(result, FALSE) : NULL;

    cvd_control_call_finish(data, reply, error);
}

static void resume(CvdLaunch *launch, CvdControlCall *take_call)
{
    if (launch->lifecycle.state == CVD_STATE_RUNNING)
        finish(take_call);
    else if (launch->lifecycle.state == CVD_STATE_PAUSED)
        cvd_launch_cont(launch, on_done, take_call);
    else
        refuse(take_call, launch, "resume");
}

static void pause_vm(CvdLaunch *launch, CvdControlCall *take_call)
{
    if (launch->lifecycle.state == CVD_STATE_PAUSED)
        finish(take_call);
    else if (launch->lifecycle.state == CVD_STATE_RUNNING)
        cvd_qmp_execute(get_qmp(launch), "stop", NULL, on_done, take_call);
    else
        refuse(take_call, launch, "pause");
}

static void execute(CvdControlVerb verb, CvdControlCall *take_call, gpointer data)
{
    CvdLaunch *launch = data;
    CvdState state = launch->lifecycle.state;

    switch (verb) {
    case CVD_CONTROL_STOP:
        cvd_launch_handle(launch, CVD_EVENT_STOP_REQUESTED);
        finish(take_call);
        return;
    case CVD_CONTROL_RESTART:
        if (launch->lifecycle.is_stop_asked || state == CVD_STATE_ENDED) {
            refuse(take_call, launch, "restart");
            return;
        }
        cvd_launch_handle(launch, CVD_EVENT_RESTART_REQUESTED);
        finish(take_call);
        return;
    case CVD_CONTROL_RESET:
        if (launch->lifecycle.is_ready && !cvd_lifecycle_is_going_down(&launch->lifecycle))
            cvd_qmp_execute(get_qmp(launch), "system_reset", NULL, on_done, take_call);
        else
            refuse(take_call, launch, "reset");
        return;
    case CVD_CONTROL_PAUSE:
        pause_vm(launch, take_call);
        return;
    case CVD_CONTROL_RESUME:
        resume(launch, take_call);
        return;
    case CVD_CONTROL_POWER_BUTTON:
        if (state == CVD_STATE_RUNNING)
            cvd_qmp_execute(get_qmp(launch), "system_powerdown", NULL, on_done, take_call);
        else
            refuse(take_call, launch, "power-button");
        return;
    }
    g_assert_not_reached();
}

/* Takes `{"execute": NAME, "arguments": OBJECT}` apart; nothing else may be in it. */
static const char *parse_command(JsonNode *root, JsonNode **arguments)
{
    if (!JSON_NODE_HOLDS_OBJECT(root))
        return NULL;
    JsonObject *object = json_node_get_object(root);
    JsonNode *name = json_object_get_member(object, "execute");
    *arguments = json_object_get_member(object, "arguments");
    gboolean is_known = name != NULL && json_node_get_value_type(name) == G_TYPE_STRING &&
                        (*arguments == NULL || JSON_NODE_HOLDS_OBJECT(*arguments));

    if (!is_known || json_object_get_size(object) != (*arguments != NULL ? 2U : 1U))
        return NULL;
    return json_node_get_string(name);
}

static void qmp(const char *command, CvdControlCall *take_call, gpointer data)
{
    CvdLaunch *launch = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = cvd_json_parse(command, strlen(command), NULL, &error);
    JsonNode *arguments = NULL;
    const char *name = root != NULL ? parse_command(root, &arguments) : NULL;

    if (root != NULL && name == NULL)
        g_set_error_literal(&error, CVD_ERROR, CVD_ERROR_INVALID,
                            "expected {\"execute\": \"COMMAND\", \"arguments\": {…}}");
    else if (root != NULL && (launch->vm == NULL || launch->lifecycle.state == CVD_STATE_LOADING))
        g_set_error_literal(&error, CVD_ERROR, CVD_ERROR_BUSY,
                            "QEMU does not take commands yet; wait until it runs");
    if (error != NULL)
        cvd_control_call_finish(take_call, NULL, error);
    else
        cvd_qmp_execute(get_qmp(launch), name, arguments != NULL ? json_node_copy(arguments) : NULL,
                        on_answer, take_call);
}

static int open_console(GError **error, gpointer data)
{
    CvdLaunch *launch = data;

    if (launch->console != NULL)
        return cvd_console_open_viewer(launch->console, error);
    g_set_error_literal(error, CVD_ERROR, CVD_ERROR_FAILED,
                        "the VM has no serial console, as qemu.serial is \"none\"");
    return -1;
}

static char *report(int *window_fd, GError **error, gpointer data)
{
    const CvdLaunch *launch = data;

    *window_fd = cvd_server_open_window_read_only(launch->host.server, error);
    if (*window_fd < 0)
        return NULL;
    return cvd_launch_describe(launch);
}

static void list_clients(GVariantBuilder *clients, gpointer data)
{
    const CvdLaunch *launch = data;

    cvd_host_list_clients(&launch->host, clients);
}

const CvdControlHandlers cvd_launch_control_handlers = {
    .get_status = get_status,
    .execute = execute,
    .qmp = qmp,
    .open_console = open_console,
    .report = report,
    .list_clients = list_clients,
};
