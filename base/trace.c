/* SPDX-License-Identifier: Apache-2.0 */
/* Values and the bytes of a file: no byte of either kind can be altered without being noticed. */
#include "base/trace.h"

#include "base/error.h"

#include <string.h>

#define FORMAT_VERSION 1
/* A file of 2^45 bytes. */
#define MAX_CAPACITY (G_GUINT64_CONSTANT(1) << 40)

static const char magic[8] = {'c', 'v', 'd', 't', 'r', 'a', 'c', 'e'};

typedef struct {
    char magic[8];
    guint32 format;
    guint32 n_regions;
    guint64 capacity;
    guint64 start_ns;
    guint64 start_wall_ns;
    guint32 checksum; /* of the whole header, names included, with 0 here */
    guint32 zero;
} RawHeader;

typedef struct {
    guint64 sequence;
    guint64 time_ns;
    guint64 count;
    guint16 region;
    guint8 kind;
    guint8 zero;
    guint32 checksum; /* of what is before it */
} RawRecord;

G_STATIC_ASSERT(sizeof(RawHeader) == 48);
G_STATIC_ASSERT(sizeof(RawRecord) == CVD_TRACE_RECORD_SIZE);

/* CRC-32 as in IEEE 802.3, four bits at a time. */
static guint32 checksum_of(const guint8 *bytes, gsize size)
{
    static const guint32 table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    guint32 sum = ~0u;

    for (gsize i = 0; i < size; i++) {
        sum = table[(sum ^ bytes[i]) & 15] ^ (sum >> 4);
        sum = table[(sum ^ (bytes[i] >> 4)) & 15] ^ (sum >> 4);
    }
    return ~sum;
}

/* ---- Header ---- */

void cvd_trace_header_clear(CvdTraceHeader *header)
{
    g_clear_pointer(&header->names, g_free);
}

gsize cvd_trace_get_header_size(guint n_regions)
{
    gsize size = sizeof(RawHeader) + CVD_TRACE_NAME_SIZE * (gsize)n_regions;

    return (size + CVD_TRACE_RECORD_SIZE - 1) / CVD_TRACE_RECORD_SIZE * CVD_TRACE_RECORD_SIZE;
}

gboolean cvd_trace_is_one(const guint8 *bytes, gsize size)
{
    return size >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

void cvd_trace_pack_header(const CvdTraceHeader *header, guint8 *bytes)
{
    gsize size = cvd_trace_get_header_size(header->n_regions);
    RawHeader raw = {
        .format = GUINT32_TO_LE(FORMAT_VERSION),
        .n_regions = GUINT32_TO_LE(header->n_regions),
        .capacity = GUINT64_TO_LE(header->capacity),
        .start_ns = GUINT64_TO_LE(header->start_ns),
        .start_wall_ns = GUINT64_TO_LE(header->start_wall_ns),
    };

    memcpy(raw.magic, magic, sizeof magic);
    memset(bytes, 0, size);
    memcpy(bytes, &raw, sizeof raw);
    memcpy(bytes + sizeof raw, header->names, header->n_regions * sizeof *header->names);
    raw.checksum = GUINT32_TO_LE(checksum_of(bytes, size));
    memcpy(bytes, &raw, sizeof raw);
}

static gboolean has_checksum(const guint8 *bytes, gsize size, RawHeader raw)
{
    g_autofree guint8 *copy = g_memdup2(bytes, size);
    guint32 expected = GUINT32_FROM_LE(raw.checksum);

    raw.checksum = 0;
    memcpy(copy, &raw, sizeof raw);
    return checksum_of(copy, size) == expected;
}

/* What a server cannot have written, though its checksum is right. */
static gboolean is_plausible(const CvdTraceHeader *header)
{
    for (guint i = 0; i < header->n_regions; i++) {
        const char *name = header->names[i];
        if (name[0] == '\0' || name[CVD_TRACE_NAME_SIZE - 1] != '\0')
            return FALSE;
        for (; *name != '\0'; name++)
            if (!g_ascii_isprint(*name))
                return FALSE;
    }
    return header->capacity > 0 && header->capacity <= MAX_CAPACITY;
}

static gboolean check_kind(const guint8 *bytes, gsize size, RawHeader *raw, GError **error)
{
    if (!cvd_trace_is_one(bytes, size))
        return cvd_fail(error, CVD_ERROR_INVALID, "not a trace of doorbells");
    if (size < sizeof *raw)
        return cvd_fail(error, CVD_ERROR_INVALID, "ends within its header; it was cut off");
    memcpy(raw, bytes, sizeof *raw);
    guint32 format = GUINT32_FROM_LE(raw->format);
    if (format != FORMAT_VERSION)
        return cvd_fail(error, CVD_ERROR_INVALID, "has format %u; this program reads format %d",
                        format, FORMAT_VERSION);
    return TRUE;
}

gboolean cvd_trace_unpack_header(const guint8 *bytes, gsize size, CvdTraceHeader *header,
                                 GError **error)
{
    RawHeader raw;

    *header = (CvdTraceHeader){0};
    if (!check_kind(bytes, size, &raw, error))
        return FALSE;
    guint n_regions = GUINT32_FROM_LE(raw.n_regions);
    gboolean is_sane = n_regions > 0 && n_regions <= CVD_TRACE_MAX_REGIONS;
    gsize full_size = is_sane ? cvd_trace_get_header_size(n_regions) : 0;
    if (is_sane && size < full_size)
        return cvd_fail(error, CVD_ERROR_INVALID, "ends within its header; it was cut off");
    if (!is_sane || !has_checksum(bytes, full_size, raw))
        return cvd_fail(error, CVD_ERROR_INVALID, "its header is damaged; the file was altered");
    *header = (CvdTraceHeader){
        .capacity = GUINT64_FROM_LE(raw.capacity),
        .start_ns = GUINT64_FROM_LE(raw.start_ns),
        .start_wall_ns = GUINT64_FROM_LE(raw.start_wall_ns),
        .n_regions = n_regions,
        .names = g_memdup2(bytes + sizeof raw, n_regions * sizeof *header->names),
    };
    if (!is_plausible(header))
        return cvd_fail(error, CVD_ERROR_INVALID, "its header says what no server writes");
    return TRUE;
}

/* ---- Records ---- */

void cvd_trace_pack_record(const CvdTraceRecord *record, guint8 *bytes)
{
    RawRecord raw = {
        .sequence = GUINT64_TO_LE(record->sequence),
        .time_ns = GUINT64_TO_LE(record->time_ns),
        .count = GUINT64_TO_LE(record->count),
        .region = GUINT16_TO_LE((guint16)record->region),
        .kind = (guint8)record->kind,
    };

    memcpy(bytes, &raw, sizeof raw);
    raw.checksum = GUINT32_TO_LE(checksum_of(bytes, G_STRUCT_OFFSET(RawRecord, checksum)));
    memcpy(bytes, &raw, sizeof raw);
}

gboolean cvd_trace_unpack_record(const guint8 *bytes, const CvdTraceHeader *header,
                                 CvdTraceRecord *record)
{
    RawRecord raw;

    memcpy(&raw, bytes, sizeof raw);
    *record = (CvdTraceRecord){
        .sequence = GUINT64_FROM_LE(raw.sequence),
        .time_ns = GUINT64_FROM_LE(raw.time_ns),
        .count = GUINT64_FROM_LE(raw.count),
        .region = GUINT16_FROM_LE(raw.region),
        .kind = raw.kind,
    };
    return GUINT32_FROM_LE(raw.checksum) ==
               checksum_of(bytes, G_STRUCT_OFFSET(RawRecord, checksum)) &&
           raw.kind <= CVD_TRACE_LOST && record->region < header->n_regions && raw.zero == 0;
}
