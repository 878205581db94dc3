/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ping`: round trips through a region, counted and timed. Pauses are waits for the guest as well,
 * so that the end of the connection is noticed at once.
 */
#include "base/error.h"
#include "base/progress.h"
#include "client/tool/pinger.h"
#include "client/tool/stats.h"
#include "client/tool/tool.h"

#define DEFAULT_LIMIT_MS 1000
#define MAX_SECONDS      3600
#define MAX_LINES        20

typedef struct {
    guint count; /* 0: no end */
    guint interval_ms;
    guint limit_ms;
    guint offset;
} Options;

typedef struct {
    CvdTool *tool;
    const Options *options;
    CvdPinger pinger;
    CvdStats *stats;
    guint64 n_over; /* answered, or waited for in vain */
    guint64 n_wrong;
    guint64 start_ns;
} Ping;

static void ping_clear(Ping *ping)
{
    cvd_pinger_clear(&ping->pinger);
    g_clear_pointer(&ping->stats, cvd_stats_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Ping, ping_clear)

static gboolean parse_options(Options *options, GError **error)
{
    const CvdToolOptions *given = &cvd_tool_options;

    *options = (Options){.limit_ms = DEFAULT_LIMIT_MS};
    return cvd_tool_parse_number(given->count, "--count", 1, G_MAXUINT32, &options->count, error) &&
           cvd_tool_parse_seconds(given->interval, "--interval", MAX_SECONDS, &options->interval_ms,
                                  error) &&
           cvd_tool_parse_seconds(given->time_limit, "--time-limit", MAX_SECONDS,
                                  &options->limit_ms, error) &&
           cvd_tool_parse_number(given->offset, "--offset", 4, G_MAXUINT32, &options->offset,
                                 error);
}

static gboolean has_lines(const Ping *ping)
{
    const Options *options = ping->options;
    return !ping->tool->json &&
           (cvd_tool_options.interval || (options->count > 0 && options->count <= MAX_LINES));
}

static gboolean print_pong(const Ping *ping, CvdPong pong, guint64 rtt_ns, GError **error)
{
    if (!has_lines(ping))
        return TRUE;
    switch (pong) {
    case CVD_PONG_NONE:
        return cvd_tool_print(error, "%" G_GUINT64_FORMAT ": no answer\n", ping->pinger.n_sent);
    case CVD_PONG_WRONG:
        return cvd_tool_print(error, "%" G_GUINT64_FORMAT ": wrong answer\n", ping->pinger.n_sent);
    case CVD_PONG_RIGHT:
        return cvd_tool_print(error, "%" G_GUINT64_FORMAT ": time %.1f us\n", ping->pinger.n_sent,
                              (double)rtt_ns / 1000);
    }
    g_assert_not_reached();
}

static gboolean ping_once(Ping *ping, GError **error)
{
    gboolean is_first = ping->stats->count == 0;
    guint limit_ms =
        is_first ? MAX(CVD_PINGER_FIRST_MS, ping->options->limit_ms) : ping->options->limit_ms;
    CvdPong pong;
    guint64 rtt_ns = 0;
    if (!cvd_pinger_ping(&ping->pinger, limit_ms, ping->tool->cancellable, &pong, &rtt_ns, error))
        return FALSE;
    ping->n_over++;
    if (pong == CVD_PONG_RIGHT)
        cvd_stats_add(ping->stats, rtt_ns);
    if (pong == CVD_PONG_WRONG)
        ping->n_wrong++;
    if (!print_pong(ping, pong, rtt_ns, error))
        return FALSE;
    if (is_first && pong != CVD_PONG_RIGHT)
        return cvd_fail(
            error, CVD_ERROR_TIMED_OUT,
            "region '%s': no answer within %u s; is the guest running, and does it answer?",
            cvd_region_get_name(ping->pinger.region), limit_ms / 1000);
    return TRUE;
}

/* Until the next one is due. What the guest says meanwhile is none of our business. */
static gboolean pause_until(Ping *ping, guint64 due_ns, GError **error)
{
    for (guint64 now = cvd_monotonic_ns(); now < due_ns; now = cvd_monotonic_ns()) {
        g_autoptr(GError) local_error = NULL;
        g_autoptr(GArray) offsets =
            cvd_region_wait(ping->pinger.region, (int)((due_ns - now + 999999) / 1000000),
                            ping->tool->cancellable, &local_error);
        if (!offsets && !g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
            return cvd_pass_error(error, &local_error);
    }
    return TRUE;
}

static gboolean ping_all(Ping *ping, GError **error)
{
    const Options *options = ping->options;
    g_auto(CvdProgress) progress = {0};
    cvd_progress_init(&progress, "answered", options->count);
    while (options->count == 0 || ping->pinger.n_sent < options->count) {
        guint64 due_ns = cvd_monotonic_ns() + (guint64)options->interval_ms * 1000000;
        if (g_cancellable_set_error_if_cancelled(ping->tool->cancellable, error) ||
            !ping_once(ping, error))
            return FALSE;
        if (!has_lines(ping))
            cvd_progress_update(&progress, ping->stats->count);
        if (ping->pinger.n_sent != options->count && !pause_until(ping, due_ns, error))
            return FALSE;
    }
    return TRUE;
}

static double us(double ns)
{
    return ns / 1000;
}

/* One that the user or the server has cut off is not lost. */
static guint64 n_unfinished(const Ping *ping)
{
    return ping->pinger.n_sent - ping->n_over;
}

static gboolean print_json(const Ping *ping, GError **error)
{
    const CvdStats *stats = ping->stats;
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);
    guint64 n_answered = stats->count;

    cvd_tool_add_json(&builder,
                      "{'region': <%s>, 'offset': <%u>, 'sent': <%t>, 'answered': <%t>,"
                      " 'wrong': <%t>, 'unfinished': <%t>}",
                      cvd_region_get_name(ping->pinger.region), ping->pinger.offset,
                      ping->pinger.n_sent, n_answered, ping->n_wrong, n_unfinished(ping));
    if (n_answered > 0)
        cvd_tool_add_json(
            &builder,
            "{'rtt_us': <{'min': <%d>, 'avg': <%d>, 'p50': <%d>, 'p99': <%d>, 'max': <%d>}>}",
            us((double)stats->min), us(cvd_stats_get_mean(stats)),
            us((double)cvd_stats_get_percentile(stats, 50)),
            us((double)cvd_stats_get_percentile(stats, 99)), us((double)stats->max));
    return cvd_tool_print_json(error, "%@a{sv}", g_variant_builder_end(&builder));
}

static gboolean print_summary(const Ping *ping, GError **error)
{
    const CvdStats *stats = ping->stats;
    guint64 n_answered = stats->count;
    double lost = ping->n_over > 0 ? 100 - 100.0 * (double)n_answered / (double)ping->n_over : 0;
    if (ping->tool->json)
        return print_json(ping, error);
    if (!cvd_tool_print(error,
                        "--- %s ping statistics ---\n%" G_GUINT64_FORMAT " sent, %" G_GUINT64_FORMAT
                        " answered, %" G_GUINT64_FORMAT " wrong, %.4g%% lost%s, time %.0f ms\n",
                        cvd_region_get_name(ping->pinger.region), ping->pinger.n_sent, n_answered,
                        ping->n_wrong, lost, n_unfinished(ping) > 0 ? ", 1 unfinished" : "",
                        (double)(cvd_monotonic_ns() - ping->start_ns) / 1e6))
        return FALSE;
    if (n_answered == 0)
        return TRUE;
    return cvd_tool_print(error, "rtt min/avg/p50/p99/max = %.1f/%.1f/%.1f/%.1f/%.1f us\n",
                          us((double)stats->min), us(cvd_stats_get_mean(stats)),
                          us((double)cvd_stats_get_percentile(stats, 50)),
                          us((double)cvd_stats_get_percentile(stats, 99)), us((double)stats->max));
}

/* The end by ctrl-c is as good as any. */
static gboolean ping_and_sum_up(Ping *ping, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    if (!ping->tool->json && !cvd_tool_print(error, "PING %s: words 0x%x and 0x%x\n",
                                             cvd_region_get_name(ping->pinger.region),
                                             ping->pinger.offset, ping->pinger.offset + 4))
        return FALSE;
    ping_all(ping, &local_error);
    if (g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE))
        return cvd_pass_error(error, &local_error);
    if (!print_summary(ping, error))
        return FALSE;
    if (local_error && !cvd_tool_is_cancelled(local_error))
        return cvd_pass_error(error, &local_error);
    guint64 n_answered = ping->stats->count;
    if (n_answered == 0 || n_answered < ping->n_over)
        return cvd_fail(error, CVD_ERROR_TIMED_OUT,
                        "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " pings were answered",
                        n_answered, ping->pinger.n_sent);
    return TRUE;
}

gboolean cvd_tool_ping(CvdTool *tool, char **arguments, GError **error)
{
    Options options;
    if (!parse_options(&options, error))
        return FALSE;
    g_autoptr(CvdRegion) region = cvd_tool_open(tool, arguments[0], error);
    if (!region)
        return FALSE;
    g_auto(Ping) ping = {
        .tool = tool,
        .options = &options,
        .stats = cvd_stats_new(),
        .start_ns = cvd_monotonic_ns(),
    };
    return cvd_pinger_init(&ping.pinger, region, options.offset, error) &&
           ping_and_sum_up(&ping, error);
}
