/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/tool/trace-stats.h"

G_BEGIN_DECLS

/** CVD_TRACE_MAX_ROWS: how many regions a timeline shows: those that are rung most often */
#define CVD_TRACE_MAX_ROWS 64

/**
 * CvdTraceTimeline:
 *
 * When which region was rung, and how often, as a picture.
 */
typedef struct CvdTraceTimeline CvdTraceTimeline;

/** cvd_trace_timeline_new: @stats: of all records; borrowed, outlives it */
CvdTraceTimeline *cvd_trace_timeline_new(const CvdTraceStats *stats);
void cvd_trace_timeline_free(CvdTraceTimeline *timeline);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdTraceTimeline, cvd_trace_timeline_free)

/** cvd_trace_timeline_add: @record: each one of the trace */
void cvd_trace_timeline_add(CvdTraceTimeline *timeline, const CvdTraceRecord *record);

/** cvd_trace_timeline_to_svg: Returns: (transfer full): an SVG image */
char *cvd_trace_timeline_to_svg(const CvdTraceTimeline *timeline, const CvdTraceHeader *header);

G_END_DECLS
