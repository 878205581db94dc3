/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row a region: bars above its line are rings to the guest, those below it rings to the host. The
 * height of a bar is the logarithm of how many there were in its part of the time, so that a single
 * ring is seen beside a thousand.
 */
#include "client/tool/trace-timeline.h"

#include <math.h>

#define N_BINS     400
#define BIN_WIDTH  2
#define LEFT       150
#define RIGHT      40
#define TOP        90
#define ROW        40
#define MAX_HEIGHT 16
#define N_TICKS    5
#define WIDTH      (LEFT + N_BINS * BIN_WIDTH + RIGHT)

typedef struct {
    guint region;
    guint64 n_rings; /* of both directions */
    guint64 bins[CVD_TRACE_N_DIRECTIONS][N_BINS];
} Row;

struct CvdTraceTimeline {
    const CvdTraceStats *stats;
    guint n_regions; /* that were rung */
    GPtrArray *rows; /* of Row, in the order of their regions */
    Row **by_region; /* NULL: not shown */
    guint64 cleared[N_BINS];
};

/* Plain colours first, for what draws an SVG and knows neither variables nor media. */
static const char style[] = "<style>\n"
                            "text { font-family: sans-serif; font-size: 13px; fill: #1b1f24; }\n"
                            ".title { font-size: 18px; font-weight: bold; }\n"
                            ".dim { fill: #57606a; }\n"
                            ".end { text-anchor: end; }\n"
                            ".middle { text-anchor: middle; }\n"
                            ".paper { fill: #ffffff; }\n"
                            ".line { stroke: #d0d7de; }\n"
                            ".to-guest { fill: #2f6fc4; }\n"
                            ".to-host { fill: #b8742a; }\n"
                            ".cleared { fill: #c4432b; }\n"
                            "@media (prefers-color-scheme: dark) {\n"
                            "  text { fill: #e6edf3; }\n"
                            "  .dim { fill: #9198a1; }\n"
                            "  .paper { fill: #0d1117; }\n"
                            "  .line { stroke: #30363d; }\n"
                            "  .to-guest { fill: #6e9fe8; }\n"
                            "  .to-host { fill: #d99a4e; }\n"
                            "  .cleared { fill: #e5705a; }\n"
                            "}\n"
                            "</style>\n";

static int compare_rings(gconstpointer a, gconstpointer b)
{
    const Row *first = *(const Row *const *)a, *second = *(const Row *const *)b;

    if (first->n_rings != second->n_rings)
        return first->n_rings < second->n_rings ? 1 : -1;
    return first->region < second->region ? -1 : 1;
}

static int compare_regions(gconstpointer a, gconstpointer b)
{
    const Row *first = *(const Row *const *)a, *second = *(const Row *const *)b;

    return first->region < second->region ? -1 : 1;
}

CvdTraceTimeline *cvd_trace_timeline_new(const CvdTraceStats *stats)
{
    CvdTraceTimeline *timeline = g_new0(CvdTraceTimeline, 1);

    timeline->stats = stats;
    timeline->rows = g_ptr_array_new_with_free_func(g_free);
    timeline->by_region = g_new0(Row *, stats->n_regions);
    for (guint i = 0; i < stats->n_regions; i++) {
        const CvdTraceRegion *region = &stats->regions[i];
        if (!cvd_trace_region_has_rings(region))
            continue;
        Row *row = g_new0(Row, 1);
        row->region = i;
        row->n_rings = region->directions[0].n_rings + region->directions[1].n_rings;
        g_ptr_array_add(timeline->rows, row);
    }
    timeline->n_regions = timeline->rows->len;
    g_ptr_array_sort(timeline->rows, compare_rings);
    g_ptr_array_set_size(timeline->rows, (int)MIN(timeline->rows->len, CVD_TRACE_MAX_ROWS));
    g_ptr_array_sort(timeline->rows, compare_regions);
    for (guint i = 0; i < timeline->rows->len; i++) {
        Row *row = g_ptr_array_index(timeline->rows, i);
        timeline->by_region[row->region] = row;
    }
    return timeline;
}

void cvd_trace_timeline_free(CvdTraceTimeline *timeline)
{
    g_ptr_array_unref(timeline->rows);
    g_free(timeline->by_region);
    g_free(timeline);
}

static guint bin_of(const CvdTraceStats *stats, guint64 time_ns)
{
    double length = (double)(stats->end_ns - stats->begin_ns);
    double part = length > 0 ? (double)(time_ns - stats->begin_ns) / length : 0;

    return MIN((guint)(part * N_BINS), N_BINS - 1);
}

/* Of a trace that is still written there may be later ones than were added up. */
void cvd_trace_timeline_add(CvdTraceTimeline *timeline, const CvdTraceRecord *record)
{
    const CvdTraceStats *stats = timeline->stats;

    if (record->time_ns < stats->begin_ns || record->time_ns > stats->end_ns)
        return;
    guint bin = bin_of(stats, record->time_ns);
    Row *row = timeline->by_region[record->region];
    if (record->kind == CVD_TRACE_CLEARED)
        timeline->cleared[bin]++;
    else if (record->kind != CVD_TRACE_LOST && row != NULL)
        row->bins[record->kind][bin] += record->count;
}

/* ---- Drawing ---- */

static void append_text(GString *svg, double x, double y, const char *class, const char *text)
{
    g_autofree char *escaped = g_markup_escape_text(text, -1);

    g_string_append_printf(svg, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", class, x, y,
                           escaped);
}

static guint64 find_most(const CvdTraceTimeline *timeline)
{
    guint64 most = 1;

    for (guint i = 0; i < timeline->rows->len; i++) {
        const Row *row = g_ptr_array_index(timeline->rows, i);
        for (guint way = 0; way < CVD_TRACE_N_DIRECTIONS; way++)
            for (guint bin = 0; bin < N_BINS; bin++)
                most = MAX(most, row->bins[way][bin]);
    }
    return most;
}

static void append_bars(GString *svg, const guint64 *bins, double y, gboolean is_above,
                        const char *class, guint64 most)
{
    for (guint bin = 0; bin < N_BINS; bin++) {
        if (bins[bin] == 0)
            continue;
        double height = MAX_HEIGHT * log2(1 + (double)bins[bin]) / log2(1 + (double)most);
        g_string_append_printf(svg,
                               "<rect class=\"%s\" x=\"%u\" y=\"%.1f\" width=\"%d\" "
                               "height=\"%.1f\"/>\n",
                               class, LEFT + bin * BIN_WIDTH, is_above ? y - height : y, BIN_WIDTH,
                               MAX(height, 1));
    }
}

static void append_row(GString *svg, const Row *row, double y, const char *name, guint64 most)
{
    append_text(svg, LEFT - 10, y + 4, "end", name);
    g_string_append_printf(svg,
                           "<line class=\"line\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n",
                           LEFT, y, LEFT + N_BINS * BIN_WIDTH, y);
    append_bars(svg, row->bins[CVD_TRACE_TO_GUEST], y, TRUE, "to-guest", most);
    append_bars(svg, row->bins[CVD_TRACE_TO_HOST], y, FALSE, "to-host", most);
}

static void append_axis(GString *svg, double y, double seconds)
{
    for (guint i = 0; i <= N_TICKS; i++) {
        double part = (double)i / N_TICKS;
        g_autofree char *label = g_strdup_printf("%.4g s", seconds * part);
        append_text(svg, LEFT + part * N_BINS * BIN_WIDTH, y, "dim middle", label);
    }
}

static void append_cleared(GString *svg, const CvdTraceTimeline *timeline, double bottom)
{
    for (guint bin = 0; bin < N_BINS; bin++)
        if (timeline->cleared[bin] > 0)
            g_string_append_printf(
                svg, "<rect class=\"cleared\" x=\"%u\" y=\"%d\" width=\"1\" height=\"%.1f\"/>\n",
                LEFT + bin * BIN_WIDTH, TOP - 20, bottom - TOP + 20);
}

static void append_legend(GString *svg, const CvdTraceTimeline *timeline)
{
    guint n_left_out = timeline->n_regions - timeline->rows->len;
    g_autofree char *rest =
        g_strdup_printf("%u regions that are rung less are left out", n_left_out);

    g_string_append(svg,
                    "<rect class=\"to-guest\" x=\"20\" y=\"43\" width=\"12\" height=\"12\"/>\n"
                    "<rect class=\"to-host\" x=\"170\" y=\"43\" width=\"12\" height=\"12\"/>\n"
                    "<rect class=\"cleared\" x=\"320\" y=\"43\" width=\"2\" height=\"12\"/>\n");
    append_text(svg, 38, 54, "dim", "rings to the guest");
    append_text(svg, 188, 54, "dim", "rings to the host");
    append_text(svg, 330, 54, "dim", "the guest was reset or restarted");
    if (n_left_out > 0)
        append_text(svg, 570, 54, "dim", rest);
}

char *cvd_trace_timeline_to_svg(const CvdTraceTimeline *timeline, const CvdTraceHeader *header)
{
    GString *svg = g_string_new(NULL);
    double bottom = TOP + (double)timeline->rows->len * ROW, height = bottom + 40;
    guint64 most = find_most(timeline);

    g_string_append_printf(svg,
                           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" "
                           "viewBox=\"0 0 %d %.0f\">\n%s"
                           "<rect class=\"paper\" width=\"100%%\" height=\"100%%\"/>\n",
                           WIDTH, height, WIDTH, height, style);
    append_text(svg, 20, 28, "title", "Doorbells");
    append_legend(svg, timeline);
    append_cleared(svg, timeline, bottom);
    for (guint i = 0; i < timeline->rows->len; i++) {
        const Row *row = g_ptr_array_index(timeline->rows, i);
        append_row(svg, row, TOP + i * (double)ROW + ROW / 2.0, header->names[row->region], most);
    }
    append_axis(svg, bottom + 24, cvd_trace_stats_get_seconds(timeline->stats));
    g_string_append(svg, "</svg>\n");
    return g_string_free(svg, FALSE);
}
