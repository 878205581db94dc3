/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/launch-common.h"
#include "launcher/launch.h"
#include "launcher/notify.h"
#include "launcher/qemu-command.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>

typedef struct {
    CvdHost host;
    GMainLoop *loop;
    int exit_status;
} ServeOnly;

static gboolean on_signal(gpointer data)
{
    ServeOnly *serve = data;

    g_message("stopping");
    g_main_loop_quit(serve->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean on_time_limit(gpointer data)
{
    ServeOnly *serve = data;

    g_message("stopped, as the time of --timeout was over");
    serve->exit_status = 1;
    g_main_loop_quit(serve->loop);
    return G_SOURCE_REMOVE;
}

static void on_vm_attached(CvdServer *server, int pid, gpointer data)
{
    g_message("VM attached (pid %d)", pid);
}

/* The next VM must not find what this one left in the window and the doorbells. */
static void on_vm_detached(CvdServer *server, gpointer data)
{
    ServeOnly *serve = data;
    g_autoptr(GError) error = NULL;

    g_message("VM detached");
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

int cvd_launch_serve_only(const CvdConfig *config, const CvdLaunchOptions *options)
{
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();
    g_autoptr(GMainLoop) loop = g_main_loop_new(context, FALSE);
    ServeOnly serve = {.loop = loop};
    CvdStopSources stop_sources = {0};
    g_autoptr(GError) error = NULL;

    cvd_stop_sources_attach(&stop_sources, options->timeout_s, on_signal, on_signal, on_time_limit,
                            &serve);
    if (cvd_host_start(&serve.host, config, CVD_VM_ACCESS_SAME_USER, &error)) {
        g_signal_connect(serve.host.server, "vm-attached", G_CALLBACK(on_vm_attached), &serve);
        g_signal_connect(serve.host.server, "vm-detached", G_CALLBACK(on_vm_detached), &serve);
        g_message("serving without a VM; start QEMU with the arguments on stdout, ctrl-c stops");
        print_attach_args(config, &serve.host);
        cvd_log_never_block();
        cvd_notify("READY=1");
        g_main_loop_run(loop);
        cvd_notify("STOPPING=1");
        /* What the stop ends is not to be renewed. */
        g_signal_handlers_disconnect_by_data(serve.host.server, &serve);
        cvd_host_stop(&serve.host, FALSE);
    } else {
        g_critical("%s", error->message);
        serve.exit_status = 1;
    }
    cvd_stop_sources_clear(&stop_sources);
    return serve.exit_status;
}
