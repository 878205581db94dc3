/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that ask for something, and wait until it is so. */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"

#include <errno.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

/* The method is answered when the guest is as it says, which may take as long as a start. */
gboolean cvd_ctl_call(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    g_autoptr(GVariant) nothing = NULL;

    if (instance != NULL)
        nothing =
            g_dbus_proxy_call_sync(G_DBUS_PROXY(instance), tool->verb->method, NULL,
                                   G_DBUS_CALL_FLAGS_NONE, G_MAXINT, tool->cancellable, error);
    return nothing != NULL;
}

/* ---- stop ---- */

/* @deadline_us: monotonic; 0 = none */
static gboolean wait_for_exit(CvdTool *tool, int pidfd, gint64 deadline_us, GError **error)
{
    GPollFD exit = {.fd = pidfd, .events = G_IO_IN};

    while (exit.revents == 0)
        if (!cvd_tool_poll(tool, &exit, 1, -1, deadline_us, error))
            return FALSE;
    return TRUE;
}

/* An instance that ends just now may still be found, and then not be reached. */
static gboolean is_unreachable(const GError *error)
{
    return error->domain == G_IO_ERROR && error->code != G_IO_ERROR_TIMED_OUT &&
           error->code != G_IO_ERROR_CANCELLED;
}

static gboolean wait_for_end(CvdTool *tool, gint64 deadline_us, GError **error)
{
    g_autofree char *dir = g_path_get_dirname(tool->socket);
    pid_t pid = cvd_instance_get_pid(dir);
    cvd_autofd pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;

    if (pid < 0)
        return cvd_fail(error, CVD_ERROR_FAILED,
                        "cannot wait for a launcher whose process is out of sight");
    if (pid == 0 || (pidfd < 0 && errno == ESRCH) || cvd_instance_get_pid(dir) != pid)
        return TRUE;
    if (pidfd < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot wait for process %d",
                                   pid);
    return wait_for_exit(tool, pidfd, deadline_us, error);
}

static gboolean has_failed(const char *name)
{
    g_autoptr(CvdCtlFailure) failure = cvd_ctl_failure_find(name);

    return failure != NULL;
}

static gboolean go_on(const char *state, const char *reason, gpointer data)
{
    return TRUE;
}

/* The end is that of the process: only then is everything removed. Of one in another pid namespace
 * only the end of the connection is to be seen. */
gboolean cvd_ctl_wait_for_launcher(CvdTool *tool, CvdDBusInstance1 *instance, int launcher,
                                   GError **error)
{
    static const CvdCtlFollower follower = {.state = go_on};
    g_autoptr(GError) local_error = NULL;

    if (launcher >= 0)
        return wait_for_exit(tool, launcher, 0, error);
    if (cvd_ctl_follow(tool, instance, &follower, NULL, 0, &local_error) ||
        g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_CLOSED))
        return TRUE;
    return cvd_pass_error(error, &local_error);
}

/* Of one that ends just now the end is waited for; one that lets nobody in does not. */
static gboolean has_ended_anyway(CvdTool *tool, const GError *error)
{
    gint64 deadline_us = g_get_monotonic_time() + CVD_CTL_ANSWER_MS * G_TIME_SPAN_MILLISECOND;

    return is_unreachable(error) && tool->socket != NULL && wait_for_end(tool, deadline_us, NULL);
}

gboolean cvd_ctl_stop(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, &local_error);
    if (instance == NULL)
        return has_ended_anyway(tool, local_error) || cvd_pass_error(error, &local_error);

    cvd_autofd pidfd = cvd_ctl_open_launcher(instance);
    for (guint i = 0; i < (cvd_ctl_options.now ? 2 : 1); i++)
        if (!cvd_dbus_instance1_call_stop_sync(instance, tool->cancellable, error)) {
            /* It may have ended with the first call's answer, or between the two. */
            if (!g_dbus_connection_is_closed(cvd_ctl_get_connection(instance)))
                return FALSE;
            g_clear_error(error);
        }
    return cvd_ctl_wait_for_launcher(tool, instance, pidfd, error);
}

/* ---- restart ---- */

typedef struct {
    gboolean has_begun;
    gboolean has_failed;
} Restart;

static gboolean on_restart_state(const char *state, const char *reason, gpointer data)
{
    Restart *restart = data;
    static const char *const up[] = {"running", "paused", "suspended", "faulted", NULL};
    gboolean is_up = g_strv_contains(up, state);

    restart->has_failed = strcmp(state, "failed") == 0 || strcmp(state, "stopped") == 0;
    if (!is_up)
        restart->has_begun = TRUE;
    return !restart->has_failed && !(is_up && restart->has_begun);
}

gboolean cvd_ctl_restart(CvdTool *tool, char **arguments, GError **error)
{
    static const CvdCtlFollower follower = {.state = on_restart_state};
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    Restart restart = {0};

    if (instance == NULL ||
        !cvd_dbus_instance1_call_restart_sync(instance, tool->cancellable, error) ||
        !cvd_ctl_follow(tool, instance, &follower, &restart, 0, error))
        return FALSE;
    if (!restart.has_failed)
        return TRUE;
    return cvd_fail(error, CVD_ERROR_CLOSED, "the instance has ended: %s",
                    cvd_dbus_instance1_get_reason(instance));
}

/* ---- wait ---- */

static gboolean on_waited_state(const char *state, const char *reason, gpointer data)
{
    return strcmp(state, data) != 0;
}

static gboolean on_waited_ready(gboolean is_ready, gpointer data)
{
    return !is_ready;
}

static gboolean is_end(const char *state)
{
    return strcmp(state, "stopped") == 0;
}

static gboolean is_failure(const char *state)
{
    return strcmp(state, "failed") == 0;
}

/* What a process holds is free when it has ended, which is after the end of its connections. */
static gboolean was_killed(CvdTool *tool, int launcher, gint64 deadline_us)
{
    g_autofree char *dir = g_path_get_dirname(tool->socket);

    return launcher >= 0 && wait_for_exit(tool, launcher, deadline_us, NULL) &&
           cvd_instance_has_crashed(dir);
}

static void fail_timeout(const char *name, const char *state, const char *reason,
                         const char *wanted, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                "instance '%s' is %s, not %s, after %s s%s%s", name, state, wanted,
                cvd_ctl_options.timeout, *reason ? ": " : "", reason);
}

/* A misspelt name would be waited for without a word. */
static void announce_wait(const CvdTool *tool)
{
    g_autofree char *dir = cvd_instance_get_dir(tool->name, NULL);

    if (dir != NULL && !cvd_instance_is_running(dir) && isatty(STDERR_FILENO))
        g_printerr("cvd-ctl: instance '%s' does not run yet; waiting for it\n", tool->name);
}

/* One that does not run is stopped, and of one that is to come the socket is waited for, or what a
 * start that failed before leaves. */
static gboolean wait_connect(CvdTool *tool, const char *state, gint64 deadline_us,
                             CvdDBusInstance1 **instance, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    gboolean or_failure = is_failure(state);

    if (tool->name != NULL && !is_end(state)) {
        announce_wait(tool);
        tool->socket =
            cvd_ctl_wait_for_instance(tool, tool->name, or_failure, deadline_us, &local_error);
        if (g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
            fail_timeout(tool->name, "not there", "", state, error);
            return FALSE;
        }
        if (tool->socket == NULL)
            return cvd_pass_error(error, &local_error);
    }
    if (or_failure && has_failed(tool->name))
        return TRUE;
    *instance = cvd_ctl_connect(tool, &local_error);
    if (*instance != NULL || (is_end(state) && local_error->domain != G_IO_ERROR) ||
        (or_failure && has_failed(tool->name)))
        return TRUE;
    if (is_end(state) && is_unreachable(local_error))
        return wait_for_end(tool, deadline_us, error);
    if (tool->name == NULL && g_error_matches(local_error, CVD_ERROR, CVD_ERROR_CLOSED))
        return cvd_fail(error, CVD_ERROR_CLOSED, "%s, or wait for one to come with --name NAME",
                        local_error->message);
    return cvd_pass_error(error, &local_error);
}

/* What it said last is how it has ended. */
static void fail_wait(CvdDBusInstance1 *instance, const char *wanted, GError *take_error,
                      GError **error)
{
    g_autoptr(GError) local_error = take_error;
    g_autofree char *state = cvd_ctl_printable(cvd_dbus_instance1_get_state(instance));
    g_autofree char *reason = cvd_ctl_printable(cvd_dbus_instance1_get_reason(instance));
    gboolean is_closed = g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_CLOSED);

    if (g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
        fail_timeout(cvd_dbus_instance1_get_name(instance), state, reason, wanted, error);
    else
        g_set_error(error, local_error->domain, local_error->code, "not %s: %s%s%s", wanted,
                    local_error->message, is_closed && *reason ? ": " : "",
                    is_closed ? reason : "");
}

gboolean cvd_ctl_wait(CvdTool *tool, char **arguments, GError **error)
{
    static const CvdCtlFollower for_state = {.state = on_waited_state};
    static const CvdCtlFollower for_ready = {.state = go_on, .ready = on_waited_ready};
    static const char *const states[] = {CVD_CTL_STATES, CVD_CTL_READY, NULL};
    const char *state = arguments[0];
    guint timeout_ms = 0;
    g_autoptr(CvdDBusInstance1) instance = NULL;
    g_autoptr(GError) local_error = NULL;

    if (!cvd_tool_check_choice("state", state, states, error) ||
        (cvd_ctl_options.timeout != NULL &&
         !cvd_tool_parse_seconds(cvd_ctl_options.timeout, "--timeout", CVD_CTL_MAX_TIMEOUT_S,
                                 &timeout_ms, error)))
        return FALSE;
    gint64 start_us = g_get_monotonic_time();
    gint64 deadline_us = timeout_ms > 0 ? start_us + 1000 * (gint64)timeout_ms : 0;
    if (!wait_connect(tool, state, deadline_us, &instance, error))
        return FALSE;
    if (instance == NULL) /* it is not there, as it should be */
        return TRUE;
    cvd_autofd launcher = cvd_ctl_open_launcher(instance);
    gint64 passed_ms = (g_get_monotonic_time() - start_us) / 1000;
    guint left_ms = timeout_ms > 0 ? (guint)MAX(timeout_ms - passed_ms, 1) : 0;
    const CvdCtlFollower *follower = strcmp(state, CVD_CTL_READY) == 0 ? &for_ready : &for_state;
    if (cvd_ctl_follow(tool, instance, follower, arguments[0], left_ms, &local_error))
        return TRUE;
    if (g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_CLOSED) &&
        (is_end(state) || (is_failure(state) && was_killed(tool, launcher, deadline_us))))
        return TRUE;
    fail_wait(instance, state, g_steal_pointer(&local_error), error);
    return FALSE;
}
