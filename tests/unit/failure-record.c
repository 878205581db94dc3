/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/failure-record.h"
#include "tests/support/sandbox.h"
#include "tests/unit/child.h"
#include "tests/unit/log-dir.h"

#include "base/fd.h"
#include "launcher/config/config.h"

#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((gsize)1024 * 1024)

typedef struct {
    TestLogDir logs;
    CvdConfig *config;
    int window;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    const char *overrides[] = {
        "sockets={\"client\":\"/tmp/client.sock\",\"mode\":\"0666\"}",
        "access=[{\"user\":1234,\"regions\":[\"sensors\"],\"mode\":\"ro\"},"
        "{\"group\":0,\"regions\":\"*\",\"mode\":\"rw\"}]",
        "qemu={\"accel\":\"tcg\",\"devices\":[{\"driver\":\"e1000\",\"x\":1e20}]}",
        "layout={\"vsoc_device_regions\":[{\"device_name\":\"sensors\",\"current_version\":1,"
        "\"min_compatible_version\":1,\"region_size\":4096,"
        "\"guest_to_host_signal_table\":{\"num_nodes_lg2\":0},"
        "\"host_to_guest_signal_table\":{\"num_nodes_lg2\":0}}]}",
        NULL};
    CvdConfigSource source = {.path = g_getenv("CVD_CONFIG"), .overrides = overrides};

    test_log_dir_open(&f->logs);
    f->config = cvd_config_load(&source, problems);
    if (f->config == NULL)
        g_error("%s", (const char *)problems->pdata[0]);
    f->window = memfd_create("window", MFD_CLOEXEC);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    cvd_config_free(f->config);
    cvd_close_fd(&f->window);
    test_log_dir_close(&f->logs);
}

static CvdRecord make_record(const Fixture *f)
{
    static const char *const argv[] = {"/qemu", "-S", NULL};
    static const char *const tail[] = {"> {\"execute\":\"cont\"}", "< \xff broken", NULL};

    return (CvdRecord){.config = f->config,
                       .argv = argv,
                       .state = "failed",
                       .reason = "qemu was killed",
                       .qmp_tail = tail,
                       .from = "/snapshots/one",
                       .restarts = 3};
}

static void test_json(Fixture *f, gconstpointer data)
{
    CvdRecord record = make_record(f);
    g_autofree char *text = cvd_record_to_json(&record);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = json_from_string(text, &error);
    g_assert_no_error(error);
    JsonObject *object = json_node_get_object(root);
    JsonObject *config = json_object_get_object_member(object, "config");
    JsonObject *qemu = json_object_get_object_member(config, "qemu");

    g_assert_cmpstr(json_object_get_string_member(object, "state"), ==, "failed");
    g_assert_cmpstr(json_object_get_string_member(object, "reason"), ==, "qemu was killed");
    g_assert_cmpstr(json_object_get_string_member(object, "from"), ==, "/snapshots/one");
    g_assert_cmpint(json_object_get_int_member(object, "restarts"), ==, 3);
    g_assert_cmpstr(
        json_array_get_string_element(json_object_get_array_member(object, "command"), 1), ==,
        "-S");
    g_assert_true(g_str_has_prefix(
        json_array_get_string_element(json_object_get_array_member(object, "qmp"), 1), "< "));
    g_assert_cmpint(json_object_get_int_member(qemu, "memory"), ==, 512 * 1024 * 1024);
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(qemu, "devices")), ==, 1);
    g_assert_nonnull(strstr(text, "\"sensors\""));

    JsonArray *access = json_object_get_array_member(config, "access");
    g_assert_cmpuint(json_array_get_length(access), ==, 2);
    JsonObject *rule = json_array_get_object_element(access, 0);
    g_assert_cmpint(json_object_get_int_member(rule, "user"), ==, 1234);
    g_assert_cmpstr(json_object_get_string_member(rule, "mode"), ==, "ro");
    g_assert_cmpstr(json_array_get_string_element(json_object_get_array_member(rule, "regions"), 0),
                    ==, "sensors");
    rule = json_array_get_object_element(access, 1);
    g_assert_cmpint(json_object_get_int_member(rule, "group"), ==, 0);
}

static void assert_window_said(const Fixture *f, const char *part)
{
    g_autoptr(GBytes) record = test_log_dir_read(&f->logs, "failure.json");
    g_autofree char *text = g_strndup(g_bytes_get_data(record, NULL), g_bytes_get_size(record));

    if (strstr(text, part) == NULL)
        g_error("'%s' is not in %s", part, text);
}

/* Holes stay holes, the mode is ours alone, and a later failure takes the place of an earlier one.
 */
static void test_files(Fixture *f, gconstpointer data)
{
    const off_t size = 512 * 1024 * 1024;
    CvdRecord record = make_record(f);
    g_autofree char *path =
        g_build_filename(cvd_instance_dir_get_path(f->logs.dir), "window.img", NULL);
    struct stat st;
    char bytes[5] = "";

    f->config->layout->window_size = (guint32)size;
    /* As a client can do to a window with a name. */
    g_assert_no_errno(ftruncate(f->window, (off_t)1 << 40));
    g_assert_cmpint(pwrite(f->window, "beyond", 6, (off_t)1 << 39), ==, 6);
    g_assert_cmpint(pwrite(f->window, "start", 5, 0), ==, 5);
    g_assert_cmpint(pwrite(f->window, "later", 5, size / 2 + 100), ==, 5);
    for (guint i = 0; i < 2; i++) {
        cvd_record_write(f->logs.dir, &record, f->window);
        g_assert_no_errno(stat(path, &st));
        g_assert_cmpint(st.st_size, ==, size);
        g_assert_cmpint(st.st_blocks * 512, <, 1024 * 1024);
        g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
        cvd_autofd copy = open(path, O_RDONLY | O_CLOEXEC);
        g_assert_cmpint(pread(copy, bytes, 5, 0), ==, 5);
        g_assert_cmpmem(bytes, 5, "start", 5);
        g_assert_cmpint(pread(copy, bytes, 5, size / 2 + 100), ==, 5);
        g_assert_cmpmem(bytes, 5, "later", 5);
        assert_window_said(f, "\"window\" : \"window.img\"");
    }
}

/* With huge pages what nobody has written is no hole, either. */
static void test_zeros(Fixture *f, gconstpointer data)
{
    const gsize size = 16 * MIB, at = 5 * MIB - 2; /* over the border of two pages */
    CvdRecord record = make_record(f);
    g_autofree char *wanted = g_malloc0(size);
    gsize copy_size;
    struct stat st;

    f->config->layout->window_size = (guint32)size;
    memcpy(wanted + at, "text", 4);
    g_assert_cmpint(pwrite(f->window, wanted, size, 0), ==, size);
    cvd_record_write(f->logs.dir, &record, f->window);

    g_autoptr(GBytes) copy = test_log_dir_read(&f->logs, CVD_RECORD_WINDOW_FILE);
    const char *bytes = g_bytes_get_data(copy, &copy_size);
    g_assert_cmpmem(bytes, copy_size, wanted, size);

    g_autofree char *path =
        g_build_filename(cvd_instance_dir_get_path(f->logs.dir), CVD_RECORD_WINDOW_FILE, NULL);
    g_assert_no_errno(stat(path, &st));
    g_assert_cmpint(st.st_blocks, <, (gint64)MIB / 512);
}

static void test_empty_window(Fixture *f, gconstpointer data)
{
    CvdRecord record = make_record(f);

    f->config->layout->window_size = 1024 * 1024;
    g_assert_no_errno(ftruncate(f->window, 1024 * 1024));
    cvd_record_write(f->logs.dir, &record, f->window);
    g_autoptr(GBytes) copy = test_log_dir_read(&f->logs, "window.img");
    g_assert_cmpuint(g_bytes_get_size(copy), ==, 1024 * 1024);
    cvd_record_write(f->logs.dir, &record, -1);
    assert_window_said(f, "left out: there is none");
}

/* One page more than what is kept. */
static void test_too_much_data(Fixture *f, gconstpointer data)
{
    CvdRecord record = make_record(f);

    f->config->layout->window_size = 2 * CVD_RECORD_MAX_WINDOW_DATA;
    if (fallocate(f->window, 0, 0, CVD_RECORD_MAX_WINDOW_DATA + 4096) < 0) {
        g_test_skip("not so much memory to be had here");
        return;
    }
    cvd_record_write(f->logs.dir, &record, f->window);
    assert_window_said(f, "left out: it has more than 256 MiB");
    g_assert_null(test_log_dir_read(&f->logs, "window.img"));
}

/* Runs in a process of its own, whose disk has two pages: the lock has one of them. */
static int write_to_full_disk(gconstpointer data)
{
    CvdRecord record = *(const CvdRecord *)data;
    TestLogDir logs;

    if (!test_may_mount())
        return TEST_CHILD_SKIPS;
    test_enter_mount_namespace();
    if (mount("tmpfs", g_get_tmp_dir(), "tmpfs", 0, "size=8k,mode=1777") < 0)
        return 1;
    test_log_dir_open(&logs);
    g_autofree char *filler = g_strnfill(8192, 'x');
    record.reason = filler;
    g_log_set_always_fatal(G_LOG_FATAL_MASK);
    cvd_record_write(logs.dir, &record, -1);
    g_autoptr(GBytes) left = test_log_dir_read(&logs, CVD_RECORD_FILE);
    gboolean is_empty = left != NULL && g_bytes_get_size(left) == 0;
    test_log_dir_close(&logs);
    return is_empty ? 0 : 2;
}

static void test_full_disk(Fixture *f, gconstpointer data)
{
    CvdRecord record = make_record(f);

    test_in_child(write_to_full_disk, &record, "no mount namespace to be had here");
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/failure-record/json", test_json);
    add("/failure-record/files", test_files);
    add("/failure-record/zeros", test_zeros);
    add("/failure-record/empty-window", test_empty_window);
    add("/failure-record/256-mib-and-a-page", test_too_much_data);
    add("/failure-record/full-disk-leaves-no-half", test_full_disk);
    return g_test_run();
}
