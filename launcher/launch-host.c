/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/launch-host.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/source.h"
#include "launcher/background.h"
#include "server/ready-word.h"
#include "vsoc/handover.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void log_client_attached(CvdServer *server, int pid, const char *region, gpointer data)
{
    cvd_log_client(G_LOG_LEVEL_INFO, pid, region, "client attached to region %s (pid %d)", region,
                   pid);
}

static void log_client_detached(CvdServer *server, int pid, gpointer data)
{
    cvd_log_client(G_LOG_LEVEL_INFO, pid, NULL, "client detached (pid %d)", pid);
}

static gboolean listen_for_vm(CvdHost *host, const CvdConfig *config, const CvdOptions *options,
                              CvdVmAccess vm_access, GError **error)
{
    guint n_fds = options->trace != NULL ? CVD_FDS_PER_TRACED_REGION : CVD_FDS_PER_REGION;
    const char *dir = cvd_instance_dir_get_path(host->dir);
    g_autofree char *shared_dir = g_path_get_dirname(dir);
    g_autofree char *client_socket = config->client_socket != NULL
                                         ? g_strdup(config->client_socket)
                                         : g_build_filename(dir, "client.sock", NULL);
    const CvdWindowOptions *window = &config->window;
    gboolean asks_ready =
        config->ready == CVD_MACHINE_READY_GUEST && cvd_layout_find_ready_word(config->layout) != 0;

    host->vm_socket = config->vm_socket != NULL ? g_strdup(config->vm_socket)
                                                : g_build_filename(dir, "vm.sock", NULL);
    host->server = g_object_new(
        CVD_TYPE_SERVER, "layout", config->layout, "vm-socket", host->vm_socket, "client-socket",
        client_socket, "legacy-socket", config->legacy_socket, "socket-mode", config->socket_mode,
        "lock-dir", shared_dir, "vm-access", vm_access, "vm-id",
        config->ivshmem_migratable ? 0 : VSOC_HANDOVER_VM_ID, "access", config->access,
        "version-reply", config->version_reply, "max-clients", config->max_clients,
        "handshake-timeout-ms", config->handshake_timeout_ms, "backing", window->backing,
        "window-path", window->path, "hugepage-size", window->hugepage_size, "prealloc",
        window->prealloc, "trace-file", options->trace, "trace-size", config->trace_size,
        "asks-ready", asks_ready, NULL);
    if (cvd_log_is_verbose()) {
        g_signal_connect(host->server, "client-attached", G_CALLBACK(log_client_attached), host);
        g_signal_connect(host->server, "client-detached", G_CALLBACK(log_client_detached), host);
    }
    return cvd_raise_fd_limit(config->layout->n_regions, n_fds, error) &&
           cvd_server_listen(host->server, error);
}

static void add_client(const CvdServerClient *client, gpointer data)
{
    g_variant_builder_add(data, "(uustbb)", client->pid, client->uid, client->region,
                          (guint64)(g_get_monotonic_time() - client->since_us),
                          client->is_read_only, client->is_shared);
}

void cvd_host_list_clients(CvdHost *host, CvdControlCall *take_call)
{
    GVariantBuilder clients = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(uustbb)"));

    cvd_server_foreach_client(host->server, add_client, &clients);
    cvd_control_call_reply(take_call, g_variant_new("(a(uustbb))", &clients), -1);
}

typedef struct {
    const CvdLayout *layout;
    guint *n_clients; /* of each region */
} RegionClients;

static void count_client(const CvdServerClient *client, gpointer data)
{
    const RegionClients *clients = data;

    clients->n_clients[cvd_layout_find(clients->layout, client->region, strlen(client->region))]++;
}

void cvd_host_list_regions(CvdHost *host, CvdControlCall *take_call)
{
    GVariantBuilder regions = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(sutt)"));
    const CvdLayout *layout = cvd_server_get_layout(host->server);
    g_autofree guint *n_clients = g_new0(guint, layout->n_regions);
    gboolean is_traced = FALSE;

    cvd_server_foreach_client(host->server, count_client, &(RegionClients){layout, n_clients});
    for (guint i = 0; i < layout->n_regions; i++) {
        guint64 to_guest, to_host;
        is_traced = cvd_server_get_rings(host->server, i, &to_guest, &to_host);
        g_variant_builder_add(&regions, "(sutt)", layout->regions[i].name, n_clients[i], to_guest,
                              to_host);
    }
    cvd_control_call_reply(take_call, g_variant_new("(ba(sutt))", is_traced, &regions), -1);
}

/* ---- Asking for a stop ---- */

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
    CvdHost *host = data;
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof info) == sizeof info)
        host->stop_requested(info.ssi_signo == SIGHUP ? CVD_EVENT_HANGUP : CVD_EVENT_STOP_REQUESTED,
                             host);
    return G_SOURCE_CONTINUE;
}

static gboolean on_time_limit(gpointer data)
{
    CvdHost *host = data;

    host->stop_requested(CVD_EVENT_TIME_LIMIT, host);
    return G_SOURCE_REMOVE;
}

static gboolean watch_stop(CvdHost *host, guint timeout_s, GError **error)
{
    sigset_t signals = get_stop_signals();

    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    host->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (host->signal_fd < 0)
        return cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "cannot wait for signals");
    host->signals = cvd_source_watch_fd(host->signal_fd, G_IO_IN, on_signal_readable, host);
    g_source_set_priority(host->signals, G_PRIORITY_HIGH);
    if (timeout_s > 0)
        cvd_source_set_timer(&host->time_limit,
                             g_get_monotonic_time() + timeout_s * G_TIME_SPAN_SECOND, on_time_limit,
                             host);
    return TRUE;
}

/* ---- Beginning and end ---- */

gboolean cvd_host_open(CvdHost *host, const CvdConfig *config, const CvdOptions *options,
                       CvdVmAccess vm_access, CvdStopRequested stop_requested, GError **error)
{
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();

    *host = (CvdHost){.loop = g_main_loop_new(context, FALSE), .stop_requested = stop_requested};
    if (!watch_stop(host, options->timeout_s, error))
        return FALSE;
    host->dir = cvd_instance_dir_acquire(config->name, error);
    if (host->dir == NULL)
        return FALSE;
    cvd_background_watch(host->dir, host->stop_requested, host);
    if (!listen_for_vm(host, config, options, vm_access, error))
        return FALSE;
    cvd_fd_hold_back(CVD_FD_RESERVE);
    return TRUE;
}

gboolean cvd_host_open_control(CvdHost *host, const CvdConfig *config,
                               const CvdControlHandlers *handlers, GError **error)
{
    g_autofree char *path =
        g_build_filename(cvd_instance_dir_get_path(host->dir), "control.sock", NULL);

    host->control = cvd_control_new(path, config->name, config->layout, handlers, host, error);
    return host->control != NULL;
}

void cvd_host_close(CvdHost *host, gboolean has_failed)
{
    cvd_source_clear(&host->signals);
    cvd_source_clear(&host->time_limit);
    cvd_close_fd(&host->signal_fd);
    g_clear_pointer(&host->control, cvd_control_free);
    if (host->server != NULL) {
        g_signal_handlers_disconnect_by_data(host->server, host);
        cvd_server_stop(host->server);
        g_clear_object(&host->server);
    }
    cvd_background_unwatch();
    if (host->dir != NULL)
        cvd_instance_dir_release(g_steal_pointer(&host->dir), has_failed);
    g_clear_pointer(&host->vm_socket, g_free);
    g_clear_pointer(&host->loop, g_main_loop_unref);
}
