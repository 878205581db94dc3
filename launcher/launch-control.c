/* SPDX-License-Identifier: Apache-2.0 */
/* What the control interface asks of a launch: each call ends in an event of the lifecycle or in a
 * QMP command, whose answer is the call's. */
#include "launcher/launch-private.h"

#include "base/error.h"

#include <string.h>

static void get_status(CvdControlStatus *status, gpointer data)
{
    const CvdLaunch *launch = data;
    gint64 now_us = g_get_monotonic_time();

    *status = (CvdControlStatus){
        .state = cvd_state_get_name(cvd_launch_get_state(launch)),
        .reason = launch->reason,
        .vm_pid = launch->vm != NULL ? (guint)cvd_qemu_process_get_pid(launch->vm->process) : 0,
        .uptime_us = launch->ready_time_us != 0 ? (guint64)(now_us - launch->ready_time_us) : 0,
        .restarts = launch->n_restarts,
        .n_clients = cvd_server_get_n_clients(launch->host.server),
    };
}

/* ---- Verbs ---- */

static const char *const verb_names[] = {
    [CVD_CONTROL_STOP] = "stop",     [CVD_CONTROL_RESTART] = "restart",
    [CVD_CONTROL_RESET] = "reset",   [CVD_CONTROL_PAUSE] = "pause",
    [CVD_CONTROL_RESUME] = "resume", [CVD_CONTROL_POWER_BUTTON] = "power-button",
};

/* A call that is answered when the guest is as its caller wants it. */
typedef struct {
    CvdControlCall *call;
    CvdControlVerb verb;
    guint n_resets; /* of the guest, when it came */
} WaitingCall;

GArray *cvd_launch_calls_new(void)
{
    return g_array_new(FALSE, FALSE, sizeof(WaitingCall));
}

static void refuse(CvdControlCall *take_call, const CvdLaunch *launch, CvdControlVerb verb,
                   const char *why)
{
    g_autoptr(GError) error = g_error_new(
        CVD_ERROR, CVD_ERROR_BUSY, "%s: the instance is %s%s%s", verb_names[verb],
        cvd_state_get_name(cvd_launch_get_state(launch)), why[0] != '\0' ? "; " : "", why);

    cvd_control_call_finish(take_call, NULL, error);
}

static void finish(CvdControlCall *take_call)
{
    cvd_control_call_finish(take_call, NULL, NULL);
}

void cvd_launch_answer_calls(CvdLaunch *launch)
{
    for (guint i = launch->calls->len; i-- > 0;) {
        WaitingCall waiting = g_array_index(launch->calls, WaitingCall, i);
        CvdAnswer answer =
            cvd_lifecycle_get_answer(&launch->lifecycle, waiting.verb, waiting.n_resets);

        if (answer == CVD_ANSWER_PENDING)
            continue;
        g_array_remove_index(launch->calls, i);
        if (answer == CVD_ANSWER_DONE)
            finish(waiting.call);
        else
            refuse(waiting.call, launch, waiting.verb, launch->reason);
    }
}

static void await(CvdLaunch *launch, CvdControlVerb verb, CvdControlCall *take_call)
{
    WaitingCall waiting = {take_call, verb, launch->lifecycle.guest.n_resets};

    g_array_append_val(launch->calls, waiting);
}

static void on_done(JsonNode *result, const GError *error, gpointer data)
{
    cvd_control_call_finish(data, NULL, error);
}

/* QEMU refuses no reset. */
static void on_reset(JsonNode *result, const GError *error, gpointer data)
{
    if (error != NULL)
        g_warning("%s", error->message);
}

static void execute(CvdControlVerb verb, CvdControlCall *take_call, gpointer data)
{
    CvdLaunch *launch = data;

    CvdState state = cvd_launch_get_state(launch);

    if (!cvd_lifecycle_may(verb, state)) {
        refuse(take_call, launch, verb,
               state < CVD_STATE_STOPPING || state == CVD_STATE_RESTARTING
                   ? state == CVD_STATE_STARTING || state == CVD_STATE_RESTARTING
                         ? "wait until it has started"
                         : "wait until it is running"
                   : "start it again when it has ended");
        return;
    }
    switch (verb) {
    case CVD_CONTROL_STOP:
        cvd_launch_handle(launch, CVD_EVENT_STOP_REQUESTED);
        finish(take_call);
        return;
    case CVD_CONTROL_RESTART:
        cvd_launch_handle(launch, CVD_EVENT_RESTART_REQUESTED);
        finish(take_call);
        return;
    case CVD_CONTROL_RESET:
        await(launch, verb, take_call);
        cvd_qmp_execute(launch->vm->qmp, "system_reset", NULL, on_reset, launch);
        return;
    case CVD_CONTROL_PAUSE:
        await(launch, verb, take_call);
        cvd_launch_handle(launch, CVD_EVENT_PAUSE_REQUESTED);
        return;
    case CVD_CONTROL_RESUME:
        await(launch, verb, take_call);
        cvd_launch_handle(launch, CVD_EVENT_RESUME_REQUESTED);
        return;
    case CVD_CONTROL_POWER_BUTTON:
        cvd_qmp_execute(launch->vm->qmp, "system_powerdown", NULL, on_done, take_call);
        return;
    }
    g_assert_not_reached();
}

typedef struct {
    CvdLaunch *launch;
    CvdControlCall *call;
} Passed;

static void on_answer(const char *reply, gsize size, const GError *error, gpointer data)
{
    g_autofree Passed *passed = data;
    g_autoptr(GBytes) bytes = reply != NULL ? g_bytes_new_static(reply, size) : NULL;

    cvd_control_call_finish(passed->call, bytes, error);
}

static void on_caller_gone(gpointer data)
{
    Passed *passed = data;

    cvd_qmp_forget(passed->launch->vm->qmp, passed);
    on_answer(NULL, 0, NULL, passed);
}

static void qmp(const char *command, CvdControlCall *take_call, gpointer data)
{
    CvdLaunch *launch = data;

    if (launch->vm == NULL || !launch->lifecycle.has_answered) {
        g_autoptr(GError) error = g_error_new_literal(
            CVD_ERROR, CVD_ERROR_BUSY, "QEMU does not take commands yet; wait until it runs");
        cvd_control_call_finish(take_call, NULL, error);
        return;
    }
    Passed *passed = g_new(Passed, 1);
    *passed = (Passed){.launch = launch, .call = take_call};
    cvd_control_call_set_cancelled(take_call, on_caller_gone, passed);
    cvd_qmp_pass_on(launch->vm->qmp, command, on_answer, passed);
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

const CvdControlHandlers cvd_launch_control_handlers = {
    .get_status = get_status,
    .execute = execute,
    .qmp = qmp,
    .open_console = open_console,
    .report = report,
    .list_clients = cvd_host_list_clients,
};
