/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wires server, process, QMP and lifecycle together: what they report becomes an event, the
 * lifecycle answers with actions, and here those are carried out. Nothing is decided here.
 */
#include "launcher/launch.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/source.h"
#include "launcher/bus-master.h"
#include "launcher/launch-common.h"
#include "launcher/lifecycle.h"
#include "launcher/notify.h"
#include "launcher/qemu-command.h"
#include "launcher/qemu-process.h"
#include "launcher/qmp.h"
#include "launcher/stream-log.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How much of QEMU's output goes with the report of a failure. */
#define TAIL_LINES 10
/* Of a reason that QEMU gives, in bytes; those that there are are far shorter. */
#define MAX_REASON 64

typedef struct {
    const CvdConfig *config;
    const CvdQemuTools *tools;
    CvdLifecycle lifecycle;
    gint64 start_time_us;
    GMainLoop *loop;
    CvdHost host;
    CvdStopSources stop_sources;
    CvdQemuProcess *process;
    CvdQmp *qmp;
    CvdStreamLog *qemu_log;
    CvdStreamLog *console_log; /* NULL without a serial port */
    GSource *timer;
    gboolean is_all_sent; /* the hand-over has left the server */
    char *shutdown_reason;
    CvdExit qemu_exit;
    CvdLogLimit reset_log_limit;
} Launch;

static void handle(Launch *launch, CvdEvent event);

/* ---- Actions ---- */

/* A connection that has ended refuses nothing; that it has ended is an event of its own. */
static void report_failure(Launch *launch, const char *command, const GError *error)
{
    if (g_error_matches(error, CVD_ERROR, CVD_ERROR_CLOSED))
        return;
    g_warning("%s: %s", command, error->message);
    handle(launch, CVD_EVENT_COMMAND_FAILED);
}

static void on_cont(JsonNode *result, const GError *error, gpointer data)
{
    if (error == NULL)
        handle(data, CVD_EVENT_CONT_DONE);
    else
        report_failure(data, "cont", error);
}

static void on_stop(JsonNode *result, const GError *error, gpointer data)
{
    if (error == NULL)
        handle(data, CVD_EVENT_STOP_DONE);
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
        handle(data, CVD_EVENT_HANDED_OVER);
}

static void on_status(JsonNode *result, const GError *error, gpointer data)
{
    Launch *launch = data;

    if (error != NULL)
        return; /* QMP's `closed` follows */
    cvd_qmp_execute(launch->qmp, "query-status", NULL,
                    cvd_server_vm_has_read_all(launch->host.server) ? on_settled : on_status,
                    launch);
}

static void hand_over(Launch *launch)
{
    if (launch->is_all_sent && launch->lifecycle.state == CVD_STATE_HANDING_OVER)
        on_status(NULL, NULL, launch);
}

static void on_bus_master(JsonNode *result, const GError *error, gpointer data)
{
    Launch *launch = data;
    CvdState state = launch->lifecycle.state;

    if (error != NULL)
        report_failure(launch, "ivshmem.force_bus_master", error);
    else if (state == CVD_STATE_RESUMING || state == CVD_STATE_RESET_RESUMING)
        cvd_qmp_execute(launch->qmp, "cont", NULL, on_cont, launch);
}

/* Each `cont` follows power-on or a reset, which clear the device's command register. */
static void cont(Launch *launch)
{
    if (launch->config->ivshmem_force_bus_master)
        cvd_bus_master_enable(launch->qmp, launch->config->ivshmem_slot, on_bus_master, launch);
    else
        cvd_qmp_execute(launch->qmp, "cont", NULL, on_cont, launch);
}

static void reset_signals(Launch *launch)
{
    g_autoptr(GError) error = NULL;

    if (cvd_log_limit_pass(&launch->reset_log_limit, g_get_monotonic_time()))
        g_message("guest was reset");
    if (!cvd_server_guest_was_reset(launch->host.server, &error))
        g_warning("%s", error->message);
    if (launch->lifecycle.state == CVD_STATE_PAUSED && launch->config->ivshmem_force_bus_master)
        cvd_bus_master_enable(launch->qmp, launch->config->ivshmem_slot, on_bus_master, launch);
}

static void announce_ready(Launch *launch)
{
    double ms = (double)(g_get_monotonic_time() - launch->start_time_us) / 1000;

    if (launch->lifecycle.state == CVD_STATE_PAUSED)
        g_message("paused after %.0f ms, ready for a debugger", ms);
    else
        g_message("running after %.0f ms", ms);
    cvd_notify("READY=1");
    /* Parsing left free pages behind that would stay ours for as long as the VM runs. */
    malloc_trim(0);
}

static void tell_rung(const Launch *launch, guint actions)
{
    if ((actions & CVD_ACTION_POWERDOWN) && (actions & CVD_ACTION_STOPPING))
        g_message("stopping: asked the guest to power off; ctrl-c again to quit at once");
    if (actions & CVD_ACTION_QUIT)
        g_message("stopping: asked QEMU to quit");
    if (actions & CVD_ACTION_TERMINATE)
        g_message("stopping: sent SIGTERM to QEMU");
    if (actions & CVD_ACTION_KILL)
        g_message("stopping: killed QEMU");
}

static void carry_out(Launch *launch, guint actions)
{
    tell_rung(launch, actions);
    if (actions & CVD_ACTION_HAND_OVER)
        hand_over(launch);
    if (actions & CVD_ACTION_RESET_SIGNALS)
        reset_signals(launch);
    if (actions & CVD_ACTION_CONT)
        cont(launch);
    if (actions & CVD_ACTION_STOP)
        cvd_qmp_execute(launch->qmp, "stop", NULL, on_stop, launch);
    if (actions & CVD_ACTION_POWERDOWN)
        cvd_qmp_execute(launch->qmp, "system_powerdown", NULL, on_powerdown, launch);
    if (actions & CVD_ACTION_QUIT)
        cvd_qmp_execute(launch->qmp, "quit", NULL, NULL, NULL);
    if (actions & CVD_ACTION_TERMINATE)
        cvd_qemu_process_terminate(launch->process);
    if (actions & CVD_ACTION_KILL)
        cvd_qemu_process_kill(launch->process);
    if (actions & CVD_ACTION_READY)
        announce_ready(launch);
    if (actions & CVD_ACTION_STOPPING)
        cvd_notify("STOPPING=1");
    if (actions & CVD_ACTION_END)
        g_main_loop_quit(launch->loop);
}

/* ---- Events ---- */

static gboolean on_timer(gpointer data)
{
    Launch *launch = data;

    cvd_source_clear(&launch->timer);
    handle(launch, CVD_EVENT_TIMER);
    return G_SOURCE_REMOVE;
}

static void arm_timer(Launch *launch, int timer_ms)
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

static void handle(Launch *launch, CvdEvent event)
{
    CvdStep step = cvd_lifecycle_step(&launch->lifecycle, event);

    arm_timer(launch, step.timer_ms);
    carry_out(launch, step.actions);
}

static gboolean on_signal(gpointer data)
{
    handle(data, CVD_EVENT_STOP_REQUESTED);
    return G_SOURCE_CONTINUE;
}

static gboolean on_hangup(gpointer data)
{
    handle(data, CVD_EVENT_HANGUP);
    return G_SOURCE_CONTINUE;
}

static gboolean on_time_limit(gpointer data)
{
    handle(data, CVD_EVENT_TIME_LIMIT);
    return G_SOURCE_REMOVE;
}

static void on_handed_over(CvdServer *server, gpointer data)
{
    Launch *launch = data;

    launch->is_all_sent = TRUE;
    hand_over(launch);
}

static void on_vm_detached(CvdServer *server, gpointer data)
{
    handle(data, CVD_EVENT_CONNECTION_LOST);
}

static void on_qmp_ready(gpointer data)
{
    handle(data, CVD_EVENT_QMP_READY);
}

static void on_qmp_event(const char *name, JsonObject *data, gpointer user_data)
{
    static const struct {
        const char *name;
        CvdEvent event;
    } events[] = {
        {"STOP", CVD_EVENT_VM_STOPPED},
        {"RESUME", CVD_EVENT_VM_RESUMED},
        {"RESET", CVD_EVENT_VM_RESET},
        {"SHUTDOWN", CVD_EVENT_VM_SHUTDOWN},
    };
    Launch *launch = user_data;

    g_debug("QMP event %s", name);
    if (strcmp(name, "SHUTDOWN") == 0 && launch->shutdown_reason == NULL && data != NULL)
        launch->shutdown_reason =
            g_strndup(json_object_get_string_member_with_default(data, "reason", NULL), MAX_REASON);
    for (gsize i = 0; i < G_N_ELEMENTS(events); i++)
        if (strcmp(name, events[i].name) == 0)
            handle(launch, events[i].event);
}

static void on_qmp_closed(const GError *error, gpointer data)
{
    if (error != NULL)
        g_warning("%s", error->message);
    handle(data, CVD_EVENT_CONNECTION_LOST);
}

static void on_qemu_exited(CvdExit how, gpointer data)
{
    Launch *launch = data;

    cvd_qmp_read_rest(launch->qmp); /* its last event may tell why */
    launch->qemu_exit = how;
    handle(launch, CVD_EVENT_QEMU_EXITED);
}

/* ---- Start and end ---- */

static gboolean make_socket_pair(int *ours, int *theirs, GError **error)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot make a socket pair for QEMU");
        return FALSE;
    }
    *ours = pair[0];
    *theirs = pair[1];
    return TRUE;
}

static CvdStreamLog *log_stream(Launch *launch, int *take_stream_fd, const char *file,
                                GError **error)
{
    int file_fd = cvd_instance_dir_create_log(launch->host.dir, file, error);

    if (file_fd < 0)
        return NULL;
    return cvd_stream_log_new(g_steal_fd(take_stream_fd), file_fd);
}

static char **build_command(const Launch *launch, gboolean has_serial)
{
    g_autofree char *ivshmem = g_strdup_printf("socket,fd=%d", CVD_QEMU_FIRST_FD);
    g_autofree char *qmp = g_strdup_printf("socket,fd=%d", CVD_QEMU_FIRST_FD + 1);
    g_autofree char *serial = g_strdup_printf("socket,fd=%d", CVD_QEMU_FIRST_FD + 2);
    CvdQemuChannels channels = {
        .ivshmem = ivshmem,
        .qmp = qmp,
        .serial = has_serial ? serial : NULL,
    };

    return cvd_qemu_command(launch->config, launch->tools, &channels);
}

/* Step 5 of a start: QEMU with the ends of its channels. */
static gboolean start_qemu(Launch *launch, GError **error)
{
    static const CvdQmpHandlers handlers = {on_qmp_ready, on_qmp_event, on_qmp_closed};
    gboolean has_serial = launch->config->qemu.serial != CVD_SERIAL_NONE;
    cvd_autofd qmp = -1, qemu_qmp = -1, serial = -1, qemu_serial = -1;
    cvd_autofd output = -1, qemu_output = -1;

    cvd_autofd qemu_ivshmem = cvd_server_connect_vm(launch->host.server, error);
    if (qemu_ivshmem < 0 || !make_socket_pair(&qmp, &qemu_qmp, error) ||
        !make_socket_pair(&output, &qemu_output, error) ||
        (has_serial && !make_socket_pair(&serial, &qemu_serial, error)))
        return FALSE;

    launch->qemu_log = log_stream(launch, &output, "qemu.log", error);
    if (launch->qemu_log == NULL)
        return FALSE;
    if (has_serial) {
        launch->console_log = log_stream(launch, &serial, "console.log", error);
        if (launch->console_log == NULL)
            return FALSE;
        if (launch->config->qemu.serial == CVD_SERIAL_STDIO)
            cvd_stream_log_relay(launch->console_log);
    }

    g_auto(GStrv) argv = build_command(launch, has_serial);
    CvdQemuFds fds = {
        .ivshmem = qemu_ivshmem,
        .qmp = qemu_qmp,
        .serial = qemu_serial,
        .output = qemu_output,
    };
    launch->process = cvd_qemu_process_spawn(argv, &fds, on_qemu_exited, launch, error);
    if (launch->process == NULL)
        return FALSE;
    launch->qmp = cvd_qmp_new(g_steal_fd(&qmp), &handlers, launch);
    return TRUE;
}

static gboolean start(Launch *launch, GError **error)
{
    if (!cvd_host_start(&launch->host, launch->config, CVD_VM_ACCESS_OWN, error))
        return FALSE;
    g_signal_connect(launch->host.server, "vm-handed-over", G_CALLBACK(on_handed_over), launch);
    g_signal_connect(launch->host.server, "vm-detached", G_CALLBACK(on_vm_detached), launch);
    if (!start_qemu(launch, error))
        return FALSE;
    arm_timer(launch, (int)launch->config->start_timeout_s * 1000);
    return TRUE;
}

static void tell_tail(const char *title, CvdStreamLog *log)
{
    if (log == NULL)
        return;
    cvd_stream_log_read_rest(log);
    g_auto(GStrv) lines = cvd_stream_log_tail(log, TAIL_LINES);
    for (char **line = lines; *line != NULL && **line != '\0'; line++)
        g_message("%s: %s", title, *line);
}

static int tell_end(Launch *launch)
{
    g_autofree char *program = g_path_get_basename(launch->tools->binary);
    CvdVerdict verdict = cvd_lifecycle_verdict(&launch->lifecycle, program, launch->shutdown_reason,
                                               launch->qemu_exit);
    g_autofree char *text = verdict.text;

    if (verdict.exit_status == 0) {
        g_message("%s", text);
        return 0;
    }
    tell_tail("QEMU", launch->qemu_log);
    g_critical("%s", text);
    g_message("its output is in %s/qemu.log%s", cvd_instance_dir_get_path(launch->host.dir),
              launch->console_log != NULL ? ", the guest's console in console.log beside it" : "");
    return verdict.exit_status;
}

static void clear(Launch *launch, gboolean keep_logs)
{
    cvd_stop_sources_clear(&launch->stop_sources);
    cvd_source_clear(&launch->timer);
    g_clear_pointer(&launch->process, cvd_qemu_process_free);
    g_clear_pointer(&launch->qmp, cvd_qmp_free);
    g_clear_pointer(&launch->console_log, cvd_stream_log_free);
    g_clear_pointer(&launch->qemu_log, cvd_stream_log_free);
    if (launch->host.server != NULL)
        g_signal_handlers_disconnect_by_data(launch->host.server, launch);
    cvd_host_stop(&launch->host, keep_logs);
    g_clear_pointer(&launch->shutdown_reason, g_free);
}

int cvd_launch(const CvdConfig *config, const CvdQemuTools *tools, const CvdLaunchOptions *options)
{
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();
    g_autoptr(GMainLoop) loop = g_main_loop_new(context, FALSE);
    g_autoptr(GError) error = NULL;
    Launch launch = {
        .config = config,
        .tools = tools,
        .lifecycle = {.start_paused = options->paused,
                      .stop = config->stop,
                      .stop_timeout_ms = config->stop_timeout_s * 1000},
        .start_time_us = g_get_monotonic_time(),
        .loop = loop,
    };

    cvd_stop_sources_attach(&launch.stop_sources, options->timeout_s, on_signal, on_hangup,
                            on_time_limit, &launch);
    if (!start(&launch, &error)) {
        g_critical("%s", error->message);
        clear(&launch, FALSE);
        return 1;
    }
    cvd_log_never_block();
    g_main_loop_run(loop);
    int exit_status = tell_end(&launch);
    clear(&launch, exit_status != 0);
    return exit_status;
}
