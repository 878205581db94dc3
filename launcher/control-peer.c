/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GDBus reads and writes in a thread of its own and queues without bound what a peer does not read.
 * So what waits is counted: up with each call that comes in, for there will be an answer, and with
 * each signal that we send; down with each message that goes out. A filter sees both, in that
 * thread. What exceeds the bound is dropped there, and the connection ended here. Bytes are counted
 * as well, those of the bodies, which is why answers about properties are made here, too. What is
 * left to GDBus, errors and introspection, is small.
 */
#include "launcher/control-peer.h"

#include "base/error.h"
#include "base/source.h"
#include "control/control-interface.h"

#include <gio/gunixfdlist.h>
#include <string.h>
#include <unistd.h>

#define OBJECT_PATH "/org/cvd/Instance1"
#define PROPERTIES  "org.freedesktop.DBus.Properties"
#define WEIGHT      "cvd-weight" /* data of a message that waits: the size of its body */

struct CvdControlPeer {
    gatomicrefcount refs;
    CvdControlPeerOptions options; /* `closed` is NULL once it was told, or the owner has gone */
    GMainContext *context;
    GSocketConnection *stream;
    GDBusConnection *connection; /* NULL while it authenticates */
    GCancellable *cancellable;
    GSource *deadline;
    guint filter;
    guint object;
    GQueue calls;        /* of CvdControlCall, not finished yet */
    gint n_unread;       /* atomic */
    gint n_unread_bytes; /* atomic */
    gboolean is_beyond;  /* the bytes would have been too many: nothing is sent any more */
};

struct CvdControlCall {
    CvdControlPeer *peer;
    GDBusMethodInvocation *invocation;
    gboolean is_qmp;
    GList link; /* in the peer's calls */
    void (*cancelled)(gpointer data);
    gpointer cancelled_data;
};

static CvdControlPeer *peer_ref(CvdControlPeer *peer)
{
    g_atomic_ref_count_inc(&peer->refs);
    return peer;
}

void cvd_control_peer_unref(CvdControlPeer *peer)
{
    if (!g_atomic_ref_count_dec(&peer->refs))
        return;
    g_clear_object(&peer->connection);
    g_clear_object(&peer->stream);
    g_clear_object(&peer->cancellable);
    g_main_context_unref(peer->context);
    g_free(peer);
}

static void unref_peer(gpointer data)
{
    cvd_control_peer_unref(data);
}

static void cancel_calls(CvdControlPeer *peer)
{
    GList *link;

    while ((link = g_queue_pop_head_link(&peer->calls)) != NULL) {
        CvdControlCall *call = link->data;
        if (call->cancelled != NULL)
            call->cancelled(call->cancelled_data);
    }
}

void cvd_control_peer_close(CvdControlPeer *peer)
{
    peer->options.closed = NULL;
    cvd_source_clear(&peer->deadline);
    g_cancellable_cancel(peer->cancellable);
    cancel_calls(peer);
    if (peer->connection == NULL) {
        /* Wakes a thread that waits for the peer to authenticate. */
        g_socket_shutdown(g_socket_connection_get_socket(peer->stream), TRUE, TRUE, NULL);
        return;
    }
    g_signal_handlers_disconnect_by_data(peer->connection, peer);
    if (peer->object != 0)
        g_dbus_connection_unregister_object(peer->connection, peer->object);
    peer->object = 0;
    if (peer->filter != 0)
        g_dbus_connection_remove_filter(peer->connection, peer->filter);
    peer->filter = 0;
    g_dbus_connection_close(peer->connection, NULL, NULL, NULL);
}

/* The one way in which a connection ends by itself. */
static void end(CvdControlPeer *peer)
{
    void (*closed)(gpointer, CvdControlPeer *) = peer->options.closed;

    if (closed == NULL)
        return;
    cvd_control_peer_close(peer);
    closed(peer->options.owner, peer);
}

/* While the owner is there. */
static gboolean may_log(CvdControlPeer *peer)
{
    return cvd_log_limit_pass(peer->options.log_limit, g_get_monotonic_time());
}

/* ---- What waits to be read ---- */

static gboolean on_too_much(gpointer data)
{
    CvdControlPeer *peer = data;

    if (peer->options.closed != NULL && may_log(peer))
        g_warning("control: a connection is closed, as more than %d messages or %d bytes wait for "
                  "its peer to read them",
                  CVD_CONTROL_MAX_UNREAD, CVD_CONTROL_MAX_UNREAD_BYTES);
    end(peer);
    return G_SOURCE_REMOVE;
}

/* May be called from any thread. */
static void end_soon(CvdControlPeer *peer)
{
    g_autoptr(GSource) source = g_idle_source_new();

    g_source_set_callback(source, on_too_much, peer_ref(peer), unref_peer);
    g_source_attach(source, peer->context);
}

/* May be called from any thread. Returns: whether there is room for one more */
static gboolean count_one(CvdControlPeer *peer)
{
    gint n_before = g_atomic_int_add(&peer->n_unread, 1);

    if (n_before == CVD_CONTROL_MAX_UNREAD) /* who is beyond it has been reported already */
        end_soon(peer);
    return n_before < CVD_CONTROL_MAX_UNREAD;
}

/* Only the main thread makes the sum larger. Returns: whether there is room for @message */
static gboolean weigh(CvdControlPeer *peer, GDBusMessage *message)
{
    GVariant *body = g_dbus_message_get_body(message);
    gsize size = body != NULL ? g_variant_get_size(body) : 0;
    gsize n_waiting = (gsize)g_atomic_int_get(&peer->n_unread_bytes);

    if (peer->is_beyond)
        return FALSE;
    if (size > CVD_CONTROL_MAX_UNREAD_BYTES - n_waiting) {
        peer->is_beyond = TRUE;
        end_soon(peer);
        return FALSE;
    }
    g_object_set_data(G_OBJECT(message), WEIGHT, GSIZE_TO_POINTER(size));
    g_atomic_int_add(&peer->n_unread_bytes, (gint)size);
    return TRUE;
}

static void unweigh(CvdControlPeer *peer, GDBusMessage *message)
{
    gsize size = GPOINTER_TO_SIZE(g_object_steal_data(G_OBJECT(message), WEIGHT));

    g_atomic_int_add(&peer->n_unread_bytes, -(gint)size);
}

/* @body may be NULL, and is consumed if it is floating. */
static void send_message(CvdControlPeer *peer, GDBusMessage *take_message, GVariant *body)
{
    g_autoptr(GDBusMessage) message = take_message;

    if (body != NULL)
        g_dbus_message_set_body(message, body);
    if (weigh(peer, message))
        g_dbus_connection_send_message(peer->connection, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE,
                                       NULL, NULL);
}

/* A message that was read is locked. */
static GDBusMessage *expect_reply(GDBusMessage *take_message)
{
    g_autoptr(GDBusMessage) message = take_message;
    GDBusMessageFlags flags = g_dbus_message_get_flags(message);

    if ((flags & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED) == 0)
        return g_steal_pointer(&message);
    GDBusMessage *copy = g_dbus_message_copy(message, NULL);
    if (copy != NULL)
        g_dbus_message_set_flags(copy, flags & ~G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
    return copy;
}

/* Of the calls that expect no answer GDBus answers some and others not. So that exactly one message
 * goes out for each call, all are answered; who expects none passes it over. */
static GDBusMessage *filter(GDBusConnection *connection, GDBusMessage *take_message,
                            gboolean is_incoming, gpointer data)
{
    CvdControlPeer *peer = data;

    if (!is_incoming) {
        g_atomic_int_add(&peer->n_unread, -1);
        unweigh(peer, take_message);
        return take_message;
    }
    if (g_dbus_message_get_message_type(take_message) != G_DBUS_MESSAGE_TYPE_METHOD_CALL)
        return take_message;
    if (!count_one(peer)) {
        g_object_unref(take_message);
        return NULL;
    }
    return expect_reply(take_message);
}

void cvd_control_peer_emit(CvdControlPeer *peer, const char *interface, const char *signal,
                           GVariant *parameters)
{
    if (peer->connection != NULL && count_one(peer))
        send_message(peer, g_dbus_message_new_signal(OBJECT_PATH, interface, signal), parameters);
}

/* ---- Calls ---- */

static CvdControlCall *call_new(CvdControlPeer *peer, GDBusMethodInvocation *take_invocation,
                                gboolean is_qmp)
{
    CvdControlCall *call = g_new(CvdControlCall, 1);

    *call = (CvdControlCall){
        .peer = peer_ref(peer),
        .invocation = take_invocation,
        .is_qmp = is_qmp,
        .link.data = call,
    };
    g_queue_push_tail_link(&peer->calls, &call->link);
    return call;
}

/* @body and @fds may be NULL. */
static void answer(CvdControlPeer *peer, GDBusMethodInvocation *take_invocation, GVariant *body,
                   GUnixFDList *fds)
{
    g_autoptr(GDBusMethodInvocation) invocation = take_invocation;
    GDBusMessage *reply =
        g_dbus_message_new_method_reply(g_dbus_method_invocation_get_message(invocation));

    if (fds != NULL)
        g_dbus_message_set_unix_fd_list(reply, fds);
    send_message(peer, reply, body);
}

static void answer_error(const CvdControlCall *call, const GError *error)
{
    gboolean is_of_qmp = call->is_qmp && g_error_matches(error, CVD_ERROR, CVD_ERROR_FAILED);
    g_autofree char *text = g_utf8_make_valid(error->message, -1);

    g_dbus_method_invocation_return_dbus_error(
        call->invocation, is_of_qmp ? "org.cvd.Error.Qmp" : "org.cvd.Error.Failed", text);
}

void cvd_control_call_finish(CvdControlCall *take_call, const char *reply, const GError *error)
{
    g_autofree CvdControlCall *call = take_call;

    if (g_queue_index(&call->peer->calls, call) >= 0)
        g_queue_unlink(&call->peer->calls, &call->link);
    if (error != NULL)
        answer_error(call, error);
    else
        answer(call->peer, call->invocation, call->is_qmp ? g_variant_new("(s)", reply) : NULL,
               NULL);
    cvd_control_peer_unref(call->peer);
}

void cvd_control_call_set_cancelled(CvdControlCall *call, void (*cancelled)(gpointer data),
                                    gpointer data)
{
    call->cancelled = cancelled;
    call->cancelled_data = data;
}

static void refuse(CvdControlPeer *peer, GDBusMethodInvocation *take_invocation,
                   const GError *error)
{
    cvd_control_call_finish(call_new(peer, take_invocation, FALSE), NULL, error);
}

/* Descriptors go as indices into a list, of which each answer has one of its own. */
static void return_fd(CvdControlPeer *peer, GDBusMethodInvocation *take_invocation,
                      const char *text, int take_fd)
{
    g_autoptr(GUnixFDList) list = g_unix_fd_list_new_from_array(&take_fd, 1);

    answer(peer, take_invocation,
           text != NULL ? g_variant_new("(sh)", text, 0) : g_variant_new("(h)", 0), list);
}

static void open_console(CvdControlPeer *peer, GDBusMethodInvocation *take_invocation)
{
    g_autoptr(GError) error = NULL;
    int fd = peer->options.handlers->open_console(&error, peer->options.user_data);

    if (fd < 0)
        refuse(peer, take_invocation, error);
    else
        return_fd(peer, take_invocation, NULL, fd);
}

static void report(CvdControlPeer *peer, GDBusMethodInvocation *take_invocation)
{
    g_autoptr(GError) error = NULL;
    int fd = -1;
    g_autofree char *record = peer->options.handlers->report(&fd, &error, peer->options.user_data);

    if (record == NULL)
        refuse(peer, take_invocation, error);
    else
        return_fd(peer, take_invocation, record, fd);
}

GVariant *cvd_control_status_to_variant(const CvdControlStatus *status, const char *property)
{
    if (strcmp(property, "State") == 0)
        return g_variant_new_string(status->state);
    if (strcmp(property, "Reason") == 0)
        return g_variant_new_string(status->reason);
    if (strcmp(property, "VmPid") == 0)
        return g_variant_new_uint32(status->vm_pid);
    if (strcmp(property, "UptimeUs") == 0)
        return g_variant_new_uint64(status->uptime_us);
    if (strcmp(property, "Restarts") == 0)
        return g_variant_new_uint32(status->restarts);
    if (strcmp(property, "Clients") == 0)
        return g_variant_new_uint32(status->n_clients);
    return NULL;
}

static GVariant *get_property(const CvdControlPeer *peer, const char *property)
{
    CvdControlStatus status;

    peer->options.handlers->get_status(&status, peer->options.user_data);
    GVariant *value = cvd_control_status_to_variant(&status, property);
    return value != NULL ? value : peer->options.get_constant(peer->options.owner, property);
}

static GVariant *get_all(const CvdControlPeer *peer)
{
    const GDBusInterfaceInfo *info = cvd_dbus_instance1_interface_info();
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);

    for (gsize i = 0; info->properties[i] != NULL; i++)
        g_variant_builder_add(&builder, "{sv}", info->properties[i]->name,
                              get_property(peer, info->properties[i]->name));
    return g_variant_new("(a{sv})", &builder);
}

/* Those that get one, or all; GDBus has refused everything else. */
static void on_properties_call(CvdControlPeer *peer, const char *method, GVariant *parameters,
                               GDBusMethodInvocation *take_invocation)
{
    const char *property;

    if (strcmp(method, "GetAll") == 0) {
        answer(peer, take_invocation, get_all(peer), NULL);
        return;
    }
    g_variant_get(parameters, "(&s&s)", NULL, &property);
    answer(peer, take_invocation, g_variant_new("(v)", get_property(peer, property)), NULL);
}

static void on_call(GDBusConnection *connection, const char *sender, const char *path,
                    const char *interface, const char *method, GVariant *parameters,
                    GDBusMethodInvocation *take_invocation, gpointer data)
{
    static const struct {
        const char *method;
        CvdControlVerb verb;
    } verbs[] = {
        {"Stop", CVD_CONTROL_STOP},     {"Restart", CVD_CONTROL_RESTART},
        {"Reset", CVD_CONTROL_RESET},   {"Pause", CVD_CONTROL_PAUSE},
        {"Resume", CVD_CONTROL_RESUME}, {"PowerButton", CVD_CONTROL_POWER_BUTTON},
    };
    CvdControlPeer *peer = data;
    const CvdControlPeerOptions *options = &peer->options;

    if (strcmp(interface, PROPERTIES) == 0) {
        on_properties_call(peer, method, parameters, take_invocation);
    } else if (strcmp(method, "OpenConsole") == 0) {
        open_console(peer, take_invocation);
    } else if (strcmp(method, "Report") == 0) {
        report(peer, take_invocation);
    } else if (strcmp(method, "Qmp") == 0) {
        const char *command;
        g_variant_get(parameters, "(&s)", &command);
        options->handlers->qmp(command, call_new(peer, take_invocation, TRUE), options->user_data);
    } else {
        for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++)
            if (strcmp(method, verbs[i].method) == 0)
                options->handlers->execute(verbs[i].verb, call_new(peer, take_invocation, FALSE),
                                           options->user_data);
    }
}

/* ---- Beginning ---- */

static void on_closed(GDBusConnection *connection, gboolean remote, GError *error, gpointer data)
{
    end(data);
}

static void serve(CvdControlPeer *peer)
{
    static const GDBusInterfaceVTable vtable = {.method_call = on_call};

    g_signal_connect(peer->connection, "closed", G_CALLBACK(on_closed), peer);
    g_dbus_connection_set_exit_on_close(peer->connection, FALSE);
    peer->filter =
        g_dbus_connection_add_filter(peer->connection, filter, peer_ref(peer), unref_peer);
    peer->object = g_dbus_connection_register_object(peer->connection, OBJECT_PATH,
                                                     cvd_dbus_instance1_interface_info(), &vtable,
                                                     peer_ref(peer), unref_peer, NULL);
    g_dbus_connection_start_message_processing(peer->connection);
}

static void on_authenticated(GObject *object, GAsyncResult *result, gpointer data)
{
    CvdControlPeer *peer = data;
    g_autoptr(GError) error = NULL;

    cvd_source_clear(&peer->deadline);
    peer->connection = g_dbus_connection_new_finish(result, &error);
    if (peer->connection == NULL) {
        g_info("control: a connection ended before it had authenticated: %s", error->message);
        end(peer);
    } else if (peer->options.closed == NULL) {
        g_dbus_connection_close(peer->connection, NULL, NULL, NULL);
    } else {
        serve(peer);
    }
    cvd_control_peer_unref(peer);
}

static gboolean on_deadline(gpointer data)
{
    CvdControlPeer *peer = data;

    if (may_log(peer))
        g_warning("control: a connection is closed, as its peer has not authenticated in %d s",
                  CVD_CONTROL_AUTH_TIMEOUT_MS / 1000);
    end(peer);
    return G_SOURCE_REMOVE;
}

/* These two run in a thread of GIO's. */
static gboolean allow_mechanism(GDBusAuthObserver *observer, const char *mechanism, gpointer data)
{
    return strcmp(mechanism, "EXTERNAL") == 0;
}

static gboolean authorize(GDBusAuthObserver *observer, GIOStream *stream, GCredentials *credentials,
                          gpointer data)
{
    uid_t uid = credentials != NULL ? g_credentials_get_unix_user(credentials, NULL) : (uid_t)-1;

    return uid == 0 || uid == geteuid();
}

static void authenticate(CvdControlPeer *peer)
{
    g_autoptr(GDBusAuthObserver) observer = g_dbus_auth_observer_new();
    g_autofree char *guid = g_dbus_generate_guid();

    g_signal_connect(observer, "allow-mechanism", G_CALLBACK(allow_mechanism), NULL);
    g_signal_connect(observer, "authorize-authenticated-peer", G_CALLBACK(authorize), NULL);
    g_dbus_connection_new(G_IO_STREAM(peer->stream), guid,
                          G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_SERVER |
                              G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING,
                          observer, peer->cancellable, on_authenticated, peer_ref(peer));
    peer->deadline = g_timeout_source_new(CVD_CONTROL_AUTH_TIMEOUT_MS);
    g_source_set_callback(peer->deadline, on_deadline, peer, NULL);
    g_source_attach(peer->deadline, peer->context);
}

CvdControlPeer *cvd_control_peer_new(int take_fd, const CvdControlPeerOptions *options)
{
    g_autoptr(GSocket) socket = g_socket_new_from_fd(take_fd, NULL);
    if (socket == NULL) {
        close(take_fd);
        return NULL;
    }

    CvdControlPeer *peer = g_new0(CvdControlPeer, 1);
    g_atomic_ref_count_init(&peer->refs);
    peer->options = *options;
    peer->context = g_main_context_ref_thread_default();
    peer->stream = g_socket_connection_factory_create_connection(socket);
    peer->cancellable = g_cancellable_new();
    authenticate(peer);
    return peer;
}

gboolean cvd_control_peer_is_ready(const CvdControlPeer *peer)
{
    return peer->connection != NULL;
}

typedef struct {
    void (*done)(gpointer data);
    gpointer data;
} Flush;

static void on_flushed(GObject *object, GAsyncResult *result, gpointer data)
{
    g_autofree Flush *flush = data;

    g_dbus_connection_flush_finish(G_DBUS_CONNECTION(object), result, NULL);
    flush->done(flush->data);
}

void cvd_control_peer_flush(CvdControlPeer *peer, void (*done)(gpointer data), gpointer data)
{
    Flush *flush = g_new(Flush, 1);

    *flush = (Flush){.done = done, .data = data};
    g_dbus_connection_flush(peer->connection, peer->cancellable, on_flushed, flush);
}
