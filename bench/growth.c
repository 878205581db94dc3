/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much the start and the launcher's memory grow with the configuration. QEMU itself takes
 * longer with more regions or a larger window; how much longer is measured with the bare one, and
 * taken off.
 */
#include "bench/groups.h"
#include "bench/proc.h"
#include "bench/series.h"
#include "bench/values.h"
#include "tests/support/launcher.h"

#include <math.h>
#include <signal.h>

#define MIB         ((guint64)1 << 20)
#define SMALL_BYTES (4 * MIB)
#define HUGE_BYTES  (16 * MIB)

typedef struct {
    const char *key;
    const char *what;
    double target; /* NAN: none */
} Growth;

static double read_pss(const Subject *subject)
{
    double start_ms;
    g_autoptr(TestProcess) launcher = start_launch(subject, &start_ms);
    double kib = proc_read_pss_kib(launcher->pid);

    test_launcher_stop(launcher, SIGINT);
    return kib;
}

static void measure_start(const Growth *growth, Subject *small, Subject *large, int n_rounds)
{
    g_autofree char *qemu_key = g_strdup_printf("%s_qemu_ms", growth->key);
    g_autofree char *ratio_key = g_strdup_printf("%s_ratio", growth->key);
    g_autofree char *qemu_text = g_strdup_printf("%s: start, QEMU's own share", growth->what);
    g_autofree char *ratio_text = g_strdup_printf("%s: start, the rest", growth->what);
    Series of_small, of_large;

    series_init(&of_small);
    series_init(&of_large);
    for (int i = 0; i < n_rounds; i++) {
        figure_progress("%s: round %d of %d", growth->what, i + 1, n_rounds);
        series_measure(i % 2 ? &of_small : &of_large, i % 2 ? small : large, i % 4 < 2);
        series_measure(i % 2 ? &of_large : &of_small, i % 2 ? large : small, i % 4 < 2);
    }
    g_autoptr(GArray) qemu = figure_combine(of_large.bare_attached, of_small.bare_attached, '-');
    g_autoptr(GArray) rest = figure_combine(of_large.launch_start, qemu, '-');
    g_autoptr(GArray) ratio = figure_combine(rest, of_small.launch_start, '/');
    figure_report(qemu_key, qemu_text, qemu, "ms", FIGURE_PLAIN, 0);
    figure_report(ratio_key, ratio_text, ratio, "",
                  isnan(growth->target) ? FIGURE_PLAIN : FIGURE_AT_MOST, growth->target);
    series_clear(&of_small);
    series_clear(&of_large);
}

static void measure_pss(const Growth *growth, Subject *small, Subject *large)
{
    g_autofree char *key = g_strdup_printf("%s_pss_ratio", growth->key);
    g_autofree char *text = g_strdup_printf("%s: launcher's PSS", growth->what);
    g_autoptr(GArray) of_small = figure_values();
    g_autoptr(GArray) of_large = figure_values();

    for (int i = 0; i < 3; i++) {
        double kib = read_pss(small);
        g_array_append_val(of_small, kib);
        kib = read_pss(large);
        g_array_append_val(of_large, kib);
    }
    g_autoptr(GArray) ratio = figure_combine(of_large, of_small, '/');
    figure_report(key, text, ratio, "", FIGURE_PLAIN, 0);
}

static void measure(const Growth *growth, Subject *take_small, Subject *take_large, int n_rounds)
{
    g_autoptr(Subject) small = take_small;
    g_autoptr(Subject) large = take_large;

    measure_start(growth, small, large, n_rounds);
    measure_pss(growth, small, large);
}

void bench_growth(const BenchOptions *options)
{
    const char *accel = options->accel;
    int n = options->n_rounds;

    figure_section("Growth: start and memory");
    measure(&(Growth){"regions", "512 regions / 4", 2}, subject_new(4, SMALL_BYTES, accel, FALSE),
            subject_new(512, SMALL_BYTES, accel, FALSE), n);
    measure(&(Growth){"window", "1 GiB of window / 1 MiB", NAN}, subject_new(4, MIB, accel, FALSE),
            subject_new(4, 1024 * MIB, accel, FALSE), n);
    if (proc_count_huge_pages() < HUGE_BYTES / (2 * MIB))
        figure_skip("start with huge pages",
                    "fewer than %u pages of 2 MiB are free; as root: sysctl vm.nr_hugepages=64",
                    (guint)(HUGE_BYTES / (2 * MIB)));
    else
        measure(&(Growth){"huge", "pages of 2 MiB / of 4 KiB", NAN},
                subject_new(4, HUGE_BYTES, accel, FALSE), subject_new(4, HUGE_BYTES, accel, TRUE),
                n);
}
