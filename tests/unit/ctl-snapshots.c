/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of cvd-ctl that look at snapshots, with some that no machine has made. */
#include "base/fd.h"
#include "base/json.h"
#include "base/snapshot-writer.h"
#include "tests/support/snapshot.h"
#include "tests/support/terminal.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What all columns but the age are of a snapshot that the tests make. */
#define ROW(name, used)                                                                            \
    "(?m)^" name " +[0-9]+d [0-9]+h +[0-9.]+K +32M  7\\.2\\.22 +pc-q35-7\\.2 +" used "$"

typedef struct {
    TestSandbox *sandbox;
    char *place;
    char *out; /* of cvd-ctl */
    char *err;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->sandbox = test_sandbox_new();
    f->place = test_sandbox_path(f->sandbox, "snapshots");
    g_assert_cmpint(g_mkdir(f->place, 0700), ==, 0);
    g_setenv("CVD_SNAPSHOT_DIR", f->place, TRUE);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    test_sandbox_free(f->sandbox);
    g_free(f->place);
    g_free(f->out);
    g_free(f->err);
}

static char *get_path(const Fixture *f, const char *name)
{
    return g_build_filename(f->place, name, NULL);
}

static void make(const Fixture *f, const char *name)
{
    g_autofree char *path = get_path(f, name);

    test_snapshot_make(path, FALSE);
}

/* @...: the arguments of cvd-ctl, %NULL at the end */
static void run(Fixture *f, int status, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(GError) error = NULL;
    va_list arguments;
    const char *argument;
    int found;

    g_ptr_array_add(argv, (char *)g_getenv("CVD_CTL"));
    va_start(arguments, status);
    do
        g_ptr_array_add(argv, (char *)(argument = va_arg(arguments, const char *)));
    while (argument != NULL);
    va_end(arguments);
    g_clear_pointer(&f->out, g_free);
    g_clear_pointer(&f->err, g_free);
    g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &f->out, &f->err,
                 &found, &error);
    g_assert_no_error(error);
    if (!WIFEXITED(found) || WEXITSTATUS(found) != status)
        g_error("status %#x: %s%s", found, f->out, f->err);
}

static void assert_matches(const char *text, const char *pattern)
{
    if (!g_regex_match_simple(pattern, text, 0, 0))
        g_error("'%s' is not in '%s'", pattern, text);
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        g_error("'%s' is not in '%s'", part, text);
}

static void damage(const Fixture *f, const char *name, const char *file)
{
    g_autofree char *path = g_build_filename(f->place, name, file, NULL);
    cvd_autofd fd = open(path, O_RDWR | O_CLOEXEC);

    g_assert_cmpint(pwrite(fd, "X", 1, 1), ==, 1);
}

/* ---- snapshots ---- */

static void test_none(Fixture *f, gconstpointer data)
{
    g_autofree char *expected =
        g_strdup_printf("no snapshots in %s; cvd-ctl snapshot makes one\n", f->place);

    run(f, 0, "snapshots", NULL);
    g_assert_cmpstr(f->out, ==, "");
    g_assert_cmpstr(f->err, ==, expected);
    run(f, 0, "snapshots", "--json", NULL);
    g_assert_cmpstr(f->out, ==, "");
    g_assert_cmpstr(f->err, ==, "");
    g_assert_cmpint(g_rmdir(f->place), ==, 0);
    run(f, 0, "snapshots", NULL);
    g_assert_cmpstr(f->err, ==, expected);
    g_setenv("CVD_SNAPSHOT_DIR", "/\033[2J", TRUE);
    run(f, 0, "snapshots", NULL);
    g_assert_cmpstr(f->err, ==, "no snapshots in /\\u001b[2J; cvd-ctl snapshot makes one\n");
}

static void test_table(Fixture *f, gconstpointer data)
{
    g_autofree char *file = get_path(f, "notes.txt");
    g_autofree char *other = get_path(f, "other\033[2J");

    make(f, "two");
    make(f, "one");
    make(f, "bad");
    damage(f, "bad", "snapshot.json");
    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    g_assert_cmpint(g_mkdir(other, 0700), ==, 0);
    run(f, 0, "snapshots", NULL);
    g_auto(GStrv) lines = g_strsplit(f->out, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 7);
    assert_matches(lines[0], "^NAME +AGE +SIZE +MEMORY +QEMU +MACHINE +USED$");
    g_assert_cmpstr(lines[1], ==,
                    "bad                  damaged: snapshot.json: its SHA-256 is not the one "
                    "recorded");
    g_assert_cmpstr(lines[2], ==, "notes.txt            is no directory, and so no snapshot");
    assert_matches(lines[3], ROW("one", "0"));
    assert_has(lines[4], "other\\u001b[2J");
    assert_has(lines[4], "is no snapshot, as it has no snapshot.json");
    assert_matches(lines[5], ROW("two", "0"));
    for (guint i = 0; i < 6; i++)
        g_assert_cmpuint(strlen(lines[i]), <=, 80);
}

static JsonObject *get_object(const char *line, JsonNode **root)
{
    g_autoptr(GError) error = NULL;

    *root = cvd_json_parse(line, strlen(line), NULL, &error);
    g_assert_no_error(error);
    return json_node_get_object(*root);
}

static void test_table_json(Fixture *f, gconstpointer data)
{
    g_autofree char *path = get_path(f, "one");
    g_autoptr(JsonNode) bad_root = NULL;
    g_autoptr(JsonNode) root = NULL;

    make(f, "bad");
    make(f, "one");
    damage(f, "bad", "snapshot.json");
    run(f, 0, "snapshots", "--json", NULL);
    g_auto(GStrv) lines = g_strsplit(f->out, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 3);
    JsonObject *bad = get_object(lines[0], &bad_root), *one = get_object(lines[1], &root);
    g_assert_cmpstr(cvd_json_get_text(bad, "name"), ==, "bad");
    assert_has(cvd_json_get_text(bad, "error"), "bad: damaged: snapshot.json: its SHA-256");
    g_assert_cmpstr(cvd_json_get_text(one, "name"), ==, "one");
    g_assert_cmpstr(cvd_json_get_text(one, "directory"), ==, path);
    g_assert_cmpstr(cvd_json_get_text(one, "time"), ==, "2024-12-31T23:59:59Z");
    g_assert_cmpstr(cvd_json_get_text(one, "machine"), ==, "pc-q35-7.2");
    g_assert_cmpstr(cvd_json_get_text(one, "ram"), ==, "ram");
    g_assert_cmpint(json_object_get_int_member(one, "memory_bytes"), ==, TEST_SNAPSHOT_RAM);
    g_assert_false(json_object_get_boolean_member(one, "in_use"));
    g_assert_cmpint(json_object_get_int_member(one, "users"), ==, 0);
}

/* ---- info ---- */

static void test_info(Fixture *f, gconstpointer data)
{
    g_autofree char *path = get_path(f, "one");
    g_autofree char *directory = g_strdup_printf("directory  %s\n", path);

    make(f, "one");
    run(f, 0, "info", "one", NULL);
    assert_has(f->out, "snapshot   one\n");
    assert_has(f->out, directory);
    assert_has(f->out, "made       2024-12-31T23:59:59Z, ");
    assert_has(f->out, "instance   cvd-1, cvd-launch 0.2.0\n");
    assert_has(f->out, "machine    pc-q35-7.2, QEMU 7.2.22, tcg\n");
    assert_has(f->out, "memory     32M, shared by those that run from it\n");
    assert_has(f->out, "used by    0\n");
    assert_has(f->out, "cvd.json   relative paths in it are those in /etc/cvd\n");
    assert_has(f->out, "doorbells  of region 2, to the guest\n");
    assert_has(f->out, "disks      system, in disk-0.qcow2\n");
    assert_matches(f->out, "\nfiles      cvd\\.json +[0-9]+ bytes\n");
    assert_has(f->out, "\n           ram                  33554432 bytes\n");
    run(f, 0, "info", path, NULL); /* as a path */
    assert_has(f->out, "snapshot   one\n");
}

static void test_info_json(Fixture *f, gconstpointer data)
{
    g_autoptr(JsonNode) root = NULL;

    make(f, "one");
    run(f, 0, "info", "one", "--json", "--verify", NULL);
    JsonObject *one = get_object(f->out, &root);
    JsonArray *files = json_object_get_array_member(one, "files");
    JsonObject *doorbell =
        json_array_get_object_element(json_object_get_array_member(one, "doorbells"), 0);
    JsonObject *disk = json_array_get_object_element(json_object_get_array_member(one, "disks"), 0);
    g_assert_cmpuint(json_array_get_length(files), ==, 5);
    g_assert_cmpint(json_object_get_int_member(doorbell, "region"), ==, 2);
    g_assert_cmpstr(cvd_json_get_text(doorbell, "to"), ==, "guest");
    g_assert_cmpstr(cvd_json_get_text(disk, "node"), ==, "system");
    g_assert_cmpstr(cvd_json_get_text(disk, "file"), ==, "disk-0.qcow2");
    g_assert_cmpstr(cvd_json_get_text(one, "config_directory"), ==, "/etc/cvd");
    g_assert_false(json_object_has_member(one, "qemu_directory"));
    g_assert_true(json_object_get_boolean_member(one, "verified"));
    g_assert_cmpint(json_object_get_int_member(one, "users"), ==, 0); /* cvd-ctl is none */
}

#define CONFIG                                                                                     \
    "{\"layout\": {\"vsoc_device_regions\": [{}, {}, {\"device_name\": \"misc\"}]},"               \
    " \"qemu\": {\"kernel\": \"/boot/vmlinuz\", \"initrd\": 7, \"firmware\": \"b\", "              \
    "\"blockdevs\": ["                                                                             \
    "{\"node-name\": \"s\", \"filename\": \"/srv/system.qcow2\"},"                                 \
    "{\"node-name\": \"system\", \"driver\": \"qcow2\", \"file\": \"s\"},"                         \
    "{\"node-name\": \"r\", \"file\": {\"driver\": \"file\", \"filename\": \"/etc/passwd\"}}, "    \
    "7]}}"
#define BACKING "/srv/none.raw"

static void write_text(CvdSnapshotWriter *writer, const char *file, const void *text, gsize size)
{
    cvd_autofd fd = cvd_snapshot_writer_create(writer, file, NULL);

    g_assert_cmpint(write(fd, text, size), ==, (gssize)size);
}

/* @disk: the head of a qcow2 file, and its backing file's name */
static void make_with(const Fixture *f, const char *name, const char *config, const char *disk,
                      gsize size)
{
    g_autofree char *path = get_path(f, name);
    g_autoptr(CvdSnapshotInfo) info = test_snapshot_make_info(name);
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshotWriter) writer = cvd_snapshot_writer_new(path, &error);

    g_assert_no_error(error);
    write_text(writer, "cvd.json", config, strlen(config));
    write_text(writer, "state", "", 0);
    write_text(writer, "window", "", 0);
    write_text(writer, "disk-0.qcow2", disk, size);
    cvd_snapshot_writer_finish(writer, info, NULL, &error);
    g_assert_no_error(error);
}

/* What is not in the snapshot, and not what the disk had been in. */
static void test_needs(Fixture *f, gconstpointer data)
{
    static const char disk[] = "QFI\xfb\0\0\0\3\0\0\0\0\0\0\0\x18\0\0\0\x0d\0\0\0\0" BACKING;
    g_autoptr(JsonNode) root = NULL;

    make_with(f, "one", CONFIG, disk, sizeof disk - 1);
    run(f, 0, "info", "one", NULL);
    assert_has(f->out, "doorbells  of region 2, misc, to the guest\n");
    assert_has(f->out, "\nneeds      /boot/vmlinuz, which is missing\n"
                       "           " BACKING ", which is missing\n"
                       "           /etc/passwd\n"
                       "files ");
    run(f, 0, "info", "one", "--json", NULL);
    JsonArray *needs = json_object_get_array_member(get_object(f->out, &root), "needs");
    g_assert_cmpuint(json_array_get_length(needs), ==, 3);
    g_assert_cmpstr(json_array_get_string_element(needs, 1), ==, BACKING);
    make_with(f, "two", "[{]", disk, 20);
    run(f, 0, "info", "two", NULL);
    g_assert_null(strstr(f->out, "needs"));
}

static void test_verify(Fixture *f, gconstpointer data)
{
    make(f, "one");
    run(f, 0, "info", "one", "--verify", NULL);
    assert_has(f->out, "files      all as they were written\n");
    g_assert_cmpstr(f->err, ==, "");
    damage(f, "one", "ram");
    run(f, 0, "info", "one", NULL); /* which does not read it */
    run(f, 1, "info", "one", "--verify", NULL);
    g_assert_cmpstr(f->out, ==, "");
    assert_has(f->err, "one: damaged: ram: its SHA-256 is not the one recorded\n");
}

static void test_progress(Fixture *f, gconstpointer data)
{
    const char *const argv[] = {g_getenv("CVD_CTL"), "info", "one", "--verify", NULL};

    make(f, "one");
    g_autoptr(TestTerminal) terminal = test_terminal_start(f->sandbox, argv);
    test_terminal_see(terminal, "read 100 %", 1);
    test_terminal_see(terminal, "all as they were written", 1);
    g_assert_cmpint(test_terminal_finish(terminal), ==, 0);
}

static void test_no_such(Fixture *f, gconstpointer data)
{
    run(f, 1, "info", "one", NULL);
    assert_has(f->err, "/one: there is no such snapshot; cvd-ctl snapshots shows all\n");
    run(f, 1, "delete", "one", NULL);
    assert_has(f->err, "/one: there is no such snapshot; cvd-ctl snapshots shows all\n");
    run(f, 2, "info", "o ne", NULL);
    assert_has(f->err, "'o ne' is no snapshot's name, which begins with a letter or digit");
    run(f, 2, "delete", "", NULL);
    assert_has(f->err, "'' is no snapshot's name");
    run(f, 2, "delete", NULL);
    assert_has(f->err, "delete needs more arguments: cvd-ctl delete SNAPSHOT [SNAPSHOT...]");
    run(f, 2, "snapshots", "--name=one", NULL);
    assert_has(f->err, "snapshots has no --name: it is not about instances; see");
    run(f, 2, "info", "--group=one", "one", NULL);
    assert_has(f->err, "info has no --group: it is not about instances; see");
}

/* ---- delete ---- */

static void test_used(Fixture *f, gconstpointer data)
{
    g_autofree char *path = get_path(f, "one");

    make(f, "one");
    CvdSnapshot *snapshot = cvd_snapshot_open(path, NULL);
    run(f, 0, "snapshots", NULL);
    assert_matches(f->out, ROW("one", "1"));
    run(f, 1, "delete", "one", NULL);
    assert_has(f->err, "/one: 1 machine runs from it; stop it first\n");
    run(f, 0, "info", "one", NULL);
    assert_has(f->out, "used by    1\n");
    cvd_snapshot_free(snapshot);
    run(f, 0, "delete", "one", NULL);
    g_assert_cmpstr(f->out, ==, "");
    g_assert_cmpstr(f->err, ==, "");
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_several(Fixture *f, gconstpointer data)
{
    g_autofree char *three = get_path(f, "three");

    make(f, "one");
    make(f, "three");
    run(f, 1, "delete", "one", "two", three, NULL);
    assert_matches(f->err, "^cvd-ctl: .*/two: there is no such snapshot; .*\n"
                           "cvd-ctl: 1 of 3 snapshots were not deleted\n$");
    run(f, 0, "snapshots", "--json", NULL);
    g_assert_cmpstr(f->out, ==, "");
}

static void test_left_over(Fixture *f, gconstpointer data)
{
    g_autofree char *path = get_path(f, "one"), *left_over = get_path(f, ".one.cvd-new");

    make(f, "one");
    make(f, "two");
    g_assert_cmpint(g_rename(path, left_over), ==, 0);
    run(f, 0, "--complete", "info", "", NULL);
    g_assert_cmpstr(f->out, ==, "two\n");
    run(f, 0, "--complete", "delete", "two", "other", "t", NULL);
    g_assert_cmpstr(f->out, ==, "two\n");
    g_assert_true(g_file_test(left_over, G_FILE_TEST_EXISTS));
    run(f, 0, "snapshots", NULL);
    g_assert_false(g_file_test(left_over, G_FILE_TEST_EXISTS));
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/ctl-snapshots/none", test_none);
    add("/ctl-snapshots/table", test_table);
    add("/ctl-snapshots/table-json", test_table_json);
    add("/ctl-snapshots/info", test_info);
    add("/ctl-snapshots/info-json", test_info_json);
    add("/ctl-snapshots/needs", test_needs);
    add("/ctl-snapshots/verify", test_verify);
    add("/ctl-snapshots/verify-on-a-terminal", test_progress);
    add("/ctl-snapshots/no-such", test_no_such);
    add("/ctl-snapshots/used", test_used);
    add("/ctl-snapshots/delete-several", test_several);
    add("/ctl-snapshots/left-over", test_left_over);
    return g_test_run();
}
