/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are right, cut off, altered, and written while they are read. */
#include "client/tool/trace-reader.h"

#include "base/error.h"
#include "base/fd.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CAPACITY    8
#define HEADER_SIZE 64

typedef struct {
    char *dir;
    char *path;
} Fixture;

static Fixture *fixture_new(void)
{
    Fixture *f = g_new0(Fixture, 1);

    f->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "trace", NULL);
    return f;
}

static void fixture_free(Fixture *f)
{
    g_unlink(f->path);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->path);
    g_free(f->dir);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static void put_record(GByteArray *bytes, guint64 sequence)
{
    const CvdTraceRecord record = {.sequence = sequence, .time_ns = 10 * sequence, .count = 1};
    gsize at = HEADER_SIZE + sequence % CAPACITY * CVD_TRACE_RECORD_SIZE;

    if (bytes->len < at + CVD_TRACE_RECORD_SIZE)
        g_byte_array_set_size(bytes, (guint)at + CVD_TRACE_RECORD_SIZE);
    cvd_trace_pack_record(&record, bytes->data + at);
}

/* As a server writes it: @n records, one after the other. */
static GByteArray *make_trace(guint64 n)
{
    GByteArray *bytes = g_byte_array_new();
    char names[1][CVD_TRACE_NAME_SIZE] = {"region"};
    const CvdTraceHeader header = {.capacity = CAPACITY, .n_regions = 1, .names = names};

    g_assert_cmpuint(cvd_trace_get_header_size(1), ==, HEADER_SIZE);
    g_byte_array_set_size(bytes, HEADER_SIZE);
    cvd_trace_pack_header(&header, bytes->data);
    for (guint64 i = 0; i < n; i++)
        put_record(bytes, i);
    return bytes;
}

static void save(Fixture *f, const GByteArray *bytes)
{
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, bytes->data, bytes->len), ==, bytes->len);
    close(fd);
}

/* Returns: how many records there are, in their order; −1 if it is refused, with CVD_ERROR_INVALID
 * and the file's name */
static int read_trace(Fixture *f, guint64 *first, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(CvdTraceReader) reader = cvd_trace_reader_open(f->path, &reason);
    CvdTraceRecord record = {0};
    CvdTraceResult result = CVD_TRACE_ERROR;
    guint64 next = 0;
    int n = 0;

    while (reader != NULL &&
           (result = cvd_trace_reader_next(reader, &record, &reason)) == CVD_TRACE_RECORD) {
        *first = n == 0 ? record.sequence : *first;
        next = n == 0 ? record.sequence : next;
        g_assert_cmpuint(record.sequence, ==, next++);
        g_assert_cmpuint(record.time_ns, ==, 10 * record.sequence);
        n++;
    }
    if (result == CVD_TRACE_END)
        return n;
    g_assert_error(reason, CVD_ERROR, CVD_ERROR_INVALID);
    g_assert_nonnull(strstr(reason->message, f->path));
    g_propagate_error(error, g_steal_pointer(&reason));
    return -1;
}

static void assert_refused(Fixture *f, const char *part)
{
    g_autoptr(GError) error = NULL;
    guint64 first;

    g_assert_cmpint(read_trace(f, &first, &error), ==, -1);
    if (strstr(error->message, part) == NULL)
        g_error("'%s' does not have '%s'", error->message, part);
}

static void test_any_number(void)
{
    for (guint n = 0; n <= 4 * CAPACITY; n++) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(GByteArray) bytes = make_trace(n);
        guint64 first = 0;
        save(f, bytes);
        g_assert_cmpint(read_trace(f, &first, NULL), ==, MIN(n, CAPACITY));
        g_assert_cmpuint(first, ==, n - MIN(n, CAPACITY));
    }
}

/* What is left of a record at the end a full disk may have left. */
static void test_cut_off(void)
{
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(GByteArray) bytes = make_trace(5);

    for (guint size = bytes->len; size > 0; size--) {
        guint64 first;
        g_byte_array_set_size(bytes, size - 1);
        save(f, bytes);
        if (bytes->len < HEADER_SIZE)
            assert_refused(f, bytes->len < 8 ? "not a trace" : "cut off");
        else
            g_assert_cmpint(read_trace(f, &first, NULL), ==,
                            (int)(bytes->len - HEADER_SIZE) / CVD_TRACE_RECORD_SIZE);
    }
}

/* Once it has been round, records are missing. */
static void test_cut_off_after_a_round(void)
{
    for (guint n = CAPACITY + 1; n <= 2 * CAPACITY + 1; n++) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(GByteArray) bytes = make_trace(n);
        for (guint size = bytes->len; size > HEADER_SIZE + CVD_TRACE_RECORD_SIZE; size--) {
            g_byte_array_set_size(bytes, size - 1);
            save(f, bytes);
            assert_refused(f, "it was cut off");
        }
    }
}

static void test_any_bit(void)
{
    static const guint numbers[] = {1, 5, CAPACITY, CAPACITY + 3};

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(GByteArray) bytes = make_trace(numbers[i]);
        for (guint bit = 0; bit < 8 * bytes->len; bit++) {
            bytes->data[bit / 8] ^= (guint8)(1 << bit % 8);
            save(f, bytes);
            assert_refused(f, "");
            bytes->data[bit / 8] ^= (guint8)(1 << bit % 8);
        }
    }
}

/* Each record by itself is right. */
static void test_out_of_order(void)
{
    static const struct {
        guint n; /* so many, and then */
        guint64 sequence;
        guint at; /* this one there */
        const char *error;
    } rows[] = {
        {5, 3, 2, "in no order"},
        {5, 0, 4, "in no order"},
        {5, CAPACITY + 2, 2, "in no order"}, /* overwritten, though nobody writes */
        {5, 1, 0, "in no order"},
        {5, CAPACITY, 0, "cut off"},
        {CAPACITY + 3, 3 * CAPACITY + 5, 5, "in no order"},
        {CAPACITY + 3, 4, 0, "in no order"},
        {CAPACITY, G_MAXUINT64, CAPACITY - 1, "in no order"},
        {CAPACITY, G_MAXUINT64 - CAPACITY + 1, 0, "in no order"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Fixture) f = fixture_new();
        g_autoptr(GByteArray) bytes = make_trace(rows[i].n);
        const CvdTraceRecord record = {.sequence = rows[i].sequence,
                                       .time_ns = 10 * rows[i].sequence};
        cvd_trace_pack_record(&record,
                              bytes->data + HEADER_SIZE + rows[i].at * CVD_TRACE_RECORD_SIZE);
        save(f, bytes);
        assert_refused(f, rows[i].error);
    }
}

static void test_longer_than_it_can_be(void)
{
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(GByteArray) bytes = make_trace(CAPACITY);

    g_byte_array_append(bytes, (const guint8 *)"x", 1);
    save(f, bytes);
    assert_refused(f, "longer than its header allows");
}

static void test_no_file(void)
{
    static const char *const paths[] = {"/nonexistent/trace", "/dev/null", "/"};
    g_autoptr(Fixture) f = fixture_new();

    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(cvd_trace_reader_open(paths[i], &error));
        g_assert_nonnull(strstr(error->message, paths[i]));
    }
    g_assert_cmpint(mkfifo(f->path, 0600), ==, 0); /* and nobody will ever write there */
    assert_refused(f, "not a regular file");
}

/* ---- While it is written ---- */

static int lock(Fixture *f)
{
    int fd = open(f->path, O_RDWR | O_CLOEXEC);

    g_assert_cmpint(flock(fd, LOCK_EX | LOCK_NB), ==, 0);
    return fd;
}

static void overwrite(int fd, guint64 sequence)
{
    const CvdTraceRecord record = {.sequence = sequence, .time_ns = 10 * sequence};
    guint8 bytes[CVD_TRACE_RECORD_SIZE];

    cvd_trace_pack_record(&record, bytes);
    g_assert_cmpint(pwrite(fd, bytes, sizeof bytes,
                           HEADER_SIZE + (off_t)(sequence % CAPACITY) * CVD_TRACE_RECORD_SIZE),
                    ==, sizeof bytes);
}

/* @n_before records, then @n_more after it was opened: those of the first that are still there. */
static void read_while_written(guint n_before, guint n_more)
{
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(GByteArray) bytes = make_trace(n_before);
    g_autoptr(GError) error = NULL;
    CvdTraceRecord record;
    guint64 n = 0;

    save(f, bytes);
    cvd_autofd fd = lock(f);
    g_autoptr(CvdTraceReader) reader = cvd_trace_reader_open(f->path, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < n_more; i++)
        overwrite(fd, n_before + i);
    for (; cvd_trace_reader_next(reader, &record, &error) == CVD_TRACE_RECORD; n++)
        g_assert_cmpuint(record.sequence, ==, cvd_trace_reader_get_n_overwritten(reader) + n);
    g_assert_no_error(error);
    g_assert_cmpuint(cvd_trace_reader_get_n_overwritten(reader) + n, >=, n_before);
    guint n_gone = MAX(n_before + n_more, CAPACITY) - CAPACITY;
    g_assert_cmpuint(n, ==, n_before - MIN(n_before, n_gone));
}

static void test_while_written(void)
{
    for (guint n_before = 1; n_before <= 2 * CAPACITY + 1; n_before++)
        for (guint n_more = 0; n_more <= 2 * CAPACITY + 1; n_more++)
            read_while_written(n_before, n_more);
}

/* The same is an error where nobody writes. */
static void test_altered_meanwhile(void)
{
    g_autoptr(Fixture) f = fixture_new();
    g_autoptr(GByteArray) bytes = make_trace(CAPACITY);
    g_autoptr(GError) error = NULL;
    CvdTraceRecord record;

    save(f, bytes);
    g_autoptr(CvdTraceReader) reader = cvd_trace_reader_open(f->path, NULL);
    cvd_autofd fd = lock(f); /* which the reader has not kept */
    overwrite(fd, CAPACITY);
    g_assert_cmpint(cvd_trace_reader_next(reader, &record, &error), ==, CVD_TRACE_ERROR);
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace-reader/any-number", test_any_number);
    g_test_add_func("/trace-reader/cut-off", test_cut_off);
    g_test_add_func("/trace-reader/cut-off-after-a-round", test_cut_off_after_a_round);
    g_test_add_func("/trace-reader/any-bit", test_any_bit);
    g_test_add_func("/trace-reader/out-of-order", test_out_of_order);
    g_test_add_func("/trace-reader/longer-than-it-can-be", test_longer_than_it_can_be);
    g_test_add_func("/trace-reader/no-file", test_no_file);
    g_test_add_func("/trace-reader/while-written", test_while_written);
    g_test_add_func("/trace-reader/altered-meanwhile", test_altered_meanwhile);
    return g_test_run();
}
