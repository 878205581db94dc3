/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_AGAIN_MS 100

typedef struct {
    const CvdCtlFollower *follower;
    gpointer data;
    GError *error;
    gboolean is_over;
} Following;

static void stop_following(Following *following, GError *take_error)
{
    if (following->is_over) {
        g_clear_error(&take_error);
        return;
    }
    following->is_over = TRUE;
    following->error = take_error;
}

static void on_state(CvdDBusInstance1 *instance, const char *state, const char *reason,
                     gpointer data)
{
    Following *following = data;

    if (!following->is_over && !following->follower->state(state, reason, following->data))
        stop_following(following, NULL);
}

static void on_guest_event(CvdDBusInstance1 *instance, const char *name, const char *details,
                           gpointer data)
{
    Following *following = data;

    if (following->follower->guest_event != NULL && !following->is_over &&
        !following->follower->guest_event(name, details, following->data))
        stop_following(following, NULL);
}

static void on_ready(CvdDBusInstance1 *instance, GParamSpec *property, gpointer data)
{
    Following *following = data;

    if (following->follower->ready != NULL && !following->is_over &&
        !following->follower->ready(cvd_ctl_is_ready(instance), following->data))
        stop_following(following, NULL);
}

static void on_closing(CvdDBusInstance1 *instance, const char *reason, gpointer data)
{
    stop_following(data, g_error_new(G_IO_ERROR, G_IO_ERROR_BUSY,
                                     "cvd-launch closes the connection: %s", reason));
}

static void on_closed(GDBusConnection *connection, gboolean is_remote, GError *error, gpointer data)
{
    stop_following(data,
                   g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CLOSED, "the instance has ended"));
}

static gboolean on_timeout(gpointer data)
{
    stop_following(data, g_error_new_literal(G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                                             "the time of --timeout is over"));
    return G_SOURCE_REMOVE;
}

static gboolean on_cancelled(GCancellable *cancellable, gpointer data)
{
    stop_following(data, g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "interrupted"));
    return G_SOURCE_REMOVE;
}

gboolean cvd_ctl_follow(CvdTool *tool, CvdDBusInstance1 *instance, const CvdCtlFollower *follower,
                        gpointer data, guint timeout_ms, GError **error)
{
    GDBusConnection *connection = cvd_ctl_get_connection(instance);
    g_autoptr(GSource) interrupt = g_cancellable_source_new(tool->cancellable);
    Following following = {.follower = follower, .data = data};
    guint timer = timeout_ms > 0 ? g_timeout_add(timeout_ms, on_timeout, &following) : 0;

    g_source_set_callback(interrupt, G_SOURCE_FUNC(on_cancelled), &following, NULL);
    g_source_attach(interrupt, NULL);
    g_signal_connect(instance, "state-changed", G_CALLBACK(on_state), &following);
    g_signal_connect(instance, "guest-event", G_CALLBACK(on_guest_event), &following);
    g_signal_connect(instance, "notify::ready", G_CALLBACK(on_ready), &following);
    g_signal_connect(instance, "closing", G_CALLBACK(on_closing), &following);
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), &following);
    on_state(instance, cvd_dbus_instance1_get_state(instance),
             cvd_dbus_instance1_get_reason(instance), &following);
    on_ready(instance, NULL, &following);
    if (g_dbus_connection_is_closed(connection))
        on_closed(connection, TRUE, NULL, &following);
    while (!following.is_over)
        g_main_context_iteration(NULL, TRUE);
    g_signal_handlers_disconnect_by_data(instance, &following);
    g_signal_handlers_disconnect_by_data(connection, &following);
    g_source_destroy(interrupt);
    if (timer != 0 && !g_error_matches(following.error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
        g_source_remove(timer);
    if (following.error == NULL)
        return TRUE;
    g_propagate_error(error, following.error);
    return FALSE;
}

/* ---- Waiting for one that is not there yet ---- */

/* Watches the nearest directory that there is on the way to @path. */
static gboolean watch_way(int inotify_fd, const char *path)
{
    g_autofree char *dir = g_path_get_dirname(path);

    while (inotify_add_watch(inotify_fd, dir, IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR) <
           0) {
        if (strcmp(dir, "/") == 0 || strcmp(dir, ".") == 0)
            return FALSE;
        char *parent = g_path_get_dirname(dir);
        g_free(dir);
        dir = parent;
    }
    return TRUE;
}

static gboolean watch_places(int inotify_fd, const char *name)
{
    g_auto(GStrv) places = cvd_instance_get_places();
    gboolean is_watched = inotify_fd >= 0;

    for (char **place = places; *place != NULL && is_watched; place++) {
        g_autofree char *socket = g_build_filename(*place, name, "control.sock", NULL);
        is_watched = watch_way(inotify_fd, socket);
    }
    return is_watched;
}

char *cvd_ctl_wait_for_instance(CvdTool *tool, const char *name, gboolean or_failure,
                                gint64 deadline_us, GError **error)
{
    for (;;) {
        cvd_autofd inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        GPollFD change = {.fd = inotify_fd, .events = G_IO_IN};
        gboolean is_watched = watch_places(inotify_fd, name);
        g_autofree char *dir = cvd_instance_get_dir(name, error);
        struct stat st;
        if (dir == NULL)
            return NULL;
        g_autofree char *socket = g_build_filename(dir, "control.sock", NULL);
        g_autoptr(CvdCtlFailure) failure = or_failure ? cvd_ctl_failure_find(name) : NULL;
        if (failure != NULL || cvd_instance_is_running(dir))
            return g_steal_pointer(&socket);
        /* A socket that nobody listens on yet shows no change when somebody does. */
        gboolean is_event = is_watched && lstat(socket, &st) < 0;
        if (!cvd_tool_poll(tool, &change, 1, is_event ? -1 : LOOK_AGAIN_MS, deadline_us, error))
            return NULL;
    }
}
