/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/launch-common.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/source.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

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
    g_autofree char *shared_dir = g_path_get_dirname(dir);
    g_autofree char *client_socket = config->client_socket != NULL
                                         ? g_strdup(config->client_socket)
                                         : g_build_filename(dir, "client.sock", NULL);
    const CvdWindowOptions *window = &config->window;
    CvdServer *server = g_object_new(
        CVD_TYPE_SERVER, "layout", config->layout, "vm-socket", vm_socket, "client-socket",
        client_socket, "legacy-socket", config->legacy_socket, "socket-mode", config->socket_mode,
        "lock-dir", shared_dir, "vm-access", vm_access, "access", config->access, "version-reply",
        config->version_reply, "max-clients", config->max_clients, "handshake-timeout-ms",
        config->handshake_timeout_ms, "backing", window->backing, "window-path", window->path,
        "hugepage-size", window->hugepage_size, "prealloc", window->prealloc, NULL);

    if (cvd_log_is_verbose()) {
        g_signal_connect(server, "client-attached", G_CALLBACK(log_client_attached), NULL);
        g_signal_connect(server, "client-detached", G_CALLBACK(log_client_detached), NULL);
    }
    return server;
}

gboolean cvd_host_open(CvdHost *host, const CvdConfig *config, CvdVmAccess vm_access,
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
    if (!cvd_raise_fd_limit(config->layout->n_regions, error) ||
        !cvd_server_listen(host->server, error)) {
        cvd_host_stop(host, FALSE);
        return FALSE;
    }
    cvd_fd_hold_back(CVD_FD_RESERVE);
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

static void add_client(const CvdServerClient *client, gpointer data)
{
    g_variant_builder_add(data, "(uustbb)", client->pid, client->uid, client->region,
                          (guint64)(g_get_monotonic_time() - client->since_us),
                          client->is_read_only, client->is_shared);
}

void cvd_host_list_clients(const CvdHost *host, GVariantBuilder *clients)
{
    cvd_server_foreach_client(host->server, add_client, clients);
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

/* One that was ignored when we were started stays so, for nohup and for jobs in the background. */
static sigset_t get_stop_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;
    sigset_t signals;

    sigemptyset(&signals);
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++)
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&signals, numbers[i]);
    return signals;
}

void cvd_stop_signals_set_handler(void (*handler)(int signal_number))
{
    sigset_t signals = get_stop_signals();

    for (int number = 1; number < NSIG; number++)
        if (sigismember(&signals, number) == 1)
            signal(number, handler);
}

/* GLib's own sources for signals need a thread, and with a second one every fork and each growth of
 * the table of descriptors costs more. */
static gboolean on_signal_readable(int fd, GIOCondition condition, gpointer data)
{
    const CvdStopSources *sources = data;
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof info) != sizeof info)
        return G_SOURCE_CONTINUE;
    if (info.ssi_signo == SIGHUP)
        sources->handlers->hangup(sources->user_data);
    else
        sources->handlers->signal(sources->user_data);
    return G_SOURCE_CONTINUE;
}

static gboolean on_time_limit(gpointer data)
{
    const CvdStopSources *sources = data;

    sources->handlers->time_limit(sources->user_data);
    return G_SOURCE_REMOVE;
}

gboolean cvd_stop_sources_attach(CvdStopSources *sources, guint timeout_s,
                                 const CvdStopHandlers *handlers, gpointer user_data,
                                 GError **error)
{
    sigset_t signals = get_stop_signals();

    *sources = (CvdStopSources){.handlers = handlers, .user_data = user_data};
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    sources->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (sources->signal_fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "cannot wait for signals");
        return FALSE;
    }
    sources->signals =
        cvd_source_watch_fd(sources->signal_fd, G_IO_IN, on_signal_readable, sources);
    g_source_set_priority(sources->signals, G_PRIORITY_HIGH);
    if (timeout_s > 0) {
        g_autoptr(GMainContext) context = g_main_context_ref_thread_default();
        sources->time_limit = g_timeout_source_new_seconds(timeout_s);
        g_source_set_callback(sources->time_limit, on_time_limit, sources, NULL);
        g_source_attach(sources->time_limit, context);
    }
    return TRUE;
}

void cvd_stop_sources_clear(CvdStopSources *sources)
{
    cvd_source_clear(&sources->signals);
    cvd_source_clear(&sources->time_limit);
    cvd_close_fd(&sources->signal_fd);
}
