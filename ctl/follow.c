/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"
#include "base/source.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_AGAIN_MS 100

typedef struct {
    CvdDBusInstance1 *instance; /* NULL: a process is waited for */
    const CvdCtlFollower *follower;
    gpointer data;
    GSource *end; /* of that process */
    GSource *interrupt;
    GSource *timer;
    GSource *over; /* it is: this tells whoever waits */
    GError *error;
    CvdCtlFollowed followed;
    gpointer user_data;
} Following;

static void disconnect(Following *following)
{
    if (following->instance != NULL) {
        g_signal_handlers_disconnect_by_data(following->instance, following);
        g_signal_handlers_disconnect_by_data(cvd_ctl_get_connection(following->instance),
                                             following);
    }
    g_clear_object(&following->instance);
    cvd_source_clear(&following->end);
    cvd_source_clear(&following->interrupt);
    cvd_source_clear(&following->timer);
}

static gboolean on_over(gpointer data)
{
    Following *following = data;

    disconnect(following);
    cvd_source_clear(&following->over);
    following->followed(following->error, following->user_data);
    g_free(following);
    return G_SOURCE_REMOVE;
}

static void stop_following(Following *following, GError *take_error)
{
    if (following->over != NULL) {
        g_clear_error(&take_error);
        return;
    }
    following->error = take_error;
    cvd_source_set_timer(&following->over, 0, on_over, following);
}

static void on_state(CvdDBusInstance1 *instance, const char *state, const char *reason,
                     gpointer data)
{
    Following *following = data;

    if (following->follower->state != NULL && following->over == NULL &&
        !following->follower->state(state, reason, following->data))
        stop_following(following, NULL);
}

static void on_guest_event(CvdDBusInstance1 *instance, const char *name, const char *details,
                           gpointer data)
{
    Following *following = data;

    if (following->follower->guest_event != NULL && following->over == NULL &&
        !following->follower->guest_event(name, details, following->data))
        stop_following(following, NULL);
}

static void on_ready(CvdDBusInstance1 *instance, GParamSpec *property, gpointer data)
{
    Following *following = data;

    if (following->follower->ready != NULL && following->over == NULL &&
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

static gboolean on_exited(int fd, GIOCondition condition, gpointer data)
{
    stop_following(data, NULL);
    return G_SOURCE_REMOVE;
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

static Following *begin(CvdTool *tool, guint timeout_ms, CvdCtlFollowed followed,
                        gpointer user_data)
{
    Following *following = g_new0(Following, 1);

    following->followed = followed;
    following->user_data = user_data;
    following->interrupt = g_cancellable_source_new(tool->cancellable);
    g_source_set_callback(following->interrupt, G_SOURCE_FUNC(on_cancelled), following, NULL);
    g_source_attach(following->interrupt, NULL);
    if (timeout_ms > 0)
        cvd_source_set_timer(&following->timer,
                             g_get_monotonic_time() + timeout_ms * G_TIME_SPAN_MILLISECOND,
                             on_timeout, following);
    return following;
}

void cvd_ctl_follow_async(CvdTool *tool, CvdDBusInstance1 *instance, const CvdCtlFollower *follower,
                          gpointer data, guint timeout_ms, CvdCtlFollowed followed,
                          gpointer user_data)
{
    GDBusConnection *connection = cvd_ctl_get_connection(instance);
    Following *following = begin(tool, timeout_ms, followed, user_data);

    following->instance = g_object_ref(instance);
    following->follower = follower;
    following->data = data;
    g_signal_connect(instance, "state-changed", G_CALLBACK(on_state), following);
    g_signal_connect(instance, "guest-event", G_CALLBACK(on_guest_event), following);
    g_signal_connect(instance, "notify::ready", G_CALLBACK(on_ready), following);
    g_signal_connect(instance, "closing", G_CALLBACK(on_closing), following);
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), following);
    on_state(instance, cvd_dbus_instance1_get_state(instance),
             cvd_dbus_instance1_get_reason(instance), following);
    on_ready(instance, NULL, following);
    if (g_dbus_connection_is_closed(connection))
        on_closed(connection, TRUE, NULL, following);
}

void cvd_ctl_await_exit_async(CvdTool *tool, int launcher, guint timeout_ms,
                              CvdCtlFollowed followed, gpointer user_data)
{
    Following *following = begin(tool, timeout_ms, followed, user_data);

    following->end = cvd_source_watch_fd(launcher, G_IO_IN, on_exited, following);
}

/* ---- The same, to the end ---- */

typedef struct {
    gboolean is_there;
    GError *error;
} Result;

static void on_followed(GError *take_error, gpointer data)
{
    *(Result *)data = (Result){TRUE, take_error};
}

static gboolean wait_for_result(Result *result, GError **error)
{
    while (!result->is_there)
        g_main_context_iteration(NULL, TRUE);
    if (result->error == NULL)
        return TRUE;
    g_propagate_error(error, result->error);
    return FALSE;
}

gboolean cvd_ctl_follow(CvdTool *tool, CvdDBusInstance1 *instance, const CvdCtlFollower *follower,
                        gpointer data, guint timeout_ms, GError **error)
{
    Result result = {0};

    cvd_ctl_follow_async(tool, instance, follower, data, timeout_ms, on_followed, &result);
    return wait_for_result(&result, error);
}

gboolean cvd_ctl_await_exit(CvdTool *tool, int launcher, guint timeout_ms, GError **error)
{
    Result result = {0};

    cvd_ctl_await_exit_async(tool, launcher, timeout_ms, on_followed, &result);
    return wait_for_result(&result, error);
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
