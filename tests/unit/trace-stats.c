/* SPDX-License-Identifier: Apache-2.0 */
/* What records add up to, and the picture of them. */
#include "client/tool/trace-stats.h"
#include "client/tool/trace-timeline.h"

#include <stdlib.h>
#include <string.h>

#define START_NS 1000

static CvdTraceHeader make_header(guint n_regions)
{
    CvdTraceHeader header = {
        .start_ns = START_NS,
        .n_regions = n_regions,
        .names = g_malloc0_n(n_regions, CVD_TRACE_NAME_SIZE),
    };

    for (guint i = 0; i < n_regions; i++)
        g_snprintf(header.names[i], CVD_TRACE_NAME_SIZE, "r%u<&>", i);
    return header;
}

/* @word: such as `g1×3@1500`: to the guest (h: host, c: cleared, l: lost), region 1, count 3, ns */
static CvdTraceRecord parse(const char *word, guint64 sequence)
{
    static const char letters[] = "ghcl"; /* in the order of CvdTraceKind */
    const char *count = strstr(word, "×"), *at = strchr(word, '@');

    g_assert_nonnull(at);
    return (CvdTraceRecord){
        .sequence = sequence,
        .time_ns = g_ascii_strtoull(at + 1, NULL, 10),
        .count = count != NULL ? g_ascii_strtoull(count + strlen("×"), NULL, 10) : 1,
        .region = (guint)atoi(word + 1),
        .kind = (CvdTraceKind)(strchr(letters, word[0]) - letters),
    };
}

static CvdTraceStats *add_up(const CvdTraceHeader *header, const char *text, guint64 first)
{
    CvdTraceStats *stats = cvd_trace_stats_new(header);
    g_auto(GStrv) words = g_strsplit(text, " ", -1);

    for (guint i = 0; words[i] != NULL && *words[i] != '\0'; i++) {
        CvdTraceRecord record = parse(words[i], first + i);
        cvd_trace_stats_add(stats, &record);
    }
    return stats;
}

/* Returns: such as `4/2(10..30)`: four rings in two records, answered after 10 to 30 ns */
static char *describe(const CvdTraceDirection *direction)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%ju/%ju", direction->n_rings, direction->n_records);
    if (direction->answers != NULL)
        g_string_append_printf(text, "(%ju: %ju..%ju)", direction->answers->count,
                               direction->answers->min, direction->answers->max);
    return g_string_free(text, FALSE);
}

static void test_answers(void)
{
    static const struct {
        const char *records;
        const char *to_guest; /* of region 0 */
        const char *to_host;
    } rows[] = {
        {"", "0/0", "0/0"},
        {"g0@1010", "1/1", "0/0"},
        {"g0@1010 h0@1030", "1/1(1: 20..20)", "1/1"},
        {"h0@1010 g0@1030", "1/1", "1/1(1: 20..20)"},
        /* To and fro: each is an answer, and asks for one. */
        {"g0@1010 h0@1030 g0@1035 h0@1065", "2/2(2: 20..30)", "2/2(1: 5..5)"},
        /* Of several without an answer the first counts. */
        {"g0@1010 g0@1020 h0@1030", "2/2(1: 20..20)", "1/1"},
        {"g0@1010 h0@1030 h0@1040 g0@1050", "2/2(1: 20..20)", "2/2(1: 20..20)"},
        /* Several at once. */
        {"g0×3@1010 h0×2@1030", "3/1(1: 20..20)", "2/1"},
        /* At the same moment. */
        {"g0@1010 h0@1010", "1/1(1: 0..0)", "1/1"},
        /* Not what another region does. */
        {"g0@1010 h1@1020 h0@1030", "1/1(1: 20..20)", "1/1"},
        {"g0@1010 h1@1020", "1/1", "0/0"},
        /* Not across a restart, or where something is missing. */
        {"g0@1010 c0@1020 h0@1030", "1/1", "1/1"},
        {"g0@1010 l0×7@1020 h0@1030", "1/1", "1/1"},
        {"g0@1010 c0@1020 g0@1030 h0@1045", "2/2(1: 15..15)", "1/1"},
        /* A file can say anything. */
        {"g0@1010 h0@1000", "1/1(1: 0..0)", "1/1"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(CvdTraceHeader) header = make_header(2);
        g_autoptr(CvdTraceStats) stats = add_up(&header, rows[i].records, 0);
        const CvdTraceDirection *directions = stats->regions[0].directions;
        g_autofree char *to_guest = describe(&directions[CVD_TRACE_TO_GUEST]);
        g_autofree char *to_host = describe(&directions[CVD_TRACE_TO_HOST]);
        g_assert_cmpstr(to_guest, ==, rows[i].to_guest);
        g_assert_cmpstr(to_host, ==, rows[i].to_host);
    }
}

static void test_sums(void)
{
    g_auto(CvdTraceHeader) header = make_header(3);
    g_autoptr(CvdTraceStats) stats = add_up(
        &header, "g0@500001000 c0@1000000000 h2×5@1500000000 l0×9@1800000000 h2@2000001000", 0);

    g_assert_cmpuint(stats->n_records, ==, 5);
    g_assert_cmpuint(stats->n_lost, ==, 9);
    g_assert_cmpuint(stats->n_cleared, ==, 1);
    g_assert_cmpfloat(cvd_trace_stats_get_seconds(stats), ==, 2);
    g_assert_cmpfloat(
        cvd_trace_stats_get_rate(stats, &stats->regions[2].directions[CVD_TRACE_TO_HOST]), ==, 3);
    g_assert_cmpfloat(
        cvd_trace_stats_get_rate(stats, &stats->regions[0].directions[CVD_TRACE_TO_GUEST]), ==,
        0.5);
    g_assert_true(cvd_trace_region_has_rings(&stats->regions[0]));
    g_assert_false(cvd_trace_region_has_rings(&stats->regions[1]));
}

/* One that has lost its beginning begins with its first record; an empty one has no rate. */
static void test_length(void)
{
    g_auto(CvdTraceHeader) header = make_header(1);
    g_autoptr(CvdTraceStats) rest = add_up(&header, "g0@3000000000 g0@4000000000", 77);
    g_autoptr(CvdTraceStats) empty = add_up(&header, "", 0);
    g_autoptr(CvdTraceStats) reverse = add_up(&header, "g0@4000000000 g0@3000000000", 77);
    const CvdTraceDirection *direction = &rest->regions[0].directions[CVD_TRACE_TO_GUEST];

    g_assert_cmpfloat(cvd_trace_stats_get_seconds(rest), ==, 1);
    g_assert_cmpfloat(cvd_trace_stats_get_rate(rest, direction), ==, 2);
    g_assert_cmpfloat(cvd_trace_stats_get_seconds(empty), ==, 0);
    g_assert_cmpfloat(cvd_trace_stats_get_rate(empty, direction), ==, 0);
    g_assert_cmpfloat(cvd_trace_stats_get_seconds(reverse), ==, 0);
}

/* ---- The picture ---- */

static guint count(const char *text, const char *part)
{
    guint n = 0;

    for (; (text = strstr(text, part)) != NULL; text++)
        n++;
    return n;
}

static char *draw(const CvdTraceHeader *header, const char *text)
{
    g_autoptr(CvdTraceStats) stats = add_up(header, text, 0);
    g_autoptr(CvdTraceTimeline) timeline = cvd_trace_timeline_new(stats);
    g_auto(GStrv) words = g_strsplit(text, " ", -1);

    for (guint i = 0; words[i] != NULL && *words[i] != '\0'; i++) {
        CvdTraceRecord record = parse(words[i], i);
        cvd_trace_timeline_add(timeline, &record);
    }
    return cvd_trace_timeline_to_svg(timeline, header);
}

static void on_element(GMarkupParseContext *context, const char *name, const char **keys,
                       const char **values, gpointer data, GError **error)
{
    ++*(guint *)data;
}

/* Returns: how many elements it has, as it is XML */
static guint count_elements(const char *svg)
{
    static const GMarkupParser parser = {.start_element = on_element};
    guint n = 0;
    g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, 0, &n, NULL);
    g_autoptr(GError) error = NULL;

    g_markup_parse_context_parse(context, svg, -1, &error);
    g_assert_no_error(error);
    g_markup_parse_context_end_parse(context, &error);
    g_assert_no_error(error);
    return n;
}

static void test_picture(void)
{
    g_auto(CvdTraceHeader) header = make_header(3);
    g_autofree char *svg =
        draw(&header, "g0@2000 h0@250002000 h0@500002000 c0@600000000 h2@1000001000 l0@1000001000");

    g_assert_cmpuint(count_elements(svg), >, 10);
    /* One of each is the legend's. */
    g_assert_cmpuint(count(svg, "<rect class=\"to-guest\""), ==, 1 + 1);
    g_assert_cmpuint(count(svg, "<rect class=\"to-host\""), ==, 1 + 3);
    g_assert_cmpuint(count(svg, "<rect class=\"cleared\""), ==, 1 + 1);
    g_assert_cmpuint(count(svg, ">r0&lt;&amp;&gt;</text>"), ==, 1);
    g_assert_cmpuint(count(svg, ">r1"), ==, 0);
    g_assert_cmpuint(count(svg, ">r2"), ==, 1);
    g_assert_cmpuint(count(svg, ">1 s</text>"), ==, 1);
}

static void test_picture_of_nothing(void)
{
    g_auto(CvdTraceHeader) header = make_header(1);
    g_autofree char *empty = draw(&header, "");
    g_autofree char *moment = draw(&header, "g0@1000 h0@1000");

    g_assert_cmpuint(count_elements(empty), >, 5);
    g_assert_cmpuint(count_elements(moment), >, 5);
    g_assert_cmpuint(count(empty, ">r0"), ==, 0);
    g_assert_cmpuint(count(moment, ">r0"), ==, 1);
}

/* Of more regions than there are rows the busiest are shown. */
static void test_rows(void)
{
    static const guint numbers[] = {CVD_TRACE_MAX_ROWS, CVD_TRACE_MAX_ROWS + 1};

    for (gsize n = 0; n < G_N_ELEMENTS(numbers); n++) {
        g_auto(CvdTraceHeader) header = make_header(numbers[n]);
        g_autoptr(GString) text = g_string_new(NULL);
        for (guint i = 0; i < numbers[n]; i++)
            g_string_append_printf(text, "g%u×%u@%u ", i, i == 7 ? 1 : 2, 2000 + i);
        g_autofree char *svg = draw(&header, text->str);
        gboolean is_full = numbers[n] > CVD_TRACE_MAX_ROWS;
        g_assert_cmpuint(count(svg, "&lt;&amp;&gt;</text>"), ==, CVD_TRACE_MAX_ROWS);
        g_assert_cmpuint(count(svg, ">r7&lt;"), ==, is_full ? 0 : 1);
        g_assert_cmpuint(count(svg, "left out"), ==, is_full ? 1 : 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace-stats/answers", test_answers);
    g_test_add_func("/trace-stats/sums", test_sums);
    g_test_add_func("/trace-stats/length", test_length);
    g_test_add_func("/trace-stats/picture", test_picture);
    g_test_add_func("/trace-stats/picture-of-nothing", test_picture_of_nothing);
    g_test_add_func("/trace-stats/rows", test_rows);
    return g_test_run();
}
