/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/series.h"

#include "bench/values.h"

void series_init(Series *series)
{
    series->launch_start = figure_values();
    series->launch_stop = figure_values();
    series->bare_start = figure_values();
    series->bare_attached = figure_values();
    series->bare_stop = figure_values();
}

void series_clear(Series *series)
{
    g_array_unref(series->launch_start);
    g_array_unref(series->launch_stop);
    g_array_unref(series->bare_start);
    g_array_unref(series->bare_attached);
    g_array_unref(series->bare_stop);
}

void series_measure(Series *series, const Subject *subject, gboolean bare_first)
{
    for (int i = 0; i < 2; i++) {
        gboolean is_bare = (i == 0) == bare_first;
        LaunchTimes times = is_bare ? time_bare(subject) : time_launch(subject);
        g_array_append_val(is_bare ? series->bare_start : series->launch_start, times.start_ms);
        g_array_append_val(is_bare ? series->bare_stop : series->launch_stop, times.stop_ms);
        if (is_bare)
            g_array_append_val(series->bare_attached, times.attached_ms);
    }
}
