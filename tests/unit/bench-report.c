/* SPDX-License-Identifier: Apache-2.0 */
/* What cvd-bench makes of its figures: a table, Markdown, JSON, a chart. */
#include "bench/report.h"
#include "bench/values.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

static GArray *values_of(guint n, const double *values)
{
    GArray *array = figure_values();

    g_array_append_vals(array, values, n);
    return array;
}

#define VALUES(...)                                                                                \
    values_of(sizeof((double[]){__VA_ARGS__}) / sizeof(double), (double[]){__VA_ARGS__})

static Machine *make_machine(void)
{
    Machine *machine = g_new(Machine, 1);

    *machine = (Machine){
        .date = g_strdup("2026-01-02 03:04"),
        .cpu = g_strdup("Z80 <A & B>"),
        .memory = g_strdup("64 KiB"),
        .kernel = g_strdup("CP/M 2.2"),
        .qemu = g_strdup("QEMU 7.2"),
        .accel = g_strdup("tcg"),
        .accel_text = g_strdup("TCG: translated"),
        .build = g_strdup("release"),
    };
    return machine;
}

static void add_latency(const char *key, const char *text, GArray *times)
{
    g_autoptr(GArray) histogram = figure_histogram(times);

    curve_report(CURVE_LATENCY, key, text, histogram);
}

static void add_points(CurveKind kind, const char *key)
{
    const CurvePoint points[] = {{64, 10}, {1024, 120}, {65536, 900}};
    g_autoptr(GArray) array = g_array_new(FALSE, FALSE, sizeof(CurvePoint));

    g_array_append_vals(array, points, G_N_ELEMENTS(points));
    curve_report(kind, key, key, array);
}

/* One of everything. */
static void report_all(void)
{
    g_autoptr(GArray) few = VALUES(3, 1, 2);
    g_autoptr(GArray) one = VALUES(1234.5);
    g_autoptr(GArray) ratio = VALUES(0.5);
    g_autoptr(GArray) times = VALUES(100, 110, 120, 500);

    figure_section("Apples & pears");
    figure_report("plain", "weight <each>", few, "kg", FIGURE_PLAIN, 0);
    figure_report("reached", "  apples / pears", ratio, "", FIGURE_AT_MOST, 0.5);
    figure_report("missed", "pears", one, "g", FIGURE_AT_LEAST, 2000);
    figure_section("Plums");
    figure_report("none", "worms", few, "", FIGURE_AT_MOST, 0);
    add_latency("fast", "fast & small", times);
    add_points(CURVE_THROUGHPUT, "through");
    add_points(CURVE_HAND_OVER, "over");
    figure_skip("figs", "out of %s", "season");
    figures_add_gap(figures_get(), "dates", "see stderr", TRUE);
}

/* Through another process's eyes. */
static Figures *travel(void)
{
    g_autoptr(GBytes) saved = figures_save(figures_get());
    g_autoptr(GBytes) copy = g_bytes_new(g_bytes_get_data(saved, NULL), g_bytes_get_size(saved));
    Figures *figures = figures_new();

    g_assert_true(figures_load(figures, copy));
    return figures;
}

static void test_travel(void)
{
    g_autoptr(Figures) figures = travel();
    const Figure *figure = g_ptr_array_index(figures->figures, 2);
    const Curve *curve = g_ptr_array_index(figures->curves, 1);
    const FigureGap *gap = g_ptr_array_index(figures->gaps, 1);

    g_assert_cmpuint(figures->figures->len, ==, 4);
    g_assert_cmpstr(figure->section, ==, "Apples & pears");
    g_assert_cmpstr(figure->key, ==, "missed");
    g_assert_cmpint(figure->goal, ==, FIGURE_AT_LEAST);
    g_assert_cmpfloat(figure->target, ==, 2000);
    g_assert_cmpuint(figure->values->len, ==, 1);
    g_assert_cmpfloat(g_array_index(figure->values, double, 0), ==, 1234.5);
    g_assert_cmpuint(figures->curves->len, ==, 3);
    g_assert_cmpint(curve->kind, ==, CURVE_THROUGHPUT);
    g_assert_cmpuint(curve->points->len, ==, 3);
    g_assert_cmpfloat(g_array_index(curve->points, CurvePoint, 2).x, ==, 65536);
    g_assert_cmpstr(gap->what, ==, "dates");
    g_assert_true(gap->is_failure);
}

static void test_travel_cut_short(void)
{
    g_autoptr(GBytes) saved = figures_save(figures_get());

    for (gsize size = 0; size < g_bytes_get_size(saved); size += 7) {
        g_autoptr(Figures) figures = figures_new();
        g_autoptr(GBytes) part = g_bytes_new(g_bytes_get_data(saved, NULL), size);
        g_assert_false(figures_load(figures, part));
    }
}

static void test_quantiles(void)
{
    g_autoptr(GArray) odd = VALUES(5, 1, 3);
    g_autoptr(GArray) even = VALUES(4, 1, 2, 3);
    g_autoptr(GArray) one = VALUES(7);

    g_assert_cmpfloat(figure_quantile(odd, 0.5), ==, 3);
    g_assert_cmpfloat(figure_quantile(odd, 0), ==, 1);
    g_assert_cmpfloat(figure_quantile(odd, 1), ==, 5);
    g_assert_cmpfloat(figure_quantile(even, 0.5), ==, 2.5);
    g_assert_cmpfloat(figure_quantile(even, 0.25), ==, 1.75);
    g_assert_cmpfloat(figure_quantile(one, 0.999), ==, 7);
}

static void test_combine(void)
{
    g_autoptr(GArray) a = VALUES(6, 9);
    g_autoptr(GArray) b = VALUES(2, 3);
    g_autoptr(GArray) ratio = figure_combine(a, b, '/');
    g_autoptr(GArray) difference = figure_combine(a, b, '-');

    g_assert_cmpfloat(g_array_index(ratio, double, 0), ==, 3);
    g_assert_cmpfloat(g_array_index(difference, double, 1), ==, 6);
}

/* Every value is in a bin that ends at or above it, by less than a twelfth of an octave. */
static void test_histogram(void)
{
    g_autoptr(GArray) values = VALUES(0.1, 1, 100, 100, 101, 1000);
    g_autoptr(GArray) bins = figure_histogram(values);
    const double expected[][2] = {{1, 2}, {100, 2}, {101, 1}, {1000, 1}};
    guint total = 0;

    g_assert_cmpfloat(g_array_index(bins, CurvePoint, 0).x, ==, 1);
    g_assert_cmpfloat(g_array_index(bins, CurvePoint, 0).y, ==, 2);
    for (guint i = 0; i < bins->len; i++)
        total += (guint)g_array_index(bins, CurvePoint, i).y;
    g_assert_cmpuint(total, ==, values->len);
    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        double end = 0;
        for (guint k = 0; k < bins->len && end < expected[i][0]; k++)
            end = g_array_index(bins, CurvePoint, k).x;
        g_assert_cmpfloat(end, >=, expected[i][0]);
        g_assert_cmpfloat(end, <=, expected[i][0] * exp2(1 / 12.0) + 1e-9);
    }
}

static void assert_line(const char *text, const char *begin, const char *const *parts)
{
    const char *line = strstr(text, begin);

    g_assert_nonnull(line);
    g_autofree char *whole = g_strndup(line, strcspn(line, "\n"));
    for (; *parts != NULL; parts++)
        if (strstr(whole, *parts) == NULL)
            g_error("'%s' is not in: %s", *parts, whole);
}

#define ASSERT_LINE(text, begin, ...)                                                              \
    assert_line(text, begin, (const char *const[]){__VA_ARGS__, NULL})

static void test_table(void)
{
    g_autoptr(Figures) figures = travel();
    g_autoptr(Machine) machine = make_machine();
    g_autofree char *table = report_table(figures, machine);

    g_assert_true(g_str_has_prefix(table, "2026-01-02 03:04, Z80 <A & B>, "));
    ASSERT_LINE(table, "TCG: translated", "release");
    ASSERT_LINE(table, "  weight <each>", " 2.00 kg ", "1.50 … 2.50");
    ASSERT_LINE(table, "    apples / pears", " 0.50 ", "once", "≤ 0.5", "reached");
    ASSERT_LINE(table, "  pears", " 1234 g ", "≥ 2000 g", "MISSED");
    ASSERT_LINE(table, "  worms", "≤ 0", "MISSED");
    ASSERT_LINE(table, "figs: ", "not measured: out of season");
    ASSERT_LINE(table, "dates: ", "FAILED: see stderr");
    const char *section = strstr(table, "\n\nApples & pears\n");
    g_assert_nonnull(section);
    g_assert_null(strstr(section + 2, "\n\nApples"));
}

static void test_markdown(void)
{
    g_autoptr(Figures) figures = travel();
    g_autoptr(Machine) machine = make_machine();
    g_autofree char *text = report_markdown(figures, machine);

    ASSERT_LINE(text, "Measured on 2026-01-02", "Z80", "TCG: translated.");
    ASSERT_LINE(text, "| Apples & pears |", "| median |");
    g_assert_nonnull(strstr(text, "\n| apples / pears | 0.50 |  | once | ≤ 0.5 | reached |\n"));
    g_assert_nonnull(strstr(text, "\n* figs: not measured: out of season\n"));
}

static void test_json(void)
{
    g_autoptr(Figures) figures = travel();
    g_autoptr(Machine) machine = make_machine();
    g_autofree char *text = report_json(figures, machine);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) root = json_from_string(text, &error);

    g_assert_no_error(error);
    JsonObject *object = json_node_get_object(root);
    JsonObject *of_machine = json_object_get_object_member(object, "machine");
    g_assert_cmpstr(json_object_get_string_member(of_machine, "cpu"), ==, "Z80 <A & B>");
    g_assert_cmpstr(json_object_get_string_member(of_machine, "accelerator"), ==, "tcg");
    JsonObject *all = json_object_get_object_member(object, "figures");
    JsonObject *missed = json_object_get_object_member(all, "missed");
    g_assert_cmpfloat(json_object_get_double_member(missed, "median"), ==, 1234.5);
    g_assert_cmpfloat(json_object_get_double_member(missed, "at_least"), ==, 2000);
    g_assert_false(json_object_get_boolean_member(missed, "reached"));
    g_assert_false(json_object_has_member(json_object_get_object_member(all, "plain"), "reached"));
    JsonObject *curves = json_object_get_object_member(object, "curves");
    JsonObject *fast = json_object_get_object_member(curves, "fast");
    JsonArray *points = json_object_get_array_member(fast, "points");
    g_assert_cmpuint(json_array_get_length(points), ==, 4);
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(object, "gaps")), ==, 2);
}

typedef struct {
    guint n_rects, n_polylines, n_texts;
} Elements;

static void count(GMarkupParseContext *context, const char *name, const char **names,
                  const char **values, gpointer data, GError **error)
{
    Elements *elements = data;

    elements->n_rects += strcmp(name, "rect") == 0;
    elements->n_polylines += strcmp(name, "polyline") == 0;
    elements->n_texts += strcmp(name, "text") == 0;
    for (; *names != NULL; names++, values++)
        if (strstr(*values, "nan") != NULL || strstr(*values, "inf") != NULL)
            g_error("<%s> has %s=\"%s\"", name, *names, *values);
}

static Elements parse_svg(const char *svg)
{
    const GMarkupParser parser = {.start_element = count};
    Elements elements = {0};
    g_autoptr(GError) error = NULL;
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &elements, NULL);

    g_markup_parse_context_parse(context, svg, -1, &error);
    g_assert_no_error(error);
    g_markup_parse_context_end_parse(context, &error);
    g_assert_no_error(error);
    g_markup_parse_context_free(context);
    return elements;
}

static void test_svg(void)
{
    g_autoptr(Figures) figures = travel();
    g_autoptr(Machine) machine = make_machine();
    g_autofree char *svg = report_svg(figures, machine);
    Elements elements = parse_svg(svg);

    g_assert_cmpuint(elements.n_rects, ==, 1 + 3); /* the paper, and a bar for each goal */
    g_assert_cmpuint(elements.n_polylines, ==, 3);
    g_assert_nonnull(strstr(svg, "fast &amp; small"));
    g_assert_nonnull(strstr(svg, "prefers-color-scheme: dark"));
    g_assert_null(strstr(svg, "<script"));
    g_assert_null(strstr(svg, "href"));
    g_assert_null(strstr(svg, "url("));
}

static void test_svg_of_nothing(void)
{
    g_autoptr(Figures) figures = figures_new();
    g_autoptr(Machine) machine = make_machine();
    g_autofree char *svg = report_svg(figures, machine);

    g_assert_cmpuint(parse_svg(svg).n_rects, ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    report_all();
    g_test_add_func("/bench-report/quantiles", test_quantiles);
    g_test_add_func("/bench-report/combine", test_combine);
    g_test_add_func("/bench-report/histogram", test_histogram);
    g_test_add_func("/bench-report/travel", test_travel);
    g_test_add_func("/bench-report/travel-cut-short", test_travel_cut_short);
    g_test_add_func("/bench-report/table", test_table);
    g_test_add_func("/bench-report/markdown", test_markdown);
    g_test_add_func("/bench-report/json", test_json);
    g_test_add_func("/bench-report/svg", test_svg);
    g_test_add_func("/bench-report/svg-of-nothing", test_svg_of_nothing);
    return g_test_run();
}
