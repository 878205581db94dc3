/* SPDX-License-Identifier: Apache-2.0 */
/* A trace as the server writes it and as the tool reads it. */
#include "server/trace-file.h"

#include "base/error.h"
#include "base/fd.h"
#include "client/tool/trace-reader.h"
#include "tests/unit/talk.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The smallest file there is. */
#define HEADER_SIZE 96
#define CAPACITY    ((CVD_TRACE_MIN_SIZE - HEADER_SIZE) / CVD_TRACE_RECORD_SIZE)

typedef struct {
    char *dir;
    char *path;
    CvdTraceFile *file;
} Fixture;

static CvdTraceFile *create(const char *path, GError **error)
{
    g_autoptr(CvdLayout) layout = test_layout_new(2);

    return cvd_trace_file_new(path, CVD_TRACE_MIN_SIZE, layout, error);
}

static Fixture *fixture_new(void)
{
    Fixture *f = g_new0(Fixture, 1);

    test_log_forget();
    f->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "trace", NULL);
    return f;
}

static Fixture *fixture_start(void)
{
    Fixture *f = fixture_new();
    g_autoptr(GError) error = NULL;

    f->file = create(f->path, &error);
    g_assert_no_error(error);
    return f;
}

static void fixture_free(Fixture *f)
{
    g_clear_pointer(&f->file, cvd_trace_file_free);
    g_unlink(f->path);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->path);
    g_free(f->dir);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

/* The time of the n-th is 1000 n. */
static void add(Fixture *f, guint64 first, guint64 n)
{
    for (guint64 i = first; i < first + n; i++)
        cvd_trace_file_add(f->file, (CvdTraceRecord){.time_ns = 1000 * i,
                                                     .count = 1,
                                                     .region = (guint)(i % 2),
                                                     .kind = CVD_TRACE_TO_HOST});
}

/* Returns: how many there are: the records of times 1000 × @first and so on */
static guint64 count(Fixture *f, guint64 first)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdTraceReader) reader = cvd_trace_reader_open(f->path, &error);
    CvdTraceRecord record;
    CvdTraceResult result;
    guint64 n = 0;

    g_assert_no_error(error);
    for (; (result = cvd_trace_reader_next(reader, &record, &error)) == CVD_TRACE_RECORD; n++) {
        g_assert_cmpuint(record.time_ns, ==, 1000 * (first + n));
        g_assert_cmpuint(record.sequence, ==, first + n);
        g_assert_cmpuint(record.region, ==, (first + n) % 2);
    }
    g_assert_no_error(error);
    g_assert_cmpint(result, ==, CVD_TRACE_END);
    g_assert_cmpuint(cvd_trace_reader_get_n_overwritten(reader), ==, first);
    return n;
}

static guint64 get_size(const Fixture *f)
{
    GStatBuf status;

    g_assert_cmpint(g_stat(f->path, &status), ==, 0);
    return (guint64)status.st_size;
}

static void test_empty(void)
{
    g_autoptr(Fixture) f = fixture_start();
    GStatBuf status;

    g_assert_cmpuint(get_size(f), ==, HEADER_SIZE);
    g_assert_cmpint(g_stat(f->path, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 0777, ==, 0600);
    g_autoptr(CvdTraceReader) reader = cvd_trace_reader_open(f->path, NULL);
    const CvdTraceHeader *header = cvd_trace_reader_get_header(reader);
    g_assert_cmpuint(header->capacity, ==, CAPACITY);
    g_assert_cmpuint(header->n_regions, ==, 2);
    g_assert_cmpstr(header->names[1], ==, "region1");
    g_assert_cmpuint(header->start_ns, <=, cvd_trace_now_ns());
    g_assert_cmpuint(count(f, 0), ==, 0);
    g_clear_pointer(&f->file, cvd_trace_file_free);
    g_assert_cmpuint(count(f, 0), ==, 0);
}

/* What is not flushed is not there yet, and the end flushes. */
static void test_written_when_flushed(void)
{
    g_autoptr(Fixture) f = fixture_start();

    add(f, 0, 3);
    g_assert_cmpuint(count(f, 0), ==, 0);
    cvd_trace_file_flush(f->file);
    g_assert_cmpuint(count(f, 0), ==, 3);
    add(f, 3, 1000); /* by itself, too */
    g_assert_cmpuint(count(f, 0), >, 500);
    g_clear_pointer(&f->file, cvd_trace_file_free);
    g_assert_cmpuint(count(f, 0), ==, 1003);
}

/* One below, at, and one above what there is room for, and several times round. */
static void test_oldest_are_overwritten(void)
{
    static const struct {
        guint64 n;
        guint64 oldest;
        guint n_lines;
    } rows[] = {
        {CAPACITY - 1, 0, 0},
        {CAPACITY, 0, 1},
        {CAPACITY + 1, 1, 1},
        {2 * CAPACITY, CAPACITY, 1},
        {3 * CAPACITY + 77, 2 * CAPACITY + 77, 1},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Fixture) f = fixture_start();
        add(f, 0, rows[i].n);
        cvd_trace_file_flush(f->file);
        g_assert_cmpuint(count(f, rows[i].oldest), ==, rows[i].n - rows[i].oldest);
        g_assert_cmpuint(get_size(f), <=, CVD_TRACE_MIN_SIZE);
        g_assert_cmpuint(test_log_count("oldest rings are overwritten"), ==, rows[i].n_lines);
        g_clear_pointer(&f->file, cvd_trace_file_free);
        g_assert_cmpuint(count(f, rows[i].oldest), ==, rows[i].n - rows[i].oldest);
    }
}

static void test_older_trace_is_replaced(void)
{
    g_autoptr(Fixture) f = fixture_start();

    add(f, 0, 100);
    g_clear_pointer(&f->file, cvd_trace_file_free);
    f->file = create(f->path, NULL);
    g_assert_cmpuint(count(f, 0), ==, 0);
    add(f, 0, 1);
    cvd_trace_file_flush(f->file);
    g_assert_cmpuint(count(f, 0), ==, 1);
}

static void assert_refused(const char *path, CvdError code, const char *part)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(create(path, &error));
    g_assert_error(error, CVD_ERROR, (int)code);
    if (strstr(error->message, part) == NULL || strstr(error->message, path) == NULL)
        g_error("'%s' does not have '%s' and '%s'", error->message, part, path);
}

/* A configuration whose name was given by mistake is as it was. */
static void test_others_files_are_left(void)
{
    static const char *const contents[] = {"{}", "x", "cvdtrac", "{\"name\": \"cvdtrace\"}"};
    g_autoptr(Fixture) f = fixture_new();

    for (gsize i = 0; i < G_N_ELEMENTS(contents); i++) {
        g_autofree char *now = NULL;
        g_assert_true(g_file_set_contents(f->path, contents[i], -1, NULL));
        assert_refused(f->path, CVD_ERROR_FOREIGN, "is no trace");
        g_assert_true(g_file_get_contents(f->path, &now, NULL, NULL));
        g_assert_cmpstr(now, ==, contents[i]);
    }
}

static void test_no_regular_file(void)
{
    g_autoptr(Fixture) f = fixture_new();
    g_autofree char *missing = g_build_filename(f->dir, "no", "where", NULL);

    assert_refused("/dev/null", CVD_ERROR_FOREIGN, "not a regular file");
    assert_refused(f->dir, CVD_ERROR_FAILED, "directory");
    assert_refused(missing, CVD_ERROR_FAILED, "No such file");
    g_assert_cmpint(mkfifo(f->path, 0600), ==, 0);
    assert_refused(f->path, CVD_ERROR_FOREIGN, "not a regular file");
}

static void test_one_writer(void)
{
    g_autoptr(Fixture) f = fixture_start();

    add(f, 0, 5);
    assert_refused(f->path, CVD_ERROR_BUSY, "another launch");
    cvd_trace_file_flush(f->file);
    g_assert_cmpuint(count(f, 0), ==, 5);
}

static void set_size_limit(rlim_t size)
{
    struct rlimit limit;

    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    limit.rlim_cur = size;
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}

/* What a full disk does: a write is short, or fails. With @rest bytes beside whole records. */
static void fill_and_go_on(guint rest)
{
    g_autoptr(Fixture) f = fixture_start();
    g_autoptr(GError) error = NULL;
    CvdTraceRecord record;

    set_size_limit(HEADER_SIZE + 10 * CVD_TRACE_RECORD_SIZE + rest);
    add(f, 0, 13); /* three too many */
    cvd_trace_file_flush(f->file);
    add(f, 13, 2);
    cvd_trace_file_flush(f->file);
    g_assert_cmpuint(test_log_count("rings are not recorded"), ==, 1);
    g_assert_cmpuint(count(f, 0), ==, 10);

    set_size_limit(RLIM_INFINITY);
    add(f, 15, 2);
    cvd_trace_file_flush(f->file);
    g_assert_cmpuint(test_log_count("is written again"), ==, 1);
    g_autoptr(CvdTraceReader) reader = cvd_trace_reader_open(f->path, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < 10; i++)
        g_assert_cmpint(cvd_trace_reader_next(reader, &record, NULL), ==, CVD_TRACE_RECORD);
    g_assert_cmpint(cvd_trace_reader_next(reader, &record, NULL), ==, CVD_TRACE_RECORD);
    g_assert_cmpint(record.kind, ==, CVD_TRACE_LOST);
    g_assert_cmpuint(record.count, ==, 5);
    for (guint i = 15; i < 17; i++) {
        g_assert_cmpint(cvd_trace_reader_next(reader, &record, NULL), ==, CVD_TRACE_RECORD);
        g_assert_cmpuint(record.time_ns, ==, 1000 * i);
    }
    g_assert_cmpint(cvd_trace_reader_next(reader, &record, NULL), ==, CVD_TRACE_END);
}

static void test_no_space(void)
{
    fill_and_go_on(0);
    fill_and_go_on(1);
    fill_and_go_on(CVD_TRACE_RECORD_SIZE - 1);
}

static void test_no_space_for_the_header(void)
{
    g_autoptr(Fixture) f = fixture_new();

    set_size_limit(HEADER_SIZE - 1);
    assert_refused(f->path, CVD_ERROR_FAILED, "cannot be written");
    set_size_limit(RLIM_INFINITY);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    signal(SIGXFSZ, SIG_IGN);
    g_test_add_func("/trace-file/empty", test_empty);
    g_test_add_func("/trace-file/written-when-flushed", test_written_when_flushed);
    g_test_add_func("/trace-file/oldest-are-overwritten", test_oldest_are_overwritten);
    g_test_add_func("/trace-file/older-trace-is-replaced", test_older_trace_is_replaced);
    g_test_add_func("/trace-file/others-files-are-left", test_others_files_are_left);
    g_test_add_func("/trace-file/no-regular-file", test_no_regular_file);
    g_test_add_func("/trace-file/one-writer", test_one_writer);
    g_test_add_func("/trace-file/no-space", test_no_space);
    g_test_add_func("/trace-file/no-space-for-the-header", test_no_space_for_the_header);
    return g_test_run();
}
