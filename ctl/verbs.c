/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that ask for something, and those that follow what happens. */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"
#include "base/json.h"
#include "base/nearest.h"

#include <errno.h>
#include <string.h>
#include <sys/pidfd.h>

#define MAX_TIMEOUT_S (24 * 60 * 60)

static const char *const states[] = {"starting", "running",    "paused",  "suspended", "faulted",
                                     "stopping", "restarting", "stopped", "failed",    NULL};

typedef gboolean (*Call)(CvdDBusInstance1 *instance, GCancellable *cancellable, GError **error);

static gboolean check(gboolean is_done, GError **error)
{
    cvd_ctl_strip_error(*error);
    return is_done;
}

static gboolean call_one(CvdTool *tool, Call call, GError **error)
{
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);

    if (instance == NULL)
        return FALSE;
    /* It is answered when the guest is so, which may take as long as a start. */
    g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(instance), G_MAXINT);
    return check(call(instance, tool->cancellable, error), error);
}

static gboolean reset(CvdTool *tool, char **arguments, GError **error)
{
    return call_one(tool, cvd_dbus_instance1_call_reset_sync, error);
}

static gboolean pause_vm(CvdTool *tool, char **arguments, GError **error)
{
    return call_one(tool, cvd_dbus_instance1_call_pause_sync, error);
}

static gboolean resume(CvdTool *tool, char **arguments, GError **error)
{
    return call_one(tool, cvd_dbus_instance1_call_resume_sync, error);
}

static gboolean power_button(CvdTool *tool, char **arguments, GError **error)
{
    return call_one(tool, cvd_dbus_instance1_call_power_button_sync, error);
}

const CvdToolVerb cvd_ctl_reset = {
    .name = "reset",
    .arguments = "",
    .summary = "Reset the guest, in the same QEMU",
    .run = reset,
};
const CvdToolVerb cvd_ctl_pause = {
    .name = "pause",
    .arguments = "",
    .summary = "Stop the guest's processors",
    .run = pause_vm,
};
const CvdToolVerb cvd_ctl_resume = {
    .name = "resume",
    .arguments = "",
    .summary = "Let them go on",
    .run = resume,
};
const CvdToolVerb cvd_ctl_power_button = {
    .name = "power-button",
    .arguments = "",
    .summary = "Press the guest's power button, once",
    .run = power_button,
};

/* ---- stop ---- */

static gboolean stop_now;

/* @deadline_us: monotonic; 0 = none */
static gboolean wait_for_exit(int pidfd, GCancellable *cancellable, gint64 deadline_us,
                              GError **error)
{
    GPollFD fds[2] = {{.fd = pidfd, .events = G_IO_IN}};
    guint n_fds = g_cancellable_make_pollfd(cancellable, &fds[1]) ? 2 : 1;
    int n;

    do {
        gint64 left_us = MAX(deadline_us - g_get_monotonic_time(), 0);
        n = g_poll(fds, n_fds, deadline_us == 0 ? -1 : (int)(left_us / 1000) + 1);
    } while (n < 0);
    if (n_fds == 2)
        g_cancellable_release_fd(cancellable);
    if (fds[0].revents != 0)
        return TRUE;
    if (!g_cancellable_set_error_if_cancelled(cancellable, error))
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                            "the time of --timeout is over");
    return FALSE;
}

static gboolean go_on(const char *state, const char *reason, gpointer data)
{
    return TRUE;
}

/* The end is that of the process: only then is everything removed. Of one in another pid namespace
 * only the end of the connection is to be seen. */
static gboolean wait_for_launcher(CvdTool *tool, CvdDBusInstance1 *instance, int pidfd,
                                  GError **error)
{
    static const CvdCtlFollower follower = {.state = go_on};
    g_autoptr(GError) local_error = NULL;

    if (pidfd >= 0)
        return wait_for_exit(pidfd, tool->cancellable, 0, error);
    if (cvd_ctl_follow(tool, instance, &follower, NULL, 0, &local_error) ||
        g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_CLOSED))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&local_error));
    return FALSE;
}

static gboolean stop(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    if (instance == NULL)
        return FALSE;

    cvd_autofd pidfd = cvd_ctl_open_launcher(instance);
    for (guint i = 0; i < (stop_now ? 2 : 1); i++)
        if (!check(cvd_dbus_instance1_call_stop_sync(instance, tool->cancellable, error), error)) {
            /* It may have ended with the first call's answer, or between the two. */
            if (!g_dbus_connection_is_closed(cvd_ctl_get_connection(instance)))
                return FALSE;
            g_clear_error(error);
        }
    return wait_for_launcher(tool, instance, pidfd, error);
}

static const GOptionEntry stop_entries[] = {
    {"now", 0, 0, G_OPTION_ARG_NONE, &stop_now, "Without waiting for the guest to power off", NULL},
    G_OPTION_ENTRY_NULL,
};
const CvdToolVerb cvd_ctl_stop = {
    .name = "stop",
    .arguments = "",
    .summary = "Take the instance down, and wait until it is",
    .description = "As ctrl-c does in cvd-launch's terminal. An interrupt ends the wait, not the "
                   "stop.",
    .entries = stop_entries,
    .run = stop,
};

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

static gboolean restart(CvdTool *tool, char **arguments, GError **error)
{
    static const CvdCtlFollower follower = {.state = on_restart_state};
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    Restart restart = {0};

    if (instance == NULL ||
        !check(cvd_dbus_instance1_call_restart_sync(instance, tool->cancellable, error), error) ||
        !cvd_ctl_follow(tool, instance, &follower, &restart, 0, error))
        return FALSE;
    if (!restart.has_failed)
        return TRUE;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "the instance has ended: %s",
                cvd_dbus_instance1_get_reason(instance));
    return FALSE;
}

const CvdToolVerb cvd_ctl_restart = {
    .name = "restart",
    .arguments = "",
    .summary = "Start another VM in its place, and wait until it runs",
    .description = "The window and the doorbells stay; host programs are told by the end of their "
                   "connections.",
    .run = restart,
};

/* ---- wait ---- */

static char *wait_timeout;

static gboolean on_waited_state(const char *state, const char *reason, gpointer data)
{
    return strcmp(state, data) != 0;
}

static gboolean is_end(const char *state)
{
    return strcmp(state, "stopped") == 0;
}

static gboolean check_state(const char *state, GError **error)
{
    if (g_strv_contains(states, state))
        return TRUE;
    const char *nearest = cvd_nearest_name(state, states);
    g_autofree char *all = g_strjoinv(", ", (char **)states);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                nearest != NULL ? "no state '%s'; did you mean '%s'? there are: %s"
                                : "no state '%s'%s; there are: %s",
                state, nearest != NULL ? nearest : "", all);
    return FALSE;
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

    if (pid < 0) {
        g_set_error_literal(error, CVD_ERROR, CVD_ERROR_FAILED,
                            "cannot wait for a launcher whose process is out of sight");
        return FALSE;
    }
    if (pid == 0 || (pidfd < 0 && errno == ESRCH) || cvd_instance_get_pid(dir) != pid)
        return TRUE;
    if (pidfd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot wait for process %d", pid);
        return FALSE;
    }
    return wait_for_exit(pidfd, tool->cancellable, deadline_us, error);
}

/* One that does not run is stopped, and of one that is to come the socket is waited for. */
static gboolean wait_connect(CvdTool *tool, const char *state, gint64 deadline_us,
                             CvdDBusInstance1 **instance, GError **error)
{
    g_autoptr(GError) local_error = NULL;

    if (tool->name != NULL && !is_end(state)) {
        tool->socket = cvd_ctl_wait_for_instance(tool, tool->name, deadline_us, error);
        if (tool->socket == NULL)
            return FALSE;
    }
    *instance = cvd_ctl_connect(tool, &local_error);
    if (*instance != NULL || (is_end(state) && local_error->domain != G_IO_ERROR))
        return TRUE;
    if (is_end(state) && is_unreachable(local_error))
        return wait_for_end(tool, deadline_us, error);
    g_propagate_error(error, g_steal_pointer(&local_error));
    return FALSE;
}

static gboolean wait(CvdTool *tool, char **arguments, GError **error)
{
    static const CvdCtlFollower follower = {.state = on_waited_state};
    const char *state = arguments[0];
    guint timeout_ms = 0;
    g_autoptr(CvdDBusInstance1) instance = NULL;
    g_autoptr(GError) local_error = NULL;

    if (!check_state(state, error) ||
        (wait_timeout != NULL &&
         !cvd_tool_parse_seconds(wait_timeout, "--timeout", MAX_TIMEOUT_S, &timeout_ms, error)))
        return FALSE;
    g_autoptr(CvdCtlFailure) failure =
        strcmp(state, "failed") == 0 ? cvd_ctl_failure_find(tool->name) : NULL;
    if (failure != NULL)
        return TRUE;
    gint64 start_us = g_get_monotonic_time();
    gint64 deadline_us = timeout_ms > 0 ? start_us + 1000 * (gint64)timeout_ms : 0;
    if (!wait_connect(tool, state, deadline_us, &instance, error))
        return FALSE;
    if (instance == NULL) /* it is not there, as it should be */
        return TRUE;
    gint64 passed_ms = (g_get_monotonic_time() - start_us) / 1000;
    guint left_ms = timeout_ms > 0 ? (guint)MAX(timeout_ms - passed_ms, 1) : 0;
    if (cvd_ctl_follow(tool, instance, &follower, arguments[0], left_ms, &local_error))
        return TRUE;
    if (is_end(state) && g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_CLOSED))
        return TRUE;
    g_propagate_prefixed_error(error, g_steal_pointer(&local_error), "not %s: ", state);
    return FALSE;
}

static const GOptionEntry wait_entries[] = {
    {"timeout", 0, 0, G_OPTION_ARG_STRING, &wait_timeout, "How long to wait at most", "SECONDS"},
    G_OPTION_ENTRY_NULL,
};
const CvdToolVerb cvd_ctl_wait = {
    .name = "wait",
    .arguments = "STATE",
    .summary = "Wait until the instance is in a state",
    .description =
        "The states are starting, running, paused, suspended, faulted, stopping,\n"
        "restarting, stopped and failed. With --name the instance need not be there yet.",
    .entries = wait_entries,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = wait,
};

/* ---- events ---- */

typedef struct {
    gboolean json;
    GError *error;
} Printer;

static gboolean print_event(Printer *printer, const char *event, const char *first,
                            const char *second)
{
    if (!printer->json) {
        g_autoptr(GDateTime) now = g_date_time_new_now_local();
        g_autofree char *time = g_date_time_format(now, "%H:%M:%S.%f");
        g_autofree char *a = cvd_ctl_printable(first);
        g_autofree char *b = cvd_ctl_printable(second);
        return cvd_tool_print(&printer->error, "%.12s %-6s %s%s%s\n", time, event, a, *b ? " " : "",
                              b);
    }
    g_autoptr(JsonBuilder) builder = json_builder_new();
    gboolean is_state = strcmp(event, "state") == 0;
    json_builder_begin_object(builder);
    cvd_tool_json_time(builder);
    cvd_tool_json_string(builder, "event", event);
    cvd_tool_json_string(builder, is_state ? "state" : "name", first);
    if (is_state)
        cvd_tool_json_string(builder, "reason", second);
    json_builder_end_object(builder);
    if (is_state)
        return cvd_tool_print_json(builder, &printer->error);
    /* The data goes through as QEMU wrote it. */
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autofree char *text = cvd_json_to_string(root, FALSE);
    g_autofree char *data = cvd_json_text_format(second, strlen(second), FALSE);
    return cvd_tool_print(&printer->error, "%.*s,\"data\":%s}\n", (int)strlen(text) - 1, text,
                          data);
}

static gboolean print_state(const char *state, const char *reason, gpointer data)
{
    return print_event(data, "state", state, reason);
}

static gboolean print_guest_event(const char *name, const char *details, gpointer data)
{
    const Printer *printer = data;
    gboolean is_empty = !printer->json && strcmp(details, "{}") == 0;

    return print_event(data, "guest", name, is_empty ? "" : details);
}

static gboolean events(CvdTool *tool, char **arguments, GError **error)
{
    static const CvdCtlFollower follower = {print_state, print_guest_event};
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    g_autoptr(GError) local_error = NULL;
    Printer printer = {.json = tool->json};

    if (instance == NULL)
        return FALSE;
    gboolean is_done = cvd_ctl_follow(tool, instance, &follower, &printer, 0, &local_error);
    if (printer.error != NULL) {
        g_propagate_error(error, printer.error);
        return FALSE;
    }
    if (is_done || g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_CLOSED) ||
        cvd_tool_is_cancelled(local_error))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&local_error));
    return FALSE;
}

const CvdToolVerb cvd_ctl_events = {
    .name = "events",
    .arguments = "",
    .summary = "Follow what happens, until the instance ends",
    .description = "One line each: states with their reason, and the events of QEMU with their "
                   "data.",
    .run = events,
};

/* ---- qmp ---- */

static char *qmp_timeout;

/* Returns: (transfer full): the command as one JSON text */
static char *make_command(char **arguments, GError **error)
{
    if (arguments[0][0] == '{') {
        if (arguments[1] == NULL)
            return g_strdup(arguments[0]);
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                            "a command that is JSON has its arguments inside");
        return NULL;
    }
    g_autoptr(JsonNode) name = json_node_init_string(json_node_alloc(), arguments[0]);
    g_autofree char *quoted = cvd_json_to_string(name, FALSE);
    if (arguments[1] == NULL)
        return g_strdup_printf("{\"execute\":%s}", quoted);
    if (g_strchug(arguments[1])[0] == '{')
        return g_strdup_printf("{\"execute\":%s,\"arguments\":%s}", quoted, arguments[1]);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "'%s': expected the arguments as a JSON object, such as '{\"id\": 1}'",
                arguments[1]);
    return NULL;
}

static GMappedFile *call_qmp(CvdTool *tool, CvdDBusInstance1 *instance, const char *command,
                             GError **error)
{
    g_autoptr(GUnixFDList) fds = NULL;
    g_autoptr(GError) local_error = NULL;

    if (!cvd_dbus_instance1_call_qmp_sync(instance, command, NULL, NULL, &fds, tool->cancellable,
                                          &local_error)) {
        if (g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                                "QEMU has not answered, and the time of --timeout is over");
        else
            g_propagate_error(error, g_steal_pointer(&local_error));
        check(FALSE, error);
        return NULL;
    }
    cvd_autofd fd = g_unix_fd_list_get(fds, 0, error);
    return fd >= 0 ? g_mapped_file_new_from_fd(fd, FALSE, error) : NULL;
}

static gboolean qmp(CvdTool *tool, char **arguments, GError **error)
{
    guint timeout_ms = G_MAXINT; /* which means none */
    if (qmp_timeout != NULL &&
        !cvd_tool_parse_seconds(qmp_timeout, "--timeout", MAX_TIMEOUT_S, &timeout_ms, error))
        return FALSE;
    g_autofree char *command = make_command(arguments, error);
    g_autoptr(CvdDBusInstance1) instance = command != NULL ? cvd_ctl_connect(tool, error) : NULL;
    if (instance == NULL)
        return FALSE;

    g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(instance), (gint)timeout_ms);
    g_autoptr(GMappedFile) reply = call_qmp(tool, instance, command, error);
    if (reply == NULL)
        return FALSE;
    g_autofree char *text = cvd_json_text_format(g_mapped_file_get_contents(reply),
                                                 g_mapped_file_get_length(reply), !tool->json);
    return cvd_tool_put(text, strlen(text), error) && cvd_tool_put("\n", 1, error);
}

static const GOptionEntry qmp_entries[] = {
    {"timeout", 0, 0, G_OPTION_ARG_STRING, &qmp_timeout, "How long to wait for QEMU at most",
     "SECONDS"},
    G_OPTION_ENTRY_NULL,
};
const CvdToolVerb cvd_ctl_qmp = {
    .name = "qmp",
    .arguments = "CMD [ARGUMENTS]",
    .summary = "Send QEMU a command",
    .description =
        "CMD is its name, and ARGUMENTS a JSON object; or CMD is all of it as JSON. What "
        "QEMU returns is\nprinted, with --json on one line; if CMD has an id, in an object with "
        "it.",
    .entries = qmp_entries,
    .min_arguments = 1,
    .max_arguments = 2,
    .run = qmp,
};
