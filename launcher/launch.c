/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wires server, VM, control interface and lifecycle together: what they report becomes an event,
 * the lifecycle answers with actions, and launch-actions.c carries those out. Nothing is decided
 * here.
 */
#include "launcher/launch.h"

#include "base/fd.h"
#include "base/notify.h"
#include "base/source.h"
#include "launcher/background.h"
#include "launcher/config/cpus.h"
#include "launcher/launch-private.h"

#include <string.h>

/* After QEMU's end: the record of a failure may have 256 MiB of the window in it. */
#define TEARDOWN_US (10 * G_USEC_PER_SEC)

typedef struct {
    CvdEvent event;
    CvdRunState run_state;
} Input;

/* ---- State, in the log and for others ---- */

gboolean cvd_launch_may_log(CvdLaunch *launch)
{
    return cvd_log_limit_pass(&launch->log_limit, g_get_monotonic_time());
}

void cvd_launch_log_state(const CvdLaunch *launch, GLogLevelFlags level, const char *format, ...)
{
    const char *state = cvd_state_get_name(cvd_launch_get_state(launch));
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    cvd_log_fields(level, "MESSAGE_ID", CVD_LAUNCH_STATE_ID, "CVD_STATE", state, "MESSAGE", "%s",
                   text);
}

CvdState cvd_launch_get_state(const CvdLaunch *launch)
{
    CvdState state = cvd_lifecycle_get_state(&launch->lifecycle);

    return state == CVD_STATE_STOPPED && launch->exit_status != 0 ? CVD_STATE_FAILED : state;
}

gboolean cvd_launch_is_asked_restart(const CvdLaunch *launch)
{
    return launch->lifecycle.cause == CVD_CAUSE_RESTART_REQUESTED &&
           cvd_launch_get_state(launch) == CVD_STATE_RESTARTING;
}

void cvd_launch_set_fault(CvdLaunch *launch, const char *text)
{
    g_free(launch->fault);
    launch->fault = g_strdup(text);
}

static void log_way_down(const CvdLaunch *launch, guint actions, CvdLadderState before)
{
    const char *state = cvd_launch_is_asked_restart(launch)
                            ? "restarting, as was asked"
                            : cvd_state_get_name(cvd_launch_get_state(launch));

    if (launch->lifecycle.ladder.state == CVD_LADDER_POWERING_DOWN &&
        before != CVD_LADDER_POWERING_DOWN)
        cvd_launch_log_state(
            launch, G_LOG_LEVEL_MESSAGE, "%s: asked the guest to power off%s%s", state,
            launch->lifecycle.policy.is_stop_asked ? "; " : "",
            launch->lifecycle.policy.is_stop_asked ? cvd_background_get_way_to_quit() : "");
    if (actions & CVD_ACTION_QUIT)
        cvd_launch_log_state(launch, G_LOG_LEVEL_MESSAGE, "%s: asked QEMU to quit", state);
    if (actions & CVD_ACTION_TERMINATE)
        cvd_launch_log_state(launch, G_LOG_LEVEL_MESSAGE, "%s: sent SIGHUP to QEMU", state);
    if (actions & CVD_ACTION_KILL)
        cvd_launch_log_state(launch, G_LOG_LEVEL_MESSAGE, "%s: killed QEMU", state);
}

/* To be shown by `systemctl status`. */
static void notify_state(CvdLaunch *launch)
{
    const char *state = cvd_state_get_name(cvd_launch_get_state(launch));
    g_autofree char *text =
        g_strdup_printf("%s%s%s", state, launch->reason[0] != '\0' ? ": " : "", launch->reason);

    if (g_strcmp0(text, launch->notified) == 0)
        return;
    cvd_notify("STATUS", text);
    g_free(launch->notified);
    launch->notified = g_steal_pointer(&text);
}

/* Programs that come after each other end one after the other. */
static gint64 get_longest_stop_us(const CvdLaunch *launch)
{
    const CvdConfig *config = launch->config;
    gint64 sum_s = config->hooks.after_stop != NULL ? config->hooks.timeout_s : 0;

    for (guint i = 0; i < config->n_programs; i++)
        sum_s += config->programs[i].stop_timeout_s;
    return cvd_ladder_get_longest_us(config->stop_timeout_s) + sum_s * G_TIME_SPAN_SECOND +
           TEARDOWN_US;
}

static void notify_stop(CvdLaunch *launch)
{
    if (launch->is_end_notified)
        return;
    launch->is_end_notified = TRUE;
    cvd_notify("STOPPING", "1");
    cvd_notify_need_time(get_longest_stop_us(launch));
}

/* That the guest is stopped, or runs again, and why. */
static void log_pause(CvdLaunch *launch, CvdState before)
{
    CvdState state = cvd_lifecycle_get_state(&launch->lifecycle);

    if (before == CVD_STATE_STARTING || state == CVD_STATE_STARTING || state > CVD_STATE_FAULTED ||
        (before == CVD_STATE_RUNNING && state == CVD_STATE_RUNNING) || !cvd_launch_may_log(launch))
        return;
    if (state == CVD_STATE_FAULTED)
        cvd_launch_log_state(launch, G_LOG_LEVEL_WARNING,
                             "faulted: %s; once that is mended, 'cvd-ctl resume' goes on",
                             launch->reason);
    else if (launch->reason[0] != '\0' && state != CVD_STATE_RUNNING)
        cvd_launch_log_state(launch, G_LOG_LEVEL_MESSAGE, "%s: %s", cvd_state_get_name(state),
                             launch->reason);
    else
        cvd_launch_log_state(launch, G_LOG_LEVEL_MESSAGE, "%s again", cvd_state_get_name(state));
}

/* A VM that is gone has a verdict, which is reported elsewhere. */
static void publish_state(CvdLaunch *launch, CvdState before)
{
    CvdFollow follow = launch->lifecycle.policy.follow;

    if (follow == CVD_FOLLOW_END || follow == CVD_FOLLOW_GIVE_UP)
        return;
    if (follow == CVD_FOLLOW_UNDECIDED) {
        g_autofree char *old = launch->reason;
        launch->reason = cvd_describe_state(&launch->lifecycle, launch->fault);
        if (before != cvd_lifecycle_get_state(&launch->lifecycle) ||
            strcmp(old, launch->reason) != 0)
            log_pause(launch, before);
    }
    notify_state(launch);
    cvd_launch_notify_delay(launch, before);
    if (launch->lifecycle.policy.is_stop_asked)
        notify_stop(launch);
    cvd_control_status_changed(launch->host.control);
}

/* ---- Steps ---- */

static gboolean on_timer(gpointer data)
{
    CvdLaunch *launch = data;

    cvd_source_clear(&launch->timer);
    /* Before a limit is checked: QEMU may have kept it, and only we were late. */
    if (launch->vm != NULL)
        cvd_qmp_read_rest(launch->vm->qmp);
    cvd_launch_handle(launch, CVD_EVENT_TIMER);
    return G_SOURCE_REMOVE;
}

static void arm_timer(CvdLaunch *launch)
{
    gint64 due_us = cvd_lifecycle_get_due_us(&launch->lifecycle);

    if (launch->timer != NULL && due_us == g_source_get_ready_time(launch->timer))
        return;
    if (due_us == 0)
        cvd_source_clear(&launch->timer);
    else
        cvd_source_set_timer(&launch->timer, due_us, on_timer, launch);
}

static void step(CvdLaunch *launch, const Input *input)
{
    CvdState before = cvd_lifecycle_get_state(&launch->lifecycle);
    CvdLadderState ladder_before = launch->lifecycle.ladder.state;
    guint actions = cvd_lifecycle_step(&launch->lifecycle, input->event, input->run_state,
                                       g_get_monotonic_time());

    log_way_down(launch, actions, ladder_before);
    cvd_launch_carry_out(launch, actions);
    publish_state(launch, before);
    cvd_launch_answer_calls(launch);
}

/* What an action leads to at once is an event that waits until all are carried out. */
static void handle(CvdLaunch *launch, Input input)
{
    g_array_append_val(launch->inputs, input);
    if (launch->inputs->len > 1)
        return;
    for (guint i = 0; i < launch->inputs->len; i++) {
        Input next = g_array_index(launch->inputs, Input, i);
        step(launch, &next);
    }
    g_array_set_size(launch->inputs, 0);
    arm_timer(launch);
}

void cvd_launch_handle(CvdLaunch *launch, CvdEvent event)
{
    handle(launch, (Input){.event = event});
}

void cvd_launch_handle_status(CvdLaunch *launch, CvdEvent event, CvdJsonSpan status)
{
    g_autoptr(JsonNode) node = cvd_json_parse_leniently(status);
    const char *name = JSON_NODE_HOLDS_OBJECT(node)
                           ? cvd_json_get_text(json_node_get_object(node), "status")
                           : NULL;

    handle(launch, (Input){.event = event, .run_state = cvd_run_state_parse(name)});
}

static void on_stop_requested(CvdEvent event, gpointer data)
{
    CvdLaunch *launch = data;

    if (launch->is_ending && event == CVD_EVENT_STOP_REQUESTED)
        cvd_launch_end(launch); /* at once */
    else
        cvd_launch_handle(launch, event);
}

static void on_handed_over(CvdServer *server, gpointer data)
{
    CvdLaunch *launch = data;

    launch->is_all_sent = TRUE;
    cvd_launch_hand_over(launch);
}

static void on_vm_detached(CvdServer *server, gpointer data)
{
    cvd_launch_handle(data, CVD_EVENT_CONNECTION_LOST);
}

/* ---- Start and end ---- */

static gboolean give_console(CvdConsole *console, GError **error)
{
    int fd = cvd_console_open_viewer(console, error);

    if (fd >= 0)
        cvd_background_give_console(fd);
    return fd >= 0;
}

static gboolean open_logs(CvdLaunch *launch, GError **error)
{
    cvd_instance_dir_remove_records(launch->host.dir);
    launch->qemu_log = cvd_log_file_new(launch->host.dir, "qemu.log", error);
    if (launch->qemu_log == NULL)
        return FALSE;
    launch->qemu_output = cvd_console_new(launch->qemu_log);
    if (launch->config->qemu.serial == CVD_SERIAL_NONE)
        return TRUE;
    launch->console_log = cvd_log_file_new(launch->host.dir, "console.log", error);
    if (launch->console_log == NULL)
        return FALSE;
    launch->console = cvd_console_new(launch->console_log);
    if (launch->config->qemu.serial == CVD_SERIAL_STDIO && !cvd_background_is_entered())
        cvd_console_relay_stdio(launch->console);
    return !cvd_background_wants_console() || give_console(launch->console, error);
}

/* Until its devices want the window, which takes it a while, QEMU loads beside us. But programs of
 * the binary dialect do not try twice, so for them there is a server before there is a QEMU. */
static gboolean start_both(CvdLaunch *launch, GError **error)
{
    CvdServer *server = launch->host.server;
    gboolean is_started =
        launch->config->legacy_socket != NULL
            ? cvd_server_start(server, error) && cvd_launch_begin_vm(launch, error)
            : cvd_launch_begin_vm(launch, error) && cvd_server_start(server, error);

    if (is_started)
        cvd_launch_ring_hosts(launch);
    return is_started;
}

static gboolean open_control_group(CvdLaunch *launch, GError **error)
{
    const CvdConfig *config = launch->config;
    CvdControlGroupLimits limits = cvd_cpus_get_limits(&config->qemu);

    if (cvd_control_group_is_wanted(&limits))
        launch->control_group = cvd_control_group_new(config->name, &limits, error);
    return launch->control_group != NULL || !cvd_control_group_is_wanted(&limits);
}

static gboolean start(CvdLaunch *launch, const CvdOptions *options, GError **error)
{
    if (!cvd_host_open(&launch->host, launch->config, options, CVD_VM_ACCESS_OWN, on_stop_requested,
                       error))
        return FALSE;
    launch->children = cvd_children_new(launch->host.dir, error);
    if (launch->children == NULL || !open_control_group(launch, error))
        return FALSE;
    g_signal_connect(launch->host.server, "vm-handed-over", G_CALLBACK(on_handed_over), launch);
    g_signal_connect(launch->host.server, "vm-detached", G_CALLBACK(on_vm_detached), launch);
    cvd_launch_open_programs(launch);
    cvd_launch_open_ready(launch);
    if (!open_logs(launch, error) || !cvd_launch_open_restore(launch, error) ||
        !start_both(launch, error) ||
        !cvd_host_open_control(&launch->host, launch->config, &cvd_launch_control_handlers, error))
        return FALSE;
    launch->is_serving = TRUE;
    cvd_launch_serve_programs(launch);
    arm_timer(launch);
    return TRUE;
}

/* A snapshot that somebody did not want to wait for has a thread that uses it still: it ends with
 * this process, and what it leaves is removed by the next. */
static void clear(CvdLaunch *launch, gboolean has_failed)
{
    cvd_source_clear(&launch->timer);
    cvd_source_clear(&launch->hand_over_timer);
    g_clear_pointer(&launch->vm, cvd_vm_free);
    cvd_close_fd(&launch->ram_fd);
    cvd_launch_close_restore(launch);
    cvd_launch_close_programs(launch);
    g_clear_pointer(&launch->children, cvd_children_free);
    g_clear_pointer(&launch->control_group, cvd_control_group_free);
    cvd_host_close(&launch->host, has_failed);
    cvd_launch_close_ready(launch);
    g_free(launch->ready.awaited);
    g_clear_pointer(&launch->console, cvd_console_free);
    g_clear_pointer(&launch->qemu_output, cvd_console_free);
    g_clear_pointer(&launch->console_log, cvd_log_file_free);
    g_clear_pointer(&launch->qemu_log, cvd_log_file_free);
    cvd_retry_clear(&launch->lifecycle.policy.retry);
    g_array_unref(launch->inputs);
    g_array_unref(launch->calls);
    g_array_unref(launch->program_calls);
    g_free(launch->reason);
    g_free(launch->fault);
    g_free(launch->notified);
}

static int finish(CvdLaunch *launch)
{
    cvd_launch_report_end(launch);
    cvd_notify("STATUS", launch->reason);
    notify_stop(launch);
    cvd_control_status_changed(launch->host.control);
    return launch->exit_status;
}

int cvd_launch(const CvdConfig *config, const CvdQemuTools *tools, const CvdOptions *options,
               CvdRestore *restore)
{
    g_autoptr(GError) error = NULL;
    CvdLaunch launch = {
        .config = config,
        .tools = tools,
        .lifecycle = {.config = config,
                      .start_paused = options->paused,
                      .is_restored = restore != NULL,
                      .prepare_s = cvd_launch_get_prepare_s(restore)},
        .restore = {.from = restore, .ram_fd = -1},
        .inputs = g_array_new(FALSE, FALSE, sizeof(Input)),
        .calls = g_array_new(FALSE, FALSE, sizeof(CvdWaitingCall)),
        .program_calls = g_array_new(FALSE, FALSE, sizeof(CvdWaitingProgramCall)),
        .reason = g_strdup(""),
        .ram_fd = -1,
        .start_time_us = options->start_time_us,
    };
    gint64 now_us = g_get_monotonic_time();

    cvd_lifecycle_step(&launch.lifecycle, CVD_EVENT_STARTED, CVD_RUN_UNKNOWN, now_us);
    cvd_notify_need_time(launch.lifecycle.ladder.due_us - now_us + get_longest_stop_us(&launch));
    if (!start(&launch, options, &error)) {
        cvd_launch_report_failed_start(&launch, error);
        clear(&launch, TRUE);
        return 1;
    }
    cvd_log_never_block();
    g_main_loop_run(launch.host.loop);
    int exit_status = finish(&launch);
    clear(&launch, exit_status != 0);
    return exit_status;
}
