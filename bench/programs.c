/* SPDX-License-Identifier: Apache-2.0 */
/* What host programs cost the start and the launcher, beside the same machine without any. */
#include "bench/groups.h"
#include "bench/proc.h"
#include "bench/subjects.h"
#include "bench/values.h"
#include "tests/support/launcher.h"

#include <signal.h>

#define WINDOW_BYTES (4u << 20)
#define N_STARTED    10
#define N_KEPT       20
#define N_REGIONS    20

/* Each waits for its region's signals, and is ready when it has the region. */
static char *describe_programs(guint n)
{
    g_autoptr(GString) text = g_string_new("programs={");

    for (guint i = 0; i < n; i++)
        g_string_append_printf(text,
                               "%s\"p%u\": {\"argv\": [\"%s\", \"wait\", \"region%u\"],"
                               " \"regions\": [\"region%u\"], \"ready\": \"attached\"}",
                               i > 0 ? ", " : "", i, g_getenv("CVD_CLIENT"), i, i);
    g_string_append_c(text, '}');
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static Subject *new_subject(const BenchOptions *options, guint n_programs)
{
    Subject *subject = subject_new(N_REGIONS, WINDOW_BYTES, options->accel, FALSE);
    g_autofree char *programs = describe_programs(n_programs);

    subject_set(subject, programs);
    /* The timer of the last handshake still comes, though all are over. */
    subject_set(subject, "limits.handshake_timeout_ms=500");
    return subject;
}

static void append(GArray *values, double value)
{
    g_array_append_val(values, value);
}

static void measure_start(const BenchOptions *options)
{
    g_autoptr(Subject) none = new_subject(options, 0);
    g_autoptr(Subject) some = new_subject(options, N_STARTED);
    g_autoptr(GArray) without = figure_values();
    g_autoptr(GArray) with = figure_values();

    time_launch(none);
    time_launch(some);
    for (int i = 0; i < options->n_rounds; i++) {
        figure_progress("start with programs: round %d of %d", i + 1, options->n_rounds);
        if (i % 2 == 0)
            append(without, time_launch(none).start_ms);
        append(with, time_launch(some).start_ms);
        if (i % 2 != 0)
            append(without, time_launch(none).start_ms);
    }
    g_autoptr(GArray) ratio = figure_combine(with, without, '/');
    figure_report("start_alone_ms", "no program: exec to running", without, "ms", FIGURE_PLAIN, 0);
    figure_report("start_programs_ms", "10 programs that wait for their region: exec to running",
                  with, "ms", FIGURE_PLAIN, 0);
    figure_report("start_programs_ratio", "  start: 10 programs / none", ratio, "", FIGURE_AT_MOST,
                  1.15);
}

static void watch(const Subject *subject, int seconds, GArray *kib, GArray *switches)
{
    double start_ms;
    g_autoptr(TestProcess) launcher = start_launch(subject, &start_ms);

    test_launcher_wait_guest(subject->sandbox, "bench", 1);
    append(kib, proc_read_pss_kib(launcher->pid));
    g_usleep(G_USEC_PER_SEC);
    guint64 before = proc_read_switches(launcher->pid);
    g_usleep((gulong)seconds * G_USEC_PER_SEC);
    append(switches, (double)(proc_read_switches(launcher->pid) - before));
    test_launcher_stop(launcher, SIGINT);
}

static void measure_memory(const BenchOptions *options)
{
    g_autoptr(Subject) none = new_subject(options, 0);
    g_autoptr(Subject) some = new_subject(options, N_KEPT);
    g_autoptr(GArray) without = figure_values();
    g_autoptr(GArray) with = figure_values();
    g_autoptr(GArray) switches = figure_values();

    for (int i = 0; i < options->n_rounds; i++) {
        g_autoptr(GArray) ignored = figure_values();
        figure_progress("memory with programs: round %d of %d", i + 1, options->n_rounds);
        watch(none, 0, without, ignored);
        watch(some, options->idle_s, with, switches);
    }
    g_autoptr(GArray) ratio = figure_combine(with, without, '/');
    g_autofree char *idle_text =
        g_strdup_printf("20 programs: wake-ups of cvd-launch in %d s idle", options->idle_s);
    figure_report("pss_alone_kib", "no program: PSS of cvd-launch", without, "KiB", FIGURE_PLAIN,
                  0);
    figure_report("pss_programs_kib", "20 programs: PSS of cvd-launch", with, "KiB", FIGURE_PLAIN,
                  0);
    figure_report("pss_programs_ratio", "  PSS: 20 programs / none", ratio, "", FIGURE_AT_MOST,
                  1.15);
    figure_report("idle_programs_switches", idle_text, switches, "", FIGURE_AT_MOST, 0);
}

void bench_programs(const BenchOptions *options)
{
    figure_section("Host programs");
    measure_start(options);
    measure_memory(options);
}
