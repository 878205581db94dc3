/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tool/trace-stats.h"

CvdTraceStats *cvd_trace_stats_new(const CvdTraceHeader *header)
{
    CvdTraceStats *stats = g_new0(CvdTraceStats, 1);

    stats->n_regions = header->n_regions;
    stats->regions = g_new0(CvdTraceRegion, header->n_regions);
    stats->begin_ns = stats->end_ns = header->start_ns;
    return stats;
}

void cvd_trace_stats_free(CvdTraceStats *stats)
{
    for (guint i = 0; i < stats->n_regions; i++)
        for (guint way = 0; way < CVD_TRACE_N_DIRECTIONS; way++)
            g_clear_pointer(&stats->regions[i].directions[way].answers, cvd_stats_free);
    g_free(stats->regions);
    g_free(stats);
}

/* What was rung before, or is not known to be answered, is not answered by what follows. */
static void forget_waiting(CvdTraceStats *stats)
{
    for (guint i = 0; i < stats->n_regions; i++)
        for (guint way = 0; way < CVD_TRACE_N_DIRECTIONS; way++)
            stats->regions[i].directions[way].is_waiting = FALSE;
}

static void answer(CvdTraceDirection *asked, guint64 now_ns)
{
    if (!asked->is_waiting)
        return;
    if (asked->answers == NULL)
        asked->answers = cvd_stats_new();
    cvd_stats_add(asked->answers, now_ns - MIN(now_ns, asked->since_ns));
    asked->is_waiting = FALSE;
}

static void add_ring(CvdTraceStats *stats, const CvdTraceRecord *record)
{
    CvdTraceRegion *region = &stats->regions[record->region];
    CvdTraceDirection *rung = &region->directions[record->kind];
    CvdTraceDirection *other = &region->directions[1 - record->kind];

    rung->n_rings += record->count;
    rung->n_records++;
    answer(other, record->time_ns);
    if (!rung->is_waiting)
        rung->since_ns = record->time_ns;
    rung->is_waiting = TRUE;
}

void cvd_trace_stats_add(CvdTraceStats *stats, const CvdTraceRecord *record)
{
    if (stats->n_records == 0 && record->sequence > 0)
        stats->begin_ns = record->time_ns;
    stats->n_records++;
    stats->end_ns = MAX(stats->end_ns, record->time_ns);
    switch (record->kind) {
    case CVD_TRACE_TO_GUEST:
    case CVD_TRACE_TO_HOST:
        add_ring(stats, record);
        return;
    case CVD_TRACE_CLEARED:
        stats->n_cleared++;
        forget_waiting(stats);
        return;
    case CVD_TRACE_LOST:
        stats->n_lost += record->count;
        forget_waiting(stats);
        return;
    }
    g_assert_not_reached();
}

double cvd_trace_stats_get_seconds(const CvdTraceStats *stats)
{
    return stats->end_ns > stats->begin_ns ? (double)(stats->end_ns - stats->begin_ns) / 1e9 : 0;
}

double cvd_trace_stats_get_rate(const CvdTraceStats *stats, const CvdTraceDirection *direction)
{
    double seconds = cvd_trace_stats_get_seconds(stats);

    return seconds > 0 ? (double)direction->n_rings / seconds : 0;
}

gboolean cvd_trace_region_has_rings(const CvdTraceRegion *region)
{
    return region->directions[CVD_TRACE_TO_GUEST].n_records > 0 ||
           region->directions[CVD_TRACE_TO_HOST].n_records > 0;
}
