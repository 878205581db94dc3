/* SPDX-License-Identifier: Apache-2.0 */
/* What the control interface asks of a launch: each call ends in an event of the lifecycle or in a
 * QMP command, whose answer is the call's. */
#include "launcher/launch-private.h"

#include "base/error.h"
#include "base/fd.h"

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

static void refuse(CvdControlCall *take_call, const CvdLaunch *launch, const CvdVerb *verb,
                   const char *why)
{
    g_autoptr(GError) error = g_error_new(
        CVD_ERROR, CVD_ERROR_BUSY, "%s: the instance is %s%s%s", verb->name,
        cvd_state_get_name(cvd_launch_get_state(launch)), why[0] != '\0' ? "; " : "", why);

    cvd_control_call_finish(take_call, error);
}

void cvd_launch_answer_calls(CvdLaunch *launch)
{
    for (guint i = launch->calls->len; i-- > 0;) {
        CvdWaitingCall waiting = g_array_index(launch->calls, CvdWaitingCall, i);
        CvdAnswer answer =
            cvd_lifecycle_get_answer(&launch->lifecycle, waiting.verb->awaited, waiting.n_resets);

        if (answer == CVD_ANSWER_PENDING)
            continue;
        g_array_remove_index(launch->calls, i);
        if (answer == CVD_ANSWER_DONE)
            cvd_control_call_finish(waiting.call, NULL);
        else
            refuse(waiting.call, launch, waiting.verb, launch->reason);
    }
}

static void on_done(CvdJsonSpan result, const GError *error, gpointer data)
{
    cvd_control_call_finish(data, error);
}

/* It is the guest that is awaited, and QEMU refuses none of these commands. */
static void on_begun(CvdJsonSpan result, const GError *error, gpointer data)
{
    if (error != NULL && cvd_launch_may_log(data))
        g_warning("%s", error->message);
}

static void execute(CvdLaunch *launch, const CvdVerb *verb, CvdControlCall *take_call)
{
    const char *obstacle = cvd_verb_get_obstacle(verb, cvd_launch_get_state(launch));
    gboolean is_awaited = verb->awaited != CVD_AWAITED_NOTHING;
    CvdWaitingCall waiting = {take_call, verb, launch->lifecycle.guest.n_resets};

    if (obstacle != NULL) {
        refuse(take_call, launch, verb, obstacle);
        return;
    }
    if (is_awaited)
        g_array_append_val(launch->calls, waiting);
    if (verb->command != NULL) {
        cvd_qmp_execute(launch->vm->qmp, verb->command, NULL, is_awaited ? on_begun : on_done,
                        take_call);
        return;
    }
    cvd_launch_handle(launch, verb->event);
    if (!is_awaited)
        cvd_control_call_finish(take_call, NULL);
}

typedef struct {
    CvdLaunch *launch;
    CvdControlCall *call;
} Passed;

static void on_answer(CvdJsonSpan result, const GError *error, gpointer data)
{
    g_autofree Passed *passed = data;
    g_autoptr(GError) failure = error != NULL ? g_error_copy(error) : NULL;
    int fd =
        result.text != NULL ? cvd_fd_new_sealed("cvd-qmp-reply", result.text, result.size) : -1;

    if (fd >= 0) {
        cvd_control_call_reply(passed->call, g_variant_new("(h)", 0), fd);
        return;
    }
    if (failure == NULL)
        cvd_fail(&failure, CVD_ERROR_RESOURCES, "no memory or descriptor for QEMU's reply");
    cvd_control_call_finish(passed->call, failure);
}

static void on_caller_gone(gpointer data)
{
    Passed *passed = data;

    cvd_qmp_forget(passed->launch->vm->qmp, passed);
    on_answer((CvdJsonSpan){0}, NULL, passed);
}

/* Returns: whether QEMU takes commands; if not, the call is finished */
static gboolean check_qmp(const CvdLaunch *launch, CvdControlCall *call)
{
    g_autoptr(GError) error = NULL;

    if (launch->vm != NULL && launch->lifecycle.has_answered)
        return TRUE;
    cvd_fail(&error, CVD_ERROR_BUSY, "QEMU does not take commands yet; wait until it runs");
    cvd_control_call_finish(call, error);
    return FALSE;
}

static void qmp(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call)
{
    const char *command;

    g_variant_get(arguments, "(&s)", &command);
    if (!check_qmp(launch, take_call))
        return;
    Passed *passed = g_new(Passed, 1);
    *passed = (Passed){.launch = launch, .call = take_call};
    cvd_control_call_set_cancelled(take_call, on_caller_gone, passed);
    cvd_qmp_pass_on(launch->vm->qmp, command, on_answer, passed);
}

static void open_qmp(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call)
{
    g_autoptr(GError) error = NULL;

    if (!check_qmp(launch, take_call))
        return;
    int fd = cvd_qmp_streams_open(launch->vm->qmp_streams, &error);
    if (fd >= 0)
        cvd_control_call_reply(take_call, g_variant_new("(h)", 0), fd);
    else
        cvd_control_call_finish(take_call, error);
}

static void open_console(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call)
{
    g_autoptr(GError) error = NULL;
    int fd = -1;

    if (launch->console != NULL)
        fd = cvd_console_open_viewer(launch->console, &error);
    else
        cvd_fail(&error, CVD_ERROR_FAILED,
                 "the VM has no serial console, as qemu.serial is \"none\"");
    if (fd >= 0)
        cvd_control_call_reply(take_call, g_variant_new("(h)", 0), fd);
    else
        cvd_control_call_finish(take_call, error);
}

static void report(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *record = cvd_launch_describe(launch);
    int fd = cvd_server_open_window_read_only(launch->host.server, &error);

    if (fd >= 0)
        cvd_control_call_reply(take_call, g_variant_new("(sh)", record, 0), fd);
    else
        cvd_control_call_finish(take_call, error);
}

static void list_clients(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call)
{
    cvd_host_list_clients(&launch->host, take_call);
}

static void list_regions(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call)
{
    cvd_host_list_regions(&launch->host, take_call);
}

static void call(const char *method, GVariant *arguments, CvdControlCall *take_call, gpointer data)
{
    static const struct {
        const char *method;
        void (*run)(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call);
    } others[] = {
        {"Qmp", qmp},       {"OpenQmp", open_qmp},         {"OpenConsole", open_console},
        {"Report", report}, {"ListClients", list_clients}, {"ListRegions", list_regions},
    };
    const CvdVerb *verb = cvd_verb_find(method);

    if (verb != NULL)
        execute(data, verb, take_call);
    for (gsize i = 0; verb == NULL && i < G_N_ELEMENTS(others); i++)
        if (strcmp(method, others[i].method) == 0)
            others[i].run(data, arguments, take_call);
}

const CvdControlHandlers cvd_launch_control_handlers = {.get_status = get_status, .call = call};
