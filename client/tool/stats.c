/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ping back to back for an hour has a hundred million answers, so they are counted in buckets:
 * one a value below 2048, above that 1024 an octave, of which the middle stands for all values in
 * it. Buckets that are never touched take no memory.
 */
#include "client/tool/stats.h"

#include <math.h>

#define LINEAR_BITS 10
#define PER_OCTAVE  (1u << LINEAR_BITS)
#define N_BUCKETS   ((64 - LINEAR_BITS + 1) * PER_OCTAVE)

CvdStats *cvd_stats_new(void)
{
    CvdStats *stats = g_new0(CvdStats, 1);
    stats->buckets = g_new0(guint64, N_BUCKETS);
    return stats;
}

void cvd_stats_free(CvdStats *stats)
{
    g_free(stats->buckets);
    g_free(stats);
}

/* How many low bits do not matter for a value. */
static guint shift_of(guint64 value)
{
    guint n_bits = value > 0 ? 64 - (guint)__builtin_clzll(value) : 0;
    return n_bits > LINEAR_BITS + 1 ? n_bits - LINEAR_BITS - 1 : 0;
}

static guint bucket_of(guint64 value)
{
    guint shift = shift_of(value);
    return shift * PER_OCTAVE + (guint)(value >> shift);
}

static guint64 middle_of(guint bucket)
{
    if (bucket < 2 * PER_OCTAVE)
        return bucket;
    guint shift = bucket / PER_OCTAVE - 1;
    guint64 mantissa = bucket - shift * PER_OCTAVE;
    return (mantissa << shift) + (G_GUINT64_CONSTANT(1) << shift) / 2;
}

void cvd_stats_add(CvdStats *stats, guint64 ns)
{
    if (stats->count == 0 || ns < stats->min)
        stats->min = ns;
    stats->max = MAX(stats->max, ns);
    stats->sum += (double)ns;
    stats->count++;
    stats->buckets[bucket_of(ns)]++;
}

double cvd_stats_get_mean(const CvdStats *stats)
{
    return stats->count > 0 ? stats->sum / (double)stats->count : 0;
}

guint64 cvd_stats_get_percentile(const CvdStats *stats, double percent)
{
    if (stats->count == 0)
        return 0;
    guint64 rank = (guint64)ceil((double)stats->count * percent / 100);
    guint64 n = 0;
    for (guint i = bucket_of(stats->min); i <= bucket_of(stats->max); i++) {
        n += stats->buckets[i];
        if (n >= MAX(rank, 1))
            return CLAMP(middle_of(i), stats->min, stats->max);
    }
    return stats->max;
}
