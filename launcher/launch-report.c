/* SPDX-License-Identifier: Apache-2.0 */
/* How a VM has ended, and how it goes on: lines in the log, and after a failure a record for a
 * report. */
#include "launcher/launch-private.h"

#include "base/fd.h"
#include "base/notify.h"
#include "launcher/failure-record.h"
#include "launcher/qemu/explain.h"

#include <signal.h>

/* How much of QEMU's output goes with the report of a failure. */
#define TAIL_LINES 10

static CvdRecord make_record(const CvdLaunch *launch, char **qmp_tail)
{
    return (CvdRecord){
        .config = launch->config,
        .argv = launch->vm != NULL ? (const char *const *)launch->vm->argv : NULL,
        .state = cvd_state_get_name(cvd_launch_get_state(launch)),
        .reason = launch->reason,
        .qmp_tail = (const char *const *)qmp_tail,
        .from = launch->restore.from != NULL ? cvd_snapshot_get_dir(launch->restore.from->snapshot)
                                             : NULL,
        .restarts = launch->n_restarts,
    };
}

char *cvd_launch_describe(const CvdLaunch *launch)
{
    g_auto(GStrv) qmp_tail = launch->vm != NULL ? cvd_qmp_get_tail(launch->vm->qmp) : NULL;
    CvdRecord record = make_record(launch, qmp_tail);

    return cvd_record_to_json(&record);
}

static void write_record(const CvdLaunch *launch, CvdState state, int window_fd)
{
    g_auto(GStrv) qmp_tail = launch->vm != NULL ? cvd_qmp_get_tail(launch->vm->qmp) : NULL;
    CvdRecord record = make_record(launch, qmp_tail);

    record.state = cvd_state_get_name(state);
    cvd_fd_hold_back(0);
    cvd_record_write(launch->host.dir, &record, window_fd);
    cvd_fd_hold_back(CVD_FD_RESERVE);
}

/* As with -help in qemu.extra_args, or as what is no QEMU does. */
static gboolean has_done_nothing(const CvdLaunch *launch)
{
    const CvdExit *qemu = &launch->qemu_exit;

    return launch->lifecycle.cause == CVD_CAUSE_QEMU_EXITED && !launch->lifecycle.has_answered &&
           qemu->is_known && !qemu->is_signal && qemu->value == 0;
}

static void log_advice(const CvdLaunch *launch, const char *const *lines)
{
    const char *advice = cvd_explain_failure(launch->qemu_exit, lines);
    gboolean is_killed = launch->qemu_exit.is_signal && launch->qemu_exit.value == SIGKILL;

    if (advice != NULL && (!is_killed || launch->lifecycle.cause == CVD_CAUSE_QEMU_EXITED))
        g_message("what to do: %s", advice);
    else if (has_done_nothing(launch))
        g_message("what to do: qemu.binary is no QEMU, as 'cvd-launch --check' says, or "
                  "qemu.extra_args asks QEMU for its help");
}

static void report_failure(const CvdLaunch *launch)
{
    g_auto(GStrv) lines = cvd_log_file_tail_lines(launch->qemu_log, TAIL_LINES);

    if (launch->programs != NULL && launch->lifecycle.cause == CVD_CAUSE_QEMU_EXITED)
        cvd_programs_report_lost(launch->programs);
    for (char **line = lines; *line != NULL; line++)
        if (**line != '\0')
            g_message("QEMU: %s", *line);
    cvd_launch_log_state(launch, G_LOG_LEVEL_CRITICAL, "%s", launch->reason);
    log_advice(launch, (const char *const *)lines);
    if (launch->vm == NULL)
        return;
    g_message("QEMU's output is in %s/qemu.log%s; 'cvd-ctl report -n %s' packs all of it",
              cvd_instance_dir_get_path(launch->host.dir),
              launch->console_log != NULL ? ", the guest's console in console.log beside it" : "",
              launch->config->name);
}

/* Returns: (transfer full): how it goes on, unless it does not, or that was told when it was asked
 * for */
static char *describe_restart(const CvdLaunch *launch)
{
    const CvdPolicy *policy = &launch->lifecycle.policy;
    gint64 delay_us = policy->due_us - launch->lifecycle.last_us;

    if (policy->follow != CVD_FOLLOW_RESTART || cvd_launch_is_asked_restart(launch))
        return NULL;
    if (!policy->is_counted)
        return g_strdup("restarting");
    return g_strdup_printf("restarting in %g s (failure %u of %u within 10 minutes)",
                           (double)(delay_us / 1000) / 1000, policy->retry.n_failures,
                           launch->config->restart_limit);
}

/* The verdict knows of QEMU alone. */
static void use_failure(CvdLaunch *launch)
{
    CvdCause cause = launch->lifecycle.cause;

    if (cause == CVD_CAUSE_NOT_READY && launch->ready.awaited != NULL) {
        g_autofree char *verdict = launch->reason;
        launch->reason = g_strdup_printf("%s: %s", verdict, launch->ready.awaited);
    }
    if (launch->failure == NULL ||
        (cause != CVD_CAUSE_PROGRAM_FAILED && cause != CVD_CAUSE_START_FAILED &&
         cause != CVD_CAUSE_START_TIMED_OUT && cause != CVD_CAUSE_RESTORE_FAILED))
        return;
    g_free(launch->reason);
    launch->reason =
        g_strconcat(cause == CVD_CAUSE_PROGRAM_FAILED ? "stopped, as " : "", launch->failure, NULL);
}

void cvd_launch_report_end(CvdLaunch *launch)
{
    g_autofree char *restart = describe_restart(launch);
    g_autofree char *program = g_path_get_basename(launch->tools->binary);

    g_free(launch->reason);
    launch->reason =
        cvd_verdict(&launch->lifecycle, program, launch->qemu_exit, &launch->exit_status);
    cvd_launch_blame_programs(launch);
    use_failure(launch);
    if (launch->exit_status != 0) {
        report_failure(launch);
        write_record(launch, cvd_launch_get_state(launch),
                     cvd_server_get_window_fd(launch->host.server));
        if (restart != NULL)
            g_message("%s", restart);
    } else {
        if (restart != NULL)
            cvd_launch_log_state(launch, G_LOG_LEVEL_MESSAGE, "%s; %s", launch->reason, restart);
        else if (!cvd_launch_is_asked_restart(launch))
            cvd_launch_log_state(launch, G_LOG_LEVEL_MESSAGE, "%s", launch->reason);
        log_advice(launch, (const char *const[]){NULL}); /* a downscript, for one */
    }
    launch->ready_time_us = 0;
    launch->qemu_exit = (CvdExit){.is_known = TRUE}; /* reported, and nothing to report again */
}

void cvd_launch_report_failed_start(CvdLaunch *launch, const GError *error)
{
    cvd_log_fields(G_LOG_LEVEL_CRITICAL, "MESSAGE_ID", CVD_LAUNCH_STATE_ID, "CVD_STATE",
                   cvd_state_get_name(CVD_STATE_FAILED), "MESSAGE", "%s", error->message);
    cvd_notify("STATUS", error->message);
    if (launch->host.dir == NULL)
        return;
    if (launch->qemu_log == NULL)
        cvd_instance_dir_remove_records(launch->host.dir);
    g_free(launch->reason);
    launch->reason = g_strdup(error->message);
    write_record(launch, CVD_STATE_FAILED, -1);
}
