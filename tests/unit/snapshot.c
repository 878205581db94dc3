/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot as it was written, and one that is not. */
#include "base/snapshot-writer.h"

#include "base/error.h"
#include "base/fd.h"
#include "tests/support/rows.h"
#include "tests/support/snapshot.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *place;
    char *path; /* of the snapshot "one", which is there */
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    f->place = g_dir_make_tmp("cvd-test-XXXXXX", &error);
    g_assert_no_error(error);
    g_setenv("CVD_SNAPSHOT_DIR", f->place, TRUE);
    f->path = cvd_snapshot_get_path("one", &error);
    g_assert_no_error(error);
    test_snapshot_make(f->path, FALSE);
}

static void run(const char *command, const char *argument, const char *other)
{
    const char *const argv[] = {command, "-rf", argument, other, NULL};
    int status;

    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    run("rm", f->place, NULL);
    g_free(f->place);
    g_free(f->path);
}

static char *get_file(const Fixture *f, const char *name)
{
    return g_build_filename(f->path, name, NULL);
}

static CvdSnapshot *open_it(const Fixture *f)
{
    g_autoptr(GError) error = NULL;
    CvdSnapshot *snapshot = cvd_snapshot_open(f->path, &error);

    g_assert_no_error(error);
    return snapshot;
}

static void assert_says(GError **error, int code, const char *text)
{
    g_assert_error(*error, CVD_ERROR, code);
    if (strstr((*error)->message, text) == NULL)
        g_error("'%s' is not in '%s'", text, (*error)->message);
    g_clear_error(error);
}

static void assert_not_opened(const Fixture *f, int code, const char *text)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(cvd_snapshot_open(f->path, &error));
    assert_says(&error, code, text);
    g_assert_null(cvd_snapshot_look(f->path, &error));
    assert_says(&error, code, text);
}

/* ---- As it was written ---- */

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

static void assert_copied_out(const CvdSnapshot *snapshot, const char *file, gsize size)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd expected = test_snapshot_make_memory(size);
    cvd_autofd copy = memfd_create("copy", MFD_CLOEXEC);

    cvd_snapshot_copy_out(snapshot, file, copy, NULL, &error);
    g_assert_no_error(error);
    assert_same(expected, copy);
}

static void assert_is_verified(CvdSnapshot *snapshot, gboolean all)
{
    g_autoptr(GError) error = NULL;

    cvd_snapshot_verify(snapshot, all, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
}

static void test_round_trip(Fixture *f, gconstpointer data)
{
    g_autoptr(CvdSnapshot) snapshot = open_it(f);
    const CvdSnapshotInfo *info = cvd_snapshot_get_info(snapshot);
    g_autoptr(CvdSnapshotInfo) expected = test_snapshot_make_info("one");
    const CvdSnapshotDoorbell *doorbell = &g_array_index(info->doorbells, CvdSnapshotDoorbell, 0);

    g_assert_cmpstr(info->name, ==, expected->name);
    g_assert_cmpint(info->time_s, ==, expected->time_s);
    g_assert_cmpstr(info->product_version, ==, expected->product_version);
    g_assert_cmpstr(info->instance, ==, expected->instance);
    g_assert_cmpstr(info->qemu_version, ==, expected->qemu_version);
    g_assert_cmpstr(info->machine, ==, expected->machine);
    g_assert_cmpstr(info->accel, ==, expected->accel);
    g_assert_cmpuint(info->memory_bytes, ==, expected->memory_bytes);
    g_assert_cmpstr(info->layout_digest, ==, expected->layout_digest);
    g_assert_cmpstr(info->config_directory, ==, expected->config_directory);
    g_assert_null(info->qemu_directory);
    g_assert_true(info->has_ram && !info->is_compressed);
    g_assert_cmpuint(info->doorbells->len, ==, 1);
    g_assert_true(doorbell->region == 2 && doorbell->to_guest);
    g_assert_cmpuint(info->disks->len, ==, 1);
    g_assert_cmpstr(g_ptr_array_index(info->disks, 0), ==, "system");

    assert_is_verified(snapshot, TRUE);
    assert_copied_out(snapshot, CVD_SNAPSHOT_RAM, TEST_SNAPSHOT_RAM);
    assert_copied_out(snapshot, CVD_SNAPSHOT_WINDOW, 1024 * 1024);
    g_assert_cmpuint(cvd_snapshot_get_size(snapshot, "disk-0.qcow2"), ==, 17);
    g_assert_cmpuint(cvd_snapshot_get_size(snapshot, "disk-1.qcow2"), ==, 0);
    g_assert_cmpuint(cvd_snapshot_get_space(snapshot), <, 1024 * 1024); /* of 33 MiB */
}

static void test_compressed(Fixture *f, gconstpointer data)
{
    g_autofree char *path = g_build_filename(f->place, "two", NULL);
    g_autoptr(GError) error = NULL;

    test_snapshot_make(path, TRUE);
    g_autoptr(CvdSnapshot) snapshot = cvd_snapshot_open(path, &error);
    g_assert_no_error(error);
    const CvdSnapshotInfo *info = cvd_snapshot_get_info(snapshot);
    g_assert_true(info->has_ram && info->is_compressed);
    g_assert_cmpuint(cvd_snapshot_get_size(snapshot, CVD_SNAPSHOT_RAM), ==, 0);
    assert_is_verified(snapshot, FALSE);
    assert_copied_out(snapshot, CVD_SNAPSHOT_RAM_COMPRESSED, TEST_SNAPSHOT_RAM);
}

/* Nobody else can look at what a guest knew. */
static void test_modes(Fixture *f, gconstpointer data)
{
    static const char *const names[] = {".",      CVD_SNAPSHOT_METADATA, CVD_SNAPSHOT_STATE,
                                        "window", CVD_SNAPSHOT_RAM,      "disk-0.qcow2"};
    struct stat st;

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *file = get_file(f, names[i]);
        g_assert_cmpint(stat(file, &st), ==, 0);
        g_assert_cmpint(st.st_mode & 077, ==, 0);
    }
}

/* ---- Damaged ---- */

static void flip(const char *file, off_t at)
{
    cvd_autofd fd = open(file, O_RDWR | O_CLOEXEC);
    guint8 byte;

    g_assert_cmpint(pread(fd, &byte, 1, at), ==, 1);
    byte ^= 1;
    g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
}

static off_t get_length(const char *file)
{
    struct stat st;

    g_assert_cmpint(stat(file, &st), ==, 0);
    return st.st_size;
}

/* @data: of which file. Large ones are read as they have been touched. */
static void test_flipped(Fixture *f, gconstpointer data)
{
    const char *name = data;
    g_autofree char *file = get_file(f, name);
    g_autofree char *message =
        g_strdup_printf("one: damaged: %s: its SHA-256 is not the one recorded", name);
    off_t length = get_length(file);
    const off_t places[] = {0, 1, length / 2, length - 2, length - 1};

    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(CvdSnapshot) snapshot = open_it(f);
        g_autoptr(GError) error = NULL;
        flip(file, places[i]);
        g_assert_false(cvd_snapshot_verify(snapshot, FALSE, NULL, NULL, NULL, &error));
        assert_says(&error, CVD_ERROR_INVALID, message);
        g_assert_false(cvd_snapshot_verify(snapshot, TRUE, NULL, NULL, NULL, &error));
        assert_says(&error, CVD_ERROR_INVALID, message);
        flip(file, places[i]);
        assert_is_verified(snapshot, FALSE);
    }
}

static void test_metadata_flipped(Fixture *f, gconstpointer data)
{
    g_autofree char *file = get_file(f, CVD_SNAPSHOT_METADATA);
    off_t length = get_length(file);

    for (off_t at = 0; at < length; at++) {
        flip(file, at);
        assert_not_opened(f, CVD_ERROR_INVALID, "damaged: snapshot.json: ");
        flip(file, at);
    }
    g_autoptr(CvdSnapshot) snapshot = open_it(f);
    assert_is_verified(snapshot, TRUE);
}

static void test_metadata_truncated(Fixture *f, gconstpointer data)
{
    g_autofree char *file = get_file(f, CVD_SNAPSHOT_METADATA);

    for (off_t length = get_length(file) - 1;; length /= 2) {
        g_assert_cmpint(truncate(file, length), ==, 0);
        assert_not_opened(f, CVD_ERROR_INVALID,
                          "damaged: snapshot.json: does not end with a digest of itself");
        if (length == 0)
            break;
    }
}

/* Of all that is not snapshot.json. */
static void test_other_length(Fixture *f, gconstpointer data)
{
    const char *name = data;
    g_autofree char *file = get_file(f, name);
    off_t length = get_length(file);
    g_autofree char *truncated =
        g_strdup_printf("damaged: %s: truncated: it has %jd bytes, not %jd", name,
                        (gint64)length - 1, (gint64)length);
    g_autofree char *empty = g_strdup_printf("damaged: %s: truncated: it has 0 bytes", name);
    g_autofree char *longer = g_strdup_printf("damaged: %s: too long: it has %jd bytes, not %jd",
                                              name, (gint64)length + 1, (gint64)length);

    g_assert_cmpint(truncate(file, length - 1), ==, 0);
    assert_not_opened(f, CVD_ERROR_INVALID, truncated);
    g_assert_cmpint(truncate(file, 0), ==, 0);
    assert_not_opened(f, CVD_ERROR_INVALID, empty);
    g_assert_cmpint(truncate(file, length + 1), ==, 0);
    assert_not_opened(f, CVD_ERROR_INVALID, longer);
    g_assert_cmpint(g_unlink(file), ==, 0);
    assert_not_opened(f, CVD_ERROR_INVALID, "is missing");
}

/* ---- Not a snapshot of one's own ---- */

static void test_none(Fixture *f, gconstpointer data)
{
    run("rm", f->path, NULL);
    assert_not_opened(f, CVD_ERROR_CLOSED, "one: there is no such snapshot");
}

static void test_no_directory(Fixture *f, gconstpointer data)
{
    run("rm", f->path, NULL);
    g_assert_true(g_file_set_contents(f->path, "", 0, NULL));
    assert_not_opened(f, CVD_ERROR_FOREIGN, "one: is no directory");
}

static void test_no_metadata(Fixture *f, gconstpointer data)
{
    g_autofree char *file = get_file(f, CVD_SNAPSHOT_METADATA);

    g_assert_cmpint(g_unlink(file), ==, 0);
    assert_not_opened(f, CVD_ERROR_FOREIGN, "one: is no snapshot, as it has no snapshot.json");
}

static void test_others_can_write(Fixture *f, gconstpointer data)
{
    g_autofree char *file = get_file(f, CVD_SNAPSHOT_STATE);

    g_assert_cmpint(g_chmod(f->path, 0770), ==, 0);
    assert_not_opened(f, CVD_ERROR_FOREIGN, "one: others can write there");
    g_assert_cmpint(g_chmod(f->path, 0755), ==, 0);
    g_assert_cmpint(g_chmod(file, 0602), ==, 0);
    assert_not_opened(f, CVD_ERROR_FOREIGN, "one/state: others can write there");
}

static void test_of_another_user(Fixture *f, gconstpointer data)
{
    g_autofree char *file = get_file(f, CVD_SNAPSHOT_RAM);

    if (chown(file, 65534, 65534) < 0) {
        g_test_skip("only root can give files away");
        return;
    }
    assert_not_opened(f, CVD_ERROR_FOREIGN, "one/ram: belongs to uid 65534");
    g_assert_cmpint(chown(f->path, 65534, 65534), ==, 0);
    assert_not_opened(f, CVD_ERROR_FOREIGN, "one: belongs to uid 65534");
}

/* @data: snapshot.json, or another */
static void test_links(Fixture *f, gconstpointer data)
{
    const char *name = data;
    g_autofree char *file = get_file(f, name), *elsewhere = g_strconcat(f->path, "-file", NULL);
    g_autofree char *is_link = g_strdup_printf("one/%s: is a link", name);
    g_autofree char *is_other = g_strdup_printf("one/%s: is no regular file", name);

    g_assert_cmpint(g_rename(file, elsewhere), ==, 0);
    g_assert_cmpint(symlink(elsewhere, file), ==, 0);
    assert_not_opened(f, CVD_ERROR_FOREIGN, is_link);
    g_assert_cmpint(g_unlink(file), ==, 0);
    g_assert_cmpint(mkfifo(file, 0600), ==, 0);
    assert_not_opened(f, CVD_ERROR_FOREIGN, is_other);
    g_assert_cmpint(g_unlink(file), ==, 0);
    g_assert_cmpint(g_mkdir(file, 0700), ==, 0);
    assert_not_opened(f, CVD_ERROR_FOREIGN, is_other);
}

/* A name for the one that is used now, say. */
static void test_link_to_one(Fixture *f, gconstpointer data)
{
    g_autofree char *link = g_build_filename(f->place, "latest", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(symlink("one", link), ==, 0);
    g_autoptr(CvdSnapshot) snapshot = cvd_snapshot_open(link, &error);
    g_assert_no_error(error);
    assert_is_verified(snapshot, TRUE);
}

/* ---- What is read, and what is trusted ---- */

static void test_untouched(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *ram = get_file(f, CVD_SNAPSHOT_RAM);

    test_snapshot_record_other_digest(f->path, CVD_SNAPSHOT_RAM);
    g_autoptr(CvdSnapshot) snapshot = open_it(f);
    assert_is_verified(snapshot, FALSE); /* without reading it */
    g_assert_false(cvd_snapshot_verify(snapshot, TRUE, NULL, NULL, NULL, &error));
    assert_says(&error, CVD_ERROR_INVALID, "damaged: ram: its SHA-256");
    g_assert_cmpint(g_chmod(ram, 0600), ==, 0); /* which touches it */
    g_assert_false(cvd_snapshot_verify(snapshot, FALSE, NULL, NULL, NULL, &error));
    assert_says(&error, CVD_ERROR_INVALID, "damaged: ram: its SHA-256");
}

static void note_total(gpointer data, guint64 done, guint64 total)
{
    guint64 *bytes = data;

    g_assert_cmpuint(done, <=, total);
    g_assert_true(*bytes == 0 || *bytes == total);
    *bytes = total;
}

/* Returns: how many bytes of it are read */
static guint64 measure_verify(CvdSnapshot *snapshot)
{
    g_autoptr(GError) error = NULL;
    guint64 total = 0;

    cvd_snapshot_verify(snapshot, FALSE, note_total, &total, NULL, &error);
    g_assert_no_error(error);
    return total;
}

/* It is read by the first who opens it, and then again once somebody has touched it. */
static void test_copied(Fixture *f, gconstpointer data)
{
    g_autofree char *old = g_strconcat(f->path, "-old", NULL), *ram = get_file(f, CVD_SNAPSHOT_RAM);
    g_autofree char *checked = get_file(f, "checked");
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshot) original = open_it(f);
    guint64 untouched = measure_verify(original);

    g_assert_cmpuint(untouched, <, CVD_SNAPSHOT_TRUSTED_SIZE);
    g_assert_false(g_file_test(checked, G_FILE_TEST_EXISTS));
    g_assert_cmpint(g_rename(f->path, old), ==, 0);
    run("cp", old, f->path);
    g_autoptr(CvdSnapshot) copy = open_it(f);
    g_assert_cmpuint(measure_verify(copy), ==, untouched + TEST_SNAPSHOT_RAM);
    g_assert_true(g_file_test(checked, G_FILE_TEST_EXISTS));
    g_assert_cmpuint(measure_verify(copy), ==, untouched);
    g_assert_cmpint(g_chmod(checked, 0622), ==, 0);
    g_assert_cmpuint(measure_verify(copy), ==, untouched + TEST_SNAPSHOT_RAM);
    g_assert_cmpuint(measure_verify(copy), ==, untouched);
    flip(ram, TEST_SNAPSHOT_RAM / 2);
    g_assert_false(cvd_snapshot_verify(copy, FALSE, NULL, NULL, NULL, &error));
    assert_says(&error, CVD_ERROR_INVALID, "damaged: ram: its SHA-256");
}

/* It is a note to save time, no more. */
static void test_checked_is_garbage(Fixture *f, gconstpointer data)
{
    g_autofree char *checked = get_file(f, "checked"), *ram = get_file(f, CVD_SNAPSHOT_RAM);
    g_autofree char *garbage = g_strnfill(100000, 'x');

    g_assert_true(g_file_set_contents(checked, garbage, -1, NULL));
    g_assert_cmpint(g_chmod(ram, 0600), ==, 0);
    g_autoptr(CvdSnapshot) snapshot = open_it(f);
    assert_is_verified(snapshot, FALSE);
}

static void cancel(gpointer data, guint64 done, guint64 total)
{
    g_cancellable_cancel(data);
}

static void test_verify_cancelled(Fixture *f, gconstpointer data)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshot) snapshot = open_it(f);

    g_assert_false(cvd_snapshot_verify(snapshot, TRUE, cancel, cancellable, cancellable, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* ---- Names ---- */

typedef struct {
    const char *name; /* of the test */
    const char *given;
    const char *path; /* %s is the place; NULL: refused */
} Name;

static const Name names[] = {
    {"name", "booted", "%s/booted"},
    {"32-characters", "abcdefghijklmnopqrstuvwxyz012345", "%s/abcdefghijklmnopqrstuvwxyz012345"},
    {"33-characters", "abcdefghijklmnopqrstuvwxyz0123456", NULL},
    {"empty", "", NULL},
    {"hidden", ".booted", NULL},
    {"dots", "..", NULL},
    {"space", "a b", NULL},
    {"path", "/srv/snapshots/a b", "/srv/snapshots/a b"},
    {"path-with-dots", "/srv/snapshots/../a/./b/", "/srv/a/b"},
    {"root", "/", NULL},
    {"path-of-one-being-made", "/srv/.a.cvd-new", NULL},
    {"path-of-one-being-deleted", "/srv/.a.1-0.cvd-old/", NULL},
    {"path-hidden", "/srv/.a.cvd", "/srv/.a.cvd"},
    {"path-that-ends-so", "/srv/a.cvd-new", "/srv/a.cvd-new"},
    {"path-up-to-root", "/a/..", NULL},
};

static void test_name(gconstpointer data)
{
    const Name *row = data;
    g_autoptr(GError) error = NULL;

    g_setenv("CVD_SNAPSHOT_DIR", "/srv/place", TRUE);
    g_autofree char *path = cvd_snapshot_get_path(row->given, &error);
    g_auto(GStrv) parts = row->path != NULL ? g_strsplit(row->path, "%s", -1) : NULL;
    g_autofree char *expected = parts != NULL ? g_strjoinv("/srv/place", parts) : NULL;
    g_assert_cmpstr(path, ==, expected);
    if (expected == NULL)
        g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
}

static void test_place_is_relative(void)
{
    g_autoptr(GError) error = NULL;

    g_setenv("CVD_SNAPSHOT_DIR", "srv", TRUE);
    g_assert_null(cvd_snapshot_get_path("one", &error));
    assert_says(&error, CVD_ERROR_INVALID, "CVD_SNAPSHOT_DIR: srv is not an absolute path");
}

static void add(const char *path, gconstpointer data, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, data, set_up, test, tear_down);
}

static void add_for_files(const char *prefix, void (*test)(Fixture *f, gconstpointer data))
{
    static const char *const files[] = {CVD_SNAPSHOT_CONFIG, CVD_SNAPSHOT_STATE,
                                        CVD_SNAPSHOT_WINDOW, CVD_SNAPSHOT_RAM, "disk-0.qcow2"};

    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_strconcat(prefix, files[i], NULL);
        add(path, files[i], test);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/snapshot/round-trip", NULL, test_round_trip);
    add("/snapshot/compressed", NULL, test_compressed);
    add("/snapshot/modes", NULL, test_modes);
    add_for_files("/snapshot/flipped/", test_flipped);
    add("/snapshot/flipped/snapshot.json", NULL, test_metadata_flipped);
    add_for_files("/snapshot/truncated/", test_other_length);
    add("/snapshot/truncated/snapshot.json", NULL, test_metadata_truncated);
    add("/snapshot/none", NULL, test_none);
    add("/snapshot/no-directory", NULL, test_no_directory);
    add("/snapshot/no-metadata", NULL, test_no_metadata);
    add("/snapshot/others-can-write", NULL, test_others_can_write);
    add("/snapshot/of-another-user", NULL, test_of_another_user);
    add("/snapshot/links/snapshot.json", CVD_SNAPSHOT_METADATA, test_links);
    add("/snapshot/links/ram", CVD_SNAPSHOT_RAM, test_links);
    add("/snapshot/links/to-one", NULL, test_link_to_one);
    add("/snapshot/untouched-is-not-read", NULL, test_untouched);
    add("/snapshot/copied-is-read-once", NULL, test_copied);
    add("/snapshot/checked-is-garbage", NULL, test_checked_is_garbage);
    add("/snapshot/verify-cancelled", NULL, test_verify_cancelled);
    test_add_rows(g_test_add_data_func, "/snapshot/name/", names, test_name);
    g_test_add_func("/snapshot/place-is-relative", test_place_is_relative);
    return g_test_run();
}
