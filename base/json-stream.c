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

static void drop_framed(CvdJsonStream *stream)
{
    GByteArray *bytes = stream->bytes;

    if (bytes->len > MAX_KEPT) {
        stream->bytes = g_byte_array_new();
        g_byte_array_append(stream->bytes, bytes->data + stream->n_framed,
                            bytes->len - (guint)stream->n_framed);
        g_byte_array_unref(bytes);
        malloc_trim(0);
    } else {
        g_byte_array_remove_range(bytes, 0, (guint)stream->n_framed);
    }
    stream->n_framed = 0;
}

static void skip_space(CvdJsonStream *stream)
{
    while (stream->n_framed < stream->bytes->len &&
           memchr(" \t\r\n", stream->bytes->data[stream->n_framed], 4) != NULL)
        stream->n_framed++;
    drop_framed(stream);
}

/* Returns: whether there may be an object in what is left */
static gboolean frame(CvdJsonStream *stream)
{
    GByteArray *bytes = stream->bytes;
    const char *unframed = (const char *)bytes->data + stream->n_framed;

    if (bytes->len == stream->n_framed)
        return FALSE;
    stream->n_framed +=
        cvd_json_framer_feed(&stream->framer, unframed, bytes->len - stream->n_framed);
    return TRUE;
}

CvdJsonStreamNext cvd_json_stream_next(CvdJsonStream *stream)
{
    do {
        if (stream->framer.is_whole || stream->is_skipping)
            drop_framed(stream);
        if (stream->framer.is_whole) {
            stream->framer = (CvdJsonFramer){0};
            stream->is_skipping = FALSE;
        }
        if (stream->framer.size == 0)
            skip_space(stream);
        if (stream->framer.size == 0 && stream->bytes->len > 0 && *stream->bytes->data != '{')
            return CVD_JSON_STREAM_GARBAGE;
        if (!frame(stream))
            return CVD_JSON_STREAM_WANTS_MORE;
    } while (stream->is_skipping);
    if (stream->framer.size > stream->max_size) {
        stream->is_skipping = TRUE;
        return CVD_JSON_STREAM_TOO_LONG;
    }
    return stream->framer.is_whole ? CVD_JSON_STREAM_OBJECT : CVD_JSON_STREAM_WANTS_MORE;
}

CvdJsonSpan cvd_json_stream_find(const CvdJsonStream *stream, const char *key)
{
    return cvd_json_framer_find(&stream->framer, (const char *)stream->bytes->data, key);
}
