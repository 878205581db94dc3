/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json-text.h"

G_BEGIN_DECLS

/**
 * CvdJsonStream:
 * @bytes: what was received; objects stand at its beginning
 * @size: of the object at the beginning, as far as it has been read
 * @max_size: bytes that an object may have
 *
 * Takes objects out of a stream without parsing them. What is too long is skipped.
 */
typedef struct {
    GByteArray *bytes;
    gsize size;
    gsize max_size;
    /*< private >*/
    CvdJsonLexer lexer;
    guint64 depth; /* of open brackets; 0 between objects */
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

/** cvd_json_stream_get: Returns: the object at the beginning, as far as it has been read */
CvdJsonSpan cvd_json_stream_get(const CvdJsonStream *stream);

G_END_DECLS
