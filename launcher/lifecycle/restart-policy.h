/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_RESTART_WINDOW_US: how long a failure counts, in microseconds: 10 minutes */
#define CVD_RESTART_WINDOW_US (10 * G_TIME_SPAN_MINUTE)
/** CVD_RESTART_MAX_DELAY_MS: the longest delay before a restart, in milliseconds */
#define CVD_RESTART_MAX_DELAY_MS 30000
/** CVD_RESTART_MAX_LIMIT: the greatest `limit` */
#define CVD_RESTART_MAX_LIMIT 1000

/**
 * CvdRestartPolicy:
 * @limit: how many failures within 10 minutes are followed by a restart
 * @first_delay_ms: before the first of them; doubled for each further one
 *
 * When what failed is started again. Pure.
 */
typedef struct {
    guint limit;
    guint first_delay_ms;
    /*< private >*/
    guint n_failures;
    gint64 failures_us[CVD_RESTART_MAX_LIMIT + 1]; /* when, oldest first */
} CvdRestartPolicy;

/**
 * cvd_restart_policy_fail:
 * @now_us: the monotonic time of a failure, in microseconds
 * @delay_ms: (out): how long to wait before the restart
 *
 * Returns: whether there is to be one
 */
gboolean cvd_restart_policy_fail(CvdRestartPolicy *policy, gint64 now_us, guint *delay_ms);

/** cvd_restart_policy_get_n_failures: Returns: how many failures counted at the last one */
guint cvd_restart_policy_get_n_failures(const CvdRestartPolicy *policy);

G_END_DECLS
