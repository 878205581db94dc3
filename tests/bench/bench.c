/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The project's figures. Each is a ratio or a difference of two things measured in one run, in
 * alternating rounds, since the same machine differs more from one minute to the next than the
 * things do; with the median of the rounds and, as spread, the quartiles of the single ones.
 */
#include "tests/bench/clients.h"
#include "tests/bench/figures.h"
#include "tests/bench/signals.h"
#include "tests/bench/subjects.h"
#include "tests/support/launcher.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB         (1024.0 * 1024.0)
#define SMALL_BYTES (4u << 20)

static gboolean as_json;
static int n_rounds = 15;
static int idle_s = 10;
static char *only;

static const GOptionEntry entries[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "Print one JSON object", NULL},
    {"rounds", 0, 0, G_OPTION_ARG_INT, &n_rounds, "How often each pair is measured", "N"},
    {"idle", 0, 0, G_OPTION_ARG_INT, &idle_s, "How long the idle launcher is watched", "SECONDS"},
    {"only", 0, 0, G_OPTION_ARG_STRING, &only, "Measure one group: launch, clients or signals",
     "GROUP"},
    {NULL},
};

/* Two subjects, or one subject both ways, @n times in turn. */
typedef struct {
    GArray *launch_start, *launch_stop, *bare_start, *bare_attached, *bare_stop;
} Series;

static void series_init(Series *series)
{
    series->launch_start = figure_values();
    series->launch_stop = figure_values();
    series->bare_start = figure_values();
    series->bare_attached = figure_values();
    series->bare_stop = figure_values();
}

static void series_clear(Series *series)
{
    g_array_unref(series->launch_start);
    g_array_unref(series->launch_stop);
    g_array_unref(series->bare_start);
    g_array_unref(series->bare_attached);
    g_array_unref(series->bare_stop);
}

/* Who goes first changes with every round. */
static void measure_once(const Subject *subject, Series *series, gboolean bare_first)
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

static void bench_start_and_stop(void)
{
    g_autoptr(Subject) subject = subject_new(4, SMALL_BYTES);
    Series series;

    series_init(&series);
    figure_progress("warming up");
    time_bare(subject);
    time_launch(subject);
    for (int i = 0; i < n_rounds; i++) {
        figure_progress("start and stop: round %d of %d", i + 1, n_rounds);
        measure_once(subject, &series, i % 2 == 0);
    }
    g_autoptr(GArray) ratio = figure_combine(series.launch_start, series.bare_start, '/');
    g_autoptr(GArray) extra = figure_combine(series.launch_stop, series.bare_stop, '-');
    figure_report("bare_start_ms", "bare QEMU: exec to answered query-status", series.bare_start,
                  "ms", FIGURE_PLAIN, 0);
    figure_report("launch_start_ms", "cvd-launch: exec to running", series.launch_start, "ms",
                  FIGURE_PLAIN, 0);
    figure_report("start_ratio", "  cvd-launch / bare QEMU", ratio, "", FIGURE_AT_MOST, 1.25);
    figure_report("bare_quit_ms", "bare QEMU: quit to exit", series.bare_stop, "ms", FIGURE_PLAIN,
                  0);
    figure_report("launch_stop_ms", "cvd-launch: ctrl-c to everything gone", series.launch_stop,
                  "ms", FIGURE_PLAIN, 0);
    figure_report("stop_extra_ms", "  cvd-launch - bare QEMU", extra, "ms", FIGURE_AT_MOST, 25);
    series_clear(&series);
}

static void bench_restart(void)
{
    g_autoptr(Subject) subject = subject_new(4, SMALL_BYTES);
    g_autoptr(GArray) first = figure_values();
    g_autoptr(GArray) again = figure_values();

    for (int i = 0; i < n_rounds; i++) {
        figure_progress("restart: round %d of %d", i + 1, n_rounds);
        RestartTimes times = time_restart(subject);
        g_array_append_val(first, times.start_ms);
        g_array_append_val(again, times.restart_ms);
    }
    g_autoptr(GArray) ratio = figure_combine(again, first, '/');
    figure_report("restart_ms", "cvd-launch: QEMU killed to running again", again, "ms",
                  FIGURE_PLAIN, 0);
    figure_report("restart_ratio", "  that / the start before", ratio, "", FIGURE_AT_MOST, 1.2);
}

/* How much two configurations differ, and how much of that is QEMU's own. */
static void bench_growth(Subject *small, Subject *large, const char *key, const char *what,
                         double target)
{
    Series of_small, of_large;
    g_autoptr(GArray) growth = figure_values();
    g_autoptr(GArray) qemu_growth = figure_values();

    series_init(&of_small);
    series_init(&of_large);
    for (int i = 0; i < n_rounds; i++) {
        figure_progress("%s: round %d of %d", what, i + 1, n_rounds);
        measure_once(i % 2 ? small : large, i % 2 ? &of_small : &of_large, i % 4 < 2);
        measure_once(i % 2 ? large : small, i % 2 ? &of_large : &of_small, i % 4 < 2);
        double qemu = g_array_index(of_large.bare_attached, double, i) -
                      g_array_index(of_small.bare_attached, double, i);
        double ratio = (g_array_index(of_large.launch_start, double, i) - qemu) /
                       g_array_index(of_small.launch_start, double, i);
        g_array_append_val(growth, ratio);
        g_array_append_val(qemu_growth, qemu);
    }
    g_autofree char *qemu_key = g_strdup_printf("%s_qemu_ms", key);
    g_autofree char *ratio_key = g_strdup_printf("%s_ratio", key);
    g_autofree char *qemu_text = g_strdup_printf("%s: QEMU's own share", what);
    g_autofree char *ratio_text = g_strdup_printf("  %s: start, the rest", what);
    figure_report(qemu_key, qemu_text, qemu_growth, "ms", FIGURE_PLAIN, 0);
    figure_report(ratio_key, ratio_text, growth, "", isnan(target) ? FIGURE_PLAIN : FIGURE_AT_MOST,
                  target);
    series_clear(&of_small);
    series_clear(&of_large);
}

static double read_pss_kib(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/smaps_rollup", pid);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    const char *pss = strstr(text, "\nPss:");
    g_assert_nonnull(pss);
    return g_ascii_strtod(pss + strlen("\nPss:"), NULL);
}

static guint64 read_switches(pid_t pid)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task", pid);
    g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
    const char *task;
    guint64 sum = 0;

    while ((task = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(tasks, task, "status", NULL);
        g_autofree char *text = NULL;
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        for (const char *p = text; (p = strstr(p, "ctxt_switches:")) != NULL; p++)
            sum += g_ascii_strtoull(p + strlen("ctxt_switches:"), NULL, 10);
    }
    return sum;
}

static void bench_memory(void)
{
    g_autofree char *json = test_source_path("conf/vsoc_mem.json");
    const char *argv[] = {g_getenv("CVD_EMPTY_GLIB"), json, NULL};
    g_autoptr(GArray) launcher_kib = figure_values();
    g_autoptr(GArray) empty_kib = figure_values();
    g_autoptr(GArray) switches = figure_values();

    for (int i = 0; i < 3; i++) {
        g_autoptr(Subject) subject = subject_new(4, SMALL_BYTES);
        double start_ms;
        figure_progress("memory");
        g_autoptr(TestProcess) launcher = start_launch(subject, &start_ms);
        test_launcher_wait_guest(subject->sandbox, "bench", 1);
        g_autoptr(TestProcess) empty = test_process_start(subject->sandbox, argv, NULL, NULL);
        test_process_wait_err(empty, "ready", 1);
        double kib = read_pss_kib(launcher->pid);
        g_array_append_val(launcher_kib, kib);
        kib = read_pss_kib(empty->pid);
        g_array_append_val(empty_kib, kib);
        test_process_signal(empty, SIGKILL);
        test_process_wait_end(empty);
        if (i == 0) {
            figure_progress("idle");
            guint64 before = read_switches(launcher->pid);
            g_usleep((gulong)idle_s * G_USEC_PER_SEC);
            double n = (double)(read_switches(launcher->pid) - before);
            g_array_append_val(switches, n);
        }
        test_process_signal(launcher, SIGINT);
        test_launcher_assert_exit(launcher, 0);
    }
    g_autoptr(GArray) ratio = figure_combine(launcher_kib, empty_kib, '/');
    g_autofree char *idle_text =
        g_strdup_printf("cvd-launch: context switches in %d s idle", idle_s);
    figure_report("empty_pss_kib", "empty GLib program: PSS", empty_kib, "KiB", FIGURE_PLAIN, 0);
    figure_report("launch_pss_kib", "cvd-launch: PSS", launcher_kib, "KiB", FIGURE_PLAIN, 0);
    figure_report("pss_ratio", "  cvd-launch / empty GLib program", ratio, "", FIGURE_AT_MOST, 1.5);
    figure_report("idle_switches", idle_text, switches, "", FIGURE_AT_MOST, 0);
}

/* The bare QEMU's doorbells are ours: 512 regions need more than the usual soft limit. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void bench_launch(void)
{
    bench_start_and_stop();
    bench_restart();
    bench_memory();
    Subject *few = subject_new(4, SMALL_BYTES);
    Subject *many = subject_new(512, SMALL_BYTES);
    bench_growth(few, many, "regions", "512 regions for 4", 2);
    subject_free(few);
    subject_free(many);
    Subject *small = subject_new(4, (guint64)MIB);
    Subject *large = subject_new(4, (guint64)(1024 * MIB));
    bench_growth(small, large, "window", "1 GiB for 1 MiB", NAN);
    subject_free(small);
    subject_free(large);
}

/* Returns: whether a group of figures was asked for */
static gboolean wants(const char *group)
{
    return only == NULL || strcmp(only, group) == 0;
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- print the project's figures");
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || n_rounds < 1 || idle_s < 1) {
        fprintf(stderr, "bench: %s\n", error != NULL ? error->message : "N must be at least 1");
        return 2;
    }
    figures_begin(as_json);
    raise_file_limit();
    if (wants("launch"))
        bench_launch();
    if (wants("clients"))
        bench_clients(n_rounds);
    if (wants("signals"))
        bench_signals(n_rounds);
    figures_end();
    return 0;
}
