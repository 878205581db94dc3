/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ctl/ctl.h"

G_BEGIN_DECLS

/** CvdCtlUntil: when a verb is done */
typedef enum {
    CVD_CTL_UNTIL_ANSWERED,
    CVD_CTL_UNTIL_RESTARTED,
    CVD_CTL_UNTIL_ENDED, /* and nothing is left of the instance */
    CVD_CTL_UNTIL_STATE,
} CvdCtlUntil;

/**
 * CvdCtlOrder:
 * @method: (nullable): what is called; has no arguments
 * @n_calls: how often
 * @answer_ms: how long each answer may take
 * @until: what is waited for then
 * @state: of %CVD_CTL_UNTIL_STATE: a state, or %CVD_CTL_READY
 * @deadline_us: monotonic time until which that may take; 0 = none
 * @done: what an instance is then: `stopped`
 * @treat_failed: (nullable): is done to those of a group that have failed, and all that is done
 *
 * What is asked of an instance.
 */
typedef struct {
    const char *method;
    guint n_calls;
    int answer_ms;
    CvdCtlUntil until;
    const char *state;
    gint64 deadline_us;
    const char *done;
    gboolean (*treat_failed)(const char *dir, GError **error);
} CvdCtlOrder;

/** CvdCtlTask: on one instance, from its start until it is done */
typedef struct CvdCtlTask CvdCtlTask;

/** CvdCtlTaskReached: the instance has answered, and waits for cvd_ctl_task_go_on() */
typedef void (*CvdCtlTaskReached)(CvdCtlTask *task, gpointer user_data);

/** CvdCtlTaskDone: @take_error: (nullable): why it is not done */
typedef void (*CvdCtlTaskDone)(GError *take_error, gpointer user_data);

/**
 * cvd_ctl_task_start:
 * @order: has to live as long
 * @socket: of the instance
 * @reached: (nullable): called once if the instance answers; %NULL: it goes on at once
 * @done: called once, from the default #GMainContext, where all of it is done; soon if the tool is
 *   interrupted
 *
 * Carries it out on one instance. One that has ended meanwhile is as wanted if its end is.
 */
void cvd_ctl_task_start(CvdTool *tool, const CvdCtlOrder *order, const char *socket,
                        CvdCtlTaskReached reached, CvdCtlTaskDone done, gpointer user_data);

/** cvd_ctl_task_go_on: tells it what to do */
void cvd_ctl_task_go_on(CvdCtlTask *task);

/** cvd_ctl_order_is_met: @error: of cvd_ctl_find_socket(). Returns: whether the instance @name is
 * in the state that is waited for, as it does not run */
gboolean cvd_ctl_order_is_met(const CvdCtlOrder *order, const char *name, const GError *error);

/** cvd_ctl_order_is_met_by_failure: Returns: whether an instance that has failed before is as
 * wanted
 */
gboolean cvd_ctl_order_is_met_by_failure(const CvdCtlOrder *order);

/** cvd_ctl_fail_late: sets @error: the instance @name was in @state, for @reason, when the time of
 * --timeout was over */
void cvd_ctl_fail_late(const CvdTool *tool, const CvdCtlOrder *order, const char *name,
                       const char *state, const char *reason, GError **error);

/**
 * cvd_ctl_run_on_group:
 * @error: as cvd_ctl_list_group()
 *
 * Carries it out on each instance of --group, many at the same time, shows how far it is, and says
 * what has failed and how it has ended. The tool's status is 0 if all have done it.
 */
gboolean cvd_ctl_run_on_group(CvdTool *tool, const CvdCtlOrder *order, GError **error);

G_END_DECLS
