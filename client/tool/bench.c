/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bench`: what the machine gives: handshakes with the server, round trips through the guest, and
 * plain copies from and to the region's data. Each part has the same time.
 */
#include "base/error.h"
#include "base/progress.h"
#include "client/tool/pinger.h"
#include "client/tool/stats.h"
#include "client/tool/tool.h"

#include <string.h>

#define MAX_SECONDS 60
#define MAX_CHUNK   (1u << 20)
#define ANSWER_MS   1000

typedef struct {
    CvdTool *tool;
    CvdRegion *region;
    const char *name;
    guint64 part_ns;
    CvdStats *handshakes;
    CvdStats *round_trips;
    double read_mib_s;
    double write_mib_s;
} Bench;

static void bench_clear(Bench *bench)
{
    g_clear_pointer(&bench->handshakes, cvd_stats_free);
    g_clear_pointer(&bench->round_trips, cvd_stats_free);
    g_clear_object(&bench->region);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bench, bench_clear)

/* Also the first is timed: a new connection, the region mapped, and all of it let go. */
static gboolean time_handshakes(Bench *bench, GError **error)
{
    guint64 start = cvd_monotonic_ns(), now = start;
    g_auto(CvdProgress) progress = {0};
    cvd_progress_init(&progress, "handshakes", 0);
    do {
        guint64 before = now;
        g_autoptr(CvdRegion) region =
            cvd_region_open(bench->tool->socket, bench->name, 0, bench->tool->cancellable, error);
        if (!region)
            return FALSE;
        g_clear_object(&region);
        now = cvd_monotonic_ns();
        cvd_stats_add(bench->handshakes, now - before);
        cvd_progress_update(&progress, bench->handshakes->count);
    } while (now - start < bench->part_ns);
    return TRUE;
}

static gboolean time_round_trips(Bench *bench, GError **error)
{
    g_auto(CvdPinger) pinger = {0};
    g_auto(CvdProgress) progress = {0};
    CvdPong pong;
    guint64 rtt_ns;
    if (!cvd_pinger_init(&pinger, bench->region, 0, error) ||
        !cvd_pinger_ping(&pinger, CVD_PINGER_FIRST_MS, bench->tool->cancellable, &pong, &rtt_ns,
                         error))
        return FALSE;
    cvd_progress_init(&progress, "round trips", 0);
    guint64 start = cvd_monotonic_ns();
    while (pong == CVD_PONG_RIGHT && cvd_monotonic_ns() - start < bench->part_ns) {
        if (!cvd_pinger_ping(&pinger, ANSWER_MS, bench->tool->cancellable, &pong, &rtt_ns, error))
            return FALSE;
        if (pong == CVD_PONG_RIGHT)
            cvd_stats_add(bench->round_trips, rtt_ns);
        cvd_progress_update(&progress, bench->round_trips->count);
    }
    if (pong == CVD_PONG_RIGHT)
        return TRUE;
    return cvd_fail(error, CVD_ERROR_TIMED_OUT,
                    "region '%s': the guest does not answer; is it running?", bench->name);
}

/* Writes back what was read, so that the data stay as they are unless the guest writes, too. */
static gboolean time_copies(Bench *bench, gboolean is_write, double *mib_s, GError **error)
{
    gsize size;
    guint8 *data = cvd_region_get_data(bench->region, &size);
    gsize chunk = MIN(size, MAX_CHUNK), at = 0;
    if (chunk == 0)
        return TRUE;
    if (!cvd_region_allocate(bench->region, cvd_region_get_data_offset(bench->region), size, error))
        return FALSE;
    g_autofree guint8 *buffer = g_malloc(chunk);
    guint64 n_bytes = 0, copying_ns = 0;
    guint64 start = cvd_monotonic_ns(), now = start;
    while (now - start < bench->part_ns) {
        if (g_cancellable_set_error_if_cancelled(bench->tool->cancellable, error))
            return FALSE;
        gsize n = MIN(chunk, size - at);
        guint64 before = cvd_monotonic_ns();
        memcpy(buffer, data + at, n);
        if (is_write) {
            before = cvd_monotonic_ns();
            memcpy(data + at, buffer, n);
        }
        /* The copy is to happen although nobody looks at it. */
        __asm__ volatile("" : : "r"(buffer), "r"(data) : "memory");
        now = cvd_monotonic_ns();
        copying_ns += now - before;
        n_bytes += n;
        at = at + n < size ? at + n : 0;
    }
    *mib_s = (double)n_bytes / (1 << 20) / ((double)MAX(copying_ns, 1) / 1e9);
    return TRUE;
}

static double rate_of(const CvdStats *stats)
{
    double mean = cvd_stats_get_mean(stats);
    return mean > 0 ? 1e9 / mean : 0;
}

static gboolean print_text(const Bench *bench, GError **error)
{
    const CvdStats *const stats[] = {bench->handshakes, bench->round_trips};
    static const char *const labels[] = {"handshakes", "round trips"};
    for (guint i = 0; i < G_N_ELEMENTS(stats); i++)
        if (!cvd_tool_print(error, "%-12s %10.0f /s     p50 %.1f us, p99 %.1f us\n", labels[i],
                            rate_of(stats[i]),
                            (double)cvd_stats_get_percentile(stats[i], 50) / 1000,
                            (double)cvd_stats_get_percentile(stats[i], 99) / 1000))
            return FALSE;
    return cvd_tool_print(error, "%-12s %10.0f MiB/s\n%-12s %10.0f MiB/s\n", "read",
                          bench->read_mib_s, "write", bench->write_mib_s);
}

static GVariant *describe_stats(const CvdStats *stats)
{
    return g_variant_new_parsed(
        "{'count': <%t>, 'per_second': <%d>, 'p50_us': <%d>, 'p99_us': <%d>}", stats->count,
        rate_of(stats), (double)cvd_stats_get_percentile(stats, 50) / 1000,
        (double)cvd_stats_get_percentile(stats, 99) / 1000);
}

static gboolean print_json(const Bench *bench, GError **error)
{
    return cvd_tool_print_json(error,
                               "{'region': <%s>, 'handshakes': <%@a{sv}>, 'round_trips': <%@a{sv}>,"
                               " 'read_mib_per_second': <%d>, 'write_mib_per_second': <%d>}",
                               bench->name, describe_stats(bench->handshakes),
                               describe_stats(bench->round_trips), bench->read_mib_s,
                               bench->write_mib_s);
}

/* A guest that does not answer spoils one part; the others are printed before it is reported. */
static gboolean run_parts(Bench *bench, GError **error)
{
    g_autoptr(GError) mute = NULL;
    if (!time_handshakes(bench, error) || !time_copies(bench, FALSE, &bench->read_mib_s, error) ||
        !time_copies(bench, TRUE, &bench->write_mib_s, error))
        return FALSE;
    if (!time_round_trips(bench, &mute) && !g_error_matches(mute, CVD_ERROR, CVD_ERROR_TIMED_OUT))
        return cvd_pass_error(error, &mute);
    if (!(bench->tool->json ? print_json(bench, error) : print_text(bench, error)))
        return FALSE;
    if (mute)
        return cvd_pass_error(error, &mute);
    return TRUE;
}

gboolean cvd_tool_bench(CvdTool *tool, char **arguments, GError **error)
{
    guint part_ms = 1000;
    if (cvd_tool_options.seconds && !cvd_tool_parse_seconds(cvd_tool_options.seconds, "--seconds",
                                                            MAX_SECONDS, &part_ms, error))
        return FALSE;
    g_auto(Bench) bench = {
        .tool = tool,
        .name = arguments[0],
        .part_ns = (guint64)part_ms * 1000000,
        .handshakes = cvd_stats_new(),
        .round_trips = cvd_stats_new(),
    };
    bench.region = cvd_tool_open(tool, arguments[0], error);
    return bench.region && run_parts(&bench, error);
}
