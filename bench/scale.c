/* SPDX-License-Identifier: Apache-2.0 */
/* A machine from a snapshot beside the same machine that boots, each to its guest's first answer.
 */
#include "bench/scale.h"

#include "bench/groups.h"
#include "bench/values.h"
#include "tests/support/linux.h"

#define GOAL_LINUX 0.08

static void report(const Fleet *fleet, const char *what, GArray *values, const char *text,
                   const char *unit, FigureGoal goal)
{
    g_autofree char *key = g_strdup_printf("%s_%s", fleet->is_linux ? "linux" : "builtin", what);
    g_autofree char *full =
        g_strdup_printf("%s guest%s", fleet->is_linux ? "Linux" : "built-in", text);

    figure_report(key, full, values, unit, goal, GOAL_LINUX);
}

static void restore(Fleet *fleet, GArray *restores)
{
    g_autoptr(TestClone) machine = NULL;
    double took_ms = fleet_restore(fleet, 0, &machine);

    g_array_append_val(restores, took_ms);
    test_clone_stop(machine);
}

static void boot(Fleet *fleet, GArray *boots)
{
    double took_ms = fleet_boot(fleet);

    g_array_append_val(boots, took_ms);
    fleet_shut(fleet);
}

static void measure_start(Fleet *fleet, const BenchOptions *options)
{
    g_autoptr(GArray) boots = figure_values();
    g_autoptr(GArray) restores = figure_values();

    figure_progress("start from a snapshot: warming up");
    fleet_boot(fleet);
    fleet_save(fleet);
    for (int i = 0; i < options->n_rounds; i++) {
        figure_progress("start from a snapshot: round %d of %d", i + 1, options->n_rounds);
        if (i % 2 == 0)
            boot(fleet, boots);
        restore(fleet, restores);
        if (i % 2 != 0)
            boot(fleet, boots);
    }
    fleet_delete(fleet);
    g_autoptr(GArray) ratio = figure_combine(restores, boots, '/');
    report(fleet, "boot_ms", boots, ": boot to the first answer", "ms", FIGURE_PLAIN);
    report(fleet, "restore_ms", restores, ": from a snapshot to it", "ms", FIGURE_PLAIN);
    report(fleet, "restore_ratio", ratio, ": from a snapshot / boot", "",
           fleet->is_linux ? FIGURE_AT_MOST : FIGURE_PLAIN);
}

void bench_scale(const BenchOptions *options)
{
    g_autofree char *why = test_linux_why_not();
    g_autoptr(Fleet) builtin = fleet_new(FALSE, options->accel);

    figure_section("Start from a snapshot");
    measure_start(builtin, options);
    if (why != NULL) {
        figure_skip("snapshots of a Linux guest, and many machines of one", "%s", why);
        scale_measure_many(builtin, options);
        return;
    }
    g_autoptr(Fleet) linux_guest = fleet_new(TRUE, options->accel);
    measure_start(linux_guest, options);
    scale_measure_many(linux_guest, options);
}
