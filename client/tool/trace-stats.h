/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/trace.h"
#include "client/tool/stats.h"

G_BEGIN_DECLS

/**
 * CvdTraceDirection:
 * @n_rings: how often it was rung
 * @n_records: how often rings were taken, several at once where they came fast
 * @answers: (nullable): from a ring to the next one in the other direction; of rings that nothing
 *   came back for meanwhile the first one counts; %NULL: none was answered
 */
typedef struct {
    guint64 n_rings;
    guint64 n_records;
    CvdStats *answers;
    /*< private >*/
    gboolean is_waiting;
    guint64 since_ns;
} CvdTraceDirection;

/** CVD_TRACE_N_DIRECTIONS: %CVD_TRACE_TO_GUEST and %CVD_TRACE_TO_HOST are their indices */
#define CVD_TRACE_N_DIRECTIONS 2

/**
 * CvdTraceRegion:
 * @directions: to the guest, to the host
 */
typedef struct {
    CvdTraceDirection directions[CVD_TRACE_N_DIRECTIONS];
} CvdTraceRegion;

/**
 * CvdTraceStats:
 * @n_regions: how many there are
 * @regions: (array length=n_regions)
 * @n_records: of all kinds
 * @n_lost: records that could not be written
 * @n_cleared: how often the guest was reset or restarted
 * @begin_ns: monotonic time of the first record, or of the start if none was overwritten
 * @end_ns: of the last record
 *
 * What a trace adds up to.
 */
typedef struct {
    guint n_regions;
    CvdTraceRegion *regions;
    guint64 n_records;
    guint64 n_lost;
    guint64 n_cleared;
    guint64 begin_ns;
    guint64 end_ns;
} CvdTraceStats;

CvdTraceStats *cvd_trace_stats_new(const CvdTraceHeader *header);
void cvd_trace_stats_free(CvdTraceStats *stats);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdTraceStats, cvd_trace_stats_free)

/** cvd_trace_stats_add: @record: the next one of the trace */
void cvd_trace_stats_add(CvdTraceStats *stats, const CvdTraceRecord *record);

/** cvd_trace_stats_get_seconds: Returns: how long the trace is */
double cvd_trace_stats_get_seconds(const CvdTraceStats *stats);
/** cvd_trace_stats_get_rate: Returns: the rings a second; 0 of a trace that has no length */
double cvd_trace_stats_get_rate(const CvdTraceStats *stats, const CvdTraceDirection *direction);
/** cvd_trace_region_has_rings: Returns: whether anybody has rung there */
gboolean cvd_trace_region_has_rings(const CvdTraceRegion *region);

G_END_DECLS
