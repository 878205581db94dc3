/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tool/dump-file.h"

#include "base/error.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *dir;
    char *path;
} Files;

static void set_up(Files *files, gconstpointer data)
{
    files->dir = g_dir_make_tmp("cvd-dump-XXXXXX", NULL);
    g_assert_nonnull(files->dir);
    files->path = g_build_filename(files->dir, "dump", NULL);
}

static void tear_down(Files *files, gconstpointer data)
{
    g_assert_true(g_unlink(files->path) == 0 || errno == ENOENT);
    /* Succeeds only when nothing else is left there. */
    g_assert_cmpint(g_rmdir(files->dir), ==, 0);
    g_free(files->path);
    g_free(files->dir);
}

static const CvdDumpHeader header = {
    .name = "sensors",
    .version = 3,
    .min_compatible_version = 0x102,
    .region_size = 4096,
    .data_offset = 0x28,
    .data_size = 5,
};

static void write_dump(const char *path, const char *data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdDump) writer = cvd_dump_create(path, &header, &error);
    g_assert_no_error(error);
    g_assert_true(cvd_dump_add(writer, data, 2, &error));
    g_assert_true(cvd_dump_add(writer, data + 2, 3, &error));
    g_assert_true(cvd_dump_commit(writer, &error));
}

/* Returns: whether all of it can be read; @found gets the data */
static gboolean read_dump(const char *path, GString *found, GError **error)
{
    g_autoptr(CvdDump) reader = cvd_dump_open(path, error);
    char buffer[2];
    gssize n;
    if (!reader)
        return FALSE;
    while ((n = cvd_dump_next(reader, buffer, sizeof buffer, error)) > 0)
        g_string_append_len(found, buffer, n);
    return n == 0;
}

static void test_there_and_back(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) found = g_string_new(NULL);
    write_dump(files->path, "ab\0de");
    g_assert_true(read_dump(files->path, found, &error));
    g_assert_no_error(error);
    g_assert_cmpmem(found->str, found->len, "ab\0de", 5);

    g_autoptr(CvdDump) reader = cvd_dump_open(files->path, &error);
    const CvdDumpHeader *got = cvd_dump_get_header(reader);
    g_assert_cmpstr(got->name, ==, header.name);
    g_assert_cmpuint(got->version, ==, header.version);
    g_assert_cmpuint(got->min_compatible_version, ==, header.min_compatible_version);
    g_assert_cmpuint(got->region_size, ==, header.region_size);
    g_assert_cmpuint(got->data_offset, ==, header.data_offset);
    g_assert_cmpuint(got->data_size, ==, header.data_size);
}

/* The second pass reads and checks the same. */
static void test_rewind(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    char buffer[8];
    write_dump(files->path, "12345");
    g_autoptr(CvdDump) reader = cvd_dump_open(files->path, &error);
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpint(cvd_dump_next(reader, buffer, sizeof buffer, &error), ==, 5);
        g_assert_cmpmem(buffer, 5, "12345", 5);
        g_assert_cmpint(cvd_dump_next(reader, buffer, sizeof buffer, &error), ==, 0);
        g_assert_true(cvd_dump_rewind(reader, &error));
    }
}

/* Byte by byte as the header documents it. */
static void test_format(Files *files, gconstpointer data)
{
    static const guint8 expected[] = "cvd-dump"
                                     "\1\0\0\0"
                                     "\3\0\2\1"
                                     "\0\x10\0\0"
                                     "\x28\0\0\0"
                                     "\5\0\0\0"
                                     "\0\0\0\0"
                                     "sensors\0\0\0\0\0\0\0\0\0"
                                     "12345";
    g_autofree char *text = NULL;
    gsize size;
    write_dump(files->path, "12345");
    g_assert_true(g_file_get_contents(files->path, &text, &size, NULL));
    g_assert_cmpuint(size, ==, 48 + 5 + 32);
    g_assert_cmpmem(text, 53, expected, 53);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    guint8 digest[32];
    gsize digest_size = sizeof digest;
    g_checksum_update(sum, expected, 53);
    g_checksum_get_digest(sum, digest, &digest_size);
    g_assert_cmpmem(text + 53, 32, digest, 32);
}

static void assert_refused(const char *path, const char *text, gsize size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) found = g_string_new(NULL);
    g_assert_true(g_file_set_contents(path, text, (gssize)size, NULL));
    g_assert_false(read_dump(path, found, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
    g_assert_nonnull(strstr(error->message, path));
}

static void test_every_byte_altered(Files *files, gconstpointer data)
{
    g_autofree char *text = NULL;
    gsize size;
    write_dump(files->path, "12345");
    g_assert_true(g_file_get_contents(files->path, &text, &size, NULL));
    for (gsize i = 0; i < size; i++) {
        for (guint bit = 0; bit < 8; bit++) {
            text[i] ^= (char)(1 << bit);
            assert_refused(files->path, text, size);
            text[i] ^= (char)(1 << bit);
        }
    }
}

static void test_every_length(Files *files, gconstpointer data)
{
    g_autofree char *text = NULL;
    gsize size;
    write_dump(files->path, "12345");
    g_assert_true(g_file_get_contents(files->path, &text, &size, NULL));
    for (gsize i = 0; i < size; i++)
        assert_refused(files->path, text, i);
    g_autofree char *longer = g_malloc0(size + 1);
    memcpy(longer, text, size);
    assert_refused(files->path, longer, size + 1);
}

/* What was there before stays until the new dump is complete. */
static void test_given_up(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    g_assert_true(g_file_set_contents(files->path, "old", 3, NULL));
    g_autoptr(CvdDump) writer = cvd_dump_create(files->path, &header, &error);
    g_assert_true(cvd_dump_add(writer, "12345", 5, &error));
    g_clear_pointer(&writer, cvd_dump_free);
    g_assert_true(g_file_get_contents(files->path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "old");
}

static void test_replaces(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) found = g_string_new(NULL);
    struct stat info;
    g_assert_true(g_file_set_contents(files->path, "old", 3, NULL));
    write_dump(files->path, "12345");
    g_assert_true(read_dump(files->path, found, &error));
    g_assert_cmpint(stat(files->path, &info), ==, 0);
    g_assert_cmpuint(info.st_mode & 07777, ==, 0600);
}

static void test_not_a_file(Files *files, gconstpointer data)
{
    g_autofree char *target = g_build_filename(files->dir, "target", NULL);
    const char *places[] = {files->dir, "/dev/null", files->path};
    g_assert_cmpint(symlink(target, files->path), ==, 0);
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(cvd_dump_create(places[i], &header, &error));
        g_assert_error(error, CVD_ERROR, CVD_ERROR_FOREIGN);
    }
    g_autoptr(GError) error = NULL;
    g_assert_null(cvd_dump_open(files->dir, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
}

static void test_no_such_place(Files *files, gconstpointer data)
{
    g_autofree char *path = g_build_filename(files->dir, "none", "dump", NULL);
    g_autoptr(GError) write_error = NULL;
    g_autoptr(GError) read_error = NULL;
    g_assert_null(cvd_dump_create(path, &header, &write_error));
    g_assert_error(write_error, CVD_ERROR, CVD_ERROR_FAILED);
    g_assert_null(cvd_dump_open(path, &read_error));
    g_assert_error(read_error, CVD_ERROR, CVD_ERROR_FAILED);
}

/* It can be opened, and is even a regular file. */
static void test_unreadable(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(cvd_dump_open("/proc/self/mem", &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
}

static void add(const char *path, void (*test)(Files *, gconstpointer))
{
    g_test_add(path, Files, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/tool-dump-file/there-and-back", test_there_and_back);
    add("/tool-dump-file/rewind", test_rewind);
    add("/tool-dump-file/unreadable", test_unreadable);
    add("/tool-dump-file/format", test_format);
    add("/tool-dump-file/every-byte-altered", test_every_byte_altered);
    add("/tool-dump-file/every-length", test_every_length);
    add("/tool-dump-file/given-up", test_given_up);
    add("/tool-dump-file/replaces", test_replaces);
    add("/tool-dump-file/not-a-file", test_not_a_file);
    add("/tool-dump-file/no-such-place", test_no_such_place);
    return g_test_run();
}
