/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/launch-host.h"
#include "launcher/launch.h"
#include "launcher/qemu/command.h"

#include "base/error.h"
#include "base/log.h"
#include "base/notify.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    CvdHost host;
    int exit_status;
    int vm_pid; /* 0 = none is attached */
    gint64 vm_since_us;
    guint n_vms;
    gboolean is_stopping;
    gboolean asks_ready; /* the guest says when it is ready */
    gboolean is_guest_ready;
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
        .is_ready = has_vm && (serve->is_guest_ready || !serve->asks_ready),
        .vm_pid = (guint)serve->vm_pid,
        .uptime_us = has_vm ? (guint64)(g_get_monotonic_time() - serve->vm_since_us) : 0,
        .restarts = serve->n_vms > 0 ? serve->n_vms - 1 : 0,
        .n_clients = cvd_server_get_n_clients(serve->host.server),
    };
}

static void stop(CvdEvent event, gpointer data)
{
    ServeOnly *serve = data;

    if (event == CVD_EVENT_TIME_LIMIT) {
        g_message("stopped, as the time of --timeout was over");
        serve->exit_status = 1;
    } else {
        g_message("stopping");
    }
    serve->is_stopping = TRUE;
    cvd_control_status_changed(serve->host.control);
    g_main_loop_quit(serve->host.loop);
}

static void call(const char *method, GVariant *arguments, CvdControlCall *take_call, gpointer data)
{
    ServeOnly *serve = data;
    g_autoptr(GError) error = NULL;

    if (strcmp(method, "ListClients") == 0) {
        cvd_host_list_clients(&serve->host, take_call);
        return;
    }
    if (strcmp(method, "ListRegions") == 0) {
        cvd_host_list_regions(&serve->host, take_call);
        return;
    }
    if (strcmp(method, "ListPrograms") == 0) {
        cvd_control_call_reply(take_call, g_variant_new("(a(sssuutas))", NULL), -1);
        return;
    }
    if (strcmp(method, "Stop") == 0)
        stop(CVD_EVENT_STOP_REQUESTED, serve);
    else if (g_str_has_suffix(method, "Program"))
        cvd_fail(&error, CVD_ERROR_BUSY,
                 "the instance runs with --serve-only: its programs are yours to start");
    else
        cvd_fail(&error, CVD_ERROR_BUSY,
                 "the instance runs with --serve-only: QEMU is somebody else's");
    cvd_control_call_finish(take_call, error);
}

static const CvdControlHandlers handlers = {.get_status = get_status, .call = call};

/* ---- Events ---- */

static void on_vm_attached(CvdServer *server, int pid, gpointer data)
{
    ServeOnly *serve = data;

    g_message("VM attached (pid %d)", pid);
    serve->vm_pid = pid;
    serve->vm_since_us = g_get_monotonic_time();
    serve->n_vms++;
    cvd_control_status_changed(serve->host.control);
}

static void on_guest_ready(CvdServer *server, gpointer data)
{
    ServeOnly *serve = data;

    g_message("guest is ready");
    serve->is_guest_ready = TRUE;
    cvd_control_status_changed(serve->host.control);
}

/* The next VM must not find what this one left in the window and the doorbells. */
static void on_vm_detached(CvdServer *server, gpointer data)
{
    ServeOnly *serve = data;
    g_autoptr(GError) error = NULL;

    g_message("VM detached");
    serve->vm_pid = 0;
    serve->is_guest_ready = FALSE;
    cvd_control_status_changed(serve->host.control);
    if (!cvd_server_renew(server, &error)) {
        g_critical("%s", error->message);
        serve->exit_status = 1;
        g_main_loop_quit(serve->host.loop);
    }
}

static void print_attach_args(const CvdConfig *config, const CvdHost *host)
{
    g_auto(GStrv) args = cvd_qemu_attach_args(config, host->vm_socket);
    g_autofree char *text = cvd_quote_command((const char *const *)args);

    if (fputs(text, stdout) < 0 || fflush(stdout) != 0)
        g_warning("the arguments are lost, since stdout cannot be written: %s", g_strerror(errno));
}

static gboolean start(ServeOnly *serve, const CvdConfig *config, const CvdOptions *options,
                      GError **error)
{
    CvdHost *host = &serve->host;

    if (!cvd_host_open(host, config, options, CVD_VM_ACCESS_SAME_USER, stop, error) ||
        !cvd_server_start(host->server, error) ||
        !cvd_host_open_control(host, config, &handlers, error))
        return FALSE;
    g_signal_connect(host->server, "vm-attached", G_CALLBACK(on_vm_attached), serve);
    g_signal_connect(host->server, "vm-detached", G_CALLBACK(on_vm_detached), serve);
    g_signal_connect(host->server, "guest-ready", G_CALLBACK(on_guest_ready), serve);
    g_object_get(host->server, "asks-ready", &serve->asks_ready, NULL);
    return TRUE;
}

/* They belong to a launch, as its VM does. */
static void report_not_started(const CvdConfig *config)
{
    const CvdHooks *hooks = &config->hooks;

    if (config->n_programs > 0)
        g_message("programs are not started with --serve-only; back ends among them have to be "
                  "there before QEMU");
    if (hooks->before_start != NULL || hooks->after_ready != NULL || hooks->after_stop != NULL)
        g_message("hooks are not run with --serve-only");
}

int cvd_launch_serve_only(const CvdConfig *config, const CvdOptions *options)
{
    ServeOnly serve = {0};
    g_autoptr(GError) error = NULL;

    /* The kernel reaps whom it makes our children, as it does in a container where we are its init.
     */
    signal(SIGCHLD, SIG_IGN);
    if (start(&serve, config, options, &error)) {
        g_message("serving without a VM; start QEMU with the arguments on stdout, ctrl-c stops");
        report_not_started(config);
        print_attach_args(config, &serve.host);
        cvd_log_never_block();
        cvd_notify_ready();
        g_main_loop_run(serve.host.loop);
        cvd_notify("STOPPING", "1");
    } else {
        g_critical("%s", error->message);
        serve.exit_status = 1;
    }
    cvd_host_close(&serve.host, FALSE);
    return serve.exit_status;
}
