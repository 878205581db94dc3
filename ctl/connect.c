/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance that is stopped, or hangs, accepts connections without ever answering, so every step
 * has a time limit: one timer that cancels whatever is under way.
 */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/instance.h"

#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

typedef struct {
    GCancellable *cancellable;
    GCancellable *outer; /* NULL = none */
    gulong outer_handler;
    GSource *timer;
    gboolean has_timed_out;
    guint timeout_ms;
    CvdCtlConnected connected;
    gpointer data;
} Connecting;

GDBusConnection *cvd_ctl_get_connection(CvdDBusInstance1 *instance)
{
    return g_dbus_proxy_get_connection(G_DBUS_PROXY(instance));
}

/* The pid that the launcher gives is one of its own namespace's; the kernel translates. */
int cvd_ctl_open_launcher(CvdDBusInstance1 *instance)
{
    GIOStream *stream = g_dbus_connection_get_stream(cvd_ctl_get_connection(instance));
    GSocket *socket = g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream));
    struct ucred peer = {0};
    socklen_t size = sizeof peer;

    getsockopt(g_socket_get_fd(socket), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer.pid > 0 ? pidfd_open(peer.pid, 0) : -1;
}

void cvd_ctl_clarify(GError *error)
{
    g_autofree char *name = g_dbus_error_get_remote_error(error);

    g_dbus_error_strip_remote_error(error);
    g_autofree char *text = g_steal_pointer(&error->message);
    error->message = cvd_ctl_printable(text);
    if (g_strcmp0(name, "org.cvd.Error.Invalid") == 0)
        error->domain = G_OPTION_ERROR;
}

static void finish(Connecting *connecting, CvdDBusInstance1 *take_instance, GError *take_error)
{
    g_autoptr(GError) error = take_error;

    if (connecting->has_timed_out && take_instance == NULL) {
        g_clear_error(&error);
        error = g_error_new(G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                            "cvd-launch has not answered within %g s: it is stopped, or hangs",
                            connecting->timeout_ms / 1000.0);
    }
    connecting->connected(take_instance, error, connecting->data);
    g_cancellable_disconnect(connecting->outer, connecting->outer_handler);
    g_source_destroy(connecting->timer);
    g_source_unref(connecting->timer);
    g_object_unref(connecting->cancellable);
    g_free(connecting);
}

static gboolean has_properties(CvdDBusInstance1 *instance)
{
    return cvd_dbus_instance1_get_state(instance) != NULL &&
           cvd_dbus_instance1_get_reason(instance) != NULL &&
           cvd_dbus_instance1_get_name(instance) != NULL &&
           cvd_dbus_instance1_get_version(instance) != NULL &&
           cvd_dbus_instance1_get_regions(instance) != NULL;
}

static void on_proxy(GObject *object, GAsyncResult *result, gpointer data)
{
    GError *error = NULL;
    CvdDBusInstance1 *instance = cvd_dbus_instance1_proxy_new_finish(result, &error);

    /* A proxy whose properties could not be loaded is one that does not answer. */
    if (instance != NULL && !has_properties(instance)) {
        g_clear_object(&instance);
        error = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_FAILED,
                                    "cvd-launch has ended the connection");
    }
    if (instance != NULL)
        g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(instance), CVD_CTL_ANSWER_MS);
    finish(data, instance, error);
}

static void on_connection(GObject *object, GAsyncResult *result, gpointer data)
{
    Connecting *connecting = data;
    GError *error = NULL;
    g_autoptr(GDBusConnection) connection =
        g_dbus_connection_new_for_address_finish(result, &error);

    if (connection == NULL) {
        /* Whoever is let in gets an answer; and to the tool a broken pipe is one of its output. */
        if (!g_cancellable_is_cancelled(connecting->cancellable) &&
            !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED) &&
            !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)) {
            g_autoptr(GError) reason = g_steal_pointer(&error);
            error = g_error_new(G_IO_ERROR, G_IO_ERROR_FAILED,
                                "no connection to cvd-launch: %s; if that has closed it, it has as "
                                "many as it takes (its log says so), or is about to end",
                                reason->message);
        }
        finish(connecting, NULL, error);
        return;
    }
    g_dbus_connection_set_exit_on_close(connection, FALSE);
    cvd_dbus_instance1_proxy_new(connection, G_DBUS_PROXY_FLAGS_NONE, NULL, "/org/cvd/Instance1",
                                 connecting->cancellable, on_proxy, connecting);
}

static gboolean on_timeout(gpointer data)
{
    Connecting *connecting = data;

    connecting->has_timed_out = TRUE;
    g_cancellable_cancel(connecting->cancellable);
    return G_SOURCE_REMOVE;
}

static void on_outer_cancelled(GCancellable *outer, gpointer data)
{
    g_cancellable_cancel(data);
}

void cvd_ctl_connect_async(const char *socket, guint timeout_ms, GCancellable *cancellable,
                           CvdCtlConnected connected, gpointer data)
{
    g_autofree char *escaped = g_dbus_address_escape_value(socket);
    g_autofree char *address = g_strdup_printf("unix:path=%s", escaped);
    Connecting *connecting = g_new0(Connecting, 1);

    connecting->cancellable = g_cancellable_new();
    connecting->outer = cancellable;
    connecting->timeout_ms = timeout_ms;
    connecting->connected = connected;
    connecting->data = data;
    if (cancellable != NULL)
        connecting->outer_handler =
            g_cancellable_connect(cancellable, G_CALLBACK(on_outer_cancelled),
                                  g_object_ref(connecting->cancellable), g_object_unref);
    connecting->timer = g_timeout_source_new(timeout_ms);
    g_source_set_callback(connecting->timer, on_timeout, connecting, NULL);
    g_source_attach(connecting->timer, g_main_context_get_thread_default());
    g_dbus_connection_new_for_address(address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL,
                                      connecting->cancellable, on_connection, connecting);
}

typedef struct {
    GMainLoop *loop;
    CvdDBusInstance1 *instance;
    GError *error;
} Wait;

static void on_connected(CvdDBusInstance1 *instance, const GError *error, gpointer data)
{
    Wait *wait = data;

    wait->instance = instance;
    wait->error = error != NULL ? g_error_copy(error) : NULL;
    g_main_loop_quit(wait->loop);
}

static char *find_socket(const char *name, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    char *socket = cvd_instance_find_socket(name, "control.sock", &local_error);

    if (socket != NULL)
        return socket;
    gboolean is_down = g_error_matches(local_error, CVD_ERROR, CVD_ERROR_CLOSED);
    g_autoptr(CvdCtlFailure) failure = is_down ? cvd_ctl_failure_find(name) : NULL;
    if (failure != NULL)
        cvd_fail(error, CVD_ERROR_CLOSED, "instance '%s' has failed; see cvd-ctl -n %s status",
                 failure->name, failure->name);
    else
        cvd_pass_error(error, &local_error);
    return NULL;
}

CvdDBusInstance1 *cvd_ctl_connect(CvdTool *tool, GError **error)
{
    if (tool->socket == NULL)
        tool->socket = find_socket(tool->name, error);
    if (tool->socket == NULL)
        return NULL;

    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    Wait wait = {.loop = loop};
    cvd_ctl_connect_async(tool->socket, CVD_CTL_ANSWER_MS, tool->cancellable, on_connected, &wait);
    g_main_loop_run(loop);
    if (wait.error != NULL)
        g_propagate_error(error, wait.error);
    return wait.instance;
}
