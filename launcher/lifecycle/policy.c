/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/lifecycle/policy.h"

#include <string.h>

/* A restart without delay: still due later, so that nothing of the old VM is in use any more. */
#define AT_ONCE_US 1000

typedef enum {
    THEN_END,
    THEN_RESTART,         /* at once, and it is no failure */
    THEN_COUNT_AND_RETRY, /* as @restarts says */
} Then;

/* 2^n times the first, by a shift that cannot overflow. */
static guint delay_after(const CvdRestartPolicy *policy, guint n_before)
{
    guint first_ms = MIN(policy->first_delay_ms, CVD_RESTART_MAX_DELAY_MS);

    return MIN(first_ms << MIN(n_before, 15), CVD_RESTART_MAX_DELAY_MS);
}

gboolean cvd_restart_policy_fail(CvdRestartPolicy *policy, gint64 now_us, guint *delay_ms)
{
    guint n_old = 0;

    while (n_old < policy->n_failures &&
           policy->failures_us[n_old] < now_us - CVD_RESTART_WINDOW_US)
        n_old++;
    if (policy->n_failures - n_old == G_N_ELEMENTS(policy->failures_us))
        n_old++; /* more than any limit all the same */
    guint n_before = policy->n_failures - n_old;
    memmove(policy->failures_us, policy->failures_us + n_old, n_before * sizeof(gint64));
    policy->failures_us[n_before] = now_us;
    policy->n_failures = n_before + 1;
    *delay_ms = delay_after(policy, n_before);
    return n_before < policy->limit;
}

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
static Then then_after_reboot(const CvdPolicy *policy, gint64 now_us)
{
    if (policy->on_reboot != CVD_ON_EVENT_RESTART)
        return THEN_END;
    return now_us - policy->start_us < CVD_POLICY_EARLY_US ? THEN_COUNT_AND_RETRY : THEN_RESTART;
}

static Then then_after_shutdown(const CvdPolicy *policy, CvdShutdown shutdown, gint64 now_us)
{
    switch (shutdown) {
    case CVD_SHUTDOWN_POWER_OFF:
    case CVD_SHUTDOWN_QUIT:
    case CVD_SHUTDOWN_UI:
        return THEN_END;
    case CVD_SHUTDOWN_REBOOT:
        return then_after_reboot(policy, now_us);
    case CVD_SHUTDOWN_PANIC:
        return then_retry_if(policy->on_panic);
    case CVD_SHUTDOWN_NONE:
    case CVD_SHUTDOWN_SIGNAL:
    case CVD_SHUTDOWN_ERROR:
    case CVD_SHUTDOWN_OTHER:
        return then_retry_if(policy->on_crash);
    }
    g_assert_not_reached();
}

static Then what_then(const CvdPolicy *policy, CvdCause cause, CvdShutdown shutdown, gint64 now_us)
{
    if (policy->is_stop_asked)
        return THEN_END;
    if (policy->is_restart_asked)
        return THEN_RESTART;
    switch (cause) {
    case CVD_CAUSE_NONE:
    case CVD_CAUSE_STOP_REQUESTED:
    case CVD_CAUSE_TIME_LIMIT:
        return THEN_END;
    case CVD_CAUSE_RESTART_REQUESTED:
        return THEN_RESTART;
    case CVD_CAUSE_VM_SHUTDOWN:
        return then_after_shutdown(policy, shutdown, now_us);
    case CVD_CAUSE_WATCHDOG:
        return then_retry_if(policy->on_panic);
    case CVD_CAUSE_START_FAILED:
    case CVD_CAUSE_START_TIMED_OUT:
    case CVD_CAUSE_COMMAND_FAILED:
    case CVD_CAUSE_INTERNAL_ERROR:
    case CVD_CAUSE_UNRESPONSIVE:
    case CVD_CAUSE_QMP_GIVEN_UP:
    case CVD_CAUSE_CONNECTION_LOST:
    case CVD_CAUSE_QEMU_EXITED:
        return policy->was_ready ? then_retry_if(policy->on_crash) : THEN_END;
    }
    g_assert_not_reached();
}

gboolean cvd_policy_will_restart(const CvdPolicy *policy, CvdCause cause, CvdShutdown shutdown)
{
    return what_then(policy, cause, shutdown, policy->start_us) != THEN_END;
}

void cvd_policy_end(CvdPolicy *policy, CvdCause cause, CvdShutdown shutdown, gint64 now_us)
{
    Then then = what_then(policy, cause, shutdown, now_us);
    guint delay_ms = 0;

    policy->is_counted = then == THEN_COUNT_AND_RETRY;
    policy->follow = then == THEN_END ? CVD_FOLLOW_END : CVD_FOLLOW_RESTART;
    if (policy->is_counted && !cvd_restart_policy_fail(&policy->restarts, now_us, &delay_ms))
        policy->follow = CVD_FOLLOW_GIVE_UP;
    policy->due_us = policy->follow == CVD_FOLLOW_RESTART
                         ? now_us + MAX(1000 * (gint64)delay_ms, AT_ONCE_US)
                         : 0;
}
