/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both forms of vsoc_mem.json, and what is said of files that are neither.
 */
#include "launcher/config/layout-file.h"

#include "launcher/config/json-file.h"

#include "tests/support/rows.h"

#include <string.h>

#define ORIGIN "mem.json"

static JsonNode *parse_json(const char *text)
{
    g_autoptr(GError) error = NULL;
    JsonNode *root = cvd_json_parse(text, strlen(text), NULL, &error);

    g_assert_no_error(error);
    return root;
}

static GPtrArray *problems_new(void)
{
    return g_ptr_array_new_with_free_func(g_free);
}

static void show(const GPtrArray *problems)
{
    for (guint i = 0; i < problems->len; i++)
        g_test_message("%s", (const char *)problems->pdata[i]);
}

static GHashTable *no_overrides;
static GStringChunk *paths;

/* The root of a file, without options. */
static CvdPlace place_in(CvdReader *reader, const char *origin, GPtrArray *problems)
{
    *reader =
        (CvdReader){.problems = problems, .overrides = no_overrides, .paths = paths, .cwd = "/cwd"};
    return (CvdPlace){reader, origin, "/directory", "", 0};
}

static CvdLayoutFile *parse_at(const char *origin, JsonNode *root, GPtrArray *problems)
{
    CvdReader reader;
    CvdPlace place = place_in(&reader, origin, problems);

    return cvd_layout_file_parse(&place, root);
}

static CvdLayout *compute_at(const char *origin, const CvdLayoutFile *file, GPtrArray *problems)
{
    CvdReader reader;
    CvdPlace place = place_in(&reader, origin, problems);

    return cvd_layout_file_compute(file, &place, 0, CVD_PAGE_SIZE);
}

/* Returns: @result, of something that found no problems */
static gpointer without_problems(gpointer result, const GPtrArray *problems)
{
    show(problems);
    g_assert_cmpuint(problems->len, ==, 0);
    g_assert_nonnull(result);
    return result;
}

static CvdLayoutFile *parse(const char *text)
{
    g_autoptr(JsonNode) root = parse_json(text);
    g_autoptr(GPtrArray) problems = problems_new();

    return without_problems(parse_at(ORIGIN, root, problems), problems);
}

static CvdLayout *compute(const char *text)
{
    g_autoptr(CvdLayoutFile) file = parse(text);
    g_autoptr(GPtrArray) problems = problems_new();

    return without_problems(compute_at(ORIGIN, file, problems), problems);
}

static void test_current_form(void)
{
    g_autoptr(CvdLayout) layout = compute(
        "{\"vsoc_device_regions\": ["
        " {\"device_name\": \"hwcomposer\", \"current_version\": 7, \"min_compatible_version\": 6,"
        "  \"region_size\": 16384, \"guest_to_host_signal_table\": {\"num_nodes_lg2\": 2},"
        "  \"host_to_guest_signal_table\": {\"num_nodes_lg2\": 3}},"
        " {\"device_name\": \"manager\", \"region_size\": 4096, \"exclusive\": true},"
        " {\"device_name\": \"memory\", \"region_size\": 8192, \"managed_by\": \"manager\"}]}");
    const CvdLayoutRegion *r = layout->regions;

    g_assert_cmpuint(layout->n_regions, ==, 3);
    g_assert_cmpstr(r[0].name, ==, "hwcomposer");
    g_assert_cmpuint(r[0].current_version, ==, 7);
    g_assert_cmpuint(r[0].min_compatible_version, ==, 6);
    g_assert_cmpuint(r[0].end, ==, 20480);
    g_assert_cmpuint(r[0].guest_to_host.interrupt_signalled_offset, ==, 16);
    g_assert_cmpuint(r[0].host_to_guest.interrupt_signalled_offset, ==, 52);
    g_assert_cmpuint(r[2].managed_by, ==, 1);
    g_assert_true(r[1].is_exclusive);
    g_assert_false(r[0].is_exclusive || r[2].is_exclusive);
}

#define OLD_REGIONS                                                                                \
    "\"vsoc_device_regions\": ["                                                                   \
    " {\"__comment\": [1, {\"x\": null}], \"device_name\": \"misc\", \"current_version\": \"1\","  \
    "  \"min_compatible_version\": \"0\", \"region_begin_offset\": \"8192\","                      \
    "  \"region_end_offset\": \"16384\","                                                          \
    "  \"guest_to_host_signal_table\": {\"comment\": \"4 slots\", \"num_nodes_lg2\": \"2\"},"      \
    "  \"host_to_guest_signal_table\": {\"num_nodes_lg2\": 2}},"                                   \
    " {\"device_name\": \"first\", \"region_begin_offset\": 4096, \"region_end_offset\": 8192}]"

static void check_old_layout(const CvdLayout *layout, guint32 desc_offset, guint32 window_size)
{
    g_assert_cmpuint(layout->region_desc_offset, ==, desc_offset);
    g_assert_cmpuint(layout->window_size, ==, window_size);
    g_assert_cmpuint(layout->n_regions, ==, 2);
    g_assert_cmpstr(layout->regions[0].name, ==, "misc");
    g_assert_cmpuint(layout->regions[0].current_version, ==, 1);
    g_assert_cmpuint(layout->regions[0].begin, ==, 8192);
    g_assert_cmpuint(layout->regions[0].end, ==, 16384);
    g_assert_cmpuint(layout->regions[0].data_offset, ==, 40);
    g_assert_cmpuint(layout->regions[1].begin, ==, 4096);
}

static void test_2017_with_descriptor(void)
{
    g_autoptr(CvdLayout) layout =
        compute("{\"vsoc_shm_layout_descriptor\": {\"major_version\": \"2\", \"minor_version\": 0,"
                " \"size\": \"65536\", \"region_count\": \"2\","
                " \"vsoc_region_desc_offset\": \"48\", \"comment\": {}}," OLD_REGIONS "}");

    check_old_layout(layout, 48, 65536);
}

static void test_2017_top_level(void)
{
    g_autoptr(CvdLayout) layout =
        compute("{\"version\": 2, \"comment\": \"oldest\", \"size\": 32768, \"region_count\": 2,"
                " \"vsoc_region_desc_offset\": 16," OLD_REGIONS "}");

    check_old_layout(layout, 16, 32768);
}

static void test_2017_size_as_prose(void)
{
    g_autoptr(CvdLayout) layout = compute("{\"size\": \"the sum of 2 regions\"," OLD_REGIONS "}");

    check_old_layout(layout, 16, 16384);
}

static void test_2017_guest(void)
{
    g_autoptr(CvdLayoutFile) file =
        parse("{\"guest\": {\"__comment\": 1, \"vmm_path\": \"/opt/qemu\","
              " \"kernel_command_line\": [\"console=ttyS0\", \"quiet\"]}," OLD_REGIONS "}");

    g_assert_cmpstr(file->vmm_path, ==, "/opt/qemu");
    g_assert_cmpstr(file->kernel_command_line, ==, "console=ttyS0 quiet");
    g_autoptr(CvdLayoutFile) relative =
        parse("{\"guest\": {\"vmm_path\": \"bin/qemu\"}," OLD_REGIONS "}");
    g_assert_cmpstr(relative->vmm_path, ==, "/directory/bin/qemu");
    g_autoptr(CvdLayoutFile) none = parse("{" OLD_REGIONS "}");
    g_assert_null(none->vmm_path);
    g_assert_null(none->kernel_command_line);
}

/* One bad file: the whole of what is said, so that nothing follows that is nonsense. */
typedef struct {
    const char *name;
    const char *text;
    const char *path;
    const char *found;
    const char *allowed;
} BadFile;

static const BadFile bad[] = {
#define ONE(MEMBERS)                                                                               \
    "{\"vsoc_device_regions\": [{\"device_name\": \"misc\", \"region_size\": 4096, " MEMBERS "}]}"
#define WITH(MEMBERS)                                                                              \
    "{" MEMBERS ", \"vsoc_device_regions\": [{\"device_name\": \"a\", \"region_size\": 4096}]}"
    {"root-is-a-list", "[]", "", "a list", "an object"},
    {"no-regions", "{}", "vsoc_device_regions: ", "missing", "a list of regions"},
    {"regions-are-a-string", "{\"vsoc_device_regions\": \"x\"}", "vsoc_device_regions: ", "\"x\"",
     "a list of regions"},
    {"region-is-null", "{\"vsoc_device_regions\": [null]}", "vsoc_device_regions[0]: ", "null",
     "an object"},
    {"misspelt-regions", "{\"vsoc_device_region\": []}", "vsoc_device_region: ", "unknown key",
     "\"vsoc_device_regions\""},
    {"misspelt-size",
     "{\"vsoc_device_regions\": [{\"device_name\": \"a\", \"region_sise\": 4096}]}",
     "vsoc_device_regions[0].region_sise: ", "unknown key", "\"region_size\""},
    {"unprintable-key", WITH("\"a\\u001b[31m\": 1"), "a\\x1b[31m: ", "unknown key",
     "known are vsoc_device_regions, vsoc_shm_layout_descriptor, guest, version, major_version, "
     "minor_version, size, region_count, vsoc_region_desc_offset, comment, __comment"},
    {"misspelt-name",
     "{\"vsoc_device_regions\": [{\"devise_name\": \"a\", \"region_size\": 4096}]}",
     "vsoc_device_regions[0].devise_name: ", "unknown key", "\"device_name\""},
    {"size-is-prose",
     "{\"vsoc_device_regions\": [{\"device_name\": \"a\", \"region_size\": \"lots\"}]}",
     "vsoc_device_regions[0].region_size: found \"lots\"; expected a size from 4K to 2G",
     "an integer in bytes, or a string such as", "with K, M or G"},
    {"name-is-a-number", "{\"vsoc_device_regions\": [{\"device_name\": 5, \"region_size\": 4096}]}",
     "vsoc_device_regions[0].device_name: ", "found 5", "a string"},
    {"fraction", ONE("\"current_version\": 1.5"),
     "vsoc_device_regions[0].current_version: ", "found 1.5", "an integer from 0 to 65535"},
    {"boolean", ONE("\"current_version\": true"),
     "vsoc_device_regions[0].current_version: ", "found true", "an integer from 0 to 65535"},
    {"letters", ONE("\"current_version\": \"one\""),
     "vsoc_device_regions[0].current_version: ", "found \"one\"", "an integer from 0 to 65535"},
    {"plus", ONE("\"current_version\": \"+1\""),
     "vsoc_device_regions[0].current_version: ", "\"+1\"", "an integer from 0 to 65535"},
    {"empty-string", ONE("\"current_version\": \"\""),
     "vsoc_device_regions[0].current_version: ", "\"\"", "an integer from 0 to 65535"},
    {"huge-string",
     ONE("\"guest_to_host_signal_table\": {\"num_nodes_lg2\": "
         "\"99999999999999999999\"}"),
     "vsoc_device_regions[0].guest_to_host_signal_table.num_nodes_lg2: ", "99999999999999999999",
     "an integer from 0 to 16"},
    {"least-integer", ONE("\"region_end_offset\": \"-9223372036854775808\""),
     "vsoc_device_regions[0].region_end_offset: ", "-9223372036854775808",
     "an integer from 0 to 2147483648"},
    {"table-is-a-number", ONE("\"host_to_guest_signal_table\": 2"),
     "vsoc_device_regions[0].host_to_guest_signal_table: ", "found 2", "an object"},
    {"broken-version-is-no-version-0",
     ONE("\"current_version\": \"x\", \"min_compatible_version\": 1"),
     "vsoc_device_regions[0].current_version: ", "\"x\"", "an integer from 0 to 65535"},
    {"descriptor-is-a-list", WITH("\"vsoc_shm_layout_descriptor\": []"),
     "vsoc_shm_layout_descriptor: ", "a list", "an object"},
    {"region-count-twice",
     WITH("\"region_count\": 1, \"vsoc_shm_layout_descriptor\": {\"region_count\": 2}"),
     "vsoc_shm_layout_descriptor.region_count: ", "1 was given before", "keep one"},
    {"major-version-huge", WITH("\"major_version\": 65536"), "major_version: ", "65536",
     "an integer from 0 to 65535"},
    {"version-is-an-object", WITH("\"version\": {}"), "version: ", "an object", "a version"},
    {"size-is-a-boolean", WITH("\"size\": true"), "size: ", "true",
     "an integer from 0 to 2147483648"},
    {"guest-is-a-string", WITH("\"guest\": \"linux\""), "guest: ", "\"linux\"", "an object"},
    {"emulator-is-empty", WITH("\"guest\": {\"vmm_path\": \"\"}"), "guest.vmm_path: ", "\"\"",
     "a name or a path"},
    {"command-line-is-a-string", WITH("\"guest\": {\"kernel_command_line\": \"quiet\"}"),
     "guest.kernel_command_line: ", "\"quiet\"", "a list of strings"},
    {"command-line-has-a-number", WITH("\"guest\": {\"kernel_command_line\": [\"a\", 1]}"),
     "guest.kernel_command_line[1]: ", "found 1", "a string"},
    {"python-prototype-qemu", WITH("\"qemu\": {}"), "qemu: ", "unknown key", "vsoc_device_regions"},
    {"python-prototype-num-nodes", ONE("\"guest_to_host_signal_table\": {\"num_nodes\": 4}"),
     "vsoc_device_regions[0].guest_to_host_signal_table.num_nodes: ", "unknown key",
     "num_nodes_lg2"},
    {"python-prototype-offset", ONE("\"offset\": 4096"),
     "vsoc_device_regions[0].offset: ", "unknown key", "region_begin_offset"},
    {"python-prototype",
     "{\"qemu\": {}, \"vsoc_device_regions\": [{\"device_name\": \"a\", \"offset\": 4096,"
     " \"guest_to_host_signal_table\": {\"num_nodes\": 4}},"
     " {\"device_name\": \"b\", \"offset\": 8192, \"size\": 5}]}",
     "", "of the Python prototype", "another format"},
};

static void test_bad_file(gconstpointer data)
{
    const BadFile *row = data;
    g_autoptr(JsonNode) root = parse_json(row->text);
    g_autoptr(GPtrArray) problems = problems_new();
    g_autofree char *start = g_strdup_printf("%s: %s", ORIGIN, row->path);

    g_assert_null(parse_at(ORIGIN, root, problems));
    show(problems);
    g_assert_cmpuint(problems->len, ==, 1);
    const char *problem = problems->pdata[0];
    g_assert_true(g_str_has_prefix(problem, start));
    g_assert_nonnull(strstr(problem + strlen(start), row->found));
    g_assert_nonnull(strstr(problem + strlen(start), row->allowed));
}

/* Problems of the reading and of the rules come together. */
static void test_all_problems_at_once(void)
{
    g_autoptr(JsonNode) root =
        parse_json("{\"colour\": 1, \"vsoc_device_regions\": ["
                   " {\"device_name\": \"a\", \"region_size\": 5000, \"current_version\": []},"
                   " {\"device_name\": \"a/b\", \"region_size\": 4096}], \"region_count\": 3}");
    g_autoptr(GPtrArray) problems = problems_new();
    g_autoptr(GString) all = g_string_new(NULL);

    g_assert_null(parse_at(ORIGIN, root, problems));
    show(problems);
    for (guint i = 0; i < problems->len; i++)
        g_string_append_printf(all, "%s\n", (char *)problems->pdata[i]);
    g_assert_cmpuint(problems->len, ==, 5);
    g_assert_nonnull(strstr(all->str, ORIGIN ": colour: unknown key"));
    g_assert_nonnull(strstr(all->str, ORIGIN ": vsoc_device_regions[0].current_version: found"));
    g_assert_nonnull(strstr(all->str, ORIGIN ": vsoc_device_regions[0].region_size: 5000 is not a "
                                             "multiple of 4096; the next is 8192"));
    g_assert_nonnull(strstr(all->str, ORIGIN ": vsoc_device_regions[1].device_name: "));
    g_assert_nonnull(strstr(all->str, ORIGIN ": region_count: 3"));
}

static void check_rule_problem(const char *text, const char *expected)
{
    g_autoptr(CvdLayoutFile) file = parse(text);
    g_autoptr(GPtrArray) problems = problems_new();

    g_assert_null(compute_at(ORIGIN, file, problems));
    show(problems);
    g_assert_cmpuint(problems->len, ==, 1);
    g_assert_true(g_str_has_prefix(problems->pdata[0], expected));
}

static void test_paths_of_rules(void)
{
    check_rule_problem(ONE("\"current_version\": \"65536\""),
                       ORIGIN ": vsoc_device_regions[0].current_version: 65536 ");
    check_rule_problem(WITH("\"region_count\": 2"), ORIGIN ": region_count: 2 ");
    check_rule_problem(WITH("\"vsoc_shm_layout_descriptor\": {\"region_count\": 2}"),
                       ORIGIN ": vsoc_shm_layout_descriptor.region_count: 2 ");
    check_rule_problem(WITH("\"vsoc_shm_layout_descriptor\": {\"size\": \"-1\"}"),
                       ORIGIN ": vsoc_shm_layout_descriptor.size: -1 ");
    check_rule_problem("{\"vsoc_shm_layout_descriptor\": {}, \"vsoc_device_regions\": []}",
                       ORIGIN ": vsoc_device_regions: ");
}

static void test_window_size_and_granule_of_the_configuration(void)
{
    g_autoptr(CvdLayoutFile) file = parse(ONE("\"current_version\": 0"));
    g_autoptr(GPtrArray) problems = problems_new();
    CvdReader reader;
    CvdPlace place = place_in(&reader, ORIGIN, problems);
    g_autoptr(CvdLayout) layout = cvd_layout_file_compute(file, &place, 5000000, 2097152);

    g_assert_nonnull(layout);
    g_assert_cmpuint(layout->window_size, ==, 8388608);
    g_assert_cmpuint(layout->regions[0].begin, ==, 2097152);
}

/* The log of one computation. */
static GString *captured;

static GLogWriterOutput capture(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
                                gpointer data)
{
    if ((level & (G_LOG_LEVEL_WARNING | G_LOG_LEVEL_MESSAGE)) == 0 || captured == NULL)
        return g_log_writer_default(level, fields, n_fields, data);
    for (gsize i = 0; i < n_fields; i++)
        if (strcmp(fields[i].key, "MESSAGE") == 0)
            g_string_append_printf(captured, "%s%s\n",
                                   level & G_LOG_LEVEL_WARNING ? "warning: " : "note: ",
                                   (const char *)fields[i].value);
    return G_LOG_WRITER_HANDLED;
}

static char *log_of(const char *text, guint n_vcpus)
{
    g_autoptr(CvdLayoutFile) file = parse(text);
    g_autoptr(GPtrArray) problems = problems_new();

    CvdReader reader;
    CvdPlace place = place_in(&reader, ORIGIN, problems);
    g_autoptr(CvdLayout) layout = compute_at(ORIGIN, file, problems);
    g_assert_nonnull(layout);
    captured = g_string_new(NULL);
    cvd_layout_file_advise(file, &place, layout, n_vcpus);
    return g_string_free(g_steal_pointer(&captured), FALSE);
}

static void test_other_version_is_noted(void)
{
    g_autofree char *old = log_of(WITH("\"major_version\": \"1\", \"minor_version\": 3"), 1);
    g_autofree char *oldest = log_of(WITH("\"version\": \"0.9\""), 1);
    g_autofree char *same = log_of(WITH("\"major_version\": 2, \"minor_version\": \"0\""), 1);
    g_autofree char *none = log_of(ONE("\"comment\": 1"), 1);

    g_assert_true(g_str_has_prefix(old, "note: " ORIGIN ": "));
    g_assert_nonnull(strstr(old, "1.3"));
    g_assert_nonnull(strstr(oldest, "0.9"));
    g_assert_cmpstr(same, ==, "");
    g_assert_cmpstr(none, ==, "");
}

static char *many_regions(guint n)
{
    GString *text = g_string_new("{\"vsoc_device_regions\": [");

    for (guint i = 0; i < n; i++)
        g_string_append_printf(text, "%s{\"device_name\": \"r%u\", \"region_size\": 4096}",
                               i > 0 ? "," : "", i);
    g_string_append(text, "]}");
    return g_string_free(text, FALSE);
}

static void test_warning_of_too_many_interrupts(void)
{
    g_autofree char *few = many_regions(190);
    g_autofree char *many = many_regions(191);
    g_autofree char *log_few = log_of(few, 1);
    g_autofree char *log_many = log_of(many, 1);
    g_autofree char *log_vcpus = log_of(many, 2);

    g_assert_cmpstr(log_few, ==, "");
    g_assert_true(g_str_has_prefix(log_many, "warning: "));
    g_assert_nonnull(strstr(log_many, "2 vCPUs"));
    g_assert_cmpstr(log_vcpus, ==, "");
}

static void test_warning_of_names_in_dev(void)
{
    static const char *const taken[] = {"null", "zero",   "kmsg",  "console", "tty",  "ttyS0",
                                        "mem",  "random", "input", "loop0",   "vcsa", NULL};
    static const char *const free_names[] = {"sensors",  "nullx", "memory", "rammer",
                                             "randomly", "misc",  NULL};

    for (guint i = 0; taken[i] != NULL; i++) {
        g_autofree char *text = g_strdup_printf(
            "{\"vsoc_device_regions\": [{\"device_name\": \"%s\", \"region_size\": 4096}]}",
            taken[i]);
        g_autofree char *log = log_of(text, 1);
        g_assert_true(g_str_has_prefix(log, "warning: "));
        g_assert_nonnull(strstr(log, "device_name"));
        g_assert_nonnull(strstr(log, taken[i]));
    }
    for (guint i = 0; free_names[i] != NULL; i++) {
        g_autofree char *text = g_strdup_printf(
            "{\"vsoc_device_regions\": [{\"device_name\": \"%s\", \"region_size\": 4096}]}",
            free_names[i]);
        g_autofree char *log = log_of(text, 1);
        g_assert_cmpstr(log, ==, "");
    }
}

static gboolean is_accepted(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = cvd_json_load(path, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(GPtrArray) problems = problems_new();
    g_autoptr(CvdLayoutFile) file = parse_at(path, root, problems);
    g_autoptr(CvdLayout) layout = file != NULL ? compute_at(path, file, problems) : NULL;
    CvdReader reader;
    CvdPlace place = place_in(&reader, path, problems);
    if (layout != NULL)
        cvd_layout_file_advise(file, &place, layout, 16);

    show(problems);
    g_assert_true((layout == NULL) == (problems->len > 0));
    return layout != NULL;
}

static void test_default_layout(void)
{
    g_autofree char *path =
        g_test_build_filename(G_TEST_DIST, "..", "..", "conf", "vsoc_mem.json", NULL);

    g_assert_true(is_accepted(path));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_writer_func(capture, NULL, NULL);
    no_overrides = g_hash_table_new(NULL, NULL);
    paths = g_string_chunk_new(1024);
    g_test_add_func("/layout-file/current-form", test_current_form);
    g_test_add_func("/layout-file/2017-with-descriptor", test_2017_with_descriptor);
    g_test_add_func("/layout-file/2017-top-level", test_2017_top_level);
    g_test_add_func("/layout-file/2017-size-as-prose", test_2017_size_as_prose);
    g_test_add_func("/layout-file/2017-guest", test_2017_guest);
    test_add_rows(g_test_add_data_func, "/layout-file/bad/", bad, test_bad_file);
    g_test_add_func("/layout-file/all-problems-at-once", test_all_problems_at_once);
    g_test_add_func("/layout-file/paths-of-rules", test_paths_of_rules);
    g_test_add_func("/layout-file/window-size-and-granule-of-the-configuration",
                    test_window_size_and_granule_of_the_configuration);
    g_test_add_func("/layout-file/other-version-is-noted", test_other_version_is_noted);
    g_test_add_func("/layout-file/warning-of-too-many-interrupts",
                    test_warning_of_too_many_interrupts);
    g_test_add_func("/layout-file/warning-of-names-in-dev", test_warning_of_names_in_dev);
    g_test_add_func("/layout-file/default-layout", test_default_layout);
    int status = g_test_run();
    g_hash_table_unref(no_overrides);
    g_string_chunk_free(paths);
    return status;
}
