/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/log-file.h"
#include "tests/support/sandbox.h"
#include "tests/unit/child.h"
#include "tests/unit/log-dir.h"

#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    TestLogDir logs;
    CvdLogFile *log;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    test_log_dir_open(&f->logs);
    f->log = cvd_log_file_new(f->logs.dir, "qemu.log", NULL);
    g_assert_nonnull(f->log);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    cvd_log_file_free(f->log);
    test_log_dir_close(&f->logs);
}

static void assert_content(const Fixture *f, const char *name, const char *bytes, gsize size)
{
    g_autoptr(GBytes) content = test_log_dir_read(&f->logs, name);

    g_assert_nonnull(content);
    g_assert_cmpmem(g_bytes_get_data(content, NULL), g_bytes_get_size(content), bytes, size);
}

static char *make_bytes(gsize size)
{
    char *bytes = g_malloc0(size + 1);

    for (gsize i = 0; i < size; i++)
        bytes[i] = (char)('a' + i / 7 % 26);
    return bytes;
}

static void test_append(Fixture *f, gconstpointer data)
{
    cvd_log_file_append(f->log, "one\ntwo\n", 8);
    cvd_log_file_append(f->log, "", 0);
    cvd_log_file_append(f->log, "three", 5);
    assert_content(f, "qemu.log", "one\ntwo\nthree", 13);
}

/* At the limit all is in one file; with one byte more there are two. */
static void test_rotation(Fixture *f, gconstpointer data)
{
    g_autofree char *bytes = make_bytes(CVD_LOG_FILE_MAX_SIZE + 1);

    cvd_log_file_append(f->log, bytes, CVD_LOG_FILE_MAX_SIZE);
    assert_content(f, "qemu.log", bytes, CVD_LOG_FILE_MAX_SIZE);
    g_assert_null(test_log_dir_read(&f->logs, "qemu.log.1"));

    cvd_log_file_append(f->log, bytes + CVD_LOG_FILE_MAX_SIZE, 1);
    assert_content(f, "qemu.log.1", bytes, CVD_LOG_FILE_MAX_SIZE);
    assert_content(f, "qemu.log", bytes + CVD_LOG_FILE_MAX_SIZE, 1);
}

/* More than both files hold, in one go: the last of it is there. */
static void test_flood(Fixture *f, gconstpointer data)
{
    const gsize size = 3 * CVD_LOG_FILE_MAX_SIZE + 10;
    g_autofree char *bytes = make_bytes(size);

    cvd_log_file_append(f->log, bytes, size);
    assert_content(f, "qemu.log.1", bytes + 2 * CVD_LOG_FILE_MAX_SIZE, CVD_LOG_FILE_MAX_SIZE);
    assert_content(f, "qemu.log", bytes + 3 * CVD_LOG_FILE_MAX_SIZE, 10);
}

static void test_tail(Fixture *f, gconstpointer data)
{
    g_autofree char *bytes = make_bytes(CVD_LOG_FILE_MAX_SIZE + 10);
    const char *end = bytes + CVD_LOG_FILE_MAX_SIZE + 10;
    const gsize sizes[] = {0, 1, 9, 10, 11, 4096, CVD_LOG_FILE_TAIL_SIZE};
    gsize size;

    cvd_log_file_append(f->log, bytes, CVD_LOG_FILE_MAX_SIZE + 10);
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        const char *tail = cvd_log_file_tail(f->log, sizes[i], &size);
        g_assert_cmpmem(tail, size, end - sizes[i], sizes[i]);
    }
    cvd_log_file_tail(f->log, CVD_LOG_FILE_TAIL_SIZE + 1, &size);
    g_assert_cmpuint(size, ==, CVD_LOG_FILE_TAIL_SIZE);
}

static void test_lines(Fixture *f, gconstpointer data)
{
    g_auto(GStrv) nothing = cvd_log_file_tail_lines(f->log, 3);
    g_assert_cmpuint(g_strv_length(nothing), ==, 0);

    cvd_log_file_append(f->log, "1\n2\n3\n4\n", 8);
    g_auto(GStrv) three = cvd_log_file_tail_lines(f->log, 3);
    g_auto(GStrv) nine = cvd_log_file_tail_lines(f->log, 9);
    g_assert_cmpstrv(three, ((const char *const[]){"2", "3", "4", NULL}));
    g_assert_cmpstrv(nine, ((const char *const[]){"1", "2", "3", "4", NULL}));

    cvd_log_file_append(f->log, "a\0b\nwhy\n", 8);
    g_auto(GStrv) with_nul = cvd_log_file_tail_lines(f->log, 2);
    g_assert_cmpstrv(with_nul, ((const char *const[]){"a?b", "why", NULL}));
}

/* Of the VM before there is nothing; of a line that is longer than what is kept, the end. */
static void test_lines_of_a_part(Fixture *f, gconstpointer data)
{
    g_autofree char *bytes = make_bytes(100000);

    cvd_log_file_append(f->log, "before\n", 7);
    cvd_log_file_begin_part(f->log);
    g_auto(GStrv) nothing = cvd_log_file_tail_lines(f->log, 3);
    g_assert_cmpuint(g_strv_length(nothing), ==, 0);
    cvd_log_file_append(f->log, "after\n", 6);
    g_auto(GStrv) after = cvd_log_file_tail_lines(f->log, 3);
    g_assert_cmpstrv(after, ((const char *const[]){"after", NULL}));
    assert_content(f, "qemu.log", "before\nafter\n", 13);

    for (gsize i = 0; i < 100000; i += 1000)
        cvd_log_file_append(f->log, bytes + i, 1000);
    cvd_log_file_append(f->log, "\nlast", 5);
    g_auto(GStrv) last = cvd_log_file_tail_lines(f->log, 2);
    g_assert_cmpuint(g_strv_length(last), ==, 2);
    g_assert_cmpuint(strlen(last[0]), >=, 8192 - 5);
    g_assert_cmpuint(strlen(last[0]), <=, 2 * 8192);
    g_assert_cmpstr(last[0], ==, bytes + 100000 - strlen(last[0]));
    g_assert_cmpstr(last[1], ==, "last");
}

static CvdLogFile *new_deferred(const Fixture *f)
{
    return cvd_log_file_new_deferred(f->logs.dir, "programs/echo.log");
}

static void test_deferred(Fixture *f, gconstpointer data)
{
    g_autoptr(CvdLogFile) log = new_deferred(f);
    g_auto(GStrv) nothing = cvd_log_file_tail_lines(log, 3);

    g_assert_cmpuint(g_strv_length(nothing), ==, 0);
    g_assert_null(test_log_dir_read(&f->logs, "programs/echo.log"));
    cvd_log_file_append(log, "1\n2\n3\n4", 7);
    assert_content(f, "programs/echo.log", "1\n2\n3\n4", 7);
    g_auto(GStrv) three = cvd_log_file_tail_lines(log, 3);
    g_assert_cmpstrv(three, ((const char *const[]){"2", "3", "4", NULL}));

    cvd_log_file_begin_part(log);
    g_auto(GStrv) before = cvd_log_file_tail_lines(log, 3);
    g_assert_cmpuint(g_strv_length(before), ==, 0);
    cvd_log_file_append(log, "after\n", 6);
    g_auto(GStrv) after = cvd_log_file_tail_lines(log, 3);
    g_assert_cmpstrv(after, ((const char *const[]){"after", NULL}));
}

/* The lines are where they were written, before and after the rotation. */
static void test_deferred_rotation(Fixture *f, gconstpointer data)
{
    g_autoptr(CvdLogFile) log = new_deferred(f);
    g_autofree char *bytes = make_bytes(CVD_LOG_FILE_MAX_SIZE);

    memcpy(bytes + CVD_LOG_FILE_MAX_SIZE - 8, "\none\ntwo", 8);
    cvd_log_file_append(log, bytes, CVD_LOG_FILE_MAX_SIZE);
    g_auto(GStrv) at_the_limit = cvd_log_file_tail_lines(log, 2);
    g_assert_cmpstrv(at_the_limit, ((const char *const[]){"one", "two", NULL}));

    cvd_log_file_append(log, "s\nthree\n", 8);
    assert_content(f, "programs/echo.log.1", bytes, CVD_LOG_FILE_MAX_SIZE);
    assert_content(f, "programs/echo.log", "s\nthree\n", 8);
    g_auto(GStrv) over_both = cvd_log_file_tail_lines(log, 3);
    g_assert_cmpstrv(over_both, ((const char *const[]){"one", "twos", "three", NULL}));

    g_auto(GStrv) all = cvd_log_file_tail_lines(log, 4);
    g_assert_cmpuint(strlen(all[0]), ==, CVD_LOG_FILE_LINES_SIZE - 16);
}

static guint n_warnings;

static GLogWriterOutput count_warning(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
                                      gpointer data)
{
    n_warnings += (level & G_LOG_LEVEL_WARNING) != 0;
    return G_LOG_WRITER_HANDLED;
}

/* Runs in a process of its own, which has a file system of 64 KiB for its temporary files. */
static int fill_disk(gconstpointer data)
{
    g_autofree char *bytes = make_bytes(128 * 1024);
    Fixture f;

    if (!test_may_mount())
        return TEST_CHILD_SKIPS;
    test_enter_mount_namespace();
    if (mount("tmpfs", g_get_tmp_dir(), "tmpfs", 0, "size=64k,mode=1777") < 0)
        return 1;
    set_up(&f, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK);
    g_log_set_writer_func(count_warning, NULL, NULL);
    cvd_log_file_append(f.log, bytes, 128 * 1024);
    cvd_log_file_append(f.log, "\nthe last line", 14);
    g_auto(GStrv) lines = cvd_log_file_tail_lines(f.log, 1);

    /* Room comes back. */
    g_autofree char *path =
        g_build_filename(cvd_instance_dir_get_path(f.logs.dir), "qemu.log", NULL);
    if (truncate(path, 0) < 0)
        return 1;
    cvd_log_file_append(f.log, "again", 5);
    g_autofree char *content = NULL;
    gsize size;
    gboolean is_there = g_file_get_contents(path, &content, &size, NULL) && size >= 5 &&
                        memcmp(content + size - 5, "again", 5) == 0;
    tear_down(&f, NULL);
    return is_there && n_warnings == 1 && strcmp(lines[0], "the last line") == 0 ? 0 : 1;
}

static void test_full_disk(void)
{
    test_in_child(fill_disk, NULL, "no mount namespace to be had here");
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/log-file/append", test_append);
    add("/log-file/rotation-at-1-mib-and-one-more", test_rotation);
    add("/log-file/flood", test_flood);
    add("/log-file/tail-over-both-files", test_tail);
    add("/log-file/last-lines", test_lines);
    add("/log-file/last-lines-of-a-part", test_lines_of_a_part);
    add("/log-file/deferred", test_deferred);
    add("/log-file/deferred-last-lines-over-both-files", test_deferred_rotation);
    g_test_add_func("/log-file/full-disk", test_full_disk);
    return g_test_run();
}
