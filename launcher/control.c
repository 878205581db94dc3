/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/control.h"

#include "base/error.h"
#include "base/log.h"
#include "base/source.h"
#include "launcher/control-peer.h"
#include "server/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INTERFACE  "org.cvd.Instance1"
#define PROPERTIES "org.freedesktop.DBus.Properties"
/* For how long the door stays shut when no descriptor is to be had. */
#define REST_MS 200
/* For how long the end waits until the last words are written. */
#define FLUSH_MS 200

struct CvdControl {
    char *name;
    CvdLayout *layout;
    CvdControlHandlers handlers;
    gpointer user_data;
    CvdListener *listener;
    GSource *door; /* NULL while it rests */
    GSource *rest;
    GPtrArray *peers; /* of CvdControlPeer */
    CvdLogLimit log_limit;

    /* What was told last: */
    char *state;
    char *reason;
    guint vm_pid;
    guint restarts;
};

/* ---- Properties and signals ---- */

static GVariant *list_regions(const CvdLayout *layout)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(suu)"));

    for (guint i = 0; i < layout->n_regions; i++) {
        const CvdLayoutRegion *region = &layout->regions[i];
        g_variant_builder_add(&builder, "(suu)", region->name, region->begin, region->end);
    }
    return g_variant_builder_end(&builder);
}

static GVariant *get_constant(gpointer owner, const char *property)
{
    const CvdControl *control = owner;

    if (strcmp(property, "Name") == 0)
        return g_variant_new_string(control->name);
    if (strcmp(property, "Version") == 0)
        return g_variant_new_string(CVD_VERSION);
    if (strcmp(property, "LauncherPid") == 0)
        return g_variant_new_uint32((guint32)getpid());
    g_assert(strcmp(property, "Regions") == 0);
    return list_regions(control->layout);
}

gboolean cvd_control_has_connections(const CvdControl *control)
{
    for (guint i = 0; i < control->peers->len; i++)
        if (cvd_control_peer_is_ready(g_ptr_array_index(control->peers, i)))
            return TRUE;
    return FALSE;
}

static void emit(CvdControl *control, const char *interface, const char *signal,
                 GVariant *parameters)
{
    g_autoptr(GVariant) kept = g_variant_ref_sink(parameters);

    for (guint i = 0; i < control->peers->len; i++)
        cvd_control_peer_emit(g_ptr_array_index(control->peers, i), interface, signal, kept);
}

static void add_if(GVariantBuilder *builder, gboolean is_different, const CvdControlStatus *status,
                   const char *property)
{
    if (is_different)
        g_variant_builder_add(builder, "{sv}", property,
                              cvd_control_status_to_variant(status, property));
}

void cvd_control_status_changed(CvdControl *control)
{
    CvdControlStatus status;

    control->handlers.get_status(&status, control->user_data);
    gboolean is_state = g_strcmp0(status.state, control->state) != 0;
    gboolean is_reason = g_strcmp0(status.reason, control->reason) != 0;
    gboolean is_pid = status.vm_pid != control->vm_pid;
    gboolean is_restarts = status.restarts != control->restarts;
    if (!is_state && !is_reason && !is_pid && !is_restarts)
        return;

    g_free(control->state);
    g_free(control->reason);
    control->state = g_strdup(status.state);
    control->reason = g_strdup(status.reason);
    control->vm_pid = status.vm_pid;
    control->restarts = status.restarts;
    if (!cvd_control_has_connections(control))
        return;
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);
    add_if(&builder, is_state, &status, "State");
    add_if(&builder, is_reason, &status, "Reason");
    add_if(&builder, is_pid, &status, "VmPid");
    add_if(&builder, is_restarts, &status, "Restarts");
    emit(control, PROPERTIES, "PropertiesChanged",
         g_variant_new("(sa{sv}as)", INTERFACE, &builder, NULL));
    if (is_state || is_reason)
        emit(control, INTERFACE, "StateChanged",
             g_variant_new("(ss)", status.state, status.reason));
}

void cvd_control_guest_event(CvdControl *control, const char *name, const char *data)
{
    if (cvd_control_has_connections(control))
        emit(control, INTERFACE, "GuestEvent",
             g_variant_new("(ss)", name, data != NULL ? data : "{}"));
}

/* ---- The door ---- */

static void on_peer_closed(gpointer owner, CvdControlPeer *peer)
{
    CvdControl *control = owner;

    g_ptr_array_remove_fast(control->peers, peer);
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

static void let_in(CvdControl *control, int take_fd)
{
    struct ucred credentials = {0};
    socklen_t size = sizeof credentials;
    CvdControlPeerOptions options = {
        .handlers = &control->handlers,
        .user_data = control->user_data,
        .get_constant = get_constant,
        .closed = on_peer_closed,
        .owner = control,
        .log_limit = &control->log_limit,
    };
    const char *reason = "its credentials are unknown";

    if (getsockopt(take_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0)
        reason = check_peer(control, &credentials);
    if (reason != NULL) {
        if (cvd_log_limit_pass(&control->log_limit, g_get_monotonic_time()))
            g_warning("control: a connection of pid %d (uid %u) is closed, as %s", credentials.pid,
                      credentials.uid, reason);
        close(take_fd);
        return;
    }
    CvdControlPeer *peer = cvd_control_peer_new(take_fd, &options);
    if (peer != NULL)
        g_ptr_array_add(control->peers, peer);
}

static void open_door(CvdControl *control);

static gboolean on_rested(gpointer data)
{
    CvdControl *control = data;

    cvd_source_clear(&control->rest);
    open_door(control);
    return G_SOURCE_REMOVE;
}

static void rest(CvdControl *control, int saved_errno)
{
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();

    if (cvd_log_limit_pass(&control->log_limit, g_get_monotonic_time()))
        g_warning("control: accept: %s; trying again shortly", g_strerror(saved_errno));
    cvd_source_clear(&control->door);
    control->rest = g_timeout_source_new(REST_MS);
    g_source_set_callback(control->rest, on_rested, control, NULL);
    g_source_attach(control->rest, context);
}

static gboolean on_connection(int fd, GIOCondition condition, gpointer data)
{
    int connection = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (connection >= 0)
        let_in(data, connection);
    else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        rest(data, errno);
    return G_SOURCE_CONTINUE;
}

static void open_door(CvdControl *control)
{
    control->door = cvd_source_watch_fd(cvd_listener_get_fd(control->listener), G_IO_IN,
                                        on_connection, control);
}

/* ---- Beginning and end ---- */

CvdControl *cvd_control_new(const char *socket, const char *name, CvdLayout *layout,
                            const CvdControlHandlers *handlers, gpointer user_data, GError **error)
{
    CvdListener *listener = cvd_listener_new(socket, 0600, error);
    if (listener == NULL)
        return NULL;

    CvdControl *control = g_new0(CvdControl, 1);
    control->name = g_strdup(name);
    control->layout = cvd_layout_ref(layout);
    control->handlers = *handlers;
    control->user_data = user_data;
    control->listener = listener;
    control->peers = g_ptr_array_new_with_free_func((GDestroyNotify)cvd_control_peer_unref);
    open_door(control);
    return control;
}

/* Kept by every flush that is under way: of one whose peer never reads nobody waits for the end. */
typedef struct {
    guint n_pending;
    gboolean is_over;
} Farewell;

static void on_flushed(gpointer data)
{
    ((Farewell *)data)->n_pending--;
    g_rc_box_release(data);
}

static gboolean on_farewell_over(gpointer data)
{
    ((Farewell *)data)->is_over = TRUE;
    return G_SOURCE_REMOVE;
}

static void wait_for(Farewell *farewell, GMainContext *context)
{
    g_autoptr(GSource) timer = g_timeout_source_new(FLUSH_MS);

    farewell->is_over = FALSE;
    g_source_set_callback(timer, on_farewell_over, farewell, NULL);
    g_source_attach(timer, context);
    while (farewell->n_pending > 0 && !farewell->is_over)
        g_main_context_iteration(context, TRUE);
    g_source_destroy(timer);
}

/* In a context of its own, so that nothing else happens meanwhile. */
static void say_farewell(CvdControl *control)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    Farewell *farewell = g_rc_box_new0(Farewell);

    g_main_context_push_thread_default(context);
    for (guint i = 0; i < control->peers->len; i++) {
        CvdControlPeer *peer = g_ptr_array_index(control->peers, i);
        if (!cvd_control_peer_is_ready(peer))
            continue;
        farewell->n_pending++;
        cvd_control_peer_flush(peer, on_flushed, g_rc_box_acquire(farewell));
    }
    wait_for(farewell, context);
    for (guint i = 0; i < control->peers->len; i++)
        cvd_control_peer_close(g_ptr_array_index(control->peers, i));
    wait_for(farewell, context); /* closing makes what is still under way fail */
    g_main_context_pop_thread_default(context);
    g_rc_box_release(farewell);
}

void cvd_control_free(CvdControl *control)
{
    cvd_source_clear(&control->door);
    cvd_source_clear(&control->rest);
    g_clear_pointer(&control->listener, cvd_listener_free);
    if (control->peers->len > 0)
        say_farewell(control);
    g_ptr_array_unref(control->peers);
    cvd_layout_unref(control->layout);
    g_free(control->name);
    g_free(control->state);
    g_free(control->reason);
    g_free(control);
}
