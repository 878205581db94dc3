/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/lifecycle/policy.h"

/* A restart without delay: still due later, so that nothing of the old VM is in use any more. */
#define AT_ONCE_US 1000

typedef enum {
    THEN_END,
    THEN_RESTART,         /* at once, and it is no failure */
    THEN_COUNT_AND_RETRY, /* after a delay, unless there were too many */
} Then;

void cvd_policy_start(CvdPolicy *policy, gint64 now_us)
{
    policy->follow = CVD_FOLLOW_UNDECIDED;
    policy->is_restart_asked = FALSE;
    policy->start_us = now_us;
    policy->due_us = 0;
}

static Then then_retry_if(CvdOnEvent setting)
{
    return setting == CVD_ON_EVENT_RESTART ? THEN_COUNT_AND_RETRY : THEN_END;
}

/* A guest that reboots as soon as it has started would do so for ever. */
static Then then_after_reboot(const CvdPolicy *policy, const CvdConfig *config, gint64 now_us)
{
    if (config->on_reboot != CVD_ON_EVENT_RESTART)
        return THEN_END;
    return now_us - policy->start_us < CVD_RETRY_EARLY_US ? THEN_COUNT_AND_RETRY : THEN_RESTART;
}

static Then then_after_shutdown(const CvdPolicy *policy, const CvdConfig *config,
                                CvdShutdown shutdown, gint64 now_us)
{
    switch (shutdown) {
    case CVD_SHUTDOWN_POWER_OFF:
    case CVD_SHUTDOWN_QUIT:
    case CVD_SHUTDOWN_UI:
        return THEN_END;
    case CVD_SHUTDOWN_REBOOT:
        return then_after_reboot(policy, config, now_us);
    case CVD_SHUTDOWN_PANIC:
        return then_retry_if(config->on_panic);
    case CVD_SHUTDOWN_NONE:
    case CVD_SHUTDOWN_SIGNAL:
    case CVD_SHUTDOWN_ERROR:
    case CVD_SHUTDOWN_OTHER:
        return then_retry_if(config->on_crash);
    }
    g_assert_not_reached();
}

static Then what_then(const CvdPolicy *policy, const CvdConfig *config, CvdCause cause,
                      CvdShutdown shutdown, gint64 now_us)
{
    if (policy->is_stop_asked)
        return THEN_END;
    if (policy->is_restart_asked)
        return THEN_RESTART;
    switch (cause) {
    case CVD_CAUSE_NONE:
    case CVD_CAUSE_STOP_REQUESTED:
    case CVD_CAUSE_TIME_LIMIT:
    case CVD_CAUSE_PROGRAM_FAILED:
    case CVD_CAUSE_SNAPSHOT:
    case CVD_CAUSE_RESTORE_FAILED: /* and would again */
        return THEN_END;
    case CVD_CAUSE_RESTART_REQUESTED:
        return THEN_RESTART;
    case CVD_CAUSE_VM_SHUTDOWN:
        return then_after_shutdown(policy, config, shutdown, now_us);
    case CVD_CAUSE_WATCHDOG:
        return then_retry_if(config->on_panic);
    case CVD_CAUSE_NOT_READY:
        return policy->was_announced ? then_retry_if(config->on_crash) : THEN_END;
    case CVD_CAUSE_START_FAILED:
    case CVD_CAUSE_START_TIMED_OUT:
    case CVD_CAUSE_COMMAND_FAILED:
    case CVD_CAUSE_INTERNAL_ERROR:
    case CVD_CAUSE_UNRESPONSIVE:
    case CVD_CAUSE_QMP_GIVEN_UP:
    case CVD_CAUSE_CONNECTION_LOST:
    case CVD_CAUSE_QEMU_EXITED:
        return policy->was_ready ? then_retry_if(config->on_crash) : THEN_END;
    }
    g_assert_not_reached();
}

gboolean cvd_policy_will_restart(const CvdPolicy *policy, const CvdConfig *config, CvdCause cause,
                                 CvdShutdown shutdown)
{
    return what_then(policy, config, cause, shutdown, policy->start_us) != THEN_END;
}

void cvd_policy_end(CvdPolicy *policy, const CvdConfig *config, CvdCause cause,
                    CvdShutdown shutdown, gint64 now_us)
{
    Then then = what_then(policy, config, cause, shutdown, now_us);

    policy->is_counted = then == THEN_COUNT_AND_RETRY;
    policy->follow = then == THEN_END ? CVD_FOLLOW_END : CVD_FOLLOW_RESTART;
    policy->due_us = then == THEN_END ? 0 : now_us + AT_ONCE_US;
    if (!policy->is_counted)
        return;
    policy->due_us = cvd_retry_count(&policy->retry, config, now_us);
    if (policy->due_us == 0)
        policy->follow = CVD_FOLLOW_GIVE_UP;
}
