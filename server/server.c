/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the window, the doorbells, the listening sockets and the two ports, and turns the ports'
 * callbacks into signals. A handler may do anything, cvd_server_stop() included; so every member is
 * taken out of the server before it is freed.
 */
#include "server/server.h"

#include "base/fd.h"
#include "server/client-port.h"
#include "server/doorbells.h"
#include "server/listener.h"
#include "server/ready-watch.h"
#include "server/ready-word.h"
#include "server/relay.h"
#include "server/ringer.h"
#include "server/vm-port.h"
#include "server/window.h"
#include "vsoc/handover.h"
#include "vsoc/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

G_DEFINE_ENUM_TYPE(CvdVmAccess, cvd_vm_access, G_DEFINE_ENUM_VALUE(CVD_VM_ACCESS_OWN, "own"),
                   G_DEFINE_ENUM_VALUE(CVD_VM_ACCESS_SAME_USER, "same-user"))

enum {
    VM_ATTACHED,
    VM_HANDED_OVER,
    VM_DETACHED,
    GUEST_READY,
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
    char *vm_socket;
    char *client_socket;
    char *legacy_socket;
    guint socket_mode;
    CvdVmAccess vm_access;
    CvdAccessRules *access;
    char *version_reply;
    guint max_clients;
    guint handshake_timeout_ms;
    CvdWindowOptions window_options; /* with its own strings */
    guint vm_id;
    gboolean asks_ready;
    int content_fd; /* what a new window holds; −1: zeros */
    char *trace_path;
    guint64 trace_size;
    int vm_pid; /* 0 = none is attached */
    CvdWindow *window;
    int read_only_window_fd; /* −1: it cannot be opened, e.g. without /proc */
    CvdDoorbells *doorbells;
    CvdReadyWatch *ready_watch; /* NULL unless `asks_ready` */
    CvdTraceFile *trace;        /* until the relay takes it */
    CvdRelay *relay;            /* between `doorbells` and those of the VM; NULL without a trace */
    CvdListener *vm_listener;
    CvdListener *client_listener;
    CvdListener *legacy_listener;
    int early_vm; /* our end of a VM's connection that came before the port; −1 = none */
    CvdVmPort *vm_port;
    CvdClientPort *client_port;
};

G_DEFINE_FINAL_TYPE(CvdServer, cvd_server, G_TYPE_OBJECT)

static void set_vm_pid(CvdServer *server, int pid)
{
    server->vm_pid = pid;
    g_object_notify(G_OBJECT(server), "vm-pid");
}

static void begin_ready_watch(CvdServer *server)
{
    if (server->ready_watch != NULL)
        cvd_ready_watch_begin(server->ready_watch);
}

/* Nothing will ring for a guest that had said so before. */
static void report_ready(CvdServer *server)
{
    cvd_ready_watch_end(server->ready_watch);
    g_signal_emit(server, signals[GUEST_READY], 0);
}

static void vm_attached(gpointer owner, int pid)
{
    g_autoptr(CvdServer) server = g_object_ref(owner);

    begin_ready_watch(server);
    set_vm_pid(server, pid);
    g_signal_emit(server, signals[VM_ATTACHED], 0, pid);
    if (server->content_fd >= 0 && server->ready_watch != NULL &&
        cvd_window_says_ready(server->window))
        report_ready(server);
}

static void vm_handed_over(gpointer owner)
{
    g_signal_emit(owner, signals[VM_HANDED_OVER], 0);
}

static void vm_detached(gpointer owner)
{
    CvdServer *server = owner;

    if (server->ready_watch != NULL)
        cvd_ready_watch_end(server->ready_watch);
    set_vm_pid(owner, 0);
    g_signal_emit(owner, signals[VM_DETACHED], 0);
}

static void guest_ready(gpointer owner)
{
    g_signal_emit(owner, signals[GUEST_READY], 0);
}

static void client_attached(gpointer owner, int pid, const char *region)
{
    g_object_notify(owner, "n-clients");
    g_signal_emit(owner, signals[CLIENT_ATTACHED], 0, pid, region);
}

static void client_detached(gpointer owner, int pid)
{
    g_object_notify(owner, "n-clients");
    g_signal_emit(owner, signals[CLIENT_DETACHED], 0, pid);
}

static const CvdDoorbells *get_vm_doorbells(const CvdServer *server)
{
    return server->relay != NULL ? cvd_relay_get_vm_doorbells(server->relay) : server->doorbells;
}

static void open_vm_port(CvdServer *server)
{
    const CvdVmPortOptions options = {
        .listening_fd = cvd_listener_get_fd(server->vm_listener),
        .n_regions = server->layout->n_regions,
        .vm_id = server->vm_id,
        .doorbells = get_vm_doorbells(server),
        .window_fd = cvd_window_get_fd(server->window),
        .ready_fd = server->asks_ready ? cvd_ready_watch_get_fd(server->ready_watch) : -1,
        .own_process_only = server->vm_access == CVD_VM_ACCESS_OWN,
        .attached = vm_attached,
        .handed_over = vm_handed_over,
        .detached = vm_detached,
        .owner = server,
    };
    server->vm_port = cvd_vm_port_new(server->context, &options);
    if (server->early_vm >= 0)
        cvd_vm_port_adopt(server->vm_port, g_steal_fd(&server->early_vm));
}

static gboolean listen_for_clients(CvdServer *server, CvdListener **listener, const char *path,
                                   CvdDialect dialect, GError **error)
{
    if (path == NULL)
        return TRUE;
    *listener = cvd_listener_new(path, server->socket_mode, server->window_options.lock_dir, error);
    return *listener != NULL &&
           cvd_client_port_listen(server->client_port, cvd_listener_get_fd(*listener), dialect,
                                  error);
}

static gboolean open_client_port(CvdServer *server, GError **error)
{
    const CvdClientPortOptions options = {
        .served =
            {
                .layout = server->layout,
                .doorbells = server->doorbells,
                .window_fd = cvd_window_get_fd(server->window),
                .read_only_window_fd = server->read_only_window_fd,
                .access = server->access,
                .version_reply = server->version_reply,
            },
        .max_clients = server->max_clients,
        .handshake_timeout_ms = server->handshake_timeout_ms,
        .attached = client_attached,
        .detached = client_detached,
        .owner = server,
    };

    server->client_port = cvd_client_port_new(server->context, &options, error);
    return server->client_port != NULL &&
           listen_for_clients(server, &server->client_listener, server->client_socket,
                              CVD_DIALECT_TEXT, error) &&
           listen_for_clients(server, &server->legacy_listener, server->legacy_socket,
                              CVD_DIALECT_LEGACY, error);
}

static gboolean fill_window(CvdServer *server, GError **error)
{
    return server->content_fd < 0 || cvd_window_fill(server->window, server->content_fd, error);
}

static gboolean open_window(CvdServer *server, GError **error)
{
    server->window = cvd_window_new(server->layout, &server->window_options, error);
    if (server->window == NULL || !fill_window(server, error))
        return FALSE;
    g_autoptr(GError) problem = NULL;
    server->read_only_window_fd = cvd_window_open_read_only(server->window, &problem);
    if (server->read_only_window_fd >= 0 ||
        !cvd_access_rules_has(server->access, CVD_ACCESS_READ_ONLY))
        return TRUE; /* without it nobody can observe, which all others can do without */
    g_prefix_error(&problem, "an access rule lets somebody only read: ");
    return cvd_pass_error(error, &problem);
}

static gboolean open_relay(CvdServer *server, GError **error)
{
    if (server->trace == NULL)
        return TRUE;
    server->relay = cvd_relay_new(server->context, server->layout->n_regions, server->doorbells,
                                  g_steal_pointer(&server->trace), error);
    return server->relay != NULL;
}

static gboolean open_doorbells(CvdServer *server, GError **error)
{
    server->doorbells = cvd_doorbells_new(server->layout->n_regions, error);
    if (server->doorbells == NULL || !open_relay(server, error))
        return FALSE;
    if (!server->asks_ready)
        return TRUE;
    server->ready_watch =
        cvd_ready_watch_new(server->context, server->window, guest_ready, server, error);
    return server->ready_watch != NULL;
}

static gboolean open_all(CvdServer *server, GError **error)
{
    if (!open_window(server, error) || !open_doorbells(server, error))
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
    g_clear_pointer(&server->ready_watch, cvd_ready_watch_free);
    g_clear_pointer(&server->relay, cvd_relay_free);
    g_clear_pointer(&server->trace, cvd_trace_file_free);
    g_clear_pointer(&server->doorbells, cvd_doorbells_free);
    cvd_close_fd(&server->read_only_window_fd);
    g_clear_pointer(&server->window, cvd_window_free);
}

static gboolean is_complete(const CvdServer *server, GError **error)
{
    if (server->layout == NULL || server->vm_socket == NULL || server->client_socket == NULL)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "the server's layout, vm-socket and client-socket must be set");
    if (server->asks_ready && cvd_layout_find_ready_word(server->layout) == 0)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "the descriptors of the layout's %u regions leave no place for the word by "
                        "which a guest says that it is ready; add a region or take one away",
                        server->layout->n_regions);
    if (server->version_reply[0] == '\0')
        return cvd_fail(error, CVD_ERROR_INVALID, "the server's version-reply must not be empty");
    return TRUE;
}

static gboolean open_trace(CvdServer *server, GError **error)
{
    if (server->trace_path != NULL)
        server->trace =
            cvd_trace_file_new(server->trace_path, server->trace_size, server->layout, error);
    return server->trace_path == NULL || server->trace != NULL;
}

static gboolean has_enough_fds(const CvdServer *server, GError **error)
{
    return cvd_check_fd_limit(
        server->layout->n_regions,
        server->trace_path != NULL ? CVD_FDS_PER_TRACED_REGION : CVD_FDS_PER_REGION, error);
}

gboolean cvd_server_listen(CvdServer *server, GError **error)
{
    g_return_val_if_fail(CVD_IS_SERVER(server) && server->state == SERVER_NEW, FALSE);

    if (!is_complete(server, error) || !has_enough_fds(server, error))
        return FALSE;
    server->vm_listener = cvd_listener_new(server->vm_socket, server->socket_mode,
                                           server->window_options.lock_dir, error);
    if (server->vm_listener == NULL)
        return FALSE;
    if (!open_trace(server, error)) {
        close_all(server);
        return FALSE;
    }
    server->state = SERVER_LISTENING;
    return TRUE;
}

gboolean cvd_server_start(CvdServer *server, GError **error)
{
    g_return_val_if_fail(CVD_IS_SERVER(server) && server->state <= SERVER_LISTENING, FALSE);

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
    g_return_if_fail(CVD_IS_SERVER(server));

    if (server->state == SERVER_NEW || server->state == SERVER_STOPPED)
        return;
    g_autoptr(CvdServer) kept = g_object_ref(server);
    kept->state = SERVER_STOPPED;
    close_all(kept);
}

CvdLayout *cvd_server_get_layout(CvdServer *server)
{
    g_return_val_if_fail(CVD_IS_SERVER(server), NULL);
    return server->layout;
}

guint cvd_server_get_n_clients(CvdServer *server)
{
    g_return_val_if_fail(CVD_IS_SERVER(server), 0);
    return server->client_port != NULL ? cvd_client_port_get_n_clients(server->client_port) : 0;
}

int cvd_server_get_vm_pid(CvdServer *server)
{
    g_return_val_if_fail(CVD_IS_SERVER(server), 0);
    return server->vm_pid;
}

void cvd_server_foreach_client(CvdServer *server, CvdServerClientFunc func, gpointer user_data)
{
    g_return_if_fail(CVD_IS_SERVER(server));
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
    g_return_val_if_fail(CVD_IS_SERVER(server) && is_open(server), -1);

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

static gboolean fail_if_stopped(const CvdServer *server, GError **error)
{
    if (server->state == SERVER_STARTED)
        return TRUE;
    return cvd_fail(error, CVD_ERROR_FAILED, "the server was stopped");
}

gboolean cvd_server_open_region(CvdServer *server, const char *region, const CvdServerUser *user,
                                CvdPassedRegion *passed, GError **error)
{
    g_return_val_if_fail(CVD_IS_SERVER(server) && server->state >= SERVER_STARTED, FALSE);

    *passed = (CvdPassedRegion)CVD_PASSED_REGION_INIT;
    if (!fail_if_stopped(server, error))
        return FALSE;
    int index = cvd_layout_find(server->layout, region, strlen(region));
    if (index < 0)
        return cvd_fail(error, CVD_ERROR_INVALID, "there is no region \"%s\" in the layout",
                        region);
    g_autoptr(CvdServer) kept = g_object_ref(server);
    return cvd_client_port_open(kept->client_port, (guint)index, user, passed, error);
}

void cvd_server_set_client_pid(CvdServer *server, guint client, int pid)
{
    g_return_if_fail(CVD_IS_SERVER(server) && client != 0);

    g_autoptr(CvdServer) kept = g_object_ref(server);
    if (kept->client_port != NULL)
        cvd_client_port_set_pid(kept->client_port, client, pid);
}

void cvd_server_disconnect_vm(CvdServer *server)
{
    g_return_if_fail(CVD_IS_SERVER(server) && server->state == SERVER_STARTED);

    g_autoptr(CvdServer) kept = g_object_ref(server);
    cvd_vm_port_disconnect(kept->vm_port);
}

int cvd_server_get_window_fd(CvdServer *server)
{
    g_return_val_if_fail(CVD_IS_SERVER(server) && server->state == SERVER_STARTED, -1);
    return cvd_window_get_fd(server->window);
}

int cvd_server_open_window_read_only(CvdServer *server, GError **error)
{
    g_return_val_if_fail(CVD_IS_SERVER(server) && server->state == SERVER_STARTED, -1);
    return cvd_window_open_read_only(server->window, error);
}

gboolean cvd_server_vm_has_read_all(CvdServer *server)
{
    g_return_val_if_fail(CVD_IS_SERVER(server), FALSE);
    return server->vm_port != NULL && cvd_vm_port_has_read_all(server->vm_port);
}

gboolean cvd_server_get_rings(CvdServer *server, guint region, guint64 *to_guest, guint64 *to_host)
{
    g_return_val_if_fail(CVD_IS_SERVER(server) && region < server->layout->n_regions, FALSE);

    *to_guest = *to_host = 0;
    if (server->relay != NULL)
        cvd_relay_get_rings(server->relay, region, to_guest, to_host);
    return server->relay != NULL;
}

gboolean cvd_server_set_content(CvdServer *server, int dup_fd, GError **error)
{
    g_return_val_if_fail(CVD_IS_SERVER(server), FALSE);

    cvd_autofd fd = dup_fd >= 0 ? fcntl(dup_fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (dup_fd >= 0 && fd < 0)
        return cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno,
                                   "the saved content of the window: fcntl");
    cvd_close_fd(&server->content_fd);
    server->content_fd = g_steal_fd(&fd);
    return TRUE;
}

void cvd_server_get_pending(CvdServer *server, guint region, gboolean *to_guest, gboolean *to_host)
{
    *to_guest = *to_host = FALSE;
    g_return_if_fail(CVD_IS_SERVER(server) && server->state == SERVER_STARTED &&
                     region < server->layout->n_regions);

    cvd_doorbells_find_rung(server->doorbells, region, to_guest, to_host);
    cvd_doorbells_find_rung(get_vm_doorbells(server), region, to_guest, to_host);
    cvd_window_find_signalled(server->window, region, to_guest, to_host);
}

static gboolean ring(const CvdServer *server, CvdRinger *ringer, guint region, gboolean to_guest,
                     GError **error)
{
    g_return_val_if_fail(region < server->layout->n_regions, FALSE);

    int doorbell = to_guest ? cvd_doorbells_get_host_to_guest(get_vm_doorbells(server), region)
                            : cvd_doorbells_get_guest_to_host(server->doorbells, region);
    return cvd_ringer_ring(ringer, doorbell, 1) ||
           cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "a doorbell: io_submit");
}

/* One ringer for all: to end one takes the kernel some 30 ms. */
gboolean cvd_server_ring(CvdServer *server, const guint *regions, guint n_regions,
                         gboolean to_guest, GError **error)
{
    g_return_val_if_fail(CVD_IS_SERVER(server) && server->state == SERVER_STARTED, FALSE);

    g_autoptr(CvdRinger) ringer = n_regions > 0 ? cvd_ringer_new(error) : NULL;
    for (guint i = 0; ringer != NULL && i < n_regions; i++)
        if (!ring(server, ringer, regions[i], to_guest, error))
            return FALSE;
    return ringer != NULL || n_regions == 0;
}

void cvd_server_hold_clients(CvdServer *server)
{
    g_return_if_fail(CVD_IS_SERVER(server));

    g_autoptr(CvdServer) kept = g_object_ref(server);
    if (kept->client_port != NULL)
        cvd_client_port_hold(kept->client_port);
}

gboolean cvd_server_clear_signals(CvdServer *server, GError **error)
{
    g_return_val_if_fail(CVD_IS_SERVER(server) && server->state != SERVER_NEW, FALSE);

    if (!fail_if_stopped(server, error))
        return FALSE;
    if (server->relay != NULL)
        cvd_relay_note_cleared(server->relay);
    gboolean is_ready =
        server->ready_watch != NULL && cvd_ready_watch_has_said(server->ready_watch);
    if (!cvd_window_reset_signals(server->window, error))
        return FALSE;
    begin_ready_watch(server);
    if (is_ready)
        report_ready(server);
    return TRUE;
}

void cvd_server_admit_clients(CvdServer *server)
{
    g_return_if_fail(CVD_IS_SERVER(server));

    g_autoptr(CvdServer) kept = g_object_ref(server);
    if (kept->client_port != NULL)
        cvd_client_port_admit(kept->client_port);
}

static void drain_doorbells(CvdServer *server)
{
    if (server->relay != NULL)
        cvd_relay_drain(server->relay);
    cvd_doorbells_drain(server->doorbells);
}

gboolean cvd_server_renew(CvdServer *server, GError **error)
{
    g_return_val_if_fail(CVD_IS_SERVER(server) && server->state != SERVER_NEW, FALSE);

    g_autoptr(CvdServer) kept = g_object_ref(server);
    /* A stop emits vm-detached too, and that is where a renewal is asked for. */
    if (!fail_if_stopped(kept, error))
        return FALSE;
    if (!cvd_vm_port_is_free(kept->vm_port))
        return cvd_fail(error, CVD_ERROR_FAILED,
                        "%s: a VM is attached; wait for vm-detached before renewing the window",
                        kept->vm_socket);
    gboolean was_held = cvd_client_port_is_held(kept->client_port);
    cvd_server_hold_clients(kept);
    if (!fail_if_stopped(kept, error))
        return FALSE;
    drain_doorbells(kept);
    gboolean is_new = cvd_window_renew(kept->window, error) && fill_window(kept, error);
    if (!was_held)
        cvd_server_admit_clients(kept);
    return is_new;
}

CvdServer *cvd_server_new(CvdLayout *layout, const char *vm_socket, const char *client_socket)
{
    return g_object_new(CVD_TYPE_SERVER, "layout", layout, "vm-socket", vm_socket, "client-socket",
                        client_socket, NULL);
}

/* ---- The object ---- */

#define SETTABLE (G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS)
#define READABLE (G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)
#define ROW(property_name, field_name, property_flags, ...)                                        \
    {                                                                                              \
        .name = (property_name), .offset = G_STRUCT_OFFSET(CvdServer, field_name),                 \
        .flags = (property_flags), __VA_ARGS__                                                     \
    }
#define STRING(property_name, field_name)                                                          \
    ROW(property_name, field_name, SETTABLE, .type = G_TYPE_STRING)

/* The number of a property is its index here, counted from 1. */
static const struct {
    const char *name;
    gsize offset;
    GParamFlags flags;
    GType type;
    GType (*get_type)(void); /* of a boxed value or an enumeration */
    guint64 min;
    guint64 max;
    guint64 usual;
} properties[] = {
    ROW("layout", layout, SETTABLE, .type = G_TYPE_BOXED, .get_type = cvd_layout_get_type),
    STRING("vm-socket", vm_socket),
    STRING("client-socket", client_socket),
    STRING("legacy-socket", legacy_socket),
    ROW("socket-mode", socket_mode, SETTABLE, .type = G_TYPE_UINT, .max = 0777, .usual = 0600),
    STRING("lock-dir", window_options.lock_dir),
    ROW("vm-access", vm_access, SETTABLE, .type = G_TYPE_ENUM, .get_type = cvd_vm_access_get_type),
    ROW("vm-id", vm_id, SETTABLE, .type = G_TYPE_UINT, .max = 1, .usual = VSOC_HANDOVER_VM_ID),
    ROW("access", access, SETTABLE, .type = G_TYPE_BOXED, .get_type = cvd_access_rules_get_type),
    STRING("version-reply", version_reply),
    ROW("max-clients", max_clients, SETTABLE, .type = G_TYPE_UINT, .min = 1, .max = G_MAXUINT,
        .usual = 1024),
    ROW("handshake-timeout-ms", handshake_timeout_ms, SETTABLE, .type = G_TYPE_UINT, .min = 1,
        .max = G_MAXUINT, .usual = 5000),
    ROW("backing", window_options.backing, SETTABLE, .type = G_TYPE_ENUM,
        .get_type = cvd_window_backing_get_type),
    STRING("window-path", window_options.path),
    ROW("hugepage-size", window_options.hugepage_size, SETTABLE, .type = G_TYPE_UINT64,
        .max = G_MAXUINT64),
    ROW("prealloc", window_options.prealloc, SETTABLE, .type = G_TYPE_BOOLEAN),
    ROW("asks-ready", asks_ready, SETTABLE, .type = G_TYPE_BOOLEAN),
    STRING("trace-file", trace_path),
    ROW("trace-size", trace_size, SETTABLE, .type = G_TYPE_UINT64, .min = CVD_TRACE_MIN_SIZE,
        .max = CVD_TRACE_MAX_SIZE, .usual = CVD_TRACE_USUAL_SIZE),
    ROW("n-clients", client_port, READABLE, .type = G_TYPE_UINT, .max = G_MAXUINT),
    ROW("vm-pid", vm_pid, READABLE, .type = G_TYPE_INT),
};

static GParamSpec *new_property(guint i)
{
    const char *name = properties[i].name;
    GParamFlags flags = properties[i].flags;

    switch (properties[i].type) {
    case G_TYPE_BOXED:
        return g_param_spec_boxed(name, NULL, NULL, properties[i].get_type(), flags);
    case G_TYPE_ENUM:
        return g_param_spec_enum(name, NULL, NULL, properties[i].get_type(), 0, flags);
    case G_TYPE_STRING:
        return g_param_spec_string(name, NULL, NULL, NULL, flags);
    case G_TYPE_BOOLEAN:
        return g_param_spec_boolean(name, NULL, NULL, FALSE, flags);
    case G_TYPE_UINT64:
        return g_param_spec_uint64(name, NULL, NULL, properties[i].min, properties[i].max,
                                   properties[i].usual, flags);
    case G_TYPE_INT:
        return g_param_spec_int(name, NULL, NULL, 0, G_MAXINT, 0, flags);
    default:
        return g_param_spec_uint(name, NULL, NULL, (guint)properties[i].min,
                                 (guint)properties[i].max, (guint)properties[i].usual, flags);
    }
}

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
    gpointer field = G_STRUCT_MEMBER_P(object, properties[id - 1].offset);

    if (G_VALUE_HOLDS_STRING(value))
        *(char **)field = g_value_dup_string(value);
    else if (G_VALUE_HOLDS_BOXED(value))
        *(gpointer *)field = g_value_dup_boxed(value);
    else if (G_VALUE_HOLDS_ENUM(value))
        *(int *)field = g_value_get_enum(value);
    else if (G_VALUE_HOLDS_BOOLEAN(value))
        *(gboolean *)field = g_value_get_boolean(value);
    else if (G_VALUE_HOLDS_UINT64(value))
        *(guint64 *)field = g_value_get_uint64(value);
    else
        *(guint *)field = g_value_get_uint(value);
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
    gconstpointer field = G_STRUCT_MEMBER_P(object, properties[id - 1].offset);
    if (properties[id - 1].offset == G_STRUCT_OFFSET(CvdServer, client_port))
        g_value_set_uint(value, cvd_server_get_n_clients(CVD_SERVER(object)));
    else if (G_VALUE_HOLDS_STRING(value))
        g_value_set_string(value, *(char *const *)field);
    else if (G_VALUE_HOLDS_BOXED(value))
        g_value_set_boxed(value, *(const gconstpointer *)field);
    else if (G_VALUE_HOLDS_ENUM(value))
        g_value_set_enum(value, *(const int *)field);
    else if (G_VALUE_HOLDS_BOOLEAN(value))
        g_value_set_boolean(value, *(const gboolean *)field);
    else if (G_VALUE_HOLDS_UINT64(value))
        g_value_set_uint64(value, *(const guint64 *)field);
    else if (G_VALUE_HOLDS_INT(value))
        g_value_set_int(value, *(const int *)field);
    else
        g_value_set_uint(value, *(const guint *)field);
}

static void cvd_server_constructed(GObject *object)
{
    CvdServer *server = CVD_SERVER(object);

    G_OBJECT_CLASS(cvd_server_parent_class)->constructed(object);
    if (server->access == NULL)
        server->access = cvd_access_rules_new_default();
    if (server->version_reply == NULL)
        server->version_reply = g_strdup(VSOC_WIRE_VERSION_REPLY);
}

static void cvd_server_init(CvdServer *server)
{
    server->context = g_main_context_ref_thread_default();
    server->read_only_window_fd = -1;
    server->early_vm = -1;
    server->content_fd = -1;
}

static void cvd_server_dispose(GObject *object)
{
    cvd_server_stop(CVD_SERVER(object));
    G_OBJECT_CLASS(cvd_server_parent_class)->dispose(object);
}

static void cvd_server_finalize(GObject *object)
{
    CvdServer *server = CVD_SERVER(object);

    g_clear_pointer(&server->layout, cvd_layout_unref);
    cvd_close_fd(&server->content_fd);
    g_main_context_unref(server->context);
    g_free(server->vm_socket);
    g_free(server->client_socket);
    g_free(server->legacy_socket);
    g_free((char *)server->window_options.lock_dir);
    g_free(server->version_reply);
    g_free((char *)server->window_options.path);
    g_free(server->trace_path);
    cvd_access_rules_unref(server->access);
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

    object_class->set_property = set_property;
    object_class->get_property = get_property;
    object_class->constructed = cvd_server_constructed;
    object_class->dispose = cvd_server_dispose;
    object_class->finalize = cvd_server_finalize;
    for (guint i = 0; i < G_N_ELEMENTS(properties); i++)
        g_object_class_install_property(object_class, i + 1, new_property(i));

    signals[VM_ATTACHED] = new_signal("vm-attached", 1, G_TYPE_INT, G_TYPE_NONE);
    signals[VM_HANDED_OVER] = new_signal("vm-handed-over", 0, G_TYPE_NONE, G_TYPE_NONE);
    signals[VM_DETACHED] = new_signal("vm-detached", 0, G_TYPE_NONE, G_TYPE_NONE);
    signals[GUEST_READY] = new_signal("guest-ready", 0, G_TYPE_NONE, G_TYPE_NONE);
    signals[CLIENT_ATTACHED] = new_signal("client-attached", 2, G_TYPE_INT, G_TYPE_STRING);
    signals[CLIENT_DETACHED] = new_signal("client-detached", 1, G_TYPE_INT, G_TYPE_NONE);
}
