/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A verb on one instance: connect, call, wait until it is so. Nothing here blocks, so that the
 * instances of a group have theirs side by side.
 */
#include "ctl/task.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"

#include <errno.h>
#include <string.h>
#include <sys/pidfd.h>

#define MIN_ANSWER_MS 1000 /* however late it is */

typedef struct CvdCtlTask {
    CvdTool *tool;
    const CvdCtlOrder *order;
    char *dir;
    char *socket;
    CvdCtlAnswer answer;
    guint n_calls;                  /* to come */
    int launcher;                   /* as of cvd_ctl_open_launcher() */
    gboolean has_begun, has_failed; /* a restart */
    GError *error;                  /* unless the launcher has ended */
    CvdCtlTaskReached reached;
    CvdCtlTaskDone done;
    gpointer user_data;
} Task;

/* The one way out. */
static void finish(Task *task, GError *take_error)
{
    g_clear_object(&task->answer.instance);
    g_clear_error(&task->error);
    cvd_close_fd(&task->launcher);
    g_free(task->dir);
    g_free(task->socket);
    task->done(take_error, task->user_data);
    g_free(task);
}

static guint get_left_ms(const CvdCtlOrder *order)
{
    gint64 left_ms = (order->deadline_us - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;

    return order->deadline_us != 0 ? (guint)MAX(left_ms, 1) : 0;
}

static gboolean waits_for(const CvdCtlOrder *order, const char *state)
{
    return order->until == CVD_CTL_UNTIL_STATE && strcmp(order->state, state) == 0;
}

static gboolean wants_end(const CvdCtlOrder *order)
{
    return order->until == CVD_CTL_UNTIL_ENDED || waits_for(order, "stopped");
}

gboolean cvd_ctl_order_is_met(const CvdCtlOrder *order, const char *name, const GError *error)
{
    if (!g_error_matches(error, CVD_ERROR, CVD_ERROR_CLOSED))
        return FALSE;
    g_autoptr(CvdCtlFailure) failure =
        waits_for(order, "failed") ? cvd_ctl_failure_find(name) : NULL;
    return failure != NULL || waits_for(order, "stopped");
}

gboolean cvd_ctl_order_is_met_by_failure(const CvdCtlOrder *order)
{
    return wants_end(order) || waits_for(order, "failed");
}

/* ---- The end of a process ---- */

/* What a process holds is free when it has ended, which is after the end of its connections. */
static void on_exited(GError *take_error, gpointer data)
{
    Task *task = data;
    gboolean is_late = g_error_matches(take_error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    gboolean is_met = !waits_for(task->order, "failed") || cvd_instance_has_crashed(task->dir);

    if ((take_error == NULL && !is_met) || (is_late && task->error != NULL)) {
        g_clear_error(&take_error);
        take_error = g_steal_pointer(&task->error);
    }
    finish(task, take_error);
}

/* An instance that ends just now may still be found, and then not be reached. */
static gboolean is_unreachable(const GError *error)
{
    return error->domain == G_IO_ERROR && error->code != G_IO_ERROR_TIMED_OUT &&
           error->code != G_IO_ERROR_CANCELLED;
}

/* Of one that ends just now the end is waited for; one that lets nobody in need not end. */
static void await_end_of_unreachable(Task *task, GError *take_error)
{
    gboolean is_wait = task->order->until == CVD_CTL_UNTIL_STATE;
    pid_t pid = cvd_instance_get_pid(task->dir);

    task->launcher = pid > 0 ? pidfd_open(pid, 0) : -1;
    if (pid == 0 || (pid > 0 && task->launcher < 0 && errno == ESRCH) ||
        (pid > 0 && cvd_instance_get_pid(task->dir) != pid)) {
        g_error_free(take_error);
        finish(task, NULL);
        return;
    }
    if (task->launcher < 0) {
        finish(task, take_error);
        return;
    }
    if (is_wait)
        g_clear_error(&take_error);
    task->error = take_error;
    cvd_ctl_await_exit_async(task->tool, task->launcher,
                             is_wait ? get_left_ms(task->order) : CVD_CTL_ANSWER_MS, on_exited,
                             task);
}

/* ---- What is waited for ---- */

static gboolean on_restart_state(const char *state, const char *reason, gpointer data)
{
    static const char *const up[] = {"running", "paused", "suspended", "faulted", NULL};
    Task *task = data;
    gboolean is_up = g_strv_contains(up, state);

    task->has_failed = strcmp(state, "failed") == 0 || strcmp(state, "stopped") == 0;
    if (!is_up)
        task->has_begun = TRUE;
    return !task->has_failed && !(is_up && task->has_begun);
}

static gboolean on_waited_state(const char *state, const char *reason, gpointer data)
{
    const Task *task = data;

    return strcmp(state, task->order->state) != 0;
}

static gboolean on_waited_ready(gboolean is_ready, gpointer data)
{
    return !is_ready;
}

void cvd_ctl_fail_late(const CvdTool *tool, const CvdCtlOrder *order, const char *name,
                       const char *state, const char *reason, GError **error)
{
    g_autofree char *subject = g_strdup_printf("instance '%s' ", name);

    g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "%sis %s, not %s, after %s s%s%s",
                tool->group == NULL ? subject : "", state, order->state, cvd_ctl_options.timeout,
                *reason ? ": " : "", reason);
}

/* What it said last is how it has ended. */
static GError *explain_wait(const Task *task, GError *take_error)
{
    g_autoptr(GError) reason = take_error;
    CvdDBusInstance1 *instance = task->answer.instance;
    g_autofree char *state = cvd_ctl_printable(cvd_dbus_instance1_get_state(instance));
    g_autofree char *text = cvd_ctl_printable(cvd_dbus_instance1_get_reason(instance));
    gboolean is_closed = g_error_matches(reason, G_IO_ERROR, G_IO_ERROR_CLOSED);
    GError *error = NULL;

    if (g_error_matches(reason, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
        cvd_ctl_fail_late(task->tool, task->order, cvd_dbus_instance1_get_name(instance), state,
                          text, &error);
    else
        cvd_fail(&error, CVD_ERROR_FAILED, "not %s: %s%s%s", task->order->state, reason->message,
                 is_closed && *text ? ": " : "", is_closed ? text : "");
    return error;
}

static void end_wait(Task *task, GError *take_error)
{
    gboolean is_closed = g_error_matches(take_error, G_IO_ERROR, G_IO_ERROR_CLOSED);

    if (is_closed && waits_for(task->order, "stopped"))
        g_clear_error(&take_error);
    if (take_error != NULL)
        take_error = explain_wait(task, take_error);
    if (!is_closed || !waits_for(task->order, "failed") || task->launcher < 0) {
        finish(task, take_error);
        return;
    }
    task->error = take_error;
    cvd_ctl_await_exit_async(task->tool, task->launcher, get_left_ms(task->order), on_exited, task);
}

static void end_restart(Task *task, GError *take_error)
{
    const char *reason = cvd_dbus_instance1_get_reason(task->answer.instance);

    if (take_error == NULL && task->has_failed)
        take_error = g_error_new(CVD_ERROR, CVD_ERROR_CLOSED, "the instance has ended: %s", reason);
    finish(task, take_error);
}

static void on_followed(GError *take_error, gpointer data)
{
    Task *task = data;

    switch (task->order->until) {
    case CVD_CTL_UNTIL_STATE:
        end_wait(task, take_error);
        break;
    case CVD_CTL_UNTIL_RESTARTED:
        end_restart(task, take_error);
        break;
    case CVD_CTL_UNTIL_ENDED:
    case CVD_CTL_UNTIL_ANSWERED:
        if (g_error_matches(take_error, G_IO_ERROR, G_IO_ERROR_CLOSED))
            g_clear_error(&take_error);
        finish(task, take_error);
        break;
    }
}

/* The end is that of the process. Of one in another pid namespace only the end of the connection is
 * to be seen. */
static void await(Task *task)
{
    static const CvdCtlFollower for_end = {0}, for_restart = {.state = on_restart_state},
                                for_state = {.state = on_waited_state},
                                for_ready = {.ready = on_waited_ready};
    const CvdCtlOrder *order = task->order;
    const CvdCtlFollower *follower = &for_end;

    if (order->until == CVD_CTL_UNTIL_ANSWERED) {
        finish(task, NULL);
        return;
    }
    if (order->until == CVD_CTL_UNTIL_ENDED && task->launcher >= 0) {
        cvd_ctl_await_exit_async(task->tool, task->launcher, 0, on_exited, task);
        return;
    }
    if (order->until == CVD_CTL_UNTIL_RESTARTED)
        follower = &for_restart;
    else if (order->until == CVD_CTL_UNTIL_STATE)
        follower = waits_for(order, CVD_CTL_READY) ? &for_ready : &for_state;
    cvd_ctl_follow_async(task->tool, task->answer.instance, follower, task, get_left_ms(order),
                         on_followed, task);
}

/* ---- Connecting and calling ---- */

static void on_called(GObject *object, GAsyncResult *result, gpointer data);

static void call(Task *task)
{
    if (task->n_calls == 0) {
        await(task);
        return;
    }
    task->n_calls--;
    g_dbus_proxy_call(G_DBUS_PROXY(task->answer.instance), task->order->method, NULL,
                      G_DBUS_CALL_FLAGS_NONE, task->order->answer_ms, task->tool->cancellable,
                      on_called, task);
}

/* One that is to end may have done so with the first call's answer, or between the two. */
static void on_called(GObject *object, GAsyncResult *result, gpointer data)
{
    Task *task = data;
    GError *error = NULL;
    g_autoptr(GVariant) reply = g_dbus_proxy_call_finish(G_DBUS_PROXY(object), result, &error);
    gboolean is_closed = g_dbus_connection_is_closed(cvd_ctl_get_connection(task->answer.instance));

    if (reply != NULL || (is_closed && task->order->until == CVD_CTL_UNTIL_ENDED)) {
        g_clear_error(&error);
        call(task);
    } else {
        finish(task, error);
    }
}

/* It was there a moment ago. Returns: (nullable): why it is not as wanted */
static GError *explain_absence(const Task *task, GError *take_error)
{
    g_autoptr(GError) error = take_error;
    g_autoptr(CvdCtlFailure) failure =
        waits_for(task->order, "failed") ? cvd_ctl_failure_load(task->dir) : NULL;

    return failure != NULL
               ? NULL
               : g_error_new_literal(error->domain, error->code, "the instance has ended");
}

static void on_asked(gpointer data)
{
    Task *task = data;
    GError *error = g_steal_pointer(&task->answer.error);

    if (error == NULL) {
        task->launcher = cvd_ctl_open_launcher(task->answer.instance);
        if (task->reached != NULL)
            task->reached(task, task->user_data);
        else
            call(task);
        return;
    }
    if (is_unreachable(error) && wants_end(task->order)) {
        await_end_of_unreachable(task, error);
        return;
    }
    if (is_unreachable(error) && !cvd_instance_is_running(task->dir))
        error = explain_absence(task, error);
    if (error != NULL && task->order->until == CVD_CTL_UNTIL_STATE)
        g_prefix_error(&error, "not %s: ", task->order->state);
    finish(task, error);
}

void cvd_ctl_task_go_on(CvdCtlTask *task)
{
    call(task);
}

void cvd_ctl_task_start(CvdTool *tool, const CvdCtlOrder *order, const char *socket,
                        CvdCtlTaskReached reached, CvdCtlTaskDone done, gpointer user_data)
{
    Task *task = g_new0(Task, 1);
    guint left_ms = get_left_ms(order);

    task->tool = tool;
    task->order = order;
    task->dir = g_path_get_dirname(socket);
    task->socket = g_strdup(socket);
    task->answer.socket = task->socket;
    task->n_calls = order->n_calls;
    task->launcher = -1;
    task->reached = reached;
    task->done = done;
    task->user_data = user_data;
    cvd_ctl_ask_async(&task->answer, 1,
                      left_ms > 0 ? CLAMP(left_ms, MIN_ANSWER_MS, CVD_CTL_ANSWER_MS)
                                  : CVD_CTL_ANSWER_MS,
                      tool->cancellable, on_asked, task);
}
