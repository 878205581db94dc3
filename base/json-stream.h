/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json-text.h"

G_BEGIN_DECLS

/**
 * CvdJsonStream:
 * @bytes: what was received; objects stand at its beginning
 * @framer: of the object at the beginning
 * @max_size: bytes that an object may have
 *
 * Takes objects out of a stream without parsing them. What is too long is skipped.
 */
typedef struct {
    GByteArray *bytes;
    CvdJsonFramer framer;
    gsize max_size;
    /*< private >*/
    gsize n_framed;
    gboolean is_skipping;
} CvdJsonStream;

typedef enum {
    CVD_JSON_STREAM_WANTS_MORE,
    CVD_JSON_STREAM_OBJECT,   /* there is one */
    CVD_JSON_STREAM_TOO_LONG, /* one has become too long, of which this much is there; said once */
    CVD_JSON_STREAM_GARBAGE,  /* something else follows, and always will */
} CvdJsonStreamNext;

void cvd_json_stream_init(CvdJsonStream *stream, gsize max_size);
void cvd_json_stream_clear(CvdJsonStream *stream);

/**
 * cvd_json_stream_next:
 *
 * Drops the object that was found last, and looks for the next one in what was appended to @bytes.
 */
CvdJsonStreamNext cvd_json_stream_next(CvdJsonStream *stream);

/** cvd_json_stream_find: as cvd_json_framer_find(), in the object at the beginning */
CvdJsonSpan cvd_json_stream_find(const CvdJsonStream *stream, const char *key);

G_END_DECLS
