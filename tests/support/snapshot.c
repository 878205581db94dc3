/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/snapshot.h"

#include "base/fd.h"
#include "base/snapshot-writer.h"
#include "base/snapshot.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

CvdSnapshotInfo *test_snapshot_make_info(const char *name)
{
    CvdSnapshotInfo *info = cvd_snapshot_info_new();
    const CvdSnapshotDoorbell doorbell = {.region = 2, .to_guest = TRUE};

    info->name = g_strdup(name);
    info->time_s = 1735689599; /* 2024-12-31T23:59:59Z */
    info->product_version = g_strdup("0.2.0");
    info->instance = g_strdup("cvd-1");
    info->qemu_version = g_strdup("7.2.22");
    info->machine = g_strdup("pc-q35-7.2");
    info->accel = g_strdup("tcg");
    info->memory_bytes = TEST_SNAPSHOT_RAM;
    info->layout_digest = g_strnfill(64, '1');
    info->config_directory = g_strdup("/etc/cvd");
    g_array_append_val(info->doorbells, doorbell);
    g_ptr_array_add(info->disks, g_strdup("system"));
    return info;
}

int test_snapshot_make_memory(gsize size)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);

    g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
    g_assert_cmpint(pwrite(fd, "begin", 5, 0), ==, 5);
    g_assert_cmpint(pwrite(fd, "middle", 6, (off_t)(size / 2 - 3)), ==, 6);
    g_assert_cmpint(pwrite(fd, "end", 3, (off_t)(size - 3)), ==, 3);
    return fd;
}

static void write_file(CvdSnapshotWriter *writer, const char *name, const char *text)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = cvd_snapshot_writer_create(writer, name, &error);

    g_assert_no_error(error);
    g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
}

static void copy_memory(CvdSnapshotWriter *writer, const char *name, gsize size)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = test_snapshot_make_memory(size);

    cvd_snapshot_writer_copy(writer, name, fd, NULL, &error);
    g_assert_no_error(error);
}

void test_snapshot_make(const char *path, gboolean is_compressed)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_path_get_basename(path);
    g_autoptr(CvdSnapshotInfo) info = test_snapshot_make_info(name);
    g_autoptr(CvdSnapshotWriter) writer = cvd_snapshot_writer_new(path, &error);

    g_assert_no_error(error);
    write_file(writer, CVD_SNAPSHOT_CONFIG, "{}");
    write_file(writer, CVD_SNAPSHOT_STATE, "state of QEMU");
    write_file(writer, "disk-0.qcow2", "content of a disk");
    copy_memory(writer, CVD_SNAPSHOT_WINDOW, 1024 * 1024);
    copy_memory(writer, CVD_SNAPSHOT_RAM, TEST_SNAPSHOT_RAM);
    if (is_compressed)
        cvd_snapshot_writer_compress(writer, NULL, &error);
    g_assert_no_error(error);
    cvd_snapshot_writer_finish(writer, info, NULL, &error);
    g_assert_no_error(error);
}

char *test_snapshot_read(const char *path)
{
    g_autofree char *file = g_build_filename(path, CVD_SNAPSHOT_METADATA, NULL);
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    g_file_get_contents(file, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

void test_snapshot_write(const char *path, const char *text)
{
    const char *const digest_member = "\"sha256\" : \"";
    g_autofree char *file = g_build_filename(path, CVD_SNAPSHOT_METADATA, NULL);
    const char *digest = g_strrstr(text, digest_member);
    g_autoptr(GError) error = NULL;

    g_assert_nonnull(digest);
    digest += strlen(digest_member);
    g_autofree char *begin = g_strndup(text, (gsize)(digest - text));
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, begin, -1);
    g_autofree char *whole = g_strconcat(begin, sum, digest + 64, NULL);
    g_file_set_contents_full(file, whole, -1, G_FILE_SET_CONTENTS_NONE, 0600, &error);
    g_assert_no_error(error);
}

void test_snapshot_record_other_digest(const char *path, const char *file)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshot) snapshot = cvd_snapshot_open(path, &error);
    g_autofree char *text = test_snapshot_read(path), *other = g_strnfill(64, '0');
    const char *digest = NULL;

    g_assert_no_error(error);
    GPtrArray *files = cvd_snapshot_get_files(snapshot);
    for (guint i = 0; i < files->len; i++)
        if (strcmp(((CvdSnapshotFile *)g_ptr_array_index(files, i))->name, file) == 0)
            digest = ((CvdSnapshotFile *)g_ptr_array_index(files, i))->digest;
    g_assert_nonnull(digest);
    g_autofree char *changed = test_snapshot_replace(text, digest, other);
    test_snapshot_write(path, changed);
}

char *test_snapshot_replace(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);

    if (at == NULL || strstr(at + 1, from) != NULL)
        g_error("%s is not there once", from);
    g_autofree char *begin = g_strndup(text, (gsize)(at - text));
    return g_strconcat(begin, to, at + strlen(from), NULL);
}
