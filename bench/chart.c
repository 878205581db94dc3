/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures as one SVG: what has a goal as bars against it, then the curves. Colours are in a
 * style sheet that follows the reader's choice of light or dark.
 */
#include "bench/plot.h"
#include "bench/report.h"
#include "bench/values.h"

#define WIDTH     960.0
#define TOP       96.0
#define ROW       24.0
#define BAR_LEFT  470.0
#define BAR_GOAL  200.0 /* how long the bar of a figure is that just reaches its goal */
#define MAX_SHARE 1.6

/* Plain colours first, for what draws an SVG and knows neither variables nor media. */
static const char style[] = "<style>\n"
                            "text { font-family: sans-serif; font-size: 13px; fill: #1b1f24; }\n"
                            ".heading { font-size: 20px; font-weight: bold; }\n"
                            ".title { font-size: 15px; font-weight: bold; }\n"
                            ".dim, .axis { fill: #57606a; }\n"
                            ".middle, .axis { text-anchor: middle; }\n"
                            ".end { text-anchor: end; }\n"
                            ".paper { fill: #ffffff; }\n"
                            ".grid { stroke: #d0d7de; stroke-width: 1; }\n"
                            ".goal { stroke: #1b1f24; stroke-width: 2; stroke-dasharray: 4 3; }\n"
                            ".good { fill: #2f8f5b; }\n"
                            ".bad { fill: #c4432b; }\n"
                            ".line0, .line1, .line2, .line3 { fill: none; stroke-width: 2.5; }\n"
                            ".line0 { stroke: #2f8f5b; }\n"
                            ".line1 { stroke: #b8742a; }\n"
                            ".line2 { stroke: #3b6fc4; }\n"
                            ".line3 { stroke: #8a4fb0; }\n"
                            "@media (prefers-color-scheme: dark) {\n"
                            "  text { fill: #e6edf3; }\n"
                            "  .dim, .axis { fill: #9198a1; }\n"
                            "  .paper { fill: #0d1117; }\n"
                            "  .grid { stroke: #30363d; }\n"
                            "  .goal { stroke: #e6edf3; }\n"
                            "  .good { fill: #4cb782; }\n"
                            "  .bad { fill: #e5705a; }\n"
                            "  .line0 { stroke: #4cb782; }\n"
                            "  .line1 { stroke: #d99a4e; }\n"
                            "  .line2 { stroke: #6e9fe8; }\n"
                            "  .line3 { stroke: #b585d6; }\n"
                            "}\n"
                            "</style>\n";

static void append_text(GString *svg, double x, double y, const char *class, const char *text)
{
    g_autofree char *element = svg_text(x, y, class, text);

    g_string_append(svg, element);
}

/* A goal of nothing at all is reached by a bar without length. */
static double share_of(const Figure *figure)
{
    double median = figure_quantile(figure->values, 0.5);

    if (figure->target <= 0)
        return median <= 0 ? 0 : MAX_SHARE;
    return CLAMP(median / figure->target, 0, MAX_SHARE);
}

static void append_bar(GString *svg, double y, const Figure *figure)
{
    gboolean is_reached = report_is_reached(figure);
    double length = share_of(figure) * BAR_GOAL;
    g_autofree char *median = report_number(figure_quantile(figure->values, 0.5));
    g_autofree char *label = g_strdup(figure->text);
    g_autofree char *value = g_strdup_printf(
        "%s%s%s (%s %g)%s", median, *figure->unit != '\0' ? " " : "", figure->unit,
        figure->goal == FIGURE_AT_MOST ? "≤" : "≥", figure->target, is_reached ? "" : " missed");

    append_text(svg, BAR_LEFT - 10, y + 14, "end", g_strstrip(label));
    g_string_append_printf(svg,
                           "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"14\" "
                           "rx=\"2\"/>\n",
                           is_reached ? "good" : "bad", BAR_LEFT, y + 3, MAX(length, 1));
    append_text(svg, BAR_LEFT + MAX_SHARE * BAR_GOAL + 12, y + 14, "start", value);
}

/* Returns: where they end */
static double append_bars(GString *svg, double top, const Figures *figures)
{
    double y = top + 28;

    for (guint i = 0; i < figures->figures->len; i++) {
        const Figure *figure = g_ptr_array_index(figures->figures, i);
        if (figure->goal == FIGURE_PLAIN)
            continue;
        append_bar(svg, y, figure);
        y += ROW;
    }
    if (y == top + 28)
        return top;
    append_text(svg, 20, top + 18, "title",
                "Against the goals, the dashed line (≤: left of it is good, ≥: right of it)");
    g_string_append_printf(
        svg, "<line class=\"goal\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
        BAR_LEFT + BAR_GOAL, top + 26, BAR_LEFT + BAR_GOAL, y);
    return y + 30;
}

char *report_svg(const Figures *figures, const Machine *machine)
{
    GString *svg = g_string_new(NULL);
    g_autoptr(GString) body = g_string_new(NULL);
    g_autofree char *where = g_strdup_printf("%s, %s, %s, %s, %s", machine->date, machine->cpu,
                                             machine->memory, machine->kernel, machine->qemu);
    double y = append_bars(body, TOP, figures);

    for (CurveKind kind = 0; kind < N_CURVE_KINDS; kind++)
        if (plot_append(body, y, figures, kind))
            y += PLOT_HEIGHT;
    g_string_append_printf(svg,
                           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
                           "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\">\n%s"
                           "<rect class=\"paper\" width=\"100%%\" height=\"100%%\"/>\n",
                           WIDTH, y, WIDTH, y, style);
    append_text(svg, 20, 34, "heading", "cvd-launch: figures");
    append_text(svg, 20, 56, "dim", where);
    append_text(svg, 20, 74, "dim", machine->accel_text);
    g_string_append_printf(svg, "%s</svg>\n", body->str);
    return g_string_free(svg, FALSE);
}
