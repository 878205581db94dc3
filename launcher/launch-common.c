/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/launch-common.h"

#include "base/log.h"
#include "base/source.h"

#include <glib-unix.h>
#include <signal.h>

static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP};

static void log_client_attached(CvdServer *server, int pid, const char *region, gpointer data)
{
    g_info("client attached to region %s (pid %d)", region, pid);
}

static void log_client_detached(CvdServer *server, int pid, gpointer data)
{
    g_info("client detached (pid %d)", pid);
}

static CvdServer *server_new(const CvdConfig *config, const char *vm_socket, const char *dir,
                             CvdVmAccess vm_access)
{
    g_autofree char *client_socket = config->client_socket != NULL
                                         ? g_strdup(config->client_socket)
                                         : g_build_filename(dir, "client.sock", NULL);
    CvdServerOptions options = {
        .window = config->window,
        .vm_socket = vm_socket,
        .client_socket = client_socket,
        .legacy_socket = config->legacy_socket,
        .socket_mode = config->socket_mode,
        .vm_access = vm_access,
        .access = config->access,
        .version_reply = config->version_reply,
        .max_clients = config->max_clients,
        .handshake_timeout_ms = config->handshake_timeout_ms,
    };
    CvdServer *server = cvd_server_new(config->layout, &options);

    if (cvd_log_is_verbose()) {
        g_signal_connect(server, "client-attached", G_CALLBACK(log_client_attached), NULL);
        g_signal_connect(server, "client-detached", G_CALLBACK(log_client_detached), NULL);
    }
    return server;
}

gboolean cvd_host_start(CvdHost *host, const CvdConfig *config, CvdVmAccess vm_access,
                        GError **error)
{
    *host = (CvdHost){0};
    host->dir = cvd_instance_dir_acquire(config->name, error);
    if (host->dir == NULL)
        return FALSE;

    const char *dir = cvd_instance_dir_get_path(host->dir);
    host->vm_socket = config->vm_socket != NULL ? g_strdup(config->vm_socket)
                                                : g_build_filename(dir, "vm.sock", NULL);
    host->server = server_new(config, host->vm_socket, dir, vm_access);
    if (!cvd_server_start(host->server, error)) {
        cvd_host_stop(host, FALSE);
        return FALSE;
    }
    return TRUE;
}

CvdControl *cvd_host_open_control(const CvdHost *host, const CvdConfig *config,
                                  const CvdControlHandlers *handlers, gpointer user_data,
                                  GError **error)
{
    g_autofree char *path =
        g_build_filename(cvd_instance_dir_get_path(host->dir), "control.sock", NULL);

    return cvd_control_new(path, config->name, config->layout, handlers, user_data, error);
}

void cvd_host_stop(CvdHost *host, gboolean has_failed)
{
    if (host->server != NULL) {
        g_signal_handlers_disconnect_matched(host->server, G_SIGNAL_MATCH_DATA, 0, 0, NULL, NULL,
                                             NULL);
        cvd_server_stop(host->server);
        g_clear_object(&host->server);
    }
    if (host->dir != NULL)
        cvd_instance_dir_release(g_steal_pointer(&host->dir), has_failed);
    g_clear_pointer(&host->vm_socket, g_free);
}

void cvd_stop_sources_attach(CvdStopSources *sources, guint timeout_s, GSourceFunc on_signal,
                             GSourceFunc on_hangup, GSourceFunc on_time_limit, gpointer user_data)
{
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();

    for (gsize i = 0; i < G_N_ELEMENTS(stop_signals); i++) {
        sources->signals[i] = g_unix_signal_source_new(stop_signals[i]);
        g_source_set_callback(sources->signals[i],
                              stop_signals[i] == SIGHUP ? on_hangup : on_signal, user_data, NULL);
        g_source_set_priority(sources->signals[i], G_PRIORITY_HIGH);
        g_source_attach(sources->signals[i], context);
    }
    if (timeout_s > 0) {
        sources->time_limit = g_timeout_source_new_seconds(timeout_s);
        g_source_set_callback(sources->time_limit, on_time_limit, user_data, NULL);
        g_source_attach(sources->time_limit, context);
    }
}

void cvd_stop_sources_clear(CvdStopSources *sources)
{
    sigset_t blocked;

    /* Without its source a signal would kill, and leave behind what is still to be removed. */
    sigemptyset(&blocked);
    for (gsize i = 0; i < G_N_ELEMENTS(stop_signals); i++)
        sigaddset(&blocked, stop_signals[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(sources->signals); i++)
        cvd_source_clear(&sources->signals[i]);
    cvd_source_clear(&sources->time_limit);
}
