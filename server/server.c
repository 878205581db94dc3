/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the window, the doorbells, the listening sockets and the two ports, and turns the ports'
 * callbacks into signals. A handler may do anything, cvd_server_stop() included; so every member is
 * taken out of the server before it is freed.
 */
#include "server/server.h"

#include "base/fd.h"
#include "base/wire.h"
#include "server/client-port.h"
#include "server/doorbells.h"
#include "server/listener.h"
#include "server/vm-port.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#define DEFAULT_MAX_CLIENTS          1024
#define DEFAULT_HANDSHAKE_TIMEOUT_MS 5000

enum {
    VM_ATTACHED,
    VM_HANDED_OVER,
    VM_DETACHED,
    CLIENT_ATTACHED,
    CLIENT_DETACHED,
    N_SIGNALS,
};

static guint signals[N_SIGNALS];

typedef enum {
    SERVER_NEW,
    SERVER_LISTENING, /* on the VM socket; nobody is accepted yet */
    SERVER_STARTED,
    SERVER_STOPPED,
} ServerState;

struct _CvdServer {
    GObject parent_instance;
    ServerState state;
    GMainContext *context;
    CvdLayout *layout;
    CvdServerOptions options; /* strings are owned */
    CvdWindow *window;
    int read_only_window_fd; /* −1 where nobody gets it */
    CvdDoorbells *doorbells;
    CvdListener *vm_listener;
    CvdListener *client_listener;
    CvdListener *legacy_listener;
    int early_vm; /* our end of a VM's connection that came before the port; −1 = none */
    CvdVmPort *vm_port;
    CvdClientPort *client_port;
};

G_DEFINE_FINAL_TYPE(CvdServer, cvd_server, G_TYPE_OBJECT)

static void vm_attached(gpointer owner, int pid)
{
    g_signal_emit(owner, signals[VM_ATTACHED], 0, pid);
}

static void vm_handed_over(gpointer owner)
{
    g_signal_emit(owner, signals[VM_HANDED_OVER], 0);
}

static void vm_detached(gpointer owner)
{
    g_signal_emit(owner, signals[VM_DETACHED], 0);
}

static void client_attached(gpointer owner, int pid, const char *region)
{
    g_signal_emit(owner, signals[CLIENT_ATTACHED], 0, pid, region);
}

static void client_detached(gpointer owner, int pid)
{
    g_signal_emit(owner, signals[CLIENT_DETACHED], 0, pid);
}

static void open_vm_port(CvdServer *server)
{
    const CvdVmPortOptions options = {
        .listening_fd = cvd_listener_get_fd(server->vm_listener),
        .n_regions = server->layout->n_regions,
        .doorbells = server->doorbells,
        .window_fd = cvd_window_get_fd(server->window),
        .own_process_only = server->options.vm_access == CVD_VM_ACCESS_OWN,
        .attached = vm_attached,
        .handed_over = vm_handed_over,
        .detached = vm_detached,
        .owner = server,
    };
    server->vm_port = cvd_vm_port_new(server->context, &options);
    if (server->early_vm >= 0)
        cvd_vm_port_adopt(server->vm_port, g_steal_fd(&server->early_vm));
}

static gboolean open_client_door(CvdServer *server, CvdListener **listener, const char *path,
                                 CvdDialect dialect, GError **error)
{
    if (path == NULL)
        return TRUE;
    *listener =
        cvd_listener_new(path, server->options.socket_mode, server->options.lock_dir, error);
    return *listener != NULL &&
           cvd_client_port_listen(server->client_port, cvd_listener_get_fd(*listener), dialect,
                                  error);
}

static gboolean open_client_port(CvdServer *server, GError **error)
{
    const CvdClientPortOptions options = {
        .layout = server->layout,
        .doorbells = server->doorbells,
        .window_fd = cvd_window_get_fd(server->window),
        .read_only_window_fd = server->read_only_window_fd,
        .access = server->options.access,
        .version_reply = server->options.version_reply,
        .max_clients = server->options.max_clients,
        .handshake_timeout_ms = server->options.handshake_timeout_ms,
        .attached = client_attached,
        .detached = client_detached,
        .owner = server,
    };

    server->client_port = cvd_client_port_new(server->context, &options, error);
    return server->client_port != NULL &&
           open_client_door(server, &server->client_listener, server->options.client_socket,
                            CVD_DIALECT_TEXT, error) &&
           open_client_door(server, &server->legacy_listener, server->options.legacy_socket,
                            CVD_DIALECT_LEGACY, error);
}

static gboolean open_window(CvdServer *server, GError **error)
{
    server->window = cvd_window_new(server->layout, &server->options.window, error);
    if (server->window == NULL)
        return FALSE;
    if (!cvd_access_rules_has(server->options.access, CVD_ACCESS_READ_ONLY))
        return TRUE;
    server->read_only_window_fd = cvd_window_open_read_only(server->window, error);
    if (server->read_only_window_fd >= 0)
        return TRUE;
    g_prefix_error(error, "an access rule lets somebody only read: ");
    return FALSE;
}

static gboolean open_all(CvdServer *server, GError **error)
{
    if (!open_window(server, error))
        return FALSE;
    server->doorbells = cvd_doorbells_new(server->layout->n_regions, error);
    if (server->doorbells == NULL)
        return FALSE;
    open_vm_port(server);
    return open_client_port(server, error);
}

static void close_all(CvdServer *server)
{
    if (server->client_port != NULL)
        cvd_client_port_stop_listening(server->client_port);
    g_clear_pointer(&server->client_listener, cvd_listener_free);
    g_clear_pointer(&server->legacy_listener, cvd_listener_free);
    g_clear_pointer(&server->client_port, cvd_client_port_free);
    g_clear_pointer(&server->vm_port, cvd_vm_port_free);
    cvd_close_fd(&server->early_vm);
    g_clear_pointer(&server->vm_listener, cvd_listener_free);
    g_clear_pointer(&server->doorbells, cvd_doorbells_free);
    cvd_close_fd(&server->read_only_window_fd);
    g_clear_pointer(&server->window, cvd_window_free);
}

gboolean cvd_server_listen(CvdServer *server, GError **error)
{
    g_assert(CVD_IS_SERVER(server) && server->state == SERVER_NEW);

    if (!cvd_raise_fd_limit(server->layout->n_regions, error))
        return FALSE;
    server->vm_listener = cvd_listener_new(server->options.vm_socket, server->options.socket_mode,
                                           server->options.lock_dir, error);
    if (server->vm_listener == NULL)
        return FALSE;
    server->state = SERVER_LISTENING;
    return TRUE;
}

gboolean cvd_server_start(CvdServer *server, GError **error)
{
    g_assert(CVD_IS_SERVER(server) && server->state <= SERVER_LISTENING);

    if (server->state == SERVER_NEW && !cvd_server_listen(server, error))
        return FALSE;
    if (!open_all(server, error)) {
        close_all(server);
        server->state = SERVER_NEW;
        return FALSE;
    }
    server->state = SERVER_STARTED;
    return TRUE;
}

void cvd_server_stop(CvdServer *server)
{
    g_assert(CVD_IS_SERVER(server));

    if (server->state == SERVER_NEW || server->state == SERVER_STOPPED)
        return;
    g_autoptr(CvdServer) kept = g_object_ref(server);
    kept->state = SERVER_STOPPED;
    close_all(kept);
}

CvdLayout *cvd_server_get_layout(CvdServer *server)
{
    g_assert(CVD_IS_SERVER(server));
    return server->layout;
}

guint cvd_server_get_n_clients(CvdServer *server)
{
    g_assert(CVD_IS_SERVER(server));
    return server->client_port != NULL ? cvd_client_port_get_n_clients(server->client_port) : 0;
}

void cvd_server_foreach_client(CvdServer *server, CvdServerClientFunc func, gpointer user_data)
{
    g_assert(CVD_IS_SERVER(server));
    if (server->client_port != NULL)
        cvd_client_port_foreach(server->client_port, func, user_data);
}

static gboolean is_open(const CvdServer *server)
{
    return server->state == SERVER_LISTENING || server->state == SERVER_STARTED;
}

static gboolean adopt(CvdServer *server, int take_fd)
{
    cvd_autofd fd = take_fd;

    if (server->vm_port != NULL)
        return cvd_vm_port_adopt(server->vm_port, g_steal_fd(&fd));
    if (server->early_vm >= 0)
        return FALSE;
    server->early_vm = g_steal_fd(&fd);
    return TRUE;
}

/* No path leads there: it could have been removed, or be another's by now. */
int cvd_server_connect_vm(CvdServer *server, GError **error)
{
    g_assert(CVD_IS_SERVER(server) && is_open(server));

    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "connecting the VM: socketpair");
        return -1;
    }
    cvd_autofd vm = fds[0];
    cvd_autofd own = fds[1];
    /* Whoever inherits the other end expects a plain blocking socket. */
    if (fcntl(own, F_SETFL, O_NONBLOCK) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "connecting the VM: fcntl");
        return -1;
    }
    if (!adopt(server, g_steal_fd(&own))) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY,
                    "connecting the VM: a VM is attached already");
        return -1;
    }
    return g_steal_fd(&vm);
}

void cvd_server_disconnect_vm(CvdServer *server)
{
    g_assert(CVD_IS_SERVER(server) && server->state == SERVER_STARTED);

    g_autoptr(CvdServer) kept = g_object_ref(server);
    cvd_vm_port_disconnect(kept->vm_port);
}

int cvd_server_get_window_fd(CvdServer *server)
{
    g_assert(CVD_IS_SERVER(server) && server->state == SERVER_STARTED);
    return cvd_window_get_fd(server->window);
}

int cvd_server_open_window_read_only(CvdServer *server, GError **error)
{
    g_assert(CVD_IS_SERVER(server) && server->state == SERVER_STARTED);
    return cvd_window_open_read_only(server->window, error);
}

gboolean cvd_server_vm_has_read_all(CvdServer *server)
{
    g_assert(CVD_IS_SERVER(server));
    return server->vm_port != NULL && cvd_vm_port_has_read_all(server->vm_port);
}

static gboolean fail_if_stopped(const CvdServer *server, GError **error)
{
    if (server->state == SERVER_STARTED)
        return TRUE;
    g_set_error_literal(error, CVD_ERROR, CVD_ERROR_FAILED, "the server was stopped");
    return FALSE;
}

void cvd_server_hold_clients(CvdServer *server)
{
    g_assert(CVD_IS_SERVER(server));

    g_autoptr(CvdServer) kept = g_object_ref(server);
    if (kept->client_port != NULL)
        cvd_client_port_hold(kept->client_port);
}

gboolean cvd_server_clear_signals(CvdServer *server, GError **error)
{
    g_assert(CVD_IS_SERVER(server) && server->state != SERVER_NEW);

    return fail_if_stopped(server, error) && cvd_window_reset_signals(server->window, error);
}

void cvd_server_admit_clients(CvdServer *server)
{
    g_assert(CVD_IS_SERVER(server));

    g_autoptr(CvdServer) kept = g_object_ref(server);
    if (kept->client_port != NULL)
        cvd_client_port_admit(kept->client_port);
}

gboolean cvd_server_renew(CvdServer *server, GError **error)
{
    g_assert(CVD_IS_SERVER(server) && server->state != SERVER_NEW);

    g_autoptr(CvdServer) kept = g_object_ref(server);
    /* A stop emits vm-detached too, and that is where a renewal is asked for. */
    if (!fail_if_stopped(kept, error))
        return FALSE;
    if (!cvd_vm_port_is_free(kept->vm_port)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FAILED,
                    "%s: a VM is attached; wait for vm-detached before renewing the window",
                    kept->options.vm_socket);
        return FALSE;
    }
    gboolean was_held = cvd_client_port_is_held(kept->client_port);
    cvd_server_hold_clients(kept);
    if (!fail_if_stopped(kept, error))
        return FALSE;
    cvd_doorbells_drain(kept->doorbells);
    gboolean is_new = cvd_window_renew(kept->window, error);
    if (!was_held)
        cvd_server_admit_clients(kept);
    return is_new;
}

CvdServer *cvd_server_new(CvdLayout *layout, const CvdServerOptions *options)
{
    CvdServer *server = g_object_new(CVD_TYPE_SERVER, NULL);
    CvdServerOptions *own = &server->options;

    server->layout = cvd_layout_ref(layout);
    *own = *options;
    own->window.path = g_strdup(options->window.path);
    own->vm_socket = g_strdup(options->vm_socket);
    own->client_socket = g_strdup(options->client_socket);
    own->legacy_socket = g_strdup(options->legacy_socket);
    own->lock_dir = own->window.lock_dir = g_strdup(options->lock_dir);
    own->access = options->access != NULL ? cvd_access_rules_ref(options->access)
                                          : cvd_access_rules_new_default();
    own->version_reply =
        g_strdup(options->version_reply != NULL ? options->version_reply : CVD_WIRE_VERSION_REPLY);
    if (own->max_clients == 0)
        own->max_clients = DEFAULT_MAX_CLIENTS;
    if (own->handshake_timeout_ms == 0)
        own->handshake_timeout_ms = DEFAULT_HANDSHAKE_TIMEOUT_MS;
    g_assert(own->vm_socket != NULL && own->client_socket != NULL && own->version_reply[0] != '\0');
    return server;
}

static void cvd_server_init(CvdServer *server)
{
    server->context = g_main_context_ref_thread_default();
    server->read_only_window_fd = -1;
    server->early_vm = -1;
}

static void cvd_server_dispose(GObject *object)
{
    cvd_server_stop(CVD_SERVER(object));
    G_OBJECT_CLASS(cvd_server_parent_class)->dispose(object);
}

static void cvd_server_finalize(GObject *object)
{
    CvdServer *server = CVD_SERVER(object);

    cvd_layout_unref(server->layout);
    g_main_context_unref(server->context);
    g_free((char *)server->options.window.path);
    g_free((char *)server->options.vm_socket);
    g_free((char *)server->options.client_socket);
    g_free((char *)server->options.legacy_socket);
    g_free((char *)server->options.lock_dir);
    g_free((char *)server->options.version_reply);
    cvd_access_rules_unref(server->options.access);
    G_OBJECT_CLASS(cvd_server_parent_class)->finalize(object);
}

static guint new_signal(const char *name, guint n_params, GType first, GType second)
{
    return g_signal_new(name, CVD_TYPE_SERVER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE,
                        n_params, first, second);
}

static void cvd_server_class_init(CvdServerClass *class)
{
    GObjectClass *object_class = G_OBJECT_CLASS(class);

    object_class->dispose = cvd_server_dispose;
    object_class->finalize = cvd_server_finalize;

    signals[VM_ATTACHED] = new_signal("vm-attached", 1, G_TYPE_INT, G_TYPE_NONE);
    signals[VM_HANDED_OVER] = new_signal("vm-handed-over", 0, G_TYPE_NONE, G_TYPE_NONE);
    signals[VM_DETACHED] = new_signal("vm-detached", 0, G_TYPE_NONE, G_TYPE_NONE);
    signals[CLIENT_ATTACHED] = new_signal("client-attached", 2, G_TYPE_INT, G_TYPE_STRING);
    signals[CLIENT_DETACHED] = new_signal("client-detached", 1, G_TYPE_INT, G_TYPE_NONE);
}
