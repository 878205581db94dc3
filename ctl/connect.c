/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An instance that is stopped, or hangs, accepts connections without ever answering, so there is a
 * time limit: one timer that cancels whatever is under way.
 */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance-bus.h"
#include "base/instance.h"

#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define HAS_ENDED        "the instance has ended"
#define FDS_PER_INSTANCE 2 /* a connection, and the launcher's process */

/* Those that are asked at the same time. */
struct CvdCtlAsking {
    GCancellable *cancellable; /* of what is under way */
    GCancellable *interrupt;
    gulong handler;
    guint timer;
    guint timeout_ms;
    gboolean has_timed_out;
    guint n_pending;
    CvdCtlAsked asked;
    gpointer user_data;
};

GDBusConnection *cvd_ctl_get_connection(CvdDBusInstance1 *instance)
{
    return g_dbus_proxy_get_connection(G_DBUS_PROXY(instance));
}

/* The pid that the launcher gives is one of its own namespace's; the kernel translates. */
static struct ucred get_peer(CvdDBusInstance1 *instance)
{
    GIOStream *stream = g_dbus_connection_get_stream(cvd_ctl_get_connection(instance));
    GSocket *socket = g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream));
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;

    getsockopt(g_socket_get_fd(socket), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer;
}

int cvd_ctl_open_launcher(CvdDBusInstance1 *instance)
{
    pid_t pid = get_peer(instance).pid;

    return pid > 0 ? pidfd_open(pid, 0) : -1;
}

gboolean cvd_ctl_is_own(CvdDBusInstance1 *instance)
{
    return get_peer(instance).uid == geteuid();
}

void cvd_ctl_clarify(GError *error)
{
    g_autofree char *name = g_dbus_error_get_remote_error(error);

    g_dbus_error_strip_remote_error(error);
    g_autofree char *text = g_steal_pointer(&error->message);
    gboolean has_ended = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CLOSED);
    gboolean is_told = strstr(text, HAS_ENDED) != NULL; /* by cvd-ctl itself, with the reason */
    error->message = has_ended && !is_told ? g_strdup(HAS_ENDED) : cvd_ctl_printable(text);
    if (g_strcmp0(name, "org.cvd.Error.Invalid") == 0)
        error->domain = G_OPTION_ERROR;
}

static void end_one(struct CvdCtlAsking *asking)
{
    if (--asking->n_pending > 0)
        return;
    g_cancellable_disconnect(asking->interrupt, asking->handler);
    g_source_remove(asking->timer);
    g_object_unref(asking->cancellable);
    g_object_unref(asking->interrupt);
    asking->asked(asking->user_data);
    g_free(asking);
}

static void finish(CvdCtlAnswer *answer, CvdDBusInstance1 *take_instance, GError *take_error)
{
    struct CvdCtlAsking *asking = answer->asking;

    answer->instance = take_instance;
    answer->error = take_error;
    if (asking->has_timed_out && take_instance == NULL) {
        g_clear_error(&answer->error);
        answer->error =
            g_error_new(G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                        "cvd-launch has not answered within %.2g s: it is stopped, or hangs",
                        asking->timeout_ms / 1000.0);
    }
    end_one(asking);
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
    CvdCtlAnswer *answer = data;
    GError *error = NULL;
    g_autoptr(GDBusConnection) connection = cvd_instance_bus_connect_finish(result, &error);

    if (connection == NULL) {
        /* Whoever is let in gets an answer; and to the tool a broken pipe is one of its output. */
        if (!g_cancellable_is_cancelled(answer->asking->cancellable) &&
            !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED) &&
            !g_error_matches(error, CVD_ERROR, CVD_ERROR_FOREIGN)) {
            g_autoptr(GError) reason = g_steal_pointer(&error);
            error = g_error_new(G_IO_ERROR, G_IO_ERROR_FAILED,
                                "no connection to cvd-launch: %s; if that has closed it, it has as "
                                "many as it takes (its log says so), or is about to end",
                                reason->message);
        }
        finish(answer, NULL, error);
        return;
    }
    g_dbus_connection_set_exit_on_close(connection, FALSE);
    cvd_dbus_instance1_proxy_new(connection, G_DBUS_PROXY_FLAGS_NONE, NULL, "/org/cvd/Instance1",
                                 answer->asking->cancellable, on_proxy, answer);
}

static gboolean on_timeout(gpointer data)
{
    struct CvdCtlAsking *asking = data;

    asking->has_timed_out = TRUE;
    g_cancellable_cancel(asking->cancellable);
    return G_SOURCE_CONTINUE;
}

static void on_interrupt(GCancellable *interrupt, gpointer data)
{
    g_cancellable_cancel(data);
}

/* Those of other users come last, as they could have so many that no descriptor is left. */
static void ask(struct CvdCtlAsking *asking, CvdCtlAnswer *answers, guint n, gboolean is_own)
{
    for (guint i = 0; i < n; i++) {
        g_autofree char *dir = g_path_get_dirname(answers[i].socket);
        if ((cvd_ctl_get_owner(dir) == geteuid()) != is_own)
            continue;
        answers[i].asking = asking;
        cvd_instance_bus_connect(dir, asking->cancellable, on_connection, &answers[i]);
    }
}

void cvd_ctl_ask_async(CvdCtlAnswer *answers, guint n, guint timeout_ms, GCancellable *cancellable,
                       CvdCtlAsked asked, gpointer user_data)
{
    struct CvdCtlAsking *asking = g_new0(struct CvdCtlAsking, 1);

    asking->cancellable = g_cancellable_new();
    asking->interrupt = g_object_ref(cancellable);
    asking->handler =
        g_cancellable_connect(cancellable, G_CALLBACK(on_interrupt), asking->cancellable, NULL);
    asking->timer = g_timeout_add(timeout_ms, on_timeout, asking);
    asking->timeout_ms = timeout_ms;
    asking->n_pending = n + 1; /* this function is one */
    asking->asked = asked;
    asking->user_data = user_data;
    if (!cvd_check_fd_limit(n, FDS_PER_INSTANCE, NULL))
        cvd_raise_fd_limit(n, FDS_PER_INSTANCE, NULL);
    ask(asking, answers, n, TRUE);
    ask(asking, answers, n, FALSE);
    end_one(asking);
}

static void on_asked(gpointer data)
{
    *(gboolean *)data = TRUE;
}

void cvd_ctl_ask(CvdCtlAnswer *answers, guint n, guint timeout_ms, GCancellable *cancellable)
{
    gboolean is_done = FALSE;

    cvd_ctl_ask_async(answers, n, timeout_ms, cancellable, on_asked, &is_done);
    while (!is_done)
        g_main_context_iteration(NULL, TRUE);
}

char *cvd_ctl_find_socket(const char *name, GError **error)
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
        tool->socket = cvd_ctl_find_socket(tool->name, error);
    if (tool->socket == NULL)
        return NULL;

    CvdCtlAnswer answer = {.socket = tool->socket};
    cvd_ctl_ask(&answer, 1, CVD_CTL_ANSWER_MS, tool->cancellable);
    if (answer.error != NULL)
        g_propagate_error(error, answer.error);
    return answer.instance;
}
