/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three ways to show a window. The C header is given to compilers, which compare its numbers
 * with those that follow from the specification.
 */
#include "launcher/config/layout-print.h"

#include "base/json.h"
#include "tests/unit/layout-spec.h"

#include <glib/gstdio.h>
#include <string.h>

/* Names that come out alike as identifiers, among them one that looks like another's way out. */
static CvdLayout *make_layout(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    test_add_region(spec, "a-b", 4096);
    test_add_whole_region(spec, "a.b", 16384, 65535, 3, 2, 3)->is_exclusive = TRUE;
    test_add_region(spec, "A_B_1", 8192)->managed_by = g_strdup("a.b");
    test_add_region(spec, "9-", 4096);
    test_add_region(spec, "int", 4096);
    return test_compute_layout(spec);
}

static CvdLayout *make_large_layout(guint n)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    for (guint i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("fifteen-of_%04u", i);
        test_add_region(spec, name, 4096)->is_exclusive = i % 2 != 0;
    }
    return test_compute_layout(spec);
}

static void check_width(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        g_assert_cmpint(g_utf8_strlen(lines[i], -1), <=, 100);
        g_assert_false(g_str_has_suffix(lines[i], " "));
    }
}

static void test_text(void)
{
    g_autoptr(CvdLayout) layout = make_layout();
    g_autofree char *text = cvd_layout_to_text(layout);

    check_width(text);
    /* 4096 of descriptors and 36864 of regions are 40K; the window is 64K. */
    g_assert_true(
        g_str_has_prefix(text, "window 64K (65536 bytes): 5 regions, 40K used, 24K free"));
    g_assert_nonnull(strstr(text, "0x00002000-0x00006000")); /* a.b */
    g_assert_nonnull(strstr(text, "+0x38"));                 /* its data: 4 + 1 + 8 + 1 words */
    g_assert_nonnull(strstr(text, "4/8"));
    g_assert_nonnull(strstr(text, "65535/3"));
    g_assert_nonnull(strstr(text, "  a.b\n")); /* who manages A_B_1 */
    g_assert_nonnull(strstr(text, "  a.b* "));
    g_assert_nonnull(strstr(text, "  a-b "));
}

/* Column by column: where "begin-end" stands in the head, every row has its offset. */
static void test_text_is_aligned(void)
{
    static const guint numbers[] = {1, 4, 2048};

    for (guint k = 0; k < G_N_ELEMENTS(numbers); k++) {
        g_autoptr(CvdLayout) layout = make_large_layout(numbers[k]);
        g_autofree char *text = cvd_layout_to_text(layout);
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        const char *head = strstr(lines[2], "begin-end");
        check_width(text);
        g_assert_nonnull(head);
        gsize column = (gsize)(head - lines[2]);
        guint n_rows = 0;
        for (guint i = 3; *lines[i] != '\0'; i++, n_rows++)
            g_assert_true(g_str_has_prefix(lines[i] + column, "0x"));
        g_assert_cmpuint(n_rows, ==, numbers[k]);
    }
}

static void test_json(void)
{
    g_autoptr(CvdLayout) layout = make_layout();
    g_autofree char *text = cvd_layout_to_json(layout);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = cvd_json_parse(text, strlen(text), NULL, &error);

    g_assert_no_error(error);
    JsonObject *object = json_node_get_object(root);
    g_assert_cmpint(json_object_get_int_member(object, "window_size"), ==, 65536);
    g_assert_cmpint(json_object_get_int_member(object, "vsoc_region_desc_offset"), ==, 16);
    g_assert_cmpint(json_object_get_int_member(object, "region_count"), ==, 5);
    JsonArray *regions = json_object_get_array_member(object, "regions");
    g_assert_cmpuint(json_array_get_length(regions), ==, 5);

    JsonObject *region = json_array_get_object_element(regions, 1);
    g_assert_cmpstr(json_object_get_string_member(region, "device_name"), ==, "a.b");
    g_assert_cmpint(json_object_get_int_member(region, "index"), ==, 1);
    g_assert_cmpint(json_object_get_int_member(region, "current_version"), ==, 65535);
    g_assert_cmpint(json_object_get_int_member(region, "min_compatible_version"), ==, 3);
    g_assert_cmpint(json_object_get_int_member(region, "region_begin_offset"), ==, 8192);
    g_assert_cmpint(json_object_get_int_member(region, "region_end_offset"), ==, 24576);
    g_assert_cmpint(json_object_get_int_member(region, "region_size"), ==, 16384);
    g_assert_cmpint(json_object_get_int_member(region, "offset_of_region_data"), ==, 56);
    g_assert_true(json_object_get_null_member(region, "managed_by"));
    g_assert_true(json_object_get_boolean_member(region, "exclusive"));
    JsonObject *table = json_object_get_object_member(region, "host_to_guest_signal_table");
    g_assert_cmpint(json_object_get_int_member(table, "num_nodes_lg2"), ==, 3);
    g_assert_cmpint(json_object_get_int_member(table, "futex_uaddr_table_offset"), ==, 20);
    g_assert_cmpint(json_object_get_int_member(table, "interrupt_signalled_offset"), ==, 52);

    region = json_array_get_object_element(regions, 2);
    g_assert_cmpstr(json_object_get_string_member(region, "managed_by"), ==, "a.b");
    g_assert_false(json_object_get_boolean_member(region, "exclusive"));
}

static void test_json_of_most_regions(void)
{
    g_autoptr(CvdLayout) layout = make_large_layout(2048);
    g_autofree char *text = cvd_layout_to_json(layout);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;

    g_assert_true(json_parser_load_from_data(parser, text, -1, &error));
    g_assert_no_error(error);
    JsonObject *object = json_node_get_object(json_parser_get_root(parser));
    JsonArray *regions = json_object_get_array_member(object, "regions");
    g_assert_cmpuint(json_array_get_length(regions), ==, 2048);
}

/* What a program that includes the header twice may count on. */
static const char user[] =
    "#include \"layout.h\"\n"
    "#include \"layout.h\"\n"
    "CVD_STATIC_ASSERT(CVD_WINDOW_SIZE == 65536, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_REGION_DESC_OFFSET == 16, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_REGION_COUNT == 5, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_INDEX_A_B == 0 && CVD_BEGIN_A_B == 4096, \"\");\n"
    /* The second A_B gets its index, twice, as A_B_1 is the third's own. */
    "CVD_STATIC_ASSERT(CVD_INDEX_A_B_1 == 2 && CVD_INDEX_A_B_1_1 == 1, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_BEGIN_A_B_1_1 == 8192 && CVD_END_A_B_1_1 == 24576, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_SIZE_A_B_1_1 == 16384 && CVD_DATA_A_B_1_1 == 56, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_VERSION_A_B_1_1 == 65535 && CVD_MIN_VERSION_A_B_1_1 == 3, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_G2H_NODES_LG2_A_B_1_1 == 2, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_G2H_TABLE_A_B_1_1 == 0, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_G2H_SIGNALLED_A_B_1_1 == 16, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_H2G_NODES_LG2_A_B_1_1 == 3, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_H2G_TABLE_A_B_1_1 == 20, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_H2G_SIGNALLED_A_B_1_1 == 52, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_MANAGED_BY_A_B_1 == 1 && CVD_MANAGED_BY_A_B == 0, \"\");\n"
    "CVD_STATIC_ASSERT(sizeof(CVD_NAME_A_B) == 4, \"\");\n"
    "CVD_STATIC_ASSERT(CVD_INDEX_9_ == 3 && CVD_INDEX_INT == 4, \"\");\n"
    "CVD_STATIC_ASSERT(sizeof(struct vsoc_device_region) == 60, \"\");\n"
    "int main(void)\n{\n    return 0;\n}\n";

/* A folder with layout.h and user.c, for compilers. */
typedef struct {
    char *folder;
    char *header;
    char *source;
} Files;

static void files_set_up(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdLayout) layout = make_layout();
    g_autofree char *text = cvd_layout_to_c_header(layout);

    files->folder = g_dir_make_tmp("cvd-layout-XXXXXX", &error);
    g_assert_no_error(error);
    files->header = g_build_filename(files->folder, "layout.h", NULL);
    files->source = g_build_filename(files->folder, "user.c", NULL);
    g_assert_true(g_file_set_contents(files->header, text, -1, &error));
    g_assert_true(g_file_set_contents(files->source, user, -1, &error));
}

static void files_tear_down(Files *files, gconstpointer data)
{
    g_assert_no_errno(g_unlink(files->header));
    g_assert_no_errno(g_unlink(files->source));
    g_assert_no_errno(g_rmdir(files->folder));
    g_free(files->header);
    g_free(files->source);
    g_free(files->folder);
}

static int compile(const Files *files, const char *compiler, const char *options)
{
    g_autofree char *command = g_strdup_printf(
        "%s -fsyntax-only -Wall -Wextra -Werror -pedantic %s %s", compiler, options, files->source);
    g_autofree char *errors = NULL;
    g_autoptr(GError) error = NULL;
    int status = -1;

    g_assert_true(g_spawn_command_line_sync(command, NULL, &errors, &status, &error));
    g_assert_no_error(error);
    if (*errors != '\0')
        g_test_message("%s: %s", command, errors);
    return status;
}

/* The compiler that the project is built with comes from the build; the others if they are there.
 */
static void test_c_header_compiles(Files *files, gconstpointer data)
{
    const char *const *compiler = data;
    const char *command = compiler[0] != NULL ? compiler[0] : g_getenv("CVD_TEST_CC");

    g_autofree char *found = command != NULL ? g_find_program_in_path(command) : NULL;
    if (compiler[0] != NULL && found == NULL) {
        g_test_skip("this compiler is not installed");
        return;
    }
    g_assert_cmpint(compile(files, command != NULL ? command : "cc", compiler[1]), ==, 0);
}

/* The test itself can fail: a wrong number is seen. */
static void test_c_header_with_a_wrong_number(Files *files, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *wrong =
        g_strdup_printf("%sCVD_STATIC_ASSERT(CVD_BEGIN_INT == 1, \"\");\n", user);
    const char *command = g_getenv("CVD_TEST_CC");

    g_assert_true(g_file_set_contents(files->source, wrong, -1, &error));
    g_assert_cmpint(compile(files, command != NULL ? command : "cc", "-std=c11"), !=, 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        const char *compiler[2];
    } compilers[] = {
        {"own", {NULL, "-std=c11"}},
        {"gcc", {"gcc", "-std=c11"}},
        {"clang", {"clang", "-std=c11"}},
        {"g++", {"g++", "-x c++ -std=c++11"}},
        {"clang++", {"clang++", "-x c++ -std=c++11"}},
    };

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/layout-print/text", test_text);
    g_test_add_func("/layout-print/text-is-aligned", test_text_is_aligned);
    g_test_add_func("/layout-print/json", test_json);
    g_test_add_func("/layout-print/json-of-most-regions", test_json_of_most_regions);
    for (guint i = 0; i < G_N_ELEMENTS(compilers); i++) {
        g_autofree char *path = g_strdup_printf("/layout-print/c-header/%s", compilers[i].name);
        g_test_add(path, Files, compilers[i].compiler, files_set_up, test_c_header_compiles,
                   files_tear_down);
    }
    g_test_add("/layout-print/c-header/with-a-wrong-number", Files, NULL, files_set_up,
               test_c_header_with_a_wrong_number, files_tear_down);
    return g_test_run();
}
