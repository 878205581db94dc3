/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdStats:
 *
 * Durations, any number of them in bounded memory. What can be read, exact, is 0 without any.
 */
typedef struct {
    guint64 count;
    guint64 min;
    guint64 max;
    /*< private >*/
    double sum;
    guint64 *buckets;
} CvdStats;

CvdStats *cvd_stats_new(void);
void cvd_stats_free(CvdStats *stats);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdStats, cvd_stats_free)

/** cvd_stats_add: counts a duration, in nanoseconds */
void cvd_stats_add(CvdStats *stats, guint64 ns);

/** cvd_stats_get_mean: Returns: the mean, exact but for rounding; 0 without any */
double cvd_stats_get_mean(const CvdStats *stats);

/**
 * cvd_stats_get_percentile:
 * @stats: durations
 * @percent: 0 to 100
 *
 * Returns: the least counted value that @percent of the values do not exceed (nearest rank), exact
 *   below 2048, off by at most a thousandth above; 0 without any
 */
guint64 cvd_stats_get_percentile(const CvdStats *stats, double percent);

G_END_DECLS
