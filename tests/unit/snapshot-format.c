/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.json: each row is a change to one that is right, whose digest is made right again. */
#include "base/snapshot-format.h"

#include "base/error.h"
#include "tests/support/rows.h"
#include "tests/support/snapshot.h"

#include <string.h>

#define DIGEST "\"2222222222222222222222222222222222222222222222222222222222222222\""

/* By hand, from docs/snapshots.md. */
static const char right[] =
    "{\n"
    "  \"format\" : 1,\n"
    "  \"name\" : \"one\",\n"
    "  \"time\" : \"2024-12-31T23:59:59Z\",\n"
    "  \"product_version\" : \"0.2.0\",\n"
    "  \"instance\" : \"cvd-1\",\n"
    "  \"qemu_version\" : \"7.2.22\",\n"
    "  \"machine\" : \"pc-q35-7.2\",\n"
    "  \"accel\" : \"tcg\",\n"
    "  \"memory_bytes\" : 33554432,\n"
    "  \"layout_digest\" : "
    "\"1111111111111111111111111111111111111111111111111111111111111111\",\n"
    "  \"config_directory\" : \"/etc/cvd\",\n"
    "  \"doorbells\" : [\n"
    "    {\n"
    "      \"region\" : 2,\n"
    "      \"to\" : \"guest\"\n"
    "    }\n"
    "  ],\n"
    "  \"disks\" : [\n"
    "    \"system\"\n"
    "  ],\n"
    "  \"files\" : {\n"
    "    \"cvd.json\" : {\n"
    "      \"size\" : 2,\n"
    "      \"digest\" : " DIGEST ",\n"
    "      \"stamp\" : \"2 101 1.000000000 1.000000000\"\n"
    "    },\n"
    "    \"state\" : {\n"
    "      \"size\" : 13,\n"
    "      \"digest\" : " DIGEST ",\n"
    "      \"stamp\" : \"13 102 1.000000000 1.000000000\"\n"
    "    },\n"
    "    \"window\" : {\n"
    "      \"size\" : 1048576,\n"
    "      \"digest\" : " DIGEST ",\n"
    "      \"stamp\" : \"1048576 103 1.000000000 1.000000000\"\n"
    "    },\n"
    "    \"disk-0.qcow2\" : {\n"
    "      \"size\" : 17,\n"
    "      \"digest\" : " DIGEST ",\n"
    "      \"stamp\" : \"17 104 1.000000000 1.000000000\"\n"
    "    },\n"
    "    \"ram\" : {\n"
    "      \"size\" : 33554432,\n"
    "      \"digest\" : " DIGEST ",\n"
    "      \"stamp\" : \"33554432 105 1.000000000 1.000000000\"\n"
    "    }\n"
    "  },\n"
    "  \"sha256\" : \"";

/* @from: what stands in @right once, and @to instead; @error: in the message; NULL: it is taken */
typedef struct {
    const char *name;
    const char *from;
    const char *to;
    const char *error;
} Row;

#define A_FILE(size)   "{\"size\" : " #size ", \"digest\" : " DIGEST ", \"stamp\" : \"3 9 1.0 1.0\"}"
#define NEW_FILE(name) ",\n    \"ram\" : {", ",\n    \"" name "\" : " A_FILE(3) ",\n    \"ram\" : {"

static const Row rows[] = {
    {"newer", "\"format\" : 1", "\"format\" : 2",
     "made by a newer cvd-launch (format 2, this one knows 1)"},
    {"newer-with-more", "\"format\" : 1", "\"format\" : 7, \"memory\" : {}",
     "made by a newer cvd-launch (format 7, this one knows 1)"},
    {"no-format", "\"format\" : 1,", "", "format: expected a number from 1 on"},
    {"format-0", "\"format\" : 1", "\"format\" : 0", "format: expected a number from 1 on"},
    {"format-is-text", "\"format\" : 1", "\"format\" : \"1\"", "format: expected a number"},
    {"format-is-a-fraction", "\"format\" : 1", "\"format\" : 1.0", "format: expected a number"},
    {"format-is-null", "\"format\" : 1", "\"format\" : null", "format: expected a number"},
    {"unknown", "\"accel\"", "\"colour\" : \"red\", \"accel\"", "colour: no member of format 1"},
    {"twice", "\"accel\"", "\"name\" : \"two\", \"accel\"", "name stands twice"},
    {"twice-in-a-file", "\"size\" : 13", "\"size\" : 13, \"size\" : 13",
     "files.state.size stands twice"},
    {"no-name", "\"name\" : \"one\",", "", "name: expected a text of at most 4096 bytes"},
    {"name-is-a-number", "\"one\"", "1", "name: expected a text"},
    {"name-is-a-large-number", "\"one\"", "18446744073709551615", "name: expected a text"},
    {"name-is-empty", "\"one\"", "\"\"", "name: expected a text"},
    {"control-character", "\"one\"", "\"o\\u001b[2Jne\"", "name: expected a text"},
    {"not-ascii", "\"one\"", "\"Müller\"", NULL},
    {"not-utf-8", "\"one\"", "\"M\xfcller\"", "byte 0xfc is not UTF-8"},
    {"no-json", "\"name\" :", "\"name\" =", "line 3, column 10"},
    {"comment", "\"name\" :", "/* */ \"name\" :", "a comment"},
    {"time-without-zone", "23:59:59Z", "23:59:59", "time: expected a time like"},
    {"time-with-another-zone", "23:59:59Z", "23:59:59+01:00", "time: expected a time like"},
    {"time-that-is-none", "23:59:59Z", "24:59:59Z", "time: expected a time like"},
    {"time-before-1970", "2024-12", "1969-12", NULL},
    {"memory-negative", "\"memory_bytes\" : 33554432", "\"memory_bytes\" : -1",
     "memory_bytes: expected an integer from 0 on"},
    {"memory-is-text", "\"memory_bytes\" : 33554432", "\"memory_bytes\" : \"32M\"",
     "memory_bytes: expected an integer"},
    {"memory-too-large", "\"memory_bytes\" : 33554432", "\"memory_bytes\" : 9223372036854775808",
     "memory_bytes: expected an integer"},
    {"memory-differs", "\"memory_bytes\" : 33554432", "\"memory_bytes\" : 33554433",
     "files.ram.size: 33554432, but memory_bytes is 33554433"},
    {"digest-short", "\"11111111", "\"1111111", "layout_digest: expected 64 hexadecimal digits"},
    {"digest-in-capitals", "\"11111111", "\"A1111111", "layout_digest: expected 64 hexadecimal"},
    {"directory-relative", "\"/etc/cvd\"", "\"etc\"", "config_directory: expected an absolute"},
    {"directory-null", "\"/etc/cvd\"", "null", "config_directory: expected an absolute"},
    {"no-directory", "\"config_directory\" : \"/etc/cvd\",", "", NULL},
    {"both-directories", "\"doorbells\"", "\"qemu_directory\" : \"/\", \"doorbells\"", NULL},
    {"doorbells-no-array", "\"doorbells\" : [", "\"doorbells\" : {}, \"other\" : [",
     "doorbells: expected an array"},
    {"doorbell-no-object", "\"doorbells\" : [", "\"doorbells\" : [1,", "doorbells[0]: expected {"},
    {"doorbell-to-nobody", "\"to\" : \"guest\"", "\"to\" : \"you\"", "doorbells[0]: expected {"},
    {"doorbell-to-number", "\"to\" : \"guest\"", "\"to\" : 1", "doorbells[0]: expected {"},
    {"doorbell-with-more", "\"to\" : \"guest\"", "\"to\" : \"guest\", \"n\" : 1",
     "doorbells[0]: expected {"},
    {"doorbell-to-host", "\"to\" : \"guest\"", "\"to\" : \"host\"", NULL},
    {"last-region", "\"region\" : 2,", "\"region\" : 2047,", NULL},
    {"no-region", "\"region\" : 2,", "\"region\" : 2048,", "doorbells[0]: expected {"},
    {"region-negative", "\"region\" : 2,", "\"region\" : -1,", "doorbells[0]: expected {"},
    {"disks-no-array", "\"disks\" : [\n    \"system\"\n  ]", "\"disks\" : \"system\"",
     "disks: expected an array"},
    {"disk-no-text", "\"system\"", "1", "disks[0]: expected a text"},
    {"disk-without-file", "\"system\"", "\"system\", \"data\"", "files: disk-1.qcow2 is missing"},
    {"file-without-disk", "\"system\"", "", "files: more than belong together"},
    {"files-no-object", "\"files\" : {", "\"files\" : [], \"other\" : {",
     "files: expected an object"},
    {"no-window", "\"window\"", "\"disk-1.qcow2\"", "files: window is missing"},
    {"no-state", "\"state\"", "\"disk-1.qcow2\"", "files: state is missing"},
    {"no-config", "\"cvd.json\"", "\"disk-1.qcow2\"", "files: cvd.json is missing"},
    {"ram-in-state", "\"ram\" : {", "\"disk-1.qcow2\" : {", "files: more than belong together"},
    {"ram-twice", NEW_FILE("ram.zst"), "files: more than belong together"},
    {"file-absolute", NEW_FILE("/etc/passwd"), "files./etc/passwd: no file of format 1"},
    {"file-above", NEW_FILE("../ram"), "files.../ram: no file of format 1"},
    {"file-below", NEW_FILE("a/ram"), "files.a/ram: no file of format 1"},
    {"file-unknown", NEW_FILE("nvram"), "files.nvram: no file of format 1"},
    {"file-empty", NEW_FILE(""), "files.: no file of format 1"},
    {"file-itself", NEW_FILE("snapshot.json"), "files.snapshot.json: no file of format 1"},
    {"file-checked", NEW_FILE("checked"), "files.checked: no file of format 1"},
    {"disk-with-zero", NEW_FILE("disk-01.qcow2"), "files.disk-01.qcow2: no file of format 1"},
    {"disk-64", NEW_FILE("disk-64.qcow2"), "files.disk-64.qcow2: no file of format 1"},
    {"disk-raw", NEW_FILE("disk-1.raw"), "files.disk-1.raw: no file of format 1"},
    {"file-no-object", NEW_FILE("disk-1.qcow2\" : 1, \"a"),
     "files.disk-1.qcow2: expected an object"},
    {"size-negative", "\"size\" : 13", "\"size\" : -13", "files.state.size: expected an integer"},
    {"size-is-a-fraction", "\"size\" : 13", "\"size\" : 13.5", "files.state.size: expected an"},
    {"no-size", "\"size\" : 13,", "", "files.state.size: expected an integer"},
    {"no-stamp", ",\n      \"stamp\" : \"13 102 1.000000000 1.000000000\"", "",
     "files.state.stamp: expected a text"},
    {"file-with-more", "\"size\" : 13", "\"size\" : 13, \"mode\" : 1",
     "files.state.mode: no member of format 1"},
    {"nothing-changed", "\"format\" : 1", "\"format\" : 1", NULL},
    {"other-spaces", "\"format\" : 1", "\"format\":\t1", NULL},
};

static CvdSnapshotInfo *parse(const char *begin, GPtrArray **files, GError **error)
{
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, begin, -1);
    g_autofree char *text = g_strconcat(begin, digest, "\"\n}\n", NULL);

    return cvd_snapshot_parse(text, strlen(text), files, error);
}

static void test_row(gconstpointer data)
{
    const Row *row = data;
    const int code = g_str_has_prefix(row->name, "newer") ? CVD_ERROR_FOREIGN : CVD_ERROR_INVALID;
    g_autofree char *text = test_snapshot_replace(right, row->from, row->to);
    g_autoptr(GPtrArray) files = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshotInfo) info = parse(text, &files, &error);

    if (row->error == NULL) {
        g_assert_no_error(error);
        g_assert_nonnull(info);
        return;
    }
    g_assert_error(error, CVD_ERROR, code);
    g_assert_null(info);
    g_assert_null(files);
    if (strstr(error->message, row->error) == NULL)
        g_error("'%s' is not in '%s'", row->error, error->message);
}

/* What is written is what is documented, to the byte. */
static void test_written(void)
{
    g_autoptr(CvdSnapshotInfo) info = test_snapshot_make_info("one");
    g_autoptr(GPtrArray) files = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdSnapshotInfo) parsed = parse(right, &files, &error);

    g_assert_no_error(error);
    g_assert_nonnull(parsed);
    g_autofree char *text = cvd_snapshot_format(info, files);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, right, -1);
    g_autofree char *expected = g_strconcat(right, digest, "\"\n}\n", NULL);
    g_assert_cmpstr(text, ==, expected);
}

static void test_at_the_bounds(void)
{
    for (guint n = 4095; n <= 4097; n++) {
        g_autofree char *name = g_strnfill(n, 'a');
        g_autofree char *quoted = g_strdup_printf("\"%s\"", name);
        g_autofree char *text = test_snapshot_replace(right, "\"one\"", quoted);
        g_autoptr(GPtrArray) files = NULL;
        g_autoptr(CvdSnapshotInfo) info = parse(text, &files, NULL);
        g_assert_true((info != NULL) == (n <= 4096));
    }
    for (guint n = 4096; n <= 4097; n++) {
        g_autoptr(GString) doorbells = g_string_new("\"doorbells\" : [");
        for (guint i = 1; i < n; i++)
            g_string_append(doorbells, "{\"region\":0,\"to\":\"host\"},");
        g_autofree char *text = test_snapshot_replace(right, "\"doorbells\" : [", doorbells->str);
        g_autoptr(GPtrArray) files = NULL;
        g_autoptr(CvdSnapshotInfo) info = parse(text, &files, NULL);
        g_assert_true((info != NULL) == (n <= 4096));
    }
}

static void test_other_texts(void)
{
    static const char *const texts[] = {
        "", "\"\n}\n", "[]", "1", "{", "{}", "{\n  \"sha256\" : \""};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GPtrArray) files = NULL;
        g_autoptr(GError) error = NULL;
        g_assert_null(cvd_snapshot_parse(texts[i], strlen(texts[i]), &files, &error));
        g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
        g_clear_error(&error);
        g_assert_null(parse(texts[i], &files, &error));
        g_assert_error(error, CVD_ERROR, CVD_ERROR_INVALID);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/snapshot-format/", rows, test_row);
    g_test_add_func("/snapshot-format/written", test_written);
    g_test_add_func("/snapshot-format/at-the-bounds", test_at_the_bounds);
    g_test_add_func("/snapshot-format/other-texts", test_other_texts);
    return g_test_run();
}
