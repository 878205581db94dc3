/* SPDX-License-Identifier: Apache-2.0 */
/* Many machines from one snapshot: they start side by side, share its memory, and do not disturb
 * each other. */
#include "base/fd.h"
#include "base/snapshot-writer.h"
#include "tests/support/clone.h"
#include "tests/support/ctl.h"
#include "tests/support/instance.h"
#include "tests/support/region.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCE    "source"
#define N_CLONES  64
#define N_SHARING 4
#define N_DEATHS  3
#define N_OTHERS  4
#define MIB       (1024 * 1024)
/* What is in RAM, beside the little that the built-in guest needs, and where. */
#define FILLED_AT (8 * MIB)
#define FILLED    (48 * MIB)
#define FULL      "full"

static TestInstance *save(void)
{
    const char *const args[] = {"--set=ivshmem.migratable=true", "--set=qemu.memory=64M", NULL};
    TestInstance *f = test_instance_boot(SOURCE, args);

    test_ping(f->client_socket, "sensors");
    test_save(f->sandbox, SOURCE, TEST_SNAPSHOT, NULL);
    test_launcher_assert_exit(f->launcher, 0);
    return f;
}

static TestClone *start(const TestInstance *f, guint i, const char *from, const char *const *args)
{
    g_autofree char *name = g_strdup_printf("c-%u", i);

    return test_clone_start(f->sandbox, name, from, args);
}

/* All of them at once; each answers, and is stopped while the others go on. */
static void test_all_at_once(gconstpointer data)
{
    g_autoptr(TestInstance) f = save();
    g_autoptr(GPtrArray) clones = g_ptr_array_new_with_free_func((GDestroyNotify)test_clone_free);

    for (guint i = 0; i < N_CLONES; i++)
        g_ptr_array_add(clones, start(f, i, TEST_SNAPSHOT, NULL));
    for (guint i = 0; i < N_CLONES; i++)
        test_clone_wait_running(clones->pdata[i], 1);
    for (guint i = 0; i < N_CLONES; i++) {
        const TestClone *clone = clones->pdata[i];
        test_ping(clone->client_socket, "sensors");
        test_clone_assert_not_booted(clone);
        test_process_signal(clone->launcher, SIGINT);
    }
    for (guint i = 0; i < N_CLONES; i++)
        test_launcher_assert_exit(((const TestClone *)clones->pdata[i])->launcher, 0);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* ---- Memory ---- */

static void copy_file(const CvdSnapshot *from, CvdSnapshotWriter *writer, const char *file)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = cvd_snapshot_open_file(from, file, &error);

    g_assert_no_error(error);
    cvd_snapshot_writer_copy(writer, file, fd, NULL, &error);
    g_assert_no_error(error);
}

static void write_full_ram(CvdSnapshotWriter *writer, const char *original)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *bytes = NULL;
    gsize size;
    cvd_autofd fd = cvd_snapshot_writer_create(writer, CVD_SNAPSHOT_RAM, &error);

    g_assert_no_error(error);
    g_assert_true(g_file_get_contents(original, &bytes, &size, NULL));
    memset(bytes + FILLED_AT, 0x5a, FILLED);
    for (gsize at = 0; at < size;) {
        gssize n = write(fd, bytes + at, size - at);
        g_assert_cmpint(n, >, 0);
        at += (gsize)n;
    }
}

/* The snapshot of a guest that uses most of its RAM. */
static void make_full(const TestInstance *f)
{
    g_autofree char *from_path = test_snapshot_path(f->sandbox, TEST_SNAPSHOT);
    g_autofree char *ram = g_build_filename(from_path, CVD_SNAPSHOT_RAM, NULL);
    g_autofree char *path = test_snapshot_path(f->sandbox, FULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshot) from = cvd_snapshot_open(from_path, &error);
    g_assert_no_error(error);
    g_autoptr(CvdSnapshotWriter) writer = cvd_snapshot_writer_new(path, &error);
    g_assert_no_error(error);

    copy_file(from, writer, CVD_SNAPSHOT_CONFIG);
    copy_file(from, writer, CVD_SNAPSHOT_WINDOW);
    copy_file(from, writer, CVD_SNAPSHOT_STATE);
    write_full_ram(writer, ram);
    cvd_snapshot_writer_finish(writer, cvd_snapshot_get_info(from), NULL, &error);
    g_assert_no_error(error);
}

/* Returns: bytes of a file that processes map, as far as they share it: Pss of /proc/PID/smaps */
static guint64 get_pss(pid_t pid, const char *file)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/smaps", pid);
    g_autofree char *text = NULL;
    guint64 sum = 0, kib;
    gboolean is_file = FALSE;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (g_ascii_isxdigit(**line) && strchr(*line, '-') != NULL)
            is_file = g_str_has_suffix(*line, file);
        if (is_file && sscanf(*line, "Pss: %" G_GUINT64_FORMAT " kB", &kib) == 1)
            sum += kib * 1024;
    }
    return sum;
}

/* Has all of RAM looked at, as a guest does that works. */
static void touch_ram(const TestClone *clone)
{
    static const char line[] = "command-line=pmemsave 0x800000 0x3000000 \"/dev/null\"";
    g_autofree char *name = g_strconcat("--name=", clone->name, NULL);

    g_autofree char *said = test_ctl_finish(
        test_ctl(clone->sandbox, name, "qmp", "human-monitor-command", line, NULL), 0);
    g_assert_cmpstr(said, ==, "\"\"\n");
}

/* Each of them has all of it, and together they have hardly more than one. */
static void test_memory_is_shared(gconstpointer data)
{
    g_autoptr(TestInstance) f = save();
    g_autoptr(GPtrArray) clones = g_ptr_array_new_with_free_func((GDestroyNotify)test_clone_free);
    guint64 sum = 0;

    make_full(f);
    for (guint i = 0; i < N_SHARING; i++) {
        TestClone *clone = start(f, i, FULL, NULL);
        g_ptr_array_add(clones, clone);
        test_clone_wait_running(clone, 1);
        touch_ram(clone);
    }
    for (guint i = 0; i < clones->len; i++) {
        const TestClone *clone = clones->pdata[i];
        guint64 pss = get_pss(test_launcher_find_qemu(clone->launcher), "/" FULL "/ram");
        g_test_message("%s: %" G_GUINT64_FORMAT " kB", clone->name, pss / 1024);
        g_assert_cmpuint(pss, >=, FILLED / clones->len);
        sum += pss;
    }
    g_assert_cmpuint(sum, >=, FILLED);
    g_assert_cmpuint(sum, <, FILLED + FILLED / 2);
    for (guint i = 0; i < clones->len; i++)
        test_clone_stop(clones->pdata[i]);
}

/* ---- Failures ---- */

/* One that dies again and again, at last for good, and what the others notice of it: nothing. */
static void test_one_dies(gconstpointer data)
{
    static const char *const args[] = {
        "--set=lifecycle.on_crash=restart", "--set=lifecycle.restart_delay_ms=0",
        "--set=lifecycle.restart_limit=" G_STRINGIFY(N_DEATHS), NULL};
    g_autoptr(TestInstance) f = save();
    g_autoptr(TestClone) dying = test_clone_run(f->sandbox, "dying", TEST_SNAPSHOT, args);
    g_autoptr(GPtrArray) clones = g_ptr_array_new_with_free_func((GDestroyNotify)test_clone_free);
    g_autoptr(GPtrArray) regions = g_ptr_array_new_with_free_func((GDestroyNotify)test_region_free);

    for (guint i = 1; i < N_CLONES; i++)
        g_ptr_array_add(clones, start(f, i, TEST_SNAPSHOT, args));
    for (guint i = 0; i < clones->len; i++) {
        const TestClone *clone = clones->pdata[i];
        test_clone_wait_running(clone, 1);
        g_ptr_array_add(regions, test_region_attach(clone->client_socket, "sensors"));
    }
    for (guint n = 1; n <= N_DEATHS + 1; n++) {
        test_clone_wait_running(dying, n);
        test_ping(dying->client_socket, "sensors");
        g_assert_no_errno(kill(test_launcher_find_qemu(dying->launcher), SIGKILL));
    }
    test_launcher_assert_exit(dying->launcher, 1);
    test_launcher_assert_err(dying->launcher, "given up, as that makes 4 failures");
    for (guint i = 0; i < clones->len; i++) {
        TestRegion *region = regions->pdata[i];
        test_region_ping(region, region->data_offset, 7);
        g_assert_false(test_region_is_closed(region));
        test_clone_stop(clones->pdata[i]);
    }
}

/* Returns: what the launcher says it took until the guest ran */
static guint64 get_told_ms(const TestClone *clone)
{
    guint64 ms = 0;
    const char *line = strstr(clone->launcher->err->str, ": running after ");

    g_assert_cmpint(sscanf(line, ": running after %" G_GUINT64_FORMAT " ms", &ms), ==, 1);
    return ms;
}

/* What is read before there is a QEMU counts. Here that takes as long as other machines do from
 * their start to their end. */
static void test_time_from_the_start(gconstpointer data)
{
    g_autoptr(TestInstance) f = save();
    g_autofree char *path = test_snapshot_path(f->sandbox, TEST_SNAPSHOT "/" CVD_SNAPSHOT_CONFIG);
    g_autofree char *pipe = test_sandbox_path(f->sandbox, "pipe");
    g_autofree char *text = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(path, &text, &size, NULL));
    g_assert_no_errno(mkfifo(pipe, 0600));
    g_autoptr(TestClone) clone =
        start(f, 0, TEST_SNAPSHOT, (const char *const[]){"--config", pipe, NULL});
    cvd_autofd writer = open(pipe, O_WRONLY | O_CLOEXEC); /* once it is open for reading */
    gint64 begin_us = g_get_monotonic_time();
    g_assert_cmpint(write(writer, text, 1), ==, 1);
    for (guint i = 0; i < N_OTHERS; i++) {
        g_autoptr(TestClone) other = start(f, 1, TEST_SNAPSHOT, NULL);
        test_clone_wait_running(other, 1);
        test_clone_stop(other);
    }
    guint64 least_ms = (guint64)(g_get_monotonic_time() - begin_us) / 1000;

    g_assert_cmpint(write(writer, text + 1, size - 1), ==, (gssize)size - 1);
    cvd_close_fd(&writer);
    test_clone_wait_running(clone, 1);
    g_assert_cmpuint(get_told_ms(clone), >=, least_ms);
    test_clone_stop(clone);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_unless("/restore-many/all-at-once", NULL, test_all_at_once, test_why_no_guest);
    test_add_unless("/restore-many/memory-is-shared", NULL, test_memory_is_shared,
                    test_why_no_guest);
    test_add_unless("/restore-many/one-dies", NULL, test_one_dies, test_why_no_guest);
    test_add_unless("/restore-many/time-from-the-start", NULL, test_time_from_the_start,
                    test_why_no_guest);
    return g_test_run();
}
