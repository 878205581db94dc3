/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/restart-policy.h"

static void forget_before(GArray *failures, gint64 us)
{
    guint n_old = 0;

    while (n_old < failures->len && g_array_index(failures, gint64, n_old) < us)
        n_old++;
    g_array_remove_range(failures, 0, n_old);
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
    if (policy->failures == NULL)
        policy->failures = g_array_new(FALSE, FALSE, sizeof(gint64));
    forget_before(policy->failures, now_us - CVD_RESTART_WINDOW_US);
    guint n_before = policy->failures->len;

    g_array_append_val(policy->failures, now_us);
    *delay_ms = delay_after(policy, n_before);
    return n_before < policy->limit;
}

guint cvd_restart_policy_get_n_failures(const CvdRestartPolicy *policy)
{
    return policy->failures != NULL ? policy->failures->len : 0;
}

void cvd_restart_policy_clear(CvdRestartPolicy *policy)
{
    g_clear_pointer(&policy->failures, g_array_unref);
}
