/* SPDX-License-Identifier: Apache-2.0 */
#include "base/snapshot-writer.h"

#include "base/error.h"
#include "base/fd.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *place;
    char *path; /* of the snapshot "one" */
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    f->place = g_dir_make_tmp("cvd-test-XXXXXX", &error);
    g_assert_no_error(error);
    g_setenv("CVD_SNAPSHOT_DIR", f->place, TRUE);
    f->path = cvd_snapshot_get_path("one", &error);
    g_assert_no_error(error);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    const char *const argv[] = {"rm", "-rf", f->place, NULL};

    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
    g_free(f->place);
    g_free(f->path);
}

static CvdSnapshotInfo *make_info(void)
{
    CvdSnapshotInfo *info = cvd_snapshot_info_new();

    info->name = g_strdup("one");
    info->time_s = 1735689599;
    info->product_version = g_strdup("0.2.0");
    info->instance = g_strdup("cvd-1");
    info->qemu_version = g_strdup("7.2.22");
    info->machine = g_strdup("pc-q35-7.2");
    info->accel = g_strdup("tcg");
    info->memory_bytes = 64 << 20;
    info->layout_digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, "layout", -1);
    return info;
}

static void write_file(CvdSnapshotWriter *writer, const char *name, const char *text)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = cvd_snapshot_writer_create(writer, name, &error);

    g_assert_no_error(error);
    g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
}

/* Memory with a little at its beginning, middle and end. */
static int make_memory(gsize size)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);

    g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
    g_assert_cmpint(pwrite(fd, "begin", 5, 0), ==, 5);
    g_assert_cmpint(pwrite(fd, "middle", 6, (off_t)(size / 2 - 3)), ==, 6);
    g_assert_cmpint(pwrite(fd, "end", 3, (off_t)(size - 3)), ==, 3);
    return fd;
}

static void make_snapshot(const Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshotInfo) info = make_info();
    g_autoptr(CvdSnapshotWriter) writer = cvd_snapshot_writer_new(f->path, &error);
    cvd_autofd ram = make_memory(info->memory_bytes);
    cvd_autofd window = make_memory(1 << 20);

    g_assert_no_error(error);
    write_file(writer, CVD_SNAPSHOT_CONFIG, "{}");
    write_file(writer, CVD_SNAPSHOT_STATE, "state of QEMU");
    cvd_snapshot_writer_copy(writer, CVD_SNAPSHOT_RAM, ram, NULL, &error);
    g_assert_no_error(error);
    cvd_snapshot_writer_copy(writer, CVD_SNAPSHOT_WINDOW, window, NULL, &error);
    g_assert_no_error(error);
    cvd_snapshot_writer_finish(writer, info, NULL, &error);
    g_assert_no_error(error);
}

static void assert_same(int one, int other)
{
    struct stat st, other_st;

    g_assert_cmpint(fstat(one, &st), ==, 0);
    g_assert_cmpint(fstat(other, &other_st), ==, 0);
    g_assert_cmpint(st.st_size, ==, other_st.st_size);
    g_autofree char *bytes = g_malloc((gsize)st.st_size), *others = g_malloc((gsize)st.st_size);
    g_assert_cmpint(pread(one, bytes, (gsize)st.st_size, 0), ==, st.st_size);
    g_assert_cmpint(pread(other, others, (gsize)st.st_size, 0), ==, st.st_size);
    g_assert_cmpint(memcmp(bytes, others, (gsize)st.st_size), ==, 0);
}

static void test_round_trip(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    make_snapshot(f);
    g_autoptr(CvdSnapshot) snapshot = cvd_snapshot_open(f->path, &error);
    g_assert_no_error(error);
    const CvdSnapshotInfo *info = cvd_snapshot_get_info(snapshot);
    g_assert_cmpstr(info->name, ==, "one");
    g_assert_cmpint(info->time_s, ==, 1735689599);
    g_assert_cmpuint(info->memory_bytes, ==, 64 << 20);
    g_assert_true(info->has_ram);
    g_assert_false(info->is_compressed);
    cvd_snapshot_verify(snapshot, TRUE, NULL, NULL, NULL, &error);
    g_assert_no_error(error);

    cvd_autofd ram = make_memory(info->memory_bytes);
    cvd_autofd copy = memfd_create("copy", MFD_CLOEXEC);
    cvd_snapshot_copy_out(snapshot, CVD_SNAPSHOT_RAM, copy, NULL, &error);
    g_assert_no_error(error);
    assert_same(ram, copy);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/snapshot/round-trip", Fixture, NULL, set_up, test_round_trip, tear_down);
    return g_test_run();
}
