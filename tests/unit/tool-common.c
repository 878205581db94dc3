/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of cvd-client, the suggestion of a region, and the bar.
 */
#include "base/progress.h"
#include "client/tool/tool.h"

#include <string.h>

static void test_numbers(void)
{
    static const struct {
        const char *text;
        guint min;
        guint max;
        gboolean is_good;
        guint value;
    } rows[] = {
        {"0", 0, 10, TRUE, 0},
        {"10", 0, 10, TRUE, 10},
        {"11", 0, 10, FALSE, 0},
        {"1", 2, 10, FALSE, 0},
        {"0x28", 0, G_MAXUINT32, TRUE, 40},
        {"0XfF", 0, G_MAXUINT32, TRUE, 255},
        {"010", 0, G_MAXUINT32, TRUE, 10}, /* no octal numbers */
        {"4294967295", 0, G_MAXUINT32, TRUE, G_MAXUINT32},
        {"4294967296", 0, G_MAXUINT32, FALSE, 0},
        {"0x100000000", 0, G_MAXUINT32, FALSE, 0},
        {"99999999999999999999", 0, G_MAXUINT32, FALSE, 0},
        {"", 0, 10, FALSE, 0},
        {"0x", 0, 10, FALSE, 0},
        {"0x0x1", 0, 10, FALSE, 0},
        {" 1", 0, 10, FALSE, 0},
        {"1 ", 0, 10, FALSE, 0},
        {"+1", 0, 10, FALSE, 0},
        {"-1", 0, G_MAXUINT32, FALSE, 0},
        {"1k", 0, 10, FALSE, 0},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        guint value = 0;
        g_test_message("'%s'", rows[i].text);
        g_assert_true(cvd_tool_parse_number(rows[i].text, "COUNT", rows[i].min, rows[i].max, &value,
                                            &error) == rows[i].is_good);
        g_assert_cmpuint(value, ==, rows[i].value);
        if (!rows[i].is_good) {
            g_assert_true(error->domain == G_OPTION_ERROR);
            g_assert_true(g_str_has_prefix(error->message, "COUNT '"));
        }
    }
}

static void test_seconds(void)
{
    static const struct {
        const char *text;
        gboolean is_good;
        guint ms;
    } rows[] = {
        {"0", TRUE, 0},      {"1", TRUE, 1000},    {"0.25", TRUE, 250}, {"0.0001", TRUE, 1},
        {"60", TRUE, 60000}, {"60.001", FALSE, 0}, {"-1", FALSE, 0},    {"nan", FALSE, 0},
        {"inf", FALSE, 0},   {"", FALSE, 0},       {"1s", FALSE, 0},    {" 1", FALSE, 0},
        {"1,5", FALSE, 0},   {"1e9", FALSE, 0},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        guint ms = 0;
        g_test_message("'%s'", rows[i].text);
        g_assert_true(cvd_tool_parse_seconds(rows[i].text, "--timeout", 60, &ms, &error) ==
                      rows[i].is_good);
        g_assert_cmpuint(ms, ==, rows[i].ms);
        g_assert_true(rows[i].is_good || error->domain == G_OPTION_ERROR);
    }
}

static GArray *make_regions(guint n)
{
    GArray *regions = g_array_new(FALSE, TRUE, sizeof(CvdRegionInfo));
    for (guint i = 0; i < n; i++) {
        CvdRegionInfo info = {0};
        g_snprintf(info.name, sizeof info.name, "region%u", i);
        g_array_append_val(regions, info);
    }
    return regions;
}

static void assert_unknown(GArray *regions, const char *name, const char *expected)
{
    g_autoptr(GError) error = NULL;
    guint index;
    g_assert_false(cvd_tool_find_region(regions, name, &index, &error));
    g_assert_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_UNKNOWN_REGION);
    g_assert_cmpstr(error->message, ==, expected);
}

static void test_find_region(void)
{
    g_autoptr(GArray) two = make_regions(2);
    guint index;
    g_assert_true(cvd_tool_find_region(two, "region1", &index, NULL));
    g_assert_cmpuint(index, ==, 1);
    assert_unknown(two, "reigon1",
                   "no region 'reigon1'; did you mean 'region1'? the instance has: region0, "
                   "region1");
    assert_unknown(two, "\n", "no region '\\n'; the instance has: region0, region1");
}

/* Sixteen names are told, further ones counted. */
static void test_many_names(void)
{
    static const guint counts[] = {16, 17};
    for (guint i = 0; i < G_N_ELEMENTS(counts); i++) {
        g_autoptr(GArray) regions = make_regions(counts[i]);
        g_autoptr(GError) error = NULL;
        guint index;
        g_assert_false(cvd_tool_find_region(regions, "x", &index, &error));
        g_assert_true(g_str_has_suffix(
            error->message, i == 0 ? ", region15" : ", region15 and 1 more, see cvd-client list"));
    }
}

static void test_bar(void)
{
    static const struct {
        guint64 done;
        guint64 total;
        guint columns;
        const char *expected;
    } rows[] = {
        {0, 100, 80, "x [..............................]   0%"},
        {50, 100, 80, "x [###############...............]  50%"},
        {99, 100, 80, "x [#############################.]  99%"},
        {100, 100, 80, "x [##############################] 100%"},
        {101, 100, 80, "x [##############################] 100%"},
        {7, 0, 80, "x 7"},
        {50, 100, 40, "x [###############...............]  50%"},
        {50, 100, 39, "x [##############...............]  50%"},
        {50, 100, 12, "x [#.]  50%"},
        {50, 100, 10, "x []  50%"},
        {50, 100, 9, "x []  50"},
        {123, 0, 5, "x 12"},
        {123, 0, 1, "x"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line =
            cvd_progress_format("x", rows[i].done, rows[i].total, rows[i].columns);
        g_assert_cmpstr(line, ==, rows[i].expected);
    }
    g_autofree char *long_label = g_strnfill(200, 'x');
    g_autofree char *with_bar = cvd_progress_format(long_label, 1, 1, 80);
    g_autofree char *without = cvd_progress_format(long_label, G_MAXUINT64, 0, 80);
    g_assert_cmpuint(strlen(with_bar), <=, 79);
    g_assert_cmpuint(strlen(without), <=, 79);
}

/* What another user's instance says, on root's terminal. */
static void test_json_for_a_terminal(void)
{
    g_autofree char *text = cvd_tool_format_json("{'a': <%s>}", "\x1b[31m\xc2\x9b\x7f\xc3\xa9\n");

    g_assert_cmpstr(text, ==, "{\"a\":\"\\u001b[31m\\u009b\\u007f\xc3\xa9\\n\"}");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tool-common/numbers", test_numbers);
    g_test_add_func("/tool-common/seconds", test_seconds);
    g_test_add_func("/tool-common/find-region", test_find_region);
    g_test_add_func("/tool-common/many-names", test_many_names);
    g_test_add_func("/tool-common/json-for-a-terminal", test_json_for_a_terminal);
    g_test_add_func("/tool-common/bar", test_bar);
    return g_test_run();
}
