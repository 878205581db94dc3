/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/trace.h"
#include "server/layout.h"

#include <glib.h>

G_BEGIN_DECLS

/** CVD_TRACE_MIN_SIZE: of the limit of a trace's file, in bytes */
#define CVD_TRACE_MIN_SIZE ((guint64)1 << 20)
/** CVD_TRACE_MAX_SIZE: likewise */
#define CVD_TRACE_MAX_SIZE ((guint64)1 << 40)
/** CVD_TRACE_USUAL_SIZE: the limit where nobody says another: two million records */
#define CVD_TRACE_USUAL_SIZE ((guint64)64 << 20)

/**
 * CvdTraceFile:
 *
 * A trace that is written. The file grows to its limit; then the oldest records are overwritten. A
 * full disk costs records, which are counted.
 */
typedef struct CvdTraceFile CvdTraceFile;

/**
 * cvd_trace_file_new:
 * @path: a file that does not exist, is empty, or is an older trace, which is overwritten
 * @max_size: its limit in bytes, at least %CVD_TRACE_MIN_SIZE
 * @layout: whose regions it is of
 * @error: %CVD_ERROR_FOREIGN: something else is there; %CVD_ERROR_BUSY: another process writes it;
 *   %CVD_ERROR_FAILED
 *
 * Returns: (transfer full): a trace with no records
 */
CvdTraceFile *cvd_trace_file_new(const char *path, guint64 max_size, const CvdLayout *layout,
                                 GError **error);
/** cvd_trace_file_free: writes what was added, and closes it */
void cvd_trace_file_free(CvdTraceFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdTraceFile, cvd_trace_file_free)

/** cvd_trace_file_add: @record: with everything but its number */
void cvd_trace_file_add(CvdTraceFile *file, CvdTraceRecord record);
/** cvd_trace_file_flush: writes what was added */
void cvd_trace_file_flush(CvdTraceFile *file);

/** cvd_trace_now_ns: Returns: the monotonic time in nanoseconds */
guint64 cvd_trace_now_ns(void);

G_END_DECLS
