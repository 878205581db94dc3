/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a trace costs: round trips to the built-in guest of two machines, with a trace and without.
 * Without, the launcher has no part in them, which is more than a ratio can say: it is not woken.
 */
#include "bench/groups.h"
#include "bench/proc.h"
#include "bench/subjects.h"
#include "bench/trips.h"
#include "bench/values.h"
#include "client/cvd-client.h"
#include "tests/support/launcher.h"

#include <signal.h>
#include <unistd.h>

#define N_REGIONS    4
#define WINDOW_BYTES (4u << 20)
#define REGION       "region0"

typedef struct {
    Subject *subject;
    char *trace; /* NULL: there is none */
    TestProcess *launcher;
    CvdRegion *region;
} Machine;

static void machine_start(Machine *machine, const char *name, const char *accel, gboolean is_traced)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    g_autoptr(GError) error = NULL;

    machine->subject = subject_new(N_REGIONS, WINDOW_BYTES, accel, FALSE);
    const TestSandbox *sandbox = machine->subject->sandbox;
    machine->trace = is_traced ? test_sandbox_path(sandbox, "trace") : NULL;
    for (char **word = machine->subject->settings; *word != NULL; word++)
        g_ptr_array_add(args, *word);
    g_ptr_array_add(args, is_traced ? (char *)"--trace" : NULL);
    g_ptr_array_add(args, machine->trace);
    g_ptr_array_add(args, NULL);
    machine->launcher =
        test_launch_with(sandbox, name, (const char *const *)args->pdata, NULL, NULL);
    test_launcher_wait_running(machine->launcher);
    test_launcher_wait_guest(sandbox, name, 1);
    g_autofree char *socket = test_sandbox_instance_path(sandbox, name, "client.sock");
    machine->region = cvd_region_open(socket, REGION, 0, NULL, &error);
    if (machine->region == NULL)
        g_error("%s", error->message);
}

static void machine_stop(Machine *machine)
{
    g_clear_object(&machine->region);
    test_launcher_stop(machine->launcher, SIGINT);
    test_process_free(machine->launcher);
    subject_free(machine->subject);
    g_free(machine->trace);
}

static double measure_trips(const Machine *machine, guint n)
{
    g_autoptr(GArray) times_us = figure_values();

    trips_region(machine->region, n, times_us);
    return figure_quantile(times_us, 0.5);
}

/* @switches: how often the launcher of the machine without a trace was woken meanwhile */
static void measure_round(const Machine machines[2], int round, const BenchOptions *options,
                          GArray *values[2], GArray *switches)
{
    for (int i = 0; i < 2; i++) {
        int which = (round + i) % 2;
        guint64 before = proc_read_switches(machines[0].launcher->pid);
        double us = measure_trips(&machines[which], options->n_round_trips);
        double woken = (double)(proc_read_switches(machines[0].launcher->pid) - before);
        g_array_append_val(values[which], us);
        if (which == 0)
            g_array_append_val(switches, woken);
    }
}

void bench_trace(const BenchOptions *options)
{
    g_autoptr(GArray) off_us = figure_values();
    g_autoptr(GArray) on_us = figure_values();
    g_autoptr(GArray) switches = figure_values();
    GArray *values[2] = {off_us, on_us};
    Machine machines[2];

    machine_start(&machines[0], "off", options->accel, FALSE);
    machine_start(&machines[1], "on", options->accel, TRUE);
    for (int i = 0; i < options->n_rounds; i++) {
        figure_progress("doorbell trace: round %d of %d", i + 1, options->n_rounds);
        measure_round(machines, i, options, values, switches);
    }
    machine_stop(&machines[0]);
    machine_stop(&machines[1]);
    g_autoptr(GArray) ratio = figure_combine(on_us, off_us, '/');
    g_autofree char *text = g_strdup_printf("no trace: cvd-launch's wake-ups in %u round trips",
                                            options->n_round_trips);
    figure_section("Doorbell trace");
    figure_report("trace_off_p50_us", "built-in guest, no trace: round trip, p50", off_us, "us",
                  FIGURE_PLAIN, 0);
    figure_report("trace_on_p50_us", "built-in guest, with a trace: round trip, p50", on_us, "us",
                  FIGURE_PLAIN, 0);
    figure_report("trace_ratio", "round trip, p50: with a trace / without", ratio, "",
                  FIGURE_AT_MOST, 2);
    figure_report("trace_off_switches", text, switches, "", FIGURE_AT_MOST, 0);
}
