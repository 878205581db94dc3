/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/lifecycle/restart-policy.h"

#include <string.h>

static void forget_oldest(CvdRestartPolicy *policy, guint n)
{
    policy->n_failures -= n;
    memmove(policy->failures_us, policy->failures_us + n, policy->n_failures * sizeof(gint64));
}

static void forget_before(CvdRestartPolicy *policy, gint64 us)
{
    guint n_old = 0;

    while (n_old < policy->n_failures && policy->failures_us[n_old] < us)
        n_old++;
    forget_oldest(policy, n_old);
}

/* 2^n times the first, without a shift that could overflow. */
static guint delay_after(const CvdRestartPolicy *policy, guint n_before)
{
    guint delay_ms = MIN(policy->first_delay_ms, CVD_RESTART_MAX_DELAY_MS);

    for (guint i = 0; i < n_before && delay_ms > 0 && delay_ms < CVD_RESTART_MAX_DELAY_MS; i++)
        delay_ms = MIN(2 * delay_ms, CVD_RESTART_MAX_DELAY_MS);
    return delay_ms;
}

gboolean cvd_restart_policy_fail(CvdRestartPolicy *policy, gint64 now_us, guint *delay_ms)
{
    forget_before(policy, now_us - CVD_RESTART_WINDOW_US);
    guint n_before = policy->n_failures;

    *delay_ms = delay_after(policy, n_before);
    if (n_before == G_N_ELEMENTS(policy->failures_us))
        forget_oldest(policy, 1);
    policy->failures_us[policy->n_failures++] = now_us;
    return n_before < policy->limit;
}

guint cvd_restart_policy_get_n_failures(const CvdRestartPolicy *policy)
{
    return policy->n_failures;
}
