/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json-stream.h"

#include <malloc.h>
#include <string.h>

/* What has been larger than this is not kept. */
#define MAX_KEPT (64 * 1024)

void cvd_json_stream_init(CvdJsonStream *stream, gsize max_size)
{
    *stream = (CvdJsonStream){.bytes = g_byte_array_new(), .max_size = max_size};
}

void cvd_json_stream_clear(CvdJsonStream *stream)
{
    g_byte_array_unref(stream->bytes);
}

static void drop_read(CvdJsonStream *stream)
{
    GByteArray *bytes = stream->bytes;

    if (bytes->len > MAX_KEPT) {
        stream->bytes = g_byte_array_new();
        g_byte_array_append(stream->bytes, bytes->data + stream->size,
                            bytes->len - (guint)stream->size);
        g_byte_array_unref(bytes);
        malloc_trim(0);
    } else {
        g_byte_array_remove_range(bytes, 0, (guint)stream->size);
    }
    stream->size = 0;
}

static void skip_space(CvdJsonStream *stream)
{
    while (stream->size < stream->bytes->len &&
           memchr(" \t\r\n", stream->bytes->data[stream->size], 4) != NULL)
        stream->size++;
    drop_read(stream);
}

/* Up to the end of the object. Returns: whether there was anything to read */
static gboolean read_on(CvdJsonStream *stream)
{
    const char *bytes = (const char *)stream->bytes->data;
    CvdJsonLexer *lexer = &stream->lexer;

    if (stream->size == stream->bytes->len)
        return FALSE;
    lexer->at = bytes + stream->size;
    lexer->end = bytes + stream->bytes->len;
    do {
        char kind = cvd_json_lexer_next(lexer);
        stream->depth += kind == '{' || kind == '[';
        stream->depth -= kind == '}' || kind == ']';
    } while (stream->depth > 0 && lexer->at < lexer->end);
    stream->size = (gsize)(lexer->at - bytes);
    return TRUE;
}

CvdJsonStreamNext cvd_json_stream_next(CvdJsonStream *stream)
{
    do {
        if (stream->depth == 0 || stream->is_skipping)
            drop_read(stream);
        if (stream->depth == 0) {
            stream->is_skipping = FALSE;
            skip_space(stream);
            if (stream->bytes->len > 0 && *stream->bytes->data != '{')
                return CVD_JSON_STREAM_GARBAGE;
        }
        if (!read_on(stream))
            return CVD_JSON_STREAM_WANTS_MORE;
    } while (stream->is_skipping);
    if (stream->size > stream->max_size) {
        stream->is_skipping = TRUE;
        return CVD_JSON_STREAM_TOO_LONG;
    }
    return stream->depth == 0 ? CVD_JSON_STREAM_OBJECT : CVD_JSON_STREAM_WANTS_MORE;
}

CvdJsonSpan cvd_json_stream_get(const CvdJsonStream *stream)
{
    return (CvdJsonSpan){(const char *)stream->bytes->data, stream->size};
}
