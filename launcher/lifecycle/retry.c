/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/lifecycle/retry.h"

/* At once: still later, so that nothing of what has failed is in use any more. */
#define AT_ONCE_US 1000

/* 2^n times the first, by a shift that cannot overflow. */
static gint64 delay_us(const CvdConfig *config, guint n_before)
{
    guint first_ms = MIN(config->restart_delay_ms, CVD_RESTART_MAX_DELAY_MS);

    return 1000 * (gint64)MIN(first_ms << MIN(n_before, 15), CVD_RESTART_MAX_DELAY_MS);
}

/* One more than the limit ends it, so there are not many. */
gint64 cvd_retry_count(CvdRetry *retry, const CvdConfig *config, gint64 now_us)
{
    if (retry->failures_us == NULL)
        retry->failures_us = g_array_new(FALSE, FALSE, sizeof now_us);
    g_array_append_val(retry->failures_us, now_us);
    while (g_array_index(retry->failures_us, gint64, 0) < now_us - CVD_RESTART_WINDOW_US)
        g_array_remove_index(retry->failures_us, 0);
    retry->n_failures = retry->failures_us->len;
    if (retry->n_failures > config->restart_limit)
        return 0;
    return now_us + MAX(delay_us(config, retry->n_failures - 1), AT_ONCE_US);
}

void cvd_retry_clear(CvdRetry *retry)
{
    g_clear_pointer(&retry->failures_us, g_array_unref);
    retry->n_failures = 0;
}
