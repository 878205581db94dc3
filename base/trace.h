/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * The file of a doorbell trace: docs/cvd-client.1, Traces. A header, then records in a ring: the
 * one of sequence number n stands at n modulo the capacity, so that the oldest is overwritten when
 * the file has its full size.
 */

/** CVD_TRACE_RECORD_SIZE: of a record in the file, in bytes */
#define CVD_TRACE_RECORD_SIZE 32
/** CVD_TRACE_NAME_SIZE: of a region's name in the file, in bytes; a NUL is the last of them */
#define CVD_TRACE_NAME_SIZE 16
/** CVD_TRACE_MAX_REGIONS: of how many regions a trace can be */
#define CVD_TRACE_MAX_REGIONS 2048

/** CvdTraceKind: what a record is of */
typedef enum {
    CVD_TRACE_TO_GUEST, /* a client rang, so often */
    CVD_TRACE_TO_HOST,  /* the guest rang, so often */
    CVD_TRACE_CLEARED,  /* the guest was reset or restarted: what was rung before is void */
    CVD_TRACE_LOST,     /* so many records could not be written */
} CvdTraceKind;

/**
 * CvdTraceRecord:
 * @sequence: its number, from 0; no number is left out
 * @time_ns: monotonic time
 * @count: how many rings were taken at once, or records were lost; 0 for %CVD_TRACE_CLEARED
 * @region: its index; 0 where @kind is about none
 */
typedef struct {
    guint64 sequence;
    guint64 time_ns;
    guint64 count;
    guint region;
    CvdTraceKind kind;
} CvdTraceRecord;

/**
 * CvdTraceHeader:
 * @capacity: how many records there can be
 * @start_ns: monotonic time at the start
 * @start_wall_ns: the same moment since 1970, UTC
 * @n_regions: how many regions there are
 * @names: (array length=n_regions): their names
 */
typedef struct {
    guint64 capacity;
    guint64 start_ns;
    guint64 start_wall_ns;
    guint n_regions;
    char (*names)[CVD_TRACE_NAME_SIZE];
} CvdTraceHeader;

void cvd_trace_header_clear(CvdTraceHeader *header);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdTraceHeader, cvd_trace_header_clear)

/** cvd_trace_get_header_size: Returns: where the records begin in the file */
gsize cvd_trace_get_header_size(guint n_regions);
/** CVD_TRACE_MAX_HEADER_SIZE: the same for as many regions as there can be */
#define CVD_TRACE_MAX_HEADER_SIZE (48 + 16 * CVD_TRACE_MAX_REGIONS + 16)

/** cvd_trace_is_one: Returns: whether @bytes are the first ones of a trace, of whatever version */
gboolean cvd_trace_is_one(const guint8 *bytes, gsize size);

/** cvd_trace_pack_header: @bytes: (out): room for cvd_trace_get_header_size() bytes */
void cvd_trace_pack_header(const CvdTraceHeader *header, guint8 *bytes);
/**
 * cvd_trace_unpack_header:
 * @bytes: (array length=size): the first bytes of a file, as many as there are or
 *   %CVD_TRACE_MAX_HEADER_SIZE
 * @header: (out caller-allocates): to be cleared, also after an error
 * @error: %CVD_ERROR_INVALID: no trace, one of another version, or altered
 */
gboolean cvd_trace_unpack_header(const guint8 *bytes, gsize size, CvdTraceHeader *header,
                                 GError **error);

/** cvd_trace_pack_record: @bytes: (out): room for %CVD_TRACE_RECORD_SIZE bytes */
void cvd_trace_pack_record(const CvdTraceRecord *record, guint8 *bytes);
/** cvd_trace_unpack_record: Returns: whether @bytes are a record of such a trace */
gboolean cvd_trace_unpack_record(const guint8 *bytes, const CvdTraceHeader *header,
                                 CvdTraceRecord *record);

G_END_DECLS
