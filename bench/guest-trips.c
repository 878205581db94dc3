/* SPDX-License-Identifier: Apache-2.0 */
/* How long it takes to the guest and back. */
#include "bench/guest-figures.h"
#include "bench/trips.h"
#include "bench/values.h"

static const struct {
    const char *key;
    const char *text;
    double q;
} quantiles[] = {
    {"p50", "p50", 0.5}, {"p90", "p90", 0.9}, {"p99", "p99", 0.99}, {"p999", "p99.9", 0.999}};

#define N_QUANTILES G_N_ELEMENTS(quantiles)

/* One way: all of its times, and each round's quantiles. */
typedef struct {
    const char *key;
    const char *text;
    GArray *times_us;
    GArray *rounds[N_QUANTILES];
} Way;

static void way_init(Way *way, const char *key, const char *text)
{
    *way = (Way){.key = key, .text = text, .times_us = figure_values()};
    for (gsize i = 0; i < N_QUANTILES; i++)
        way->rounds[i] = figure_values();
}

static void way_clear(Way *way)
{
    g_array_unref(way->times_us);
    for (gsize i = 0; i < N_QUANTILES; i++)
        g_array_unref(way->rounds[i]);
}

static void way_end_round(Way *way, GArray *times_us)
{
    g_array_append_vals(way->times_us, times_us->data, times_us->len);
    for (gsize i = 0; i < N_QUANTILES; i++) {
        double us = figure_quantile(times_us, quantiles[i].q);
        g_array_append_val(way->rounds[i], us);
    }
}

static void way_report(const Way *way)
{
    g_autofree char *curve_key = g_strdup_printf("trip_%s", way->key);

    for (gsize i = 0; i < N_QUANTILES; i++) {
        g_autofree char *key = g_strdup_printf("trip_%s_%s_us", way->key, quantiles[i].key);
        g_autofree char *text = g_strdup_printf("%s: %s", way->text, quantiles[i].text);
        figure_report(key, text, way->rounds[i], "us", FIGURE_PLAIN, 0);
    }
    g_autoptr(GArray) histogram = figure_histogram(way->times_us);
    curve_report(CURVE_LATENCY, curve_key, way->text, histogram);
}

typedef enum {
    WAY_REGION,
    WAY_VIRTIO,
    WAY_VSOCK,
    N_WAYS,
} WayIndex;

static void take_trips(const Guest *guest, WayIndex way, guint n, GArray *times_us)
{
    switch (way) {
    case WAY_REGION:
        trips_region(guest->trip, n, times_us);
        return;
    case WAY_VIRTIO:
        trips_stream(guest->echo, n, times_us);
        return;
    case WAY_VSOCK:
        trips_stream(guest->vsock, n, times_us);
        return;
    case N_WAYS:
        break;
    }
    g_assert_not_reached();
}

static void report_ratios(const Way *ways, guint n_ways)
{
    g_autoptr(GArray) p50 =
        figure_combine(ways[WAY_REGION].rounds[0], ways[WAY_VIRTIO].rounds[0], '/');
    g_autoptr(GArray) p99 =
        figure_combine(ways[WAY_REGION].rounds[2], ways[WAY_VIRTIO].rounds[2], '/');

    figure_report("trip_ratio", "round trip, p50: region / virtio-serial", p50, "", FIGURE_AT_MOST,
                  0.6);
    figure_report("trip_p99_ratio", "round trip, p99: region / virtio-serial", p99, "",
                  FIGURE_PLAIN, 0);
    if (n_ways <= WAY_VSOCK)
        return;
    g_autoptr(GArray) vsock =
        figure_combine(ways[WAY_REGION].rounds[0], ways[WAY_VSOCK].rounds[0], '/');
    figure_report("trip_vsock_ratio", "round trip, p50: region / vsock", vsock, "", FIGURE_PLAIN,
                  0);
}

void guest_measure_trips(const Guest *guest, const BenchOptions *options)
{
    guint n_ways = guest->vsock >= 0 ? N_WAYS : WAY_VSOCK;
    Way ways[N_WAYS];

    way_init(&ways[WAY_REGION], "region", "region");
    way_init(&ways[WAY_VIRTIO], "virtio_serial", "virtio-serial");
    way_init(&ways[WAY_VSOCK], "vsock", "vsock");
    for (int i = -1; i < options->n_rounds; i++) { /* one for nothing, to warm up */
        figure_progress("round trips: round %d of %d", i + 1, options->n_rounds);
        for (guint k = 0; k < n_ways; k++) {
            WayIndex way = (k + (guint)(i + 1)) % n_ways;
            g_autoptr(GArray) times_us = figure_values();
            take_trips(guest, way, options->n_round_trips, times_us);
            if (i >= 0)
                way_end_round(&ways[way], times_us);
        }
    }
    figure_section("Round trips host – guest – host");
    for (guint k = 0; k < n_ways; k++)
        way_report(&ways[k]);
    report_ratios(ways, n_ways);
    for (guint k = 0; k < N_WAYS; k++)
        way_clear(&ways[k]);
}
