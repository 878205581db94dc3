/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

G_BEGIN_DECLS

/** CVD_RETRY_EARLY_US: an end sooner than so long after the start counts as a failure */
#define CVD_RETRY_EARLY_US (10 * G_TIME_SPAN_SECOND)

/** CVD_RESTART_WINDOW_US: how long a failure counts, in microseconds: 10 minutes */
#define CVD_RESTART_WINDOW_US (10 * G_TIME_SPAN_MINUTE)
/** CVD_RESTART_MAX_DELAY_MS: the longest delay before a restart, in milliseconds */
#define CVD_RESTART_MAX_DELAY_MS 30000
/** CVD_RESTART_MAX_LIMIT: the greatest `lifecycle.restart_limit` */
#define CVD_RESTART_MAX_LIMIT 1000

/**
 * CvdRetry:
 * @n_failures: within 10 minutes, at the last one
 * @failures_us: (nullable): when they were, oldest first; %NULL before the first
 *
 * Whether, and how soon, what has failed is tried again: QEMU and host programs alike. Zeroed at
 * first.
 */
typedef struct {
    guint n_failures;
    GArray *failures_us;
} CvdRetry;

/**
 * cvd_retry_count:
 *
 * Returns: when what has failed at @now_us is tried again; 0: `lifecycle.restart_limit` is exceeded
 */
gint64 cvd_retry_count(CvdRetry *retry, const CvdConfig *config, gint64 now_us);

/** cvd_retry_clear: forgets all failures */
void cvd_retry_clear(CvdRetry *retry);

G_END_DECLS
