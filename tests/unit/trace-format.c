/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a trace: what was written is read, and nothing else is. */
#include "base/trace.h"

#include "base/error.h"

#include <string.h>

/* Names that are as long as they may be, and all different. */
static CvdTraceHeader make_header(guint n_regions)
{
    CvdTraceHeader header = {
        .capacity = 1234567,
        .start_ns = G_GUINT64_CONSTANT(0x0123456789abcdef),
        .start_wall_ns = G_GUINT64_CONSTANT(1764000000123456789),
        .n_regions = n_regions,
        .names = g_malloc0_n(n_regions, CVD_TRACE_NAME_SIZE),
    };

    for (guint i = 0; i < n_regions; i++)
        g_snprintf(header.names[i], CVD_TRACE_NAME_SIZE, "region-%08u", i);
    return header;
}

static guint8 *pack(const CvdTraceHeader *header, gsize *size)
{
    *size = cvd_trace_get_header_size(header->n_regions);
    guint8 *bytes = g_malloc(*size);
    cvd_trace_pack_header(header, bytes);
    return bytes;
}

static void test_header(void)
{
    static const guint numbers[] = {1, 2, 5, CVD_TRACE_MAX_REGIONS};

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_auto(CvdTraceHeader) header = make_header(numbers[i]);
        g_auto(CvdTraceHeader) found = {0};
        g_autoptr(GError) error = NULL;
        gsize size;
        g_autofree guint8 *bytes = pack(&header, &size);

        g_assert_cmpuint(size, <=, CVD_TRACE_MAX_HEADER_SIZE);
        g_assert_cmpuint(size % CVD_TRACE_RECORD_SIZE, ==, 0);
        g_assert_true(cvd_trace_is_one(bytes, size));
        g_assert_true(cvd_trace_unpack_header(bytes, size, &found, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(found.capacity, ==, header.capacity);
        g_assert_cmpuint(found.start_ns, ==, header.start_ns);
        g_assert_cmpuint(found.start_wall_ns, ==, header.start_wall_ns);
        g_assert_cmpmem(found.names, found.n_regions * CVD_TRACE_NAME_SIZE, header.names,
                        numbers[i] * CVD_TRACE_NAME_SIZE);
    }
}

/* As docs/cvd-client.1 has it. */
static void test_bytes(void)
{
    static const guint8 header_begins[] = {
        'c',  'v',  'd',  't',  'r', 'a', 'c', 'e', 1,    0,    0,    0,    2,    0,    0,    0,
        0x87, 0xd6, 0x12, 0x00, 0,   0,   0,   0,   0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01};
    static const guint8 record_begins[] = {8,    7,    6,    5,    4,    3,    2, 1, 0x18, 0x17,
                                           0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 9, 0, 0,    0,
                                           0,    0,    0,    0,    1,    0,    1, 0};
    const CvdTraceRecord record = {.sequence = G_GUINT64_CONSTANT(0x0102030405060708),
                                   .time_ns = G_GUINT64_CONSTANT(0x1112131415161718),
                                   .count = 9,
                                   .region = 1,
                                   .kind = CVD_TRACE_TO_HOST};
    g_auto(CvdTraceHeader) header = make_header(2);
    guint8 packed[CVD_TRACE_RECORD_SIZE];
    gsize size;
    g_autofree guint8 *bytes = pack(&header, &size);

    g_assert_cmpuint(size, ==, 96);
    g_assert_cmpmem(bytes, sizeof header_begins, header_begins, sizeof header_begins);
    g_assert_cmpstr((const char *)bytes + 64, ==, "region-00000001");
    cvd_trace_pack_record(&record, packed);
    g_assert_cmpmem(packed, sizeof record_begins, record_begins, sizeof record_begins);
}

/* That of 28 zeros, by zlib. */
static void test_checksum(void)
{
    const CvdTraceRecord nothing = {0};
    guint8 packed[CVD_TRACE_RECORD_SIZE];
    static const guint8 sum[] = {0xe9, 0x77, 0x70, 0x80};

    cvd_trace_pack_record(&nothing, packed);
    g_assert_cmpmem(packed + 28, 4, sum, sizeof sum);
}

static void test_records(void)
{
    static const CvdTraceRecord records[] = {
        {0, 0, 0, 0, CVD_TRACE_CLEARED},
        {1, 2, 3, 4, CVD_TRACE_TO_GUEST},
        {G_MAXUINT64, G_MAXUINT64, G_MAXUINT64, CVD_TRACE_MAX_REGIONS - 1, CVD_TRACE_TO_HOST},
        {7, 8, 9, 0, CVD_TRACE_LOST},
    };
    const CvdTraceHeader header = {.n_regions = CVD_TRACE_MAX_REGIONS};

    for (gsize i = 0; i < G_N_ELEMENTS(records); i++) {
        guint8 bytes[CVD_TRACE_RECORD_SIZE];
        CvdTraceRecord found = {0};
        cvd_trace_pack_record(&records[i], bytes);
        g_assert_true(cvd_trace_unpack_record(bytes, &header, &found));
        g_assert_cmpuint(found.sequence, ==, records[i].sequence);
        g_assert_cmpuint(found.time_ns, ==, records[i].time_ns);
        g_assert_cmpuint(found.count, ==, records[i].count);
        g_assert_cmpuint(found.region, ==, records[i].region);
        g_assert_cmpint(found.kind, ==, records[i].kind);
    }
}

static void test_any_bit_of_a_record(void)
{
    const CvdTraceRecord record = {5, 6, 7, 2, CVD_TRACE_TO_HOST};
    const CvdTraceHeader header = {.n_regions = CVD_TRACE_MAX_REGIONS};
    guint8 bytes[CVD_TRACE_RECORD_SIZE];
    CvdTraceRecord found;

    cvd_trace_pack_record(&record, bytes);
    for (guint bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (guint8)(1 << bit % 8);
        g_assert_false(cvd_trace_unpack_record(bytes, &header, &found));
        bytes[bit / 8] ^= (guint8)(1 << bit % 8);
    }
    g_assert_true(cvd_trace_unpack_record(bytes, &header, &found));
}

/* With the right checksum. */
static void test_records_of_no_server(void)
{
    static const CvdTraceRecord records[] = {
        {0, 0, 1, 3, CVD_TRACE_TO_GUEST}, /* of three regions */
        {0, 0, 1, 0xffff, CVD_TRACE_TO_GUEST},
        {0, 0, 1, 0, CVD_TRACE_LOST + 1},
    };
    const CvdTraceHeader header = {.n_regions = 3};
    guint8 zeros[CVD_TRACE_RECORD_SIZE] = {0};
    CvdTraceRecord found;

    for (gsize i = 0; i < G_N_ELEMENTS(records); i++) {
        guint8 bytes[CVD_TRACE_RECORD_SIZE];
        cvd_trace_pack_record(&records[i], bytes);
        g_assert_false(cvd_trace_unpack_record(bytes, &header, &found));
    }
    g_assert_false(cvd_trace_unpack_record(zeros, &header, &found));
}

static void assert_wrong(const guint8 *bytes, gsize size, const char *part)
{
    g_auto(CvdTraceHeader) found = {0};
    g_autoptr(GError) error = NULL;

    g_assert_false(cvd_trace_unpack_header(bytes, size, &found, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
    if (part != NULL && strstr(error->message, part) == NULL)
        g_error("'%s' does not have '%s'", error->message, part);
}

static void test_any_bit_of_a_header(void)
{
    g_auto(CvdTraceHeader) header = make_header(3);
    g_auto(CvdTraceHeader) found = {0};
    gsize size;
    g_autofree guint8 *bytes = pack(&header, &size);

    for (guint bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (guint8)(1 << bit % 8);
        assert_wrong(bytes, size, NULL);
        bytes[bit / 8] ^= (guint8)(1 << bit % 8);
    }
    g_assert_true(cvd_trace_unpack_header(bytes, size, &found, NULL));
}

static void test_cut_off_header(void)
{
    g_auto(CvdTraceHeader) header = make_header(3);
    gsize size;
    g_autofree guint8 *bytes = pack(&header, &size);

    for (gsize n = 0; n < size; n++) {
        g_autofree guint8 *part = g_memdup2(bytes, n); /* whose end a sanitizer knows */
        assert_wrong(part, n, n < 8 ? "not a trace" : "cut off");
    }
}

static void test_foreign_and_newer(void)
{
    g_auto(CvdTraceHeader) header = make_header(1);
    gsize size;
    g_autofree guint8 *bytes = pack(&header, &size);

    assert_wrong((const guint8 *)"cvd-dump and so on", 18, "not a trace of doorbells");
    bytes[8] = 2;
    assert_wrong(bytes, size, "has format 2; this program reads format 1");
}

/* With the right checksum. */
static void test_headers_of_no_server(void)
{
    static const struct {
        guint64 capacity;
        char name[CVD_TRACE_NAME_SIZE];
    } rows[] = {
        {0, "fine"},
        {G_MAXUINT64, "fine"},
        {G_MAXUINT64 / CVD_TRACE_RECORD_SIZE, "fine"},
        {1000, ""},
        {1000, "escape\033[2J"},
        {1000, "latin-\xe9"},
        {1000, {'n', 'o', ' ', 'e', 'n', 'd', ' ', 'a', 't', ' ', 'a', 'l', 'l', '!', '!', '!'}},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(CvdTraceHeader) header = make_header(2);
        gsize size;
        header.capacity = rows[i].capacity;
        memcpy(header.names[1], rows[i].name, sizeof rows[i].name);
        g_autofree guint8 *bytes = pack(&header, &size);
        assert_wrong(bytes, size, "what no server writes");
    }
}

static void test_too_many_regions(void)
{
    g_auto(CvdTraceHeader) header = make_header(CVD_TRACE_MAX_REGIONS + 1);
    gsize size;
    g_autofree guint8 *bytes = pack(&header, &size);

    assert_wrong(bytes, size, "damaged");
    memset(bytes + 12, 0, 4);
    assert_wrong(bytes, size, "damaged");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace-format/header", test_header);
    g_test_add_func("/trace-format/bytes", test_bytes);
    g_test_add_func("/trace-format/checksum", test_checksum);
    g_test_add_func("/trace-format/records", test_records);
    g_test_add_func("/trace-format/any-bit-of-a-record", test_any_bit_of_a_record);
    g_test_add_func("/trace-format/records-of-no-server", test_records_of_no_server);
    g_test_add_func("/trace-format/any-bit-of-a-header", test_any_bit_of_a_header);
    g_test_add_func("/trace-format/cut-off-header", test_cut_off_header);
    g_test_add_func("/trace-format/foreign-and-newer", test_foreign_and_newer);
    g_test_add_func("/trace-format/headers-of-no-server", test_headers_of_no_server);
    g_test_add_func("/trace-format/too-many-regions", test_too_many_regions);
    return g_test_run();
}
