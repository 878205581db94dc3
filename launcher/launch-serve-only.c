/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/launch-common.h"
#include "launcher/launch.h"
#include "launcher/qemu/command.h"

#include "base/error.h"
#include "base/log.h"
#include "base/notify.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

typedef struct {
    CvdHost host;
    CvdControl *control;
    GMainLoop *loop;
    int exit_status;
    int vm_pid; /* 0 = none is attached */
    gint64 vm_since_us;
    guint n_vms;
    gboolean is_stopping;
} ServeOnly;

/* ---- What the control interface can ask ---- */

static void get_status(CvdControlStatus *status, gpointer data)
{
    const ServeOnly *serve = data;
    gboolean has_vm = serve->vm_pid != 0;

    *status = (CvdControlStatus){
        .state = serve->is_stopping ? "stopping"
                 : has_vm           ? "running"
                                    : "starting",
        .reason = has_vm ? "a VM that somebody else started is attached"
                         : "serving without a VM (--serve-only)",
        .vm_pid = (guint)serve->vm_pid,
        .uptime_us = has_vm ? (guint64)(g_get_monotonic_time() - serve->vm_since_us) : 0,
        .restarts = serve->n_vms > 0 ? serve->n_vms - 1 : 0,
        .n_clients = cvd_server_get_n_clients(serve->host.server),
    };
}

static GError *not_here(void)
{
    return g_error_new_literal(CVD_ERROR, CVD_ERROR_BUSY,
                               "the instance runs with --serve-only: QEMU is somebody else's");
}

static void stop(gpointer data)
{
    ServeOnly *serve = data;

    g_message("stopping");
    serve->is_stopping = TRUE;
    cvd_control_status_changed(serve->control);
    g_main_loop_quit(serve->loop);
}

static void execute(CvdControlVerb verb, CvdControlCall *take_call, gpointer data)
{
    g_autoptr(GError) error = verb == CVD_CONTROL_STOP ? NULL : not_here();

    if (error == NULL)
        stop(data);
    cvd_control_call_finish(take_call, NULL, error);
}

static void qmp(const char *command, CvdControlCall *take_call, gpointer data)
{
    g_autoptr(GError) error = not_here();

    cvd_control_call_finish(take_call, NULL, error);
}

static int open_console(GError **error, gpointer data)
{
    g_propagate_error(error, not_here());
    return -1;
}

static char *report(int *window_fd, GError **error, gpointer data)
{
    g_propagate_error(error, not_here());
    return NULL;
}

static void list_clients(GVariantBuilder *clients, gpointer data)
{
    const ServeOnly *serve = data;

    cvd_host_list_clients(&serve->host, clients);
}

static const CvdControlHandlers handlers = {
    .get_status = get_status,
    .execute = execute,
    .qmp = qmp,
    .open_console = open_console,
    .report = report,
    .list_clients = list_clients,
};

/* ---- Events ---- */

static void on_time_limit(gpointer data)
{
    ServeOnly *serve = data;

    g_message("stopped, as the time of --timeout was over");
    serve->exit_status = 1;
    g_main_loop_quit(serve->loop);
}

static void on_vm_attached(CvdServer *server, int pid, gpointer data)
{
    ServeOnly *serve = data;

    g_message("VM attached (pid %d)", pid);
    serve->vm_pid = pid;
    serve->vm_since_us = g_get_monotonic_time();
    serve->n_vms++;
    cvd_control_status_changed(serve->control);
}

/* The next VM must not find what this one left in the window and the doorbells. */
static void on_vm_detached(CvdServer *server, gpointer data)
{
    ServeOnly *serve = data;
    g_autoptr(GError) error = NULL;

    g_message("VM detached");
    serve->vm_pid = 0;
    cvd_control_status_changed(serve->control);
    if (!cvd_server_renew(server, &error)) {
        g_critical("%s", error->message);
        serve->exit_status = 1;
        g_main_loop_quit(serve->loop);
    }
}

static void print_attach_args(const CvdConfig *config, const CvdHost *host)
{
    g_auto(GStrv) args = cvd_qemu_attach_args(config, host->vm_socket);
    g_autofree char *text = cvd_quote_command((const char *const *)args);

    if (fputs(text, stdout) < 0 || fflush(stdout) != 0)
        g_warning("the arguments are lost, since stdout cannot be written: %s", g_strerror(errno));
}

static gboolean start(ServeOnly *serve, const CvdConfig *config, GError **error)
{
    if (!cvd_host_open(&serve->host, config, CVD_VM_ACCESS_SAME_USER, error))
        return FALSE;
    if (cvd_server_start(serve->host.server, error))
        serve->control = cvd_host_open_control(&serve->host, config, &handlers, serve, error);
    if (serve->control == NULL) {
        cvd_host_stop(&serve->host, FALSE);
        return FALSE;
    }
    g_signal_connect(serve->host.server, "vm-attached", G_CALLBACK(on_vm_attached), serve);
    g_signal_connect(serve->host.server, "vm-detached", G_CALLBACK(on_vm_detached), serve);
    return TRUE;
}

static void end(ServeOnly *serve)
{
    cvd_notify("STOPPING=1");
    cvd_control_free(serve->control);
    /* What the stop ends is not to be renewed. */
    g_signal_handlers_disconnect_by_data(serve->host.server, serve);
    cvd_host_stop(&serve->host, FALSE);
}

int cvd_launch_serve_only(const CvdConfig *config, const CvdLaunchOptions *options)
{
    static const CvdStopHandlers stop_handlers = {stop, stop, on_time_limit};
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();
    g_autoptr(GMainLoop) loop = g_main_loop_new(context, FALSE);
    ServeOnly serve = {.loop = loop};
    CvdStopSources stop_sources;
    g_autoptr(GError) error = NULL;

    /* The kernel reaps whom it makes our children, as it does in a container where we are its init.
     */
    signal(SIGCHLD, SIG_IGN);
    if (cvd_stop_sources_attach(&stop_sources, options->timeout_s, &stop_handlers, &serve,
                                &error) &&
        start(&serve, config, &error)) {
        g_message("serving without a VM; start QEMU with the arguments on stdout, ctrl-c stops");
        print_attach_args(config, &serve.host);
        cvd_log_never_block();
        cvd_notify("READY=1");
        g_main_loop_run(loop);
        end(&serve);
    } else {
        g_critical("%s", error->message);
        serve.exit_status = 1;
    }
    cvd_stop_sources_clear(&stop_sources);
    return serve.exit_status;
}
