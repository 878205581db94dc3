/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher takes while nothing happens, beside the least that such a program can be. Both
 * are measured while QEMU runs, which shares libraries with both. */
#include "bench/groups.h"
#include "bench/proc.h"
#include "bench/subjects.h"
#include "bench/values.h"
#include "tests/support/launcher.h"

#include <signal.h>

#define WINDOW_BYTES (4u << 20)
#define N_ROUNDS     3

typedef struct {
    GArray *launcher_kib, *empty_kib, *launcher_switches, *empty_switches;
} Idle;

static void append(GArray *values, double value)
{
    g_array_append_val(values, value);
}

/* Both at once: they do nothing, so they do not disturb each other. */
static void watch(Idle *idle, pid_t launcher, pid_t empty, int seconds)
{
    guint64 launcher_before = proc_read_switches(launcher);
    guint64 empty_before = proc_read_switches(empty);

    g_usleep((gulong)seconds * G_USEC_PER_SEC);
    append(idle->launcher_switches, (double)(proc_read_switches(launcher) - launcher_before));
    append(idle->empty_switches, (double)(proc_read_switches(empty) - empty_before));
}

static void measure(Idle *idle, const BenchOptions *options)
{
    g_autoptr(Subject) subject = subject_new(4, WINDOW_BYTES, options->accel, FALSE);
    g_autofree char *json = test_source_path("conf/vsoc_mem.json");
    const char *argv[] = {g_getenv("CVD_EMPTY_GLIB"), json, NULL};
    double start_ms;

    g_autoptr(TestProcess) launcher = start_launch(subject, &start_ms);
    test_launcher_wait_guest(subject->sandbox, "bench", 1);
    g_autoptr(TestProcess) empty = test_process_start(subject->sandbox, argv, NULL, NULL);
    test_process_wait_err(empty, "ready", 1);
    append(idle->launcher_kib, proc_read_pss_kib(launcher->pid));
    append(idle->empty_kib, proc_read_pss_kib(empty->pid));
    watch(idle, launcher->pid, empty->pid, options->idle_s);
    test_process_signal(empty, SIGKILL);
    test_process_wait_end(empty);
    test_launcher_stop(launcher, SIGINT);
}

void bench_memory(const BenchOptions *options)
{
    Idle idle = {figure_values(), figure_values(), figure_values(), figure_values()};

    for (int i = 0; i < N_ROUNDS; i++) {
        figure_progress("memory and idle wake-ups: round %d of %d", i + 1, N_ROUNDS);
        measure(&idle, options);
    }
    g_autoptr(GArray) ratio = figure_combine(idle.launcher_kib, idle.empty_kib, '/');
    g_autofree char *idle_text =
        g_strdup_printf("cvd-launch: wake-ups in %d s idle", options->idle_s);
    figure_section("Memory and idle wake-ups");
    figure_report("empty_pss_kib", "empty GLib program: PSS", idle.empty_kib, "KiB", FIGURE_PLAIN,
                  0);
    figure_report("launch_pss_kib", "cvd-launch: PSS", idle.launcher_kib, "KiB", FIGURE_PLAIN, 0);
    figure_report("pss_ratio", "PSS: cvd-launch / empty GLib program", ratio, "", FIGURE_AT_MOST,
                  1.5);
    figure_report("empty_switches", "empty GLib program: wake-ups meanwhile", idle.empty_switches,
                  "", FIGURE_PLAIN, 0);
    figure_report("idle_switches", idle_text, idle.launcher_switches, "", FIGURE_AT_MOST, 0);
    g_array_unref(idle.launcher_kib);
    g_array_unref(idle.empty_kib);
    g_array_unref(idle.launcher_switches);
    g_array_unref(idle.empty_switches);
}
