/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wires server, VM, control interface and lifecycle together: what they report becomes an event,
 * the lifecycle answers with actions, and here those are carried out. Nothing is decided here.
 */
#include "launcher/launch.h"

#include "base/fd.h"
#include "base/source.h"
#include "launcher/bus-master.h"
#include "launcher/launch-private.h"
#include "launcher/notify.h"

#include <malloc.h>
#include <string.h>

/* Of a reason that QEMU gives, in bytes; those that there are are far shorter. */
#define MAX_REASON 64

static CvdQmp *get_qmp(const CvdLaunch *launch)
{
    return cvd_vm_get_qmp(launch->vm);
}

static CvdQemuProcess *get_process(const CvdLaunch *launch)
{
    return cvd_vm_get_process(launch->vm);
}

/* ---- Actions ---- */

/* A connection that has ended refuses nothing; that it has ended is an event of its own. */
static void report_failure(CvdLaunch *launch, const char *command, const GError *error)
{
    if (g_error_matches(error, CVD_ERROR, CVD_ERROR_CLOSED))
        return;
    g_warning("%s: %s", command, error->message);
    cvd_launch_handle(launch, CVD_EVENT_COMMAND_FAILED);
}

static void on_cont(JsonNode *result, const GError *error, gpointer data)
{
    if (error == NULL)
        cvd_launch_handle(data, CVD_EVENT_CONT_DONE);
    else
        report_failure(data, "cont", error);
}

static void on_stop(JsonNode *result, const GError *error, gpointer data)
{
    if (error == NULL)
        cvd_launch_handle(data, CVD_EVENT_STOP_DONE);
    else
        report_failure(data, "stop", error);
}

static void on_powerdown(JsonNode *result, const GError *error, gpointer data)
{
    if (error != NULL)
        report_failure(data, "system_powerdown", error);
}

/*
 * When every byte of the hand-over has left the socket QEMU may still be about to act on the last:
 * one more answer shows that its main loop has come round.
 */
static void on_settled(JsonNode *result, const GError *error, gpointer data)
{
    if (error == NULL)
        cvd_launch_handle(data, CVD_EVENT_HANDED_OVER);
}

static void on_status(JsonNode *result, const GError *error, gpointer data)
{
    CvdLaunch *launch = data;

    if (error != NULL)
        return; /* QMP's `closed` follows */
    cvd_qmp_execute(get_qmp(launch), "query-status", NULL,
                    cvd_server_vm_has_read_all(launch->host.server) ? on_settled : on_status,
                    launch);
}

static void hand_over(CvdLaunch *launch)
{
    if (launch->is_all_sent && launch->lifecycle.state == CVD_STATE_HANDING_OVER)
        on_status(NULL, NULL, launch);
}

typedef struct {
    CvdLaunch *launch;
    CvdQmpReply reply;
    gpointer user_data;
} Cont;

static void on_bus_master(JsonNode *result, const GError *error, gpointer data)
{
    g_autofree Cont *cont = data;

    if (error != NULL)
        cont->reply(NULL, error, cont->user_data);
    else if (!cvd_lifecycle_may_cont(&cont->launch->lifecycle))
        cont->reply(result, NULL, cont->user_data); /* meanwhile it is to stay stopped */
    else
        cvd_qmp_execute(get_qmp(cont->launch), "cont", NULL, cont->reply, cont->user_data);
}

/* Power-on and reset clear the device's command register. */
void cvd_launch_cont(CvdLaunch *launch, CvdQmpReply reply, gpointer user_data)
{
    if (!launch->config->ivshmem_force_bus_master) {
        cvd_qmp_execute(get_qmp(launch), "cont", NULL, reply, user_data);
        return;
    }
    Cont *cont = g_new(Cont, 1);
    *cont = (Cont){.launch = launch, .reply = reply, .user_data = user_data};
    cvd_bus_master_enable(get_qmp(launch), launch->config->ivshmem_slot, on_bus_master, cont);
}

static void on_bus_master_while_paused(JsonNode *result, const GError *error, gpointer data)
{
    if (error != NULL)
        report_failure(data, "ivshmem.force_bus_master", error);
}

static void reset_signals(CvdLaunch *launch)
{
    g_autoptr(GError) error = NULL;

    if (cvd_log_limit_pass(&launch->reset_log_limit, g_get_monotonic_time()))
        g_message("guest was reset");
    cvd_server_hold_clients(launch->host.server);
    if (!cvd_server_clear_signals(launch->host.server, &error))
        g_warning("%s", error->message);
    cvd_server_admit_clients(launch->host.server);
    /* Whoever resumes it does so without us. */
    if (launch->lifecycle.state == CVD_STATE_PAUSED && launch->config->ivshmem_force_bus_master)
        cvd_bus_master_enable(get_qmp(launch), launch->config->ivshmem_slot,
                              on_bus_master_while_paused, launch);
}

static void announce_ready(CvdLaunch *launch)
{
    launch->ready_time_us = g_get_monotonic_time();
    double ms = (double)(launch->ready_time_us - launch->start_time_us) / 1000;

    if (launch->lifecycle.state == CVD_STATE_PAUSED)
        g_message("paused after %.0f ms, ready for a debugger", ms);
    else
        g_message("running after %.0f ms", ms);
    cvd_vm_start_heartbeat(launch->vm);
    cvd_notify("READY=1");
    /* Parsing left free pages behind that would stay ours for as long as the VM runs. */
    malloc_trim(0);
}

static void tell_restart(const CvdLaunch *launch, int delay_ms)
{
    const CvdRestartPolicy *policy = &launch->lifecycle.restarts;

    if (launch->verdict.exit_status == 0)
        g_message("restarting");
    else
        g_message("restarting in %g s (failure %u of %u within 10 minutes)", delay_ms / 1000.0,
                  cvd_restart_policy_get_n_failures(policy), policy->limit);
}

/* The next VM must not find what this one left in the window and the doorbells. */
static void renew(CvdLaunch *launch, int delay_ms)
{
    g_autoptr(GError) error = NULL;

    cvd_launch_judge(launch);
    tell_restart(launch, delay_ms);
    launch->ready_time_us = 0;
    launch->qemu_exit = (CvdExit){.is_known = TRUE}; /* told, and nothing to tell of again */
    cvd_server_disconnect_vm(launch->host.server);
    if (!cvd_server_renew(launch->host.server, &error)) {
        g_critical("%s", error->message);
        cvd_launch_handle(launch, CVD_EVENT_START_FAILED);
    }
}

static void on_qmp_ready(gpointer data);
static void on_qmp_event(const char *name, JsonObject *event_data, gpointer data);
static void on_qmp_closed(const GError *error, gpointer data);
static void on_unresponsive(gpointer data);
static void on_qemu_exited(CvdExit how, gpointer data);

static gboolean start_vm(CvdLaunch *launch, GError **error)
{
    static const CvdVmHandlers handlers = {
        .qmp = {on_qmp_ready, on_qmp_event, on_qmp_closed},
        .unresponsive = on_unresponsive,
        .exited = on_qemu_exited,
    };

    g_clear_pointer(&launch->vm, cvd_vm_free);
    launch->qemu_exit = (CvdExit){0};
    launch->is_all_sent = FALSE;
    int ivshmem_fd = cvd_server_connect_vm(launch->host.server, error);
    if (ivshmem_fd < 0)
        return FALSE;
    launch->vm = cvd_vm_start(launch->config, launch->tools, ivshmem_fd, launch->qemu_log,
                              launch->console, &handlers, launch, error);
    return launch->vm != NULL;
}

static void start_again(CvdLaunch *launch)
{
    g_autoptr(GError) error = NULL;

    launch->start_time_us = g_get_monotonic_time();
    launch->n_restarts++;
    cvd_fd_hold_back(0); /* clients may have all the others */
    gboolean is_started = start_vm(launch, &error);
    cvd_fd_hold_back(CVD_FD_RESERVE);
    if (!is_started) {
        g_critical("%s", error->message);
        cvd_launch_handle(launch, CVD_EVENT_START_FAILED);
    }
}

/* ---- Events ---- */

static gboolean on_timer(gpointer data)
{
    CvdLaunch *launch = data;

    cvd_source_clear(&launch->timer);
    cvd_launch_handle(launch, CVD_EVENT_TIMER);
    return G_SOURCE_REMOVE;
}

static void arm_timer(CvdLaunch *launch, int timer_ms)
{
    if (timer_ms == CVD_TIMER_UNCHANGED)
        return;
    cvd_source_clear(&launch->timer);
    if (timer_ms == CVD_TIMER_OFF)
        return;
    launch->timer = g_timeout_source_new((guint)timer_ms);
    g_source_set_callback(launch->timer, on_timer, launch, NULL);
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();
    g_source_attach(launch->timer, context);
}

static void tell_rung(const CvdLaunch *launch, guint actions, CvdState before)
{
    const char *state = cvd_launch_get_state_name(launch);

    if ((actions & CVD_ACTION_POWERDOWN) && before != CVD_STATE_POWERING_DOWN)
        g_message("%s: asked the guest to power off%s", state,
                  launch->lifecycle.is_stop_asked ? "; ctrl-c again to quit at once" : "");
    if (actions & CVD_ACTION_QUIT)
        g_message("%s: asked QEMU to quit", state);
    if (actions & CVD_ACTION_TERMINATE)
        g_message("%s: sent SIGTERM to QEMU", state);
    if (actions & CVD_ACTION_KILL)
        g_message("%s: killed QEMU", state);
}

static void carry_out(CvdLaunch *launch, CvdStep step)
{
    if (step.actions & CVD_ACTION_HAND_OVER)
        hand_over(launch);
    if (step.actions & CVD_ACTION_RESET_SIGNALS)
        reset_signals(launch);
    if (step.actions & CVD_ACTION_CONT)
        cvd_launch_cont(launch, on_cont, launch);
    if (step.actions & CVD_ACTION_STOP)
        cvd_qmp_execute(get_qmp(launch), "stop", NULL, on_stop, launch);
    if (step.actions & CVD_ACTION_POWERDOWN)
        cvd_qmp_execute(get_qmp(launch), "system_powerdown", NULL, on_powerdown, launch);
    if (step.actions & CVD_ACTION_QUIT)
        cvd_qmp_execute(get_qmp(launch), "quit", NULL, NULL, NULL);
    if (step.actions & CVD_ACTION_TERMINATE)
        cvd_qemu_process_terminate(get_process(launch));
    if (step.actions & CVD_ACTION_KILL)
        cvd_qemu_process_kill(get_process(launch));
    if (step.actions & CVD_ACTION_READY)
        announce_ready(launch);
    if (step.actions & CVD_ACTION_RENEW)
        renew(launch, step.timer_ms);
    if (step.actions & CVD_ACTION_START)
        start_again(launch);
    if (step.actions & CVD_ACTION_END)
        g_main_loop_quit(launch->loop);
}

const char *cvd_launch_get_state_name(const CvdLaunch *launch)
{
    if (launch->lifecycle.state == CVD_STATE_ENDED && launch->verdict.exit_status != 0)
        return "failed";
    return cvd_lifecycle_get_state_name(&launch->lifecycle);
}

/* What others are told of the state; a VM that is gone has a verdict, which is told then. */
static void tell_state(CvdLaunch *launch)
{
    if (launch->lifecycle.state == CVD_STATE_ENDED)
        return;
    if (launch->lifecycle.state != CVD_STATE_RESTARTING)
        launch->reason = cvd_cause_to_words(&launch->lifecycle);
    if (launch->lifecycle.is_stop_asked && !launch->is_exit_told) {
        launch->is_exit_told = TRUE;
        cvd_notify("STOPPING=1");
    }
    cvd_control_status_changed(launch->control);
}

void cvd_launch_handle(CvdLaunch *launch, CvdEvent event)
{
    CvdState before = launch->lifecycle.state;
    CvdStep step = cvd_lifecycle_step(&launch->lifecycle, event, g_get_monotonic_time());

    arm_timer(launch, step.timer_ms);
    tell_rung(launch, step.actions, before);
    carry_out(launch, step);
    tell_state(launch);
}

static void on_signal(gpointer data)
{
    cvd_launch_handle(data, CVD_EVENT_STOP_REQUESTED);
}

static void on_hangup(gpointer data)
{
    cvd_launch_handle(data, CVD_EVENT_HANGUP);
}

static void on_time_limit(gpointer data)
{
    cvd_launch_handle(data, CVD_EVENT_TIME_LIMIT);
}

static void on_handed_over(CvdServer *server, gpointer data)
{
    CvdLaunch *launch = data;

    launch->is_all_sent = TRUE;
    hand_over(launch);
}

static void on_vm_detached(CvdServer *server, gpointer data)
{
    cvd_launch_handle(data, CVD_EVENT_CONNECTION_LOST);
}

static void on_qmp_ready(gpointer data)
{
    cvd_launch_handle(data, CVD_EVENT_QMP_READY);
}

static const char *get_text(JsonObject *event_data, const char *member)
{
    JsonNode *node = event_data != NULL ? json_object_get_member(event_data, member) : NULL;

    return node != NULL && json_node_get_value_type(node) == G_TYPE_STRING
               ? json_node_get_string(node)
               : "";
}

static void on_shutdown_event(CvdLaunch *launch, JsonObject *event_data)
{
    cvd_lifecycle_note_shutdown(&launch->lifecycle, get_text(event_data, "reason"));
    cvd_launch_handle(launch, CVD_EVENT_VM_SHUTDOWN);
}

/* SHUTDOWN follows if QEMU was told to exit at a panic, but it says `stop` first. */
static void on_panic_event(CvdLaunch *launch, JsonObject *event_data)
{
    g_message("guest panicked");
    if (strcmp(get_text(event_data, "action"), "poweroff") != 0)
        return;
    cvd_lifecycle_note_shutdown(&launch->lifecycle, "guest-panic");
    cvd_launch_handle(launch, CVD_EVENT_VM_SHUTDOWN);
}

/* Whoever chose another action than ours, `pause`, has it. */
static void on_watchdog_event(CvdLaunch *launch, JsonObject *event_data)
{
    g_message("the guest's watchdog ran out");
    if (strcmp(get_text(event_data, "action"), "pause") == 0)
        cvd_launch_handle(launch, CVD_EVENT_WATCHDOG);
}

static void forward_event(CvdLaunch *launch, const char *name, JsonObject *event_data)
{
    g_autoptr(JsonNode) node = NULL;
    g_autofree char *text = NULL;

    if (!cvd_control_has_connections(launch->control))
        return;
    if (event_data != NULL) {
        node = json_node_init_object(json_node_alloc(), event_data);
        text = json_to_string(node, FALSE);
    }
    cvd_control_guest_event(launch->control, name, text);
}

static void on_qmp_event(const char *name, JsonObject *event_data, gpointer data)
{
    static const struct {
        const char *name;
        CvdEvent event;
    } events[] = {
        {"STOP", CVD_EVENT_VM_STOPPED},
        {"RESUME", CVD_EVENT_VM_RESUMED},
        {"RESET", CVD_EVENT_VM_RESET},
    };
    CvdLaunch *launch = data;

    g_debug("QMP event %s", name);
    forward_event(launch, name, event_data);
    if (strcmp(name, "SHUTDOWN") == 0)
        on_shutdown_event(launch, event_data);
    else if (strcmp(name, "GUEST_PANICKED") == 0)
        on_panic_event(launch, event_data);
    else if (strcmp(name, "WATCHDOG") == 0)
        on_watchdog_event(launch, event_data);
    for (gsize i = 0; i < G_N_ELEMENTS(events); i++)
        if (strcmp(name, events[i].name) == 0)
            cvd_launch_handle(launch, events[i].event);
}

static void on_qmp_closed(const GError *error, gpointer data)
{
    if (error != NULL)
        g_warning("%s", error->message);
    cvd_launch_handle(data, CVD_EVENT_CONNECTION_LOST);
}

static void on_unresponsive(gpointer data)
{
    cvd_launch_handle(data, CVD_EVENT_UNRESPONSIVE);
}

static void on_qemu_exited(CvdExit how, gpointer data)
{
    CvdLaunch *launch = data;

    launch->qemu_exit = how;
    cvd_launch_handle(launch, CVD_EVENT_QEMU_EXITED);
}

/* ---- Start and end ---- */

static gboolean open_logs(CvdLaunch *launch, GError **error)
{
    launch->qemu_log = cvd_log_file_new(launch->host.dir, "qemu.log", error);
    if (launch->qemu_log == NULL)
        return FALSE;
    if (launch->config->qemu.serial == CVD_SERIAL_NONE)
        return TRUE;
    launch->console_log = cvd_log_file_new(launch->host.dir, "console.log", error);
    if (launch->console_log == NULL)
        return FALSE;
    launch->console = cvd_console_new(launch->console_log);
    if (launch->config->qemu.serial == CVD_SERIAL_STDIO)
        cvd_console_relay_stdio(launch->console);
    return TRUE;
}

/* Until its devices want the window, which takes it a while, QEMU loads beside us. But programs of
 * the binary dialect do not try twice, so for them there is a server before there is a QEMU. */
static gboolean start_both(CvdLaunch *launch, GError **error)
{
    CvdServer *server = launch->host.server;

    if (launch->config->legacy_socket != NULL)
        return cvd_server_start(server, error) && start_vm(launch, error);
    return start_vm(launch, error) && cvd_server_start(server, error);
}

static gboolean start(CvdLaunch *launch, GError **error)
{
    if (!cvd_host_open(&launch->host, launch->config, CVD_VM_ACCESS_OWN, error))
        return FALSE;
    g_signal_connect(launch->host.server, "vm-handed-over", G_CALLBACK(on_handed_over), launch);
    g_signal_connect(launch->host.server, "vm-detached", G_CALLBACK(on_vm_detached), launch);
    if (!open_logs(launch, error) || !start_both(launch, error))
        return FALSE;
    launch->control = cvd_host_open_control(&launch->host, launch->config,
                                            &cvd_launch_control_handlers, launch, error);
    if (launch->control == NULL)
        return FALSE;
    arm_timer(launch, (int)launch->lifecycle.start_timeout_ms);
    return TRUE;
}

static void clear(CvdLaunch *launch, gboolean has_failed)
{
    cvd_stop_sources_clear(&launch->stop_sources);
    cvd_source_clear(&launch->timer);
    g_clear_pointer(&launch->vm, cvd_vm_free);
    g_clear_pointer(&launch->control, cvd_control_free);
    g_clear_pointer(&launch->console, cvd_console_free);
    g_clear_pointer(&launch->console_log, cvd_log_file_free);
    g_clear_pointer(&launch->qemu_log, cvd_log_file_free);
    if (launch->host.server != NULL)
        g_signal_handlers_disconnect_by_data(launch->host.server, launch);
    cvd_host_stop(&launch->host, has_failed);
    cvd_restart_policy_clear(&launch->lifecycle.restarts);
    g_clear_pointer(&launch->verdict.text, g_free);
    g_clear_pointer(&launch->program, g_free);
}

static int finish(CvdLaunch *launch)
{
    cvd_launch_judge(launch);
    if (!launch->is_exit_told)
        cvd_notify("STOPPING=1");
    cvd_control_status_changed(launch->control);
    return launch->verdict.exit_status;
}

int cvd_launch(const CvdConfig *config, const CvdQemuTools *tools, const CvdLaunchOptions *options)
{
    static const CvdStopHandlers stop_handlers = {on_signal, on_hangup, on_time_limit};
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();
    g_autoptr(GMainLoop) loop = g_main_loop_new(context, FALSE);
    g_autoptr(GError) error = NULL;
    CvdLaunch launch = {
        .config = config,
        .tools = tools,
        .program = g_path_get_basename(tools->binary),
        .lifecycle = {.start_paused = options->paused,
                      .start_timeout_ms = config->start_timeout_s * 1000,
                      .stop = config->stop,
                      .stop_timeout_ms = config->stop_timeout_s * 1000,
                      .on_crash = config->on_crash,
                      .on_panic = config->on_panic,
                      .on_reboot = config->on_reboot,
                      .restarts = {.limit = config->restart_limit,
                                   .first_delay_ms = config->restart_delay_ms}},
        .reason = "",
        .start_time_us = g_get_monotonic_time(),
        .loop = loop,
    };

    if (!cvd_stop_sources_attach(&launch.stop_sources, options->timeout_s, &stop_handlers, &launch,
                                 &error) ||
        !start(&launch, &error)) {
        g_critical("%s", error->message);
        clear(&launch, FALSE);
        return 1;
    }
    cvd_log_never_block();
    g_main_loop_run(loop);
    int exit_status = finish(&launch);
    clear(&launch, exit_status != 0);
    return exit_status;
}
