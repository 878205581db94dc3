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
        .is_ready = launch->lifecycle.readiness.is_ready,
        .vm_pid = launch->vm != NULL ? (guint)cvd_qemu_process_get_pid(launch->vm->process) : 0,
        .uptime_us = launch->ready_time_us != 0 ? (guint64)(now_us - launch->ready_time_us) : 0,
        .restarts = launch->n_restarts,
        .from = launch->restore.from != NULL ? cvd_snapshot_get_dir(launch->restore.from->snapshot)
                                             : NULL,
        .n_clients = cvd_server_get_n_clients(launch->host.server),
    };
}

/* ---- Verbs ---- */

static gboolean fail(const CvdLaunch *launch, const CvdVerb *verb, const char *why, GError **error)
{
    return cvd_fail(error, CVD_ERROR_BUSY, "%s: the instance is %s%s%s", verb->name,
                    cvd_state_get_name(cvd_launch_get_state(launch)), why[0] != '\0' ? "; " : "",
                    why);
}

gboolean cvd_launch_check_verb(const CvdLaunch *launch, const CvdVerb *verb, GError **error)
{
    const char *obstacle = cvd_verb_get_obstacle(verb, cvd_launch_get_state(launch));

    return obstacle == NULL || fail(launch, verb, obstacle, error);
}

static void refuse(CvdControlCall *take_call, const CvdLaunch *launch, const CvdVerb *verb,
                   const char *why)
{
    g_autoptr(GError) error = NULL;

    fail(launch, verb, why, &error);
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
    gboolean is_awaited = verb->awaited != CVD_AWAITED_NOTHING;
    CvdWaitingCall waiting = {take_call, verb, launch->lifecycle.guest.n_resets};

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

/* ---- Host programs ---- */

static void add_program(const CvdProgramStatus *status, gpointer data)
{
    g_variant_builder_add(
        data, "(sssuut^as)", status->config->name, cvd_program_state_get_name(status->state),
        status->reason != NULL ? status->reason : "", (guint)status->pid, status->n_restarts,
        (guint64)(g_get_monotonic_time() - status->since_us), status->config->regions);
}

static void list_programs(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call)
{
    GVariantBuilder programs = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(sssuutas)"));

    if (launch->programs != NULL)
        cvd_programs_foreach(launch->programs, add_program, &programs);
    cvd_control_call_reply(take_call, g_variant_new("(a(sssuutas))", &programs), -1);
}

/* Returns: whether the call of @waiting is over, with @error set if in vain */
static gboolean is_answered(const CvdWaitingProgramCall *waiting, const CvdProgramStatus *status,
                            GError **error)
{
    if (!cvd_program_is_settled(status->state))
        return FALSE;
    if (waiting->command != CVD_PROGRAM_STOP && status->state != CVD_PROGRAM_READY &&
        status->state != CVD_PROGRAM_DONE)
        cvd_fail(error, CVD_ERROR_FAILED, "program %s %s", status->config->name,
                 status->reason != NULL ? status->reason : "was stopped");
    return TRUE;
}

static void answer_program_calls(const CvdProgramStatus *status, gpointer data)
{
    CvdLaunch *launch = data;

    for (guint i = launch->program_calls->len; i-- > 0;) {
        CvdWaitingProgramCall waiting =
            g_array_index(launch->program_calls, CvdWaitingProgramCall, i);
        g_autoptr(GError) error = NULL;
        if (waiting.program != status->config || !is_answered(&waiting, status, &error))
            continue;
        g_array_remove_index(launch->program_calls, i);
        cvd_control_call_finish(waiting.call, error);
    }
}

void cvd_launch_answer_program_calls(CvdLaunch *launch)
{
    if (launch->program_calls->len > 0)
        cvd_programs_foreach(launch->programs, answer_program_calls, launch);
}

static void command_program(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call,
                            CvdProgramCommand command)
{
    CvdWaitingProgramCall waiting = {.call = take_call, .command = command};
    g_autoptr(GError) error = NULL;
    const char *name;

    g_variant_get(arguments, "(&s)", &name);
    if (launch->programs == NULL)
        cvd_fail(&error, CVD_ERROR_INVALID,
                 "there is no program %s, as the configuration has no \"programs\"", name);
    else
        waiting.program = cvd_programs_command(launch->programs, command, name, &error);
    if (waiting.program == NULL) {
        cvd_control_call_finish(take_call, error);
        return;
    }
    g_array_append_val(launch->program_calls, waiting);
    cvd_launch_answer_program_calls(launch);
}

static void start_program(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call)
{
    command_program(launch, arguments, take_call, CVD_PROGRAM_START);
}

static void stop_program(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call)
{
    command_program(launch, arguments, take_call, CVD_PROGRAM_STOP);
}

static void restart_program(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call)
{
    command_program(launch, arguments, take_call, CVD_PROGRAM_RESTART);
}

typedef void (*Method)(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call);

/* Returns: (nullable): what carries out a method that is no more than a verb */
static Method find_method(const char *name)
{
    static const struct {
        const char *name;
        Method method;
    } methods[] = {
        {"Qmp", qmp},
        {"OpenQmp", open_qmp},
        {"OpenConsole", open_console},
        {"Report", report},
        {"ListClients", list_clients},
        {"ListPrograms", list_programs},
        {"StartProgram", start_program},
        {"StopProgram", stop_program},
        {"RestartProgram", restart_program},
        {"ListRegions", list_regions},
        {"Snapshot", cvd_launch_take_snapshot},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(methods); i++)
        if (strcmp(name, methods[i].name) == 0)
            return methods[i].method;
    return NULL;
}

static void call(const char *name, GVariant *arguments, CvdControlCall *take_call, gpointer data)
{
    const CvdVerb *verb = cvd_verb_find(name);
    Method method = find_method(name);
    g_autoptr(GError) error = NULL;

    if (verb != NULL && !cvd_launch_check_verb(data, verb, &error))
        cvd_control_call_finish(take_call, error);
    else if (method != NULL)
        method(data, arguments, take_call);
    else
        execute(data, verb, take_call);
}

const CvdControlHandlers cvd_launch_control_handlers = {.get_status = get_status, .call = call};
