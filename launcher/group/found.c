/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A launcher has its instance from before it listens until its process ends, and no event says when
 * it listens. So a connection is tried again; with one, the events are its own.
 *
 * What is under way holds a reference, so that nothing has to wait for what was cancelled. What
 * it said last comes before the end of the connection.
 */
#include "launcher/group/found.h"

#include "base/fd.h"
#include "base/instance-bus.h"
#include "base/instance.h"
#include "base/source.h"
#include "launcher/control/control-interface.h"

#include <sys/pidfd.h>

#define LOOK_AGAIN_MS 100

struct CvdFound {
    char *dir;
    GCancellable *cancellable;
    CvdDBusInstance1 *instance;
    int launcher_fd; /* readable when that has ended; −1: out of sight, or refused by seccomp */
    GSource *exit;
    GSource *again;
    GSource *limit;          /* of an answer, or until the next question */
    gboolean was_going_down; /* when it answered */
    CvdFoundEnded ended;     /* NULL: it has been called, or is not to be */
    gpointer user_data;
};

/* ---- The end ---- */

static void clear(gpointer data)
{
    CvdFound *found = data;

    g_clear_object(&found->instance);
    g_object_unref(found->cancellable);
    g_free(found->dir);
}

/* Idempotent: nothing is reported from here on. */
static void disconnect(CvdFound *found)
{
    found->ended = NULL;
    g_cancellable_cancel(found->cancellable);
    if (found->instance != NULL) {
        GDBusConnection *connection = g_dbus_proxy_get_connection(G_DBUS_PROXY(found->instance));
        g_signal_handlers_disconnect_by_data(found->instance, found);
        g_signal_handlers_disconnect_by_data(connection, found);
    }
    cvd_source_clear(&found->exit);
    cvd_source_clear(&found->again);
    cvd_source_clear(&found->limit);
    cvd_close_fd(&found->launcher_fd);
}

static void end(CvdFound *found, CvdFoundEnd how, const char *failure)
{
    CvdFoundEnded ended = found->ended;
    gpointer user_data = found->user_data;

    if (ended == NULL)
        return;
    disconnect(found);
    ended(how, failure, user_data);
}

static void fail_unanswered(CvdFound *found)
{
    g_autofree char *failure =
        g_strdup_printf("cvd-launch has not answered within %d s: it is stopped, or hangs",
                        CVD_FOUND_ANSWER_MS / 1000);

    end(found, CVD_FOUND_FAILED, failure);
}

static gboolean on_unanswered(gpointer data)
{
    fail_unanswered(data);
    return G_SOURCE_REMOVE;
}

static const char *get_state(const CvdFound *found)
{
    return found->instance != NULL ? cvd_dbus_instance1_get_state(found->instance) : NULL;
}

static void fail_with_state(CvdFound *found, const char *what, const char *remedy)
{
    const char *reason = cvd_dbus_instance1_get_reason(found->instance);
    gboolean has_reason = reason != NULL && *reason != '\0';
    g_autofree char *failure =
        g_strconcat(what, has_reason ? ": " : "", has_reason ? reason : "", remedy, NULL);

    end(found, CVD_FOUND_FAILED, failure);
}

static gboolean on_exited(int fd, GIOCondition condition, gpointer data)
{
    CvdFound *found = data;

    if (g_strcmp0(get_state(found), "failed") == 0 && !found->was_going_down)
        fail_with_state(found, "has failed", "");
    else
        end(found, CVD_FOUND_GONE, NULL);
    return G_SOURCE_REMOVE;
}

static void set_timer(GSource **timer, guint ms, GSourceFunc callback, CvdFound *found)
{
    cvd_source_set_timer(timer, g_get_monotonic_time() + ms * G_TIME_SPAN_MILLISECOND, callback,
                         found);
}

static gboolean on_again(gpointer data);

/* There is no connection yet, or no more. A launcher that lets nobody in need not end. */
static void await_exit(CvdFound *found)
{
    if (found->launcher_fd >= 0 && found->exit == NULL)
        found->exit = cvd_source_watch_fd(found->launcher_fd, G_IO_IN, on_exited, found);
    if (found->launcher_fd < 0 || found->instance == NULL)
        set_timer(&found->again, LOOK_AGAIN_MS, on_again, found);
}

static void on_closed(GDBusConnection *connection, gboolean is_remote, GError *error, gpointer data)
{
    CvdFound *found = data;

    set_timer(&found->limit, CVD_FOUND_ANSWER_MS, on_unanswered, found);
    await_exit(found);
}

/* ---- What it says ---- */

static gboolean on_ask(gpointer data);

/* A guest that does not run does not become ready, but it may be stopped for a moment. */
static void on_answer(GObject *object, GAsyncResult *result, gpointer data)
{
    static const char *const halted[] = {"paused", "suspended", "faulted", NULL};
    CvdFound *found = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply = g_dbus_proxy_call_finish(G_DBUS_PROXY(object), result, &error);

    if (found->ended != NULL && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
        fail_unanswered(found);
    } else if (found->ended != NULL && reply != NULL && g_strv_contains(halted, get_state(found))) {
        g_autofree char *what = g_strdup_printf("is %s, not ready", get_state(found));
        fail_with_state(found, what, "; cvd-ctl resume lets it go on");
    } else if (found->ended != NULL && reply != NULL) {
        set_timer(&found->limit, CVD_FOUND_ANSWER_MS, on_ask, found);
    }
    g_rc_box_release_full(found, clear);
}

/* One that has answered may hang later. */
static gboolean on_ask(gpointer data)
{
    CvdFound *found = data;

    cvd_source_clear(&found->limit);
    g_dbus_proxy_call(G_DBUS_PROXY(found->instance), "org.freedesktop.DBus.Peer.Ping", NULL,
                      G_DBUS_CALL_FLAGS_NONE, CVD_FOUND_ANSWER_MS, found->cancellable, on_answer,
                      g_rc_box_acquire(found));
    return G_SOURCE_REMOVE;
}

static void on_ready(CvdDBusInstance1 *instance, GParamSpec *property, gpointer data)
{
    if (cvd_dbus_instance1_get_ready(instance))
        end(data, CVD_FOUND_READY, NULL);
}

/* ---- Connecting ---- */

static void follow(CvdFound *found)
{
    static const char *const down[] = {"stopping", "stopped", "failed", NULL};
    GDBusConnection *connection = g_dbus_proxy_get_connection(G_DBUS_PROXY(found->instance));

    found->was_going_down = g_strv_contains(down, get_state(found));
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), found);
    if (g_dbus_connection_is_closed(connection)) {
        on_closed(connection, TRUE, NULL, found);
        return;
    }
    set_timer(&found->limit, CVD_FOUND_ANSWER_MS, on_ask, found);
    g_signal_connect(found->instance, "notify::ready", G_CALLBACK(on_ready), found);
    on_ready(found->instance, NULL, found);
}

/* Without properties it has ended before it answered. */
static void on_proxy(GObject *object, GAsyncResult *result, gpointer data)
{
    CvdFound *found = data;

    found->instance = cvd_dbus_instance1_proxy_new_finish(result, NULL);
    if (get_state(found) == NULL)
        g_clear_object(&found->instance);
    if (found->ended != NULL && found->instance != NULL)
        follow(found);
    else if (found->ended != NULL)
        await_exit(found);
    g_rc_box_release_full(found, clear);
}

static void on_connection(GObject *object, GAsyncResult *result, gpointer data)
{
    CvdFound *found = data;
    g_autoptr(GDBusConnection) connection = cvd_instance_bus_connect_finish(result, NULL);

    if (found->ended != NULL && connection != NULL) {
        g_dbus_connection_set_exit_on_close(connection, FALSE);
        cvd_dbus_instance1_proxy_new(connection, G_DBUS_PROXY_FLAGS_NONE, NULL,
                                     "/org/cvd/Instance1", found->cancellable, on_proxy,
                                     g_rc_box_acquire(found));
    } else if (found->ended != NULL) {
        await_exit(found);
    }
    g_rc_box_release_full(found, clear);
}

static void open_connection(CvdFound *found)
{
    pid_t pid = cvd_instance_get_pid(found->dir);

    if (found->launcher_fd < 0 && pid > 0)
        found->launcher_fd = pidfd_open(pid, 0);
    cvd_instance_bus_connect(found->dir, found->cancellable, on_connection,
                             g_rc_box_acquire(found));
}

static gboolean on_again(gpointer data)
{
    CvdFound *found = data;

    cvd_source_clear(&found->again);
    if (found->launcher_fd < 0 && !cvd_instance_is_held(found->dir))
        on_exited(-1, G_IO_IN, found);
    else if (found->instance == NULL)
        open_connection(found);
    else
        await_exit(found);
    return G_SOURCE_REMOVE;
}

CvdFound *cvd_found_new(const char *dir, CvdFoundEnded ended, gpointer user_data)
{
    CvdFound *found = g_rc_box_new0(CvdFound);

    found->dir = g_strdup(dir);
    found->cancellable = g_cancellable_new();
    found->launcher_fd = -1;
    found->ended = ended;
    found->user_data = user_data;
    set_timer(&found->limit, CVD_FOUND_ANSWER_MS, on_unanswered, found);
    open_connection(found);
    return found;
}

void cvd_found_free(CvdFound *found)
{
    disconnect(found);
    g_rc_box_release_full(found, clear);
}
