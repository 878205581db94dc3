/* SPDX-License-Identifier: Apache-2.0 */
/* What is measured with a Linux guest: one, or two that differ in one thing. */
#include "bench/groups.h"
#include "bench/guest-figures.h"
#include "bench/pipes.h"
#include "bench/proc.h"
#include "bench/trips.h"
#include "bench/values.h"

#define FEW_REGIONS  4
#define MANY_REGIONS 128 /* one processor of a guest has interrupts for some 190 */
#define LARGE_BYTES  ((guint64)1 << 30)
#define HUGE_PAGE    ((guint64)2 << 20)
#define MESSAGE_SIZE (64u << 10)

static gboolean is_missing(const char *what)
{
    g_autofree char *why = test_linux_why_not();

    if (why != NULL)
        figure_skip(what, "%s", why);
    return why != NULL;
}

void bench_guest(const BenchOptions *options)
{
    if (is_missing("round trips and throughput with a guest"))
        return;
    if (guest_why_no_vsock() != NULL)
        figure_skip("round trips by vsock", "/dev/vhost-vsock: %s", guest_why_no_vsock());
    figure_progress("starting a Linux guest");
    Guest *guest = guest_start(options->accel, FEW_REGIONS, GUEST_WINDOW_BYTES, FALSE);
    guest_measure_trips(guest, options);
    guest_measure_throughput(guest, options);
    guest_stop(guest);
}

/* Two guests side by side, of which one always waits. */
typedef struct {
    Guest *guests[2];
    Pipe *pipes[2];
    GArray *trips[2];
    GArray *rates[2];
} Pair;

static void pair_add(Pair *pair, Guest *guest, guint which)
{
    pair->guests[which] = guest;
    pair->pipes[which] = pipe_new_region(guest->ring);
    pair->trips[which] = figure_values();
    pair->rates[which] = figure_values();
    test_linux_command(guest->vm, "ring-sink ring", "cvd-agent: ring-sink: started");
}

static void pair_clear(Pair *pair, guint which)
{
    pipe_free(pair->pipes[which]);
    g_array_unref(pair->trips[which]);
    g_array_unref(pair->rates[which]);
    guest_stop(pair->guests[which]);
}

static void measure_once(Pair *pair, guint which, const BenchOptions *options, gboolean counts)
{
    g_autoptr(GArray) times_us = figure_values();

    trips_region(pair->guests[which]->trip, options->n_round_trips, times_us);
    double p50 = figure_quantile(times_us, 0.5);
    double rate = pipe_measure(pair->pipes[which], MESSAGE_SIZE, options->slice_ms);
    if (!counts)
        return;
    g_array_append_val(pair->trips[which], p50);
    g_array_append_val(pair->rates[which], rate);
}

static void measure_growth(Pair *pair, const char *key, const char *what,
                           const BenchOptions *options, Guest *large)
{
    g_autofree char *trip_key = g_strdup_printf("trip_%s_ratio", key);
    g_autofree char *rate_key = g_strdup_printf("throughput_%s_ratio", key);
    g_autofree char *trip_text = g_strdup_printf("round trip, p50: %s", what);
    g_autofree char *rate_text = g_strdup_printf("throughput, 64 KiB: %s", what);

    pair_add(pair, large, 1);
    for (int i = -1; i < options->n_rounds; i++) { /* one for nothing, to warm up */
        guint first = (guint)(i + 1) % 2;
        figure_progress("%s: round %d of %d", what, i + 1, options->n_rounds);
        measure_once(pair, first, options, i >= 0);
        measure_once(pair, !first, options, i >= 0);
    }
    g_autoptr(GArray) trips = figure_combine(pair->trips[1], pair->trips[0], '/');
    g_autoptr(GArray) rates = figure_combine(pair->rates[1], pair->rates[0], '/');
    figure_report(trip_key, trip_text, trips, "", FIGURE_PLAIN, 0);
    figure_report(rate_key, rate_text, rates, "", FIGURE_PLAIN, 0);
    pair_clear(pair, 1);
    g_array_set_size(pair->trips[0], 0);
    g_array_set_size(pair->rates[0], 0);
}

void bench_guest_growth(const BenchOptions *options)
{
    const char *accel = options->accel;
    Pair pair;

    if (is_missing("how round trips and throughput grow"))
        return;
    figure_section("Growth: round trips and throughput");
    figure_progress("starting two Linux guests");
    pair_add(&pair, guest_start(accel, FEW_REGIONS, GUEST_WINDOW_BYTES, FALSE), 0);
    measure_growth(&pair, "regions", "128 regions / 4", options,
                   guest_start(accel, MANY_REGIONS, GUEST_WINDOW_BYTES, FALSE));
    measure_growth(&pair, "window", "window of 1 GiB / of 32 MiB", options,
                   guest_start(accel, FEW_REGIONS, LARGE_BYTES, FALSE));
    if (proc_count_huge_pages() < GUEST_WINDOW_BYTES / HUGE_PAGE)
        figure_skip("round trips and throughput with huge pages",
                    "fewer than %u pages of 2 MiB are free",
                    (guint)(GUEST_WINDOW_BYTES / HUGE_PAGE));
    else
        measure_growth(&pair, "huge", "pages of 2 MiB / of 4 KiB", options,
                       guest_start(accel, FEW_REGIONS, GUEST_WINDOW_BYTES, TRUE));
    pair_clear(&pair, 0);
}
