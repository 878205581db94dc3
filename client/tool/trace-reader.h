/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/trace.h"

G_BEGIN_DECLS

/**
 * CvdTraceReader:
 *
 * Reads a trace from its oldest record to its newest. It may still be written: then what was there
 * when it was opened is read, but for what is overwritten meanwhile.
 */
typedef struct CvdTraceReader CvdTraceReader;

/**
 * cvd_trace_reader_open:
 * @path: a trace
 * @error: %CVD_ERROR_INVALID: not a trace, of another version, cut off, or altered;
 *   %CVD_ERROR_FAILED
 *
 * Returns: (transfer full): one to be read, at its oldest record
 */
CvdTraceReader *cvd_trace_reader_open(const char *path, GError **error);
void cvd_trace_reader_free(CvdTraceReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdTraceReader, cvd_trace_reader_free)

/** cvd_trace_reader_get_header: Returns: (transfer none): what it is of */
const CvdTraceHeader *cvd_trace_reader_get_header(const CvdTraceReader *reader);

/** CvdTraceResult: of cvd_trace_reader_next() */
typedef enum {
    CVD_TRACE_RECORD, /* there is one */
    CVD_TRACE_END,    /* that was all */
    CVD_TRACE_ERROR,
} CvdTraceResult;

/**
 * cvd_trace_reader_next:
 * @record: (out): the next one
 * @error: %CVD_ERROR_INVALID: damaged; %CVD_ERROR_FAILED
 */
CvdTraceResult cvd_trace_reader_next(CvdTraceReader *reader, CvdTraceRecord *record,
                                     GError **error);

/** cvd_trace_reader_get_n_overwritten: Returns: how many records were before the oldest that was
 * read, or were overwritten while this read them */
guint64 cvd_trace_reader_get_n_overwritten(const CvdTraceReader *reader);

G_END_DECLS
