/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs that ask for something, and wait until it is so. */
#include "ctl/task.h"

#include "base/error.h"
#include "base/instance.h"

#include <string.h>
#include <unistd.h>

CvdCtlOptions cvd_ctl_options;

typedef struct {
    gboolean is_there;
    GError *error;
} Result;

static void on_done(GError *take_error, gpointer data)
{
    *(Result *)data = (Result){TRUE, take_error};
}

static gboolean carry_out(CvdTool *tool, const CvdCtlOrder *order, GError **error)
{
    Result result = {0};

    if (tool->group != NULL)
        return cvd_ctl_run_on_group(tool, order, error);
    if (tool->socket == NULL)
        tool->socket = cvd_ctl_find_socket(tool->name, error);
    if (tool->socket == NULL)
        return FALSE;
    cvd_ctl_task_start(tool, order, tool->socket, NULL, on_done, &result);
    while (!result.is_there)
        g_main_context_iteration(NULL, TRUE);
    if (result.error == NULL)
        return TRUE;
    g_propagate_error(error, result.error);
    return FALSE;
}

/* The method is answered when the guest is as it says, which may take as long as a start. */
gboolean cvd_ctl_call(CvdTool *tool, char **arguments, GError **error)
{
    const CvdCtlOrder order = {
        .method = tool->verb->method,
        .n_calls = 1,
        .answer_ms = G_MAXINT,
        .until = CVD_CTL_UNTIL_ANSWERED,
        .done = tool->verb->done,
    };

    return carry_out(tool, &order, error);
}

/* The second call is the one that does not wait for the guest. */
gboolean cvd_ctl_stop(CvdTool *tool, char **arguments, GError **error)
{
    const CvdCtlOrder order = {
        .method = "Stop",
        .n_calls = cvd_ctl_options.now ? 2 : 1,
        .answer_ms = CVD_CTL_ANSWER_MS,
        .until = CVD_CTL_UNTIL_ENDED,
        .done = "stopped",
    };

    return carry_out(tool, &order, error);
}

gboolean cvd_ctl_restart(CvdTool *tool, char **arguments, GError **error)
{
    const CvdCtlOrder order = {
        .method = "Restart",
        .n_calls = 1,
        .answer_ms = CVD_CTL_ANSWER_MS,
        .until = CVD_CTL_UNTIL_RESTARTED,
        .done = "restarted",
    };

    return carry_out(tool, &order, error);
}

/* ---- wait ---- */

/* A misspelt name would be waited for without a word. */
static void announce_wait(const CvdTool *tool)
{
    g_autofree char *dir = cvd_instance_get_dir(tool->name, NULL);

    if (dir != NULL && !cvd_instance_is_running(dir) && isatty(STDERR_FILENO))
        g_printerr("cvd-ctl: instance '%s' does not run yet; waiting for it\n", tool->name);
}

/* Of one that is to come the socket is waited for, or what a start that failed before leaves. */
static gboolean await_instance(CvdTool *tool, const CvdCtlOrder *order, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    gboolean or_failure = strcmp(order->state, "failed") == 0;

    announce_wait(tool);
    tool->socket =
        cvd_ctl_wait_for_instance(tool, tool->name, or_failure, order->deadline_us, &local_error);
    if (g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
        cvd_ctl_fail_late(tool, order, tool->name, "not there", "", error);
    else if (tool->socket == NULL)
        cvd_pass_error(error, &local_error);
    return tool->socket != NULL;
}

static gboolean wait_for_state(CvdTool *tool, const CvdCtlOrder *order, GError **error)
{
    g_autoptr(GError) local_error = NULL;

    if (tool->group != NULL)
        return cvd_ctl_run_on_group(tool, order, error);
    if (tool->name != NULL && strcmp(order->state, "stopped") != 0)
        return await_instance(tool, order, error) && carry_out(tool, order, error);
    if (carry_out(tool, order, &local_error) ||
        cvd_ctl_order_is_met(order, tool->name, local_error))
        return TRUE;
    if (tool->name == NULL && g_error_matches(local_error, CVD_ERROR, CVD_ERROR_CLOSED))
        return cvd_fail(error, CVD_ERROR_CLOSED, "%s, or wait for one to come with --name NAME",
                        local_error->message);
    return cvd_pass_error(error, &local_error);
}

gboolean cvd_ctl_wait(CvdTool *tool, char **arguments, GError **error)
{
    static const char *const states[] = {CVD_CTL_STATES, CVD_CTL_READY, NULL};
    CvdCtlOrder order = {
        .until = CVD_CTL_UNTIL_STATE,
        .state = arguments[0],
        .done = arguments[0],
    };
    guint timeout_ms = 0;

    if (!cvd_tool_check_choice("state", order.state, states, error) ||
        (cvd_ctl_options.timeout != NULL &&
         !cvd_tool_parse_seconds(cvd_ctl_options.timeout, "--timeout", CVD_CTL_MAX_TIMEOUT_S,
                                 &timeout_ms, error)))
        return FALSE;
    if (timeout_ms > 0)
        order.deadline_us = g_get_monotonic_time() + timeout_ms * G_TIME_SPAN_MILLISECOND;
    return wait_for_state(tool, &order, error);
}
