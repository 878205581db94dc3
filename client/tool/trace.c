/* SPDX-License-Identifier: Apache-2.0 */
/* `trace`: what is in the file of cvd-launch --trace. No instance is needed. */
#include "base/error.h"
#include "client/tool/tool.h"
#include "client/tool/trace-reader.h"
#include "client/tool/trace-timeline.h"

#define HEAD "%-15s %-5s %11s %9s %9s %8s %8s %8s\n"

typedef struct {
    CvdTool *tool;
    const char *path;
    CvdTraceStats *stats;
    CvdTraceTimeline *timeline; /* NULL while records are added up */
    guint64 n_overwritten;
} Trace;

static void trace_clear(Trace *trace)
{
    g_clear_pointer(&trace->timeline, cvd_trace_timeline_free);
    g_clear_pointer(&trace->stats, cvd_trace_stats_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Trace, trace_clear)

static gboolean read_all(Trace *trace, CvdTraceReader *reader, GError **error)
{
    CvdTraceRecord record;
    CvdTraceResult result;

    while ((result = cvd_trace_reader_next(reader, &record, error)) == CVD_TRACE_RECORD) {
        if (record.sequence % 4096 == 0 &&
            g_cancellable_set_error_if_cancelled(trace->tool->cancellable, error))
            return FALSE;
        if (trace->timeline)
            cvd_trace_timeline_add(trace->timeline, &record);
        else
            cvd_trace_stats_add(trace->stats, &record);
    }
    return result == CVD_TRACE_END;
}

/* ---- Text ---- */

static double us(double ns)
{
    return ns / 1000;
}

static gboolean print_direction(const Trace *trace, const char *name, const char *to,
                                const CvdTraceDirection *direction, GError **error)
{
    const CvdStats *answers = direction->answers;
    g_autofree char *head = g_strdup_printf("%-15s %-5s %11ju %9.1f", name, to, direction->n_rings,
                                            cvd_trace_stats_get_rate(trace->stats, direction));

    if (!answers)
        return cvd_tool_print(error, "%s %9s %8s %8s %8s\n", head, "-", "-", "-", "-");
    return cvd_tool_print(error, "%s %9ju %8.1f %8.1f %8.1f\n", head, answers->count,
                          us((double)cvd_stats_get_percentile(answers, 50)),
                          us((double)cvd_stats_get_percentile(answers, 99)),
                          us((double)answers->max));
}

static char *format_start(const CvdTraceHeader *header)
{
    g_autoptr(GDateTime) start =
        g_date_time_new_from_unix_utc((gint64)(header->start_wall_ns / 1000000000));

    return start ? g_date_time_format(start, "%Y-%m-%dT%H:%M:%SZ") : g_strdup("unknown");
}

static gboolean print_head(const Trace *trace, const CvdTraceHeader *header, GError **error)
{
    const CvdTraceStats *stats = trace->stats;
    g_autofree char *start = format_start(header);

    return cvd_tool_print(error, "begun %s, %.3f s, %ju records\n", start,
                          cvd_trace_stats_get_seconds(stats), stats->n_records) &&
           (trace->n_overwritten == 0 ||
            cvd_tool_print(error, "older records that are overwritten: %ju\n",
                           trace->n_overwritten)) &&
           (stats->n_lost == 0 ||
            cvd_tool_print(error, "records that could not be written: %ju\n", stats->n_lost)) &&
           (stats->n_cleared == 0 ||
            cvd_tool_print(error, "resets and restarts of the guest: %ju\n", stats->n_cleared)) &&
           cvd_tool_print(error, HEAD, "REGION", "TO", "RINGS", "RATE/s", "ANSWERED", "P50 us",
                          "P99 us", "MAX us");
}

static gboolean print_text(const Trace *trace, const CvdTraceHeader *header, GError **error)
{
    if (!print_head(trace, header, error))
        return FALSE;
    for (guint i = 0; i < header->n_regions; i++) {
        const CvdTraceRegion *region = &trace->stats->regions[i];
        if (!cvd_trace_region_has_rings(region))
            continue;
        if (!print_direction(trace, header->names[i], "guest",
                             &region->directions[CVD_TRACE_TO_GUEST], error) ||
            !print_direction(trace, "", "host", &region->directions[CVD_TRACE_TO_HOST], error))
            return FALSE;
    }
    return TRUE;
}

/* ---- JSON ---- */

static GVariant *describe_direction(const Trace *trace, const CvdTraceDirection *direction)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);
    const CvdStats *answers = direction->answers;

    cvd_tool_add_json(
        &builder, "{'rings': <%t>, 'records': <%t>, 'per_second': <%d>, 'answered': <%t>}",
        direction->n_rings, direction->n_records, cvd_trace_stats_get_rate(trace->stats, direction),
        answers ? answers->count : 0);
    if (answers)
        cvd_tool_add_json(
            &builder,
            "{'answer_us': <{'min': <%d>, 'avg': <%d>, 'p50': <%d>, 'p90': <%d>, 'p99': <%d>,"
            " 'p99.9': <%d>, 'max': <%d>}>}",
            us((double)answers->min), us(cvd_stats_get_mean(answers)),
            us((double)cvd_stats_get_percentile(answers, 50)),
            us((double)cvd_stats_get_percentile(answers, 90)),
            us((double)cvd_stats_get_percentile(answers, 99)),
            us((double)cvd_stats_get_percentile(answers, 99.9)), us((double)answers->max));
    return g_variant_builder_end(&builder);
}

static gboolean print_json(const Trace *trace, const CvdTraceHeader *header, GError **error)
{
    GVariantBuilder regions = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));
    const CvdTraceStats *stats = trace->stats;
    g_autofree char *start = format_start(header);

    for (guint i = 0; i < header->n_regions; i++) {
        const CvdTraceDirection *directions = stats->regions[i].directions;
        if (cvd_trace_region_has_rings(&stats->regions[i]))
            g_variant_builder_add_parsed(
                &regions, "{'device_name': <%s>, 'to_guest': <%@a{sv}>, 'to_host': <%@a{sv}>}",
                header->names[i], describe_direction(trace, &directions[CVD_TRACE_TO_GUEST]),
                describe_direction(trace, &directions[CVD_TRACE_TO_HOST]));
    }
    return cvd_tool_print_json(error,
                               "{'start': <%s>, 'seconds': <%d>, 'records': <%t>,"
                               " 'overwritten': <%t>, 'lost': <%t>, 'cleared': <%t>,"
                               " 'regions': <%@aa{sv}>}",
                               start, cvd_trace_stats_get_seconds(stats), stats->n_records,
                               trace->n_overwritten, stats->n_lost, stats->n_cleared,
                               g_variant_builder_end(&regions));
}

/* ---- SVG ---- */

/* How long it is has to be known before a place in it is. */
static gboolean write_svg(Trace *trace, const char *svg_path, GError **error)
{
    g_autoptr(CvdTraceReader) reader = cvd_trace_reader_open(trace->path, error);

    trace->timeline = cvd_trace_timeline_new(trace->stats);
    if (!reader || !read_all(trace, reader, error))
        return FALSE;
    g_autofree char *svg =
        cvd_trace_timeline_to_svg(trace->timeline, cvd_trace_reader_get_header(reader));
    return g_file_set_contents(svg_path, svg, -1, error);
}

gboolean cvd_tool_trace(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdTraceReader) reader = cvd_trace_reader_open(arguments[0], error);
    g_auto(Trace) trace = {.tool = tool, .path = arguments[0]};

    if (!reader)
        return FALSE;
    const CvdTraceHeader *header = cvd_trace_reader_get_header(reader);
    trace.stats = cvd_trace_stats_new(header);
    if (!read_all(&trace, reader, error))
        return FALSE;
    trace.n_overwritten = cvd_trace_reader_get_n_overwritten(reader);
    if (cvd_tool_options.svg && !write_svg(&trace, cvd_tool_options.svg, error))
        return FALSE;
    return tool->json ? print_json(&trace, header, error) : print_text(&trace, header, error);
}
