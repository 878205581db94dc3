/* SPDX-License-Identifier: Apache-2.0 */
/* Start, stop and restart of a VM. */
#include "bench/groups.h"
#include "bench/series.h"
#include "bench/values.h"

#define WINDOW_BYTES (4u << 20)

static void measure_start_and_stop(const BenchOptions *options)
{
    g_autoptr(Subject) subject = subject_new(4, WINDOW_BYTES, options->accel, FALSE);
    Series series;

    series_init(&series);
    figure_progress("warming up");
    time_bare(subject);
    time_launch(subject);
    for (int i = 0; i < options->n_rounds; i++) {
        figure_progress("start and stop: round %d of %d", i + 1, options->n_rounds);
        series_measure(&series, subject, i % 2 == 0);
    }
    g_autoptr(GArray) ratio = figure_combine(series.launch_start, series.bare_start, '/');
    g_autoptr(GArray) extra = figure_combine(series.launch_stop, series.bare_stop, '-');
    figure_report("bare_start_ms", "bare QEMU: exec to answered query-status", series.bare_start,
                  "ms", FIGURE_PLAIN, 0);
    figure_report("launch_start_ms", "cvd-launch: exec to running", series.launch_start, "ms",
                  FIGURE_PLAIN, 0);
    figure_report("start_ratio", "  start: cvd-launch / bare QEMU", ratio, "", FIGURE_AT_MOST,
                  1.15);
    figure_report("bare_quit_ms", "bare QEMU: quit to exit", series.bare_stop, "ms", FIGURE_PLAIN,
                  0);
    figure_report("launch_stop_ms", "cvd-launch: ctrl-c to everything gone", series.launch_stop,
                  "ms", FIGURE_PLAIN, 0);
    figure_report("stop_extra_ms", "  stop: cvd-launch - bare QEMU", extra, "ms", FIGURE_AT_MOST,
                  10);
    series_clear(&series);
}

static void measure_restart(const BenchOptions *options)
{
    g_autoptr(Subject) subject = subject_new(4, WINDOW_BYTES, options->accel, FALSE);
    g_autoptr(GArray) first = figure_values();
    g_autoptr(GArray) again = figure_values();

    for (int i = 0; i < options->n_rounds; i++) {
        figure_progress("restart: round %d of %d", i + 1, options->n_rounds);
        RestartTimes times = time_restart(subject);
        g_array_append_val(first, times.start_ms);
        g_array_append_val(again, times.restart_ms);
    }
    g_autoptr(GArray) ratio = figure_combine(again, first, '/');
    figure_report("restart_ms", "cvd-launch: QEMU killed to running again", again, "ms",
                  FIGURE_PLAIN, 0);
    figure_report("restart_ratio", "  restart / the start before", ratio, "", FIGURE_AT_MOST, 1.2);
}

void bench_launch(const BenchOptions *options)
{
    figure_section("Start and stop");
    measure_start_and_stop(options);
    measure_restart(options);
}
