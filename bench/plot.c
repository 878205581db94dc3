/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Curves on logarithmic axes. Latencies are drawn as what part of them is at most x; there the
 * y axis is made of the percentiles that one asks for, each nine as far from the next.
 */
#include "bench/plot.h"

#include <math.h>
#include <string.h>

#define LEFT   90.0
#define WIDTH  620.0
#define ABOVE  34.0
#define HEIGHT 230.0
#define LEGEND (LEFT + WIDTH + 16)
#define N_HUES 4

typedef struct {
    const char *title;
    const char *x_axis;
    double base; /* of the ticks on the x axis */
} Style;

static const Style styles[N_CURVE_KINDS] = {
    [CURVE_LATENCY] = {"Round trips that are done within a time", "us", 10},
    [CURVE_THROUGHPUT] = {"Throughput by size of message, MiB/s", "bytes a message", 4},
    [CURVE_HAND_OVER] = {"Hand-over to the VM, ms", "regions", 2},
};

typedef struct {
    CurveKind kind;
    double top;
    double low_x, high_x, low_y, high_y; /* logarithms */
} Plot;

char *svg_text(double x, double y, const char *class, const char *text)
{
    g_autofree char *escaped = g_markup_escape_text(text, -1);

    return g_strdup_printf("<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">%s</text>\n", x, y, class,
                           escaped);
}

static void append_text(GString *svg, double x, double y, const char *class, const char *text)
{
    g_autofree char *element = svg_text(x, y, class, text);

    g_string_append(svg, element);
}

static double x_of(const Plot *plot, double value)
{
    double range = MAX(plot->high_x - plot->low_x, 1e-9);

    return LEFT + WIDTH * (log2(value) - plot->low_x) / range;
}

static double y_of(const Plot *plot, double value)
{
    double range = MAX(plot->high_y - plot->low_y, 1e-9);

    return plot->top + ABOVE + HEIGHT * (1 - (log2(value) - plot->low_y) / range);
}

/* What is above a percentile, so that its logarithm counts the nines. */
static double y_of_share(const Plot *plot, double share)
{
    return y_of(plot, 1 / MAX(1 - share, 1e-3));
}

static void widen(Plot *plot, const Curve *curve)
{
    for (guint i = 0; i < curve->points->len; i++) {
        const CurvePoint *point = &g_array_index(curve->points, CurvePoint, i);
        plot->low_x = MIN(plot->low_x, log2(point->x));
        plot->high_x = MAX(plot->high_x, log2(point->x));
        plot->low_y = MIN(plot->low_y, log2(point->y));
        plot->high_y = MAX(plot->high_y, log2(point->y));
    }
}

static double total_of(const Curve *curve)
{
    double total = 0;

    for (guint i = 0; i < curve->points->len; i++)
        total += g_array_index(curve->points, CurvePoint, i).y;
    return total;
}

/* A latency's last thousandth is left out: one value would set the axis for all. */
static void append_curve(GString *svg, const Plot *plot, const Curve *curve, guint hue)
{
    double total = total_of(curve), sum = 0;

    g_string_append_printf(svg, "<polyline fill=\"none\" class=\"line%u\" points=\"", hue);
    for (guint i = 0; i < curve->points->len; i++) {
        const CurvePoint *point = &g_array_index(curve->points, CurvePoint, i);
        sum += point->y;
        double share = sum / total;
        double y = plot->kind == CURVE_LATENCY ? y_of_share(plot, share) : y_of(plot, point->y);
        g_string_append_printf(svg, "%.1f,%.1f ", x_of(plot, point->x), y);
        if (plot->kind == CURVE_LATENCY && share >= 0.999)
            break;
    }
    g_string_append(svg, "\"/>\n");
}

static void append_grid(GString *svg, double x1, double y1, double x2, double y2)
{
    g_string_append_printf(
        svg, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x1, y1, x2,
        y2);
}

static char *tick_text(double value)
{
    if (value >= 1 << 20)
        return g_strdup_printf("%g Mi", value / (1 << 20));
    if (value >= 1 << 10 && fmod(value, 1 << 10) == 0)
        return g_strdup_printf("%g Ki", value / (1 << 10));
    return g_strdup_printf("%g", value);
}

static void append_x_axis(GString *svg, const Plot *plot)
{
    double base = styles[plot->kind].base;
    double bottom = plot->top + ABOVE + HEIGHT;

    for (double value = pow(base, ceil(plot->low_x / log2(base) - 1e-9));
         log2(value) <= plot->high_x + 1e-9; value *= base) {
        g_autofree char *text = tick_text(value);
        append_grid(svg, x_of(plot, value), plot->top + ABOVE, x_of(plot, value), bottom);
        append_text(svg, x_of(plot, value), bottom + 16, "middle", text);
    }
    append_text(svg, LEFT + WIDTH / 2, bottom + 34, "axis", styles[plot->kind].x_axis);
}

static void append_y_tick(GString *svg, double y, const char *text)
{
    append_grid(svg, LEFT, y, LEFT + WIDTH, y);
    append_text(svg, LEFT - 8, y + 4, "end", text);
}

static void append_y_axis(GString *svg, const Plot *plot)
{
    static const struct {
        double share;
        const char *text;
    } shares[] = {{0, "none"}, {0.5, "p50"}, {0.9, "p90"}, {0.99, "p99"}, {0.999, "p99.9"}};

    if (plot->kind == CURVE_LATENCY) {
        for (gsize i = 0; i < G_N_ELEMENTS(shares); i++)
            append_y_tick(svg, y_of_share(plot, shares[i].share), shares[i].text);
        return;
    }
    for (double value = pow(10, ceil(plot->low_y / log2(10) - 1e-9));
         log2(value) <= plot->high_y + 1e-9; value *= 10) {
        g_autofree char *text = g_strdup_printf("%g", value);
        append_y_tick(svg, y_of(plot, value), text);
    }
}

/* A latency's axis ends where the slowest curve has done all but a thousandth. */
static void cut_latencies(Plot *plot, const Figures *figures)
{
    plot->high_x = plot->low_x;
    for (guint i = 0; i < figures->curves->len; i++) {
        const Curve *curve = g_ptr_array_index(figures->curves, i);
        double total = total_of(curve), sum = 0;
        for (guint k = 0; curve->kind == CURVE_LATENCY && k < curve->points->len; k++) {
            const CurvePoint *point = &g_array_index(curve->points, CurvePoint, k);
            sum += point->y;
            plot->high_x = MAX(plot->high_x, log2(point->x));
            if (sum / total >= 0.999)
                break;
        }
    }
    plot->low_y = 0;
    plot->high_y = log2(1000);
}

static gboolean plot_init(Plot *plot, double top, const Figures *figures, CurveKind kind)
{
    *plot = (Plot){kind, top, INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (guint i = 0; i < figures->curves->len; i++) {
        const Curve *curve = g_ptr_array_index(figures->curves, i);
        if (curve->kind == kind)
            widen(plot, curve);
    }
    if (isinf(plot->low_x))
        return FALSE;
    if (kind == CURVE_LATENCY) {
        cut_latencies(plot, figures);
    } else { /* so that a decade is always marked */
        plot->low_y = floor(plot->low_y / log2(10)) * log2(10);
        plot->high_y = ceil(plot->high_y / log2(10)) * log2(10);
    }
    return TRUE;
}

gboolean plot_append(GString *svg, double top, const Figures *figures, CurveKind kind)
{
    Plot plot;
    guint n = 0;

    if (!plot_init(&plot, top, figures, kind))
        return FALSE;
    append_text(svg, 20, top + 18, "title", styles[kind].title);
    append_x_axis(svg, &plot);
    append_y_axis(svg, &plot);
    for (guint i = 0; i < figures->curves->len; i++) {
        const Curve *curve = g_ptr_array_index(figures->curves, i);
        if (curve->kind != kind)
            continue;
        double y = top + ABOVE + 14 + 22 * n;
        append_curve(svg, &plot, curve, n % N_HUES);
        g_string_append_printf(svg,
                               "<line class=\"line%u\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                               "y2=\"%.1f\"/>\n",
                               n % N_HUES, LEGEND, y - 4, LEGEND + 24, y - 4);
        append_text(svg, LEGEND + 30, y, "start", curve->text);
        n++;
    }
    return TRUE;
}
