/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket on which other programs find QMP. Each connection gets a stream of the launcher's of its
 * own, and here bytes go from the one to the other; a side that does not read holds up nobody else.
 */
#include "ctl/qmp.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* As many as an instance has streams. */
#define MAX_RELAYS 8

typedef struct {
    CvdDBusInstance1 *instance;
    guint n_relays;
} Server;

/* Lives until both directions, and what was asked for, are done. */
typedef struct {
    Server *server;
    GSocketConnection *client;
    GSocketConnection *stream; /* NULL until it is there */
    GCancellable *cancellable;
    guint n_pending; /* of what calls back */
} Relay;

static void report(const char *why)
{
    g_autofree char *text = cvd_ctl_printable(why);

    g_printerr("cvd-ctl: a connection is closed: %s\n", text);
}

/* ---- Relay ---- */

static void unref(Relay *relay)
{
    if (--relay->n_pending > 0)
        return;
    relay->server->n_relays--;
    g_object_unref(relay->client);
    g_clear_object(&relay->stream);
    g_object_unref(relay->cancellable);
    g_free(relay);
}

/* Who has said all may still be answered. */
static void on_client_ended(GObject *output, GAsyncResult *result, gpointer data)
{
    Relay *relay = data;

    if (g_output_stream_splice_finish(G_OUTPUT_STREAM(output), result, NULL) < 0)
        g_cancellable_cancel(relay->cancellable);
    else
        g_socket_shutdown(g_socket_connection_get_socket(relay->stream), FALSE, TRUE, NULL);
    unref(relay);
}

static void on_stream_ended(GObject *output, GAsyncResult *result, gpointer data)
{
    Relay *relay = data;

    g_output_stream_splice_finish(G_OUTPUT_STREAM(output), result, NULL);
    g_cancellable_cancel(relay->cancellable);
    unref(relay);
}

static void copy(Relay *relay, GSocketConnection *from, GSocketConnection *to,
                 GAsyncReadyCallback ended)
{
    relay->n_pending++;
    g_output_stream_splice_async(g_io_stream_get_output_stream(G_IO_STREAM(to)),
                                 g_io_stream_get_input_stream(G_IO_STREAM(from)),
                                 G_OUTPUT_STREAM_SPLICE_NONE, G_PRIORITY_DEFAULT,
                                 relay->cancellable, ended, relay);
}

static GSocketConnection *take_stream(int take_fd, GError **error)
{
    cvd_autofd fd = take_fd;
    g_autoptr(GSocket) socket = fd >= 0 ? g_socket_new_from_fd(fd, error) : NULL;

    if (socket == NULL)
        return NULL;
    g_steal_fd(&fd);
    return g_socket_connection_factory_create_connection(socket);
}

static void on_opened(GObject *instance, GAsyncResult *result, gpointer data)
{
    Relay *relay = data;
    g_autoptr(GVariant) handle = NULL;
    g_autoptr(GUnixFDList) fds = NULL;
    g_autoptr(GError) error = NULL;

    if (cvd_dbus_instance1_call_open_qmp_finish(CVD_DBUS_INSTANCE1(instance), &handle, &fds, result,
                                                &error))
        relay->stream =
            take_stream(cvd_ctl_get_fd(fds, g_variant_get_handle(handle), &error), &error);
    else
        cvd_ctl_clarify(error);
    if (relay->stream != NULL) {
        copy(relay, relay->client, relay->stream, on_client_ended);
        copy(relay, relay->stream, relay->client, on_stream_ended);
    } else {
        report(error->message);
    }
    unref(relay);
}

static gboolean on_incoming(GSocketService *service, GSocketConnection *connection,
                            GObject *source_object, gpointer data)
{
    Server *server = data;

    if (server->n_relays >= MAX_RELAYS) {
        report("there are eight already");
        return TRUE;
    }
    Relay *relay = g_new(Relay, 1);
    *relay = (Relay){
        .server = server,
        .client = g_object_ref(connection),
        .cancellable = g_cancellable_new(),
        .n_pending = 1,
    };
    server->n_relays++;
    cvd_dbus_instance1_call_open_qmp(server->instance, NULL, relay->cancellable, on_opened, relay);
    return TRUE;
}

/* ---- The socket ---- */

static GSocket *bind_socket(const char *path, GError **error)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GError) reason = NULL;
    GSocket *socket =
        g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);

    if (socket == NULL)
        return NULL;
    mode_t umask_before = umask(0177);
    gboolean is_bound = g_socket_bind(socket, address, FALSE, &reason);
    umask(umask_before);
    if (is_bound && g_socket_listen(socket, &reason))
        return socket;
    if (g_error_matches(reason, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE))
        cvd_fail(error, CVD_ERROR_BUSY,
                 "%s: exists already; remove it if nobody listens there any more", path);
    else if (g_error_matches(reason, G_IO_ERROR, G_IO_ERROR_NOT_FOUND))
        cvd_fail(error, CVD_ERROR_FAILED, "%s: the directory of the socket is not there; make it",
                 path);
    else
        cvd_fail(error, CVD_ERROR_FAILED, "%s: %s", path, reason->message);
    g_object_unref(socket);
    return NULL;
}

static gboolean serve(CvdTool *tool, Server *server, GSocket *socket, const char *path,
                      GError **error)
{
    static const CvdCtlFollower follower = {0};
    g_autoptr(GSocketService) service = g_socket_service_new();
    g_autoptr(GError) local_error = NULL;
    const char *name = cvd_dbus_instance1_get_name(server->instance);

    if (!g_socket_listener_add_socket(G_SOCKET_LISTENER(service), socket, NULL, error) ||
        !cvd_ctl_print(error, "QMP of %s is at %s\n", name, path))
        return FALSE;
    g_signal_connect(service, "incoming", G_CALLBACK(on_incoming), server);
    if (cvd_ctl_follow(tool, server->instance, &follower, NULL, 0, &local_error) ||
        g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_CLOSED) ||
        cvd_tool_is_cancelled(local_error))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&local_error));
    return FALSE;
}

gboolean cvd_ctl_qmp_serve(CvdTool *tool, const char *path, GError **error)
{
    const gsize max_length = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    if (*path == '\0' || strlen(path) > max_length)
        return cvd_tool_fail_usage(error, "--socket '%s': expected a path of 1 to %zu bytes", path,
                                   max_length);
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    g_autoptr(GSocket) socket = instance != NULL ? bind_socket(path, error) : NULL;
    if (socket == NULL)
        return FALSE;
    cvd_autofd bound = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    Server server = {.instance = instance};
    gboolean is_done = serve(tool, &server, socket, path, error);
    if (bound >= 0 && cvd_fd_is_at(bound, AT_FDCWD, path))
        unlink(path);
    return is_done;
}
