/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object /org/cvd/Instance1: who may connect, what its methods do, and its properties. What the
 * bytes of a connection mean is control-peer's affair.
 */
#include "launcher/control/control.h"

#include "base/error.h"
#include "base/log.h"
#include "base/source.h"
#include "launcher/control/control-interface.h"
#include "launcher/control/peer.h"
#include "server/listener.h"

#include <errno.h>
#include <gio/gunixfdlist.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OBJECT_PATH    "/org/cvd/Instance1"
#define INTERFACE      "org.cvd.Instance1"
#define PROPERTIES     "org.freedesktop.DBus.Properties"
#define INTROSPECTABLE "org.freedesktop.DBus.Introspectable"
#define PEER           "org.freedesktop.DBus.Peer"
#define ERROR(name)    "org.freedesktop.DBus.Error." name
/* How long no connection is accepted when no descriptor is to be had. */
#define RETRY_MS 200
/* How long the end waits until the last messages are written. */
#define FLUSH_US (200 * G_TIME_SPAN_MILLISECOND)

struct CvdControl {
    char *name;
    CvdLayout *layout;
    CvdControlHandlers handlers;
    gpointer user_data;
    CvdListener *listener;
    GSource *accepting;
    GSource *idle_limit; /* of the connections that are for short calls */
    GPtrArray *peers;    /* of CvdControlPeer, in the order in which they came */
    GQueue calls;        /* of CvdControlCall, not answered yet */
    CvdLogLimit log_limit;
    gint64 event_second; /* of the last event of QEMU's */
    guint n_events;      /* in that second */
    GVariant *sent;      /* a{sv}: the properties when changes were signalled last */
};

struct CvdControlCall {
    CvdControl *control; /* NULL once its connection has ended */
    CvdControlPeer *peer;
    GDBusMessage *message;
    GList link; /* in `calls` */
    void (*cancelled)(gpointer data);
    gpointer cancelled_data;
};

/* ---- Calls and answers ---- */

static CvdControlCall *call_new(CvdControl *control, CvdControlPeer *peer, GDBusMessage *message)
{
    CvdControlCall *call = g_new0(CvdControlCall, 1);

    call->control = control;
    call->peer = cvd_control_peer_ref(peer);
    call->message = g_object_ref(message);
    call->link.data = call;
    g_queue_push_tail_link(&control->calls, &call->link);
    cvd_control_peer_begin_call(peer);
    return call;
}

static void finish(CvdControlCall *take_call, GDBusMessage *take_reply)
{
    g_autofree CvdControlCall *call = take_call;
    g_autoptr(GDBusMessage) message = g_steal_pointer(&call->message);
    gboolean is_awaited =
        (g_dbus_message_get_flags(message) & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED) == 0;

    if (is_awaited)
        cvd_control_peer_send(call->peer, g_object_ref(take_reply));
    g_object_unref(take_reply);
    if (call->control != NULL)
        g_queue_unlink(&call->control->calls, &call->link);
    cvd_control_peer_end_call(call->peer);
    cvd_control_peer_unref(call->peer);
}

void cvd_control_call_reply(CvdControlCall *take_call, GVariant *body, int take_fd)
{
    GDBusMessage *message = g_dbus_message_new_method_reply(take_call->message);

    if (body != NULL)
        g_dbus_message_set_body(message, body);
    if (take_fd >= 0) {
        g_autoptr(GUnixFDList) fds = g_unix_fd_list_new_from_array(&take_fd, 1);
        g_dbus_message_set_unix_fd_list(message, fds);
    }
    finish(take_call, message);
}

static void reply_error(CvdControlCall *take_call, const char *name, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    finish(take_call, g_dbus_message_new_method_error_literal(take_call->message, name, valid));
}

void cvd_control_call_finish(CvdControlCall *take_call, const GError *error)
{
    gboolean is_of_qmp = strcmp(g_dbus_message_get_member(take_call->message), "Qmp") == 0;

    if (error == NULL)
        cvd_control_call_reply(take_call, NULL, -1);
    else if (g_error_matches(error, CVD_ERROR, CVD_ERROR_INVALID))
        reply_error(take_call, "org.cvd.Error.Invalid", error->message);
    else if (is_of_qmp && g_error_matches(error, CVD_ERROR, CVD_ERROR_FAILED))
        reply_error(take_call, "org.cvd.Error.Qmp", error->message);
    else
        reply_error(take_call, "org.cvd.Error.Failed", error->message);
}

void cvd_control_call_set_cancelled(CvdControlCall *call, void (*cancelled)(gpointer data),
                                    gpointer data)
{
    call->cancelled = cancelled;
    call->cancelled_data = data;
}

/* @peer: NULL: any */
static void cancel_calls(CvdControl *control, const CvdControlPeer *peer)
{
    for (GList *link = control->calls.head, *next; link != NULL; link = next) {
        CvdControlCall *call = link->data;
        next = link->next;
        if (peer != NULL && call->peer != peer)
            continue;
        g_queue_unlink(&control->calls, link);
        call->control = NULL;
        if (call->cancelled != NULL) /* which may finish it */
            call->cancelled(call->cancelled_data);
    }
}

/* ---- Properties ---- */

static GVariant *list_regions(const CvdLayout *layout)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(suu)"));

    for (guint i = 0; i < layout->n_regions; i++) {
        const CvdLayoutRegion *region = &layout->regions[i];
        g_variant_builder_add(&builder, "(suu)", region->name, region->begin, region->end);
    }
    return g_variant_builder_end(&builder);
}

static GVariant *get_properties(const CvdControl *control)
{
    CvdControlStatus status;

    control->handlers.get_status(&status, control->user_data);
    return g_variant_ref_sink(g_variant_new_parsed(
        "{'State': <%s>, 'Reason': <%s>, 'VmPid': <%u>, 'Restarts': <%u>, 'UptimeUs': <%t>,"
        " 'Clients': <%u>, 'Ready': <%b>, 'Name': <%s>, 'Version': <%s>, 'LauncherPid': <%u>,"
        " 'From': <%s>, 'Regions': <%@a(suu)>}",
        status.state, status.reason, status.vm_pid, status.restarts, status.uptime_us,
        status.n_clients, status.is_ready, control->name, CVD_VERSION, (guint)getpid(),
        status.from != NULL ? status.from : "", list_regions(control->layout)));
}

static void get_all(CvdControl *control, CvdControlCall *take_call, GVariant *body)
{
    g_autoptr(GVariant) all = get_properties(control);

    cvd_control_call_reply(take_call, g_variant_new("(@a{sv})", all), -1);
}

static void get(CvdControl *control, CvdControlCall *take_call, GVariant *body)
{
    g_autoptr(GVariant) all = get_properties(control);
    const char *name;

    g_variant_get(body, "(&s&s)", NULL, &name);
    g_autoptr(GVariant) value = g_variant_lookup_value(all, name, NULL);
    if (value != NULL)
        cvd_control_call_reply(take_call, g_variant_new("(v)", value), -1);
    else
        reply_error(take_call, ERROR("UnknownProperty"), "there is no such property");
}

static void set(CvdControl *control, CvdControlCall *take_call, GVariant *body)
{
    reply_error(take_call, ERROR("PropertyReadOnly"), "all properties are read-only");
}

/* ---- Methods ---- */

static void introspect(CvdControl *control, CvdControlCall *take_call, GVariant *body)
{
    const char *path = g_dbus_message_get_path(take_call->message);
    g_autoptr(GString) xml = g_string_new("<node>\n");

    if (strcmp(path, OBJECT_PATH) == 0)
        g_dbus_interface_info_generate_xml(cvd_dbus_instance1_interface_info(), 2, xml);
    else if (strcmp(path, "/") == 0)
        g_string_append(xml, "  <node name=\"org/cvd/Instance1\"/>\n");
    g_string_append(xml, "</node>\n");
    cvd_control_call_reply(take_call, g_variant_new("(s)", xml->str), -1);
}

static void ping(CvdControl *control, CvdControlCall *take_call, GVariant *body)
{
    cvd_control_call_reply(take_call, NULL, -1);
}

typedef struct {
    const char *interface;
    const char *name;
    const char *parameters;
    void (*run)(CvdControl *control, CvdControlCall *take_call, GVariant *body);
} Method;

/* A call may leave the interface out. Returns: (nullable): one that is D-Bus's own */
static const Method *find_method(const char *interface, const char *name)
{
    static const Method methods[] = {
        {PROPERTIES, "Get", "(ss)", get},  {PROPERTIES, "GetAll", "(s)", get_all},
        {PROPERTIES, "Set", "(ssv)", set}, {INTROSPECTABLE, "Introspect", "()", introspect},
        {PEER, "Ping", "()", ping},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(methods); i++)
        if (strcmp(name, methods[i].name) == 0 &&
            (interface == NULL || strcmp(interface, methods[i].interface) == 0))
            return &methods[i];
    return NULL;
}

/* Returns: (nullable) (transfer full): the type that a method's arguments have */
static char *find_parameters(const char *interface, const char *name)
{
    GDBusInterfaceInfo *ours = cvd_dbus_instance1_interface_info();
    GDBusMethodInfo *info = interface == NULL || strcmp(interface, INTERFACE) == 0
                                ? g_dbus_interface_info_lookup_method(ours, name)
                                : NULL;
    g_autoptr(GString) parameters = g_string_new("(");

    if (info == NULL)
        return NULL;
    for (GDBusArgInfo **arg = info->in_args; arg != NULL && *arg != NULL; arg++)
        g_string_append(parameters, (*arg)->signature);
    g_string_append_c(parameters, ')');
    return g_string_free(g_steal_pointer(&parameters), FALSE);
}

static void on_message(gpointer owner, CvdControlPeer *peer, GDBusMessage *message)
{
    CvdControl *control = owner;
    GVariant *body = g_dbus_message_get_body(message);
    const char *type = body != NULL ? g_variant_get_type_string(body) : "()";
    const char *name = g_dbus_message_get_member(message);
    const char *interface = g_dbus_message_get_interface(message);

    if (g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_METHOD_CALL)
        return;
    CvdControlCall *call = call_new(control, peer, message);
    const Method *method = find_method(interface, name);
    g_autofree char *parameters =
        method != NULL ? g_strdup(method->parameters) : find_parameters(interface, name);
    if (parameters == NULL)
        reply_error(call, ERROR("UnknownMethod"), "there is no such method");
    else if (strcmp(g_dbus_message_get_path(message), OBJECT_PATH) != 0 &&
             (method == NULL || (method->run != introspect && method->run != ping)))
        reply_error(call, ERROR("UnknownObject"), "there is only " OBJECT_PATH);
    else if (strcmp(type, parameters) != 0)
        reply_error(call, ERROR("InvalidArgs"), "the method has other parameters");
    else if (method != NULL)
        method->run(control, call, body);
    else
        control->handlers.call(name, body, call, control->user_data);
}

/* ---- Signals ---- */

gboolean cvd_control_has_connections(const CvdControl *control)
{
    for (guint i = 0; i < control->peers->len; i++)
        if (cvd_control_peer_is_ready(g_ptr_array_index(control->peers, i)))
            return TRUE;
    return FALSE;
}

static void send_signal(CvdControlPeer *peer, const char *interface, const char *name,
                        GVariant *parameters)
{
    GDBusMessage *message = g_dbus_message_new_signal(OBJECT_PATH, interface, name);

    g_dbus_message_set_body(message, parameters);
    cvd_control_peer_send(peer, message);
}

static void emit(CvdControl *control, const char *interface, const char *name, GVariant *parameters)
{
    g_autoptr(GVariant) kept = g_variant_ref_sink(parameters);

    for (guint i = 0; i < control->peers->len; i++)
        send_signal(g_ptr_array_index(control->peers, i), interface, name, kept);
}

/* Returns: (transfer full): those of @now that are not so in @before */
static GVariant *find_changes(GVariant *before, GVariant *now)
{
    static const char *const announced[] = {"State", "Reason", "Ready", "VmPid", "Restarts"};
    g_auto(GVariantDict) changes = G_VARIANT_DICT_INIT(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(announced); i++) {
        g_autoptr(GVariant) value = g_variant_lookup_value(now, announced[i], NULL);
        g_autoptr(GVariant) old =
            before != NULL ? g_variant_lookup_value(before, announced[i], NULL) : NULL;
        if (old == NULL || !g_variant_equal(old, value))
            g_variant_dict_insert_value(&changes, announced[i], value);
    }
    return g_variant_ref_sink(g_variant_dict_end(&changes));
}

void cvd_control_status_changed(CvdControl *control)
{
    g_autoptr(GVariant) before = g_steal_pointer(&control->sent);
    g_autoptr(GVariant) changes = NULL;
    const char *state, *reason;

    control->sent = get_properties(control);
    changes = find_changes(before, control->sent);
    if (g_variant_n_children(changes) == 0)
        return;
    emit(control, PROPERTIES, "PropertiesChanged",
         g_variant_new("(s@a{sv}as)", INTERFACE, changes, NULL));
    g_variant_lookup(control->sent, "State", "&s", &state);
    g_variant_lookup(control->sent, "Reason", "&s", &reason);
    if (g_variant_lookup(changes, "State", "&s", NULL) ||
        g_variant_lookup(changes, "Reason", "&s", NULL))
        emit(control, INTERFACE, "StateChanged", g_variant_new("(ss)", state, reason));
}

static void emit_guest_event(CvdControl *control, const char *name, const char *data)
{
    emit(control, INTERFACE, "GuestEvent", g_variant_new("(ss)", name, data));
}

void cvd_control_guest_event(CvdControl *control, const char *name, const char *data)
{
    gint64 second = g_get_monotonic_time() / G_USEC_PER_SEC;

    if (!cvd_control_has_connections(control))
        return;
    if (second != control->event_second) {
        guint n_left_out = control->n_events - MIN(control->n_events, CVD_CONTROL_MAX_EVENTS);
        g_autofree char *count = g_strdup_printf("{\"count\": %u}", n_left_out);
        if (n_left_out > 0)
            emit_guest_event(control, "CVD_EVENTS_LEFT_OUT", count);
        control->event_second = second;
        control->n_events = 0;
    }
    if (control->n_events++ < CVD_CONTROL_MAX_EVENTS)
        emit_guest_event(control, name, data != NULL ? data : "{}");
}

/* ---- Connections ---- */

static void remove_peer(gpointer owner, CvdControlPeer *peer)
{
    CvdControl *control = owner;

    cancel_calls(control, peer);
    g_ptr_array_remove(control->peers, peer);
}

static gboolean may_log(CvdControl *control)
{
    return cvd_log_limit_pass(&control->log_limit, g_get_monotonic_time());
}

static void close_idle_peer(CvdControl *control, CvdControlPeer *peer)
{
    static const char why[] = "as many connections are held open already as may be";

    if (may_log(control))
        g_message("control: a connection is closed, as %s (%d)", why, CVD_CONTROL_MAX_HELD);
    send_signal(peer, INTERFACE, "Closing", g_variant_new("(s)", why));
    cvd_control_peer_flush(peer, 0);
    cvd_control_peer_close(peer);
    remove_peer(control, peer);
}

static void watch_idle_peers(CvdControl *control);

static gboolean on_idle_limit(gpointer data)
{
    CvdControl *control = data;
    gint64 limit_us = g_get_monotonic_time() - CVD_CONTROL_MAX_IDLE_MS * G_TIME_SPAN_MILLISECOND;

    for (guint i = control->peers->len; i-- > CVD_CONTROL_MAX_HELD;) {
        CvdControlPeer *peer = g_ptr_array_index(control->peers, i);
        if (cvd_control_peer_get_idle_since(peer) <= limit_us)
            close_idle_peer(control, peer);
    }
    watch_idle_peers(control);
    return G_SOURCE_REMOVE;
}

static void watch_idle_peers(CvdControl *control)
{
    if (control->peers->len > CVD_CONTROL_MAX_HELD)
        cvd_source_set_timer(&control->idle_limit,
                             g_get_monotonic_time() +
                                 CVD_CONTROL_MAX_IDLE_MS * G_TIME_SPAN_MILLISECOND,
                             on_idle_limit, control);
    else
        cvd_source_clear(&control->idle_limit);
}

/* Returns: (nullable): why not */
static const char *check_peer(const CvdControl *control, const struct ucred *peer)
{
    if (peer->uid != geteuid() && peer->uid != 0)
        return "it is another user's";
    if (control->peers->len >= CVD_CONTROL_MAX_CONNECTIONS)
        return "there are too many connections already";
    return NULL;
}

static void add_peer(CvdControl *control, int take_fd)
{
    const CvdControlPeerOptions options = {
        .message = on_message,
        .closed = remove_peer,
        .owner = control,
        .log_limit = &control->log_limit,
    };
    struct ucred credentials = {0};
    socklen_t size = sizeof credentials;
    const char *reason = "its credentials are unknown";

    if (getsockopt(take_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0)
        reason = check_peer(control, &credentials);
    if (reason != NULL) {
        if (may_log(control))
            g_warning("control: a connection of pid %d (uid %u) is closed, as %s", credentials.pid,
                      credentials.uid, reason);
        close(take_fd);
        return;
    }
    g_ptr_array_add(control->peers, cvd_control_peer_new(take_fd, &options));
    if (control->idle_limit == NULL)
        watch_idle_peers(control);
}

/* Returns: whether to wait before another try, as no descriptor is to be had */
static gboolean accept_connection(gpointer data)
{
    CvdControl *control = data;
    int connection =
        accept4(cvd_listener_get_fd(control->listener), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    int saved_errno = errno;

    if (connection >= 0)
        add_peer(control, connection);
    if (connection >= 0 || saved_errno == EAGAIN || saved_errno == EINTR ||
        saved_errno == ECONNABORTED)
        return FALSE;
    if (may_log(control))
        g_warning("control: accept: %s; trying again shortly", g_strerror(saved_errno));
    return TRUE;
}

/* ---- Beginning and end ---- */

CvdControl *cvd_control_new(const char *socket, const char *name, CvdLayout *layout,
                            const CvdControlHandlers *handlers, gpointer user_data, GError **error)
{
    CvdListener *listener = cvd_listener_new(socket, 0600, NULL, error);
    if (listener == NULL)
        return NULL;

    CvdControl *control = g_new0(CvdControl, 1);
    control->name = g_strdup(name);
    control->layout = cvd_layout_ref(layout);
    control->handlers = *handlers;
    control->user_data = user_data;
    control->listener = listener;
    control->peers = g_ptr_array_new_with_free_func((GDestroyNotify)cvd_control_peer_unref);
    control->accepting = cvd_source_watch_stream(cvd_listener_get_fd(listener), RETRY_MS,
                                                 accept_connection, control);
    return control;
}

/* What was sent last matters most: how it ended. */
static void close_peers(CvdControl *control)
{
    gint64 deadline_us = g_get_monotonic_time() + FLUSH_US;

    for (guint i = 0; i < control->peers->len; i++)
        cvd_control_peer_flush(g_ptr_array_index(control->peers, i), 0);
    for (guint i = 0; i < control->peers->len; i++) {
        cvd_control_peer_flush(g_ptr_array_index(control->peers, i), deadline_us);
        cvd_control_peer_close(g_ptr_array_index(control->peers, i));
    }
}

void cvd_control_free(CvdControl *control)
{
    cvd_source_clear(&control->accepting);
    cvd_source_clear(&control->idle_limit);
    cvd_listener_free(control->listener);
    close_peers(control);
    cancel_calls(control, NULL);
    g_ptr_array_unref(control->peers);
    cvd_layout_unref(control->layout);
    g_clear_pointer(&control->sent, g_variant_unref);
    g_free(control->name);
    g_free(control);
}
