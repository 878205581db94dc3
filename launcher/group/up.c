/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the machines of a group, some at once. Each of them is a process of its own from the
 * beginning, so that this one may end in any way; what it does is to keep the order, and to say
 * what has become of them.
 */
#include "launcher/group/up.h"

#include "base/failures.h"
#include "base/group-name.h"
#include "base/group-report.h"
#include "base/progress.h"
#include "base/source.h"
#include "launcher/group/machine.h"
#include "launcher/options.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>

/* At once: a connection, or a descriptor of a process, each. */
#define MAX_FOLLOWED 64
#define MAX_STOPPING 64

typedef struct {
    const CvdUpOptions *options;
    const char *group; /* or the machine, if it is one */
    gboolean is_group;
    char *launcher;
    GPtrArray *machines;
    guint counts[CVD_MACHINE_N_STATES];
    guint n_refused;       /* of those that have failed */
    gboolean is_given_up;  /* by the user */
    gboolean is_abandoned; /* the user does not even wait for the ends */
    CvdFailures *failures;
    CvdProgress progress;
    guint n_to_stop; /* of those that this run has started, once it is given up */
    gint64 start_us; /* of that, or of all */
    GSource *tick;
} Up;

/* ---- What the user sees ---- */

static guint count_up(const Up *up)
{
    return up->counts[CVD_MACHINE_UP] + up->counts[CVD_MACHINE_FOUND];
}

static CvdGroupReport get_report(const Up *up)
{
    CvdGroupReport report = {
        .done = "up",
        .n = up->machines->len,
        .n_done = count_up(up),
        .n_before = up->counts[CVD_MACHINE_FOUND],
        .n_failed = up->counts[CVD_MACHINE_FAILED],
        .elapsed_us = g_get_monotonic_time() - up->start_us,
    };

    if (up->is_given_up)
        report = (CvdGroupReport){
            .done = "stopped",
            .n = up->n_to_stop,
            .n_done = up->counts[CVD_MACHINE_STOPPED],
            .elapsed_us = report.elapsed_us,
        };
    return report;
}

static void show_progress(Up *up)
{
    const CvdGroupReport report = get_report(up);
    g_autofree char *label = cvd_group_report_format_progress(&report);

    cvd_progress_show(&up->progress, label, report.n_done + report.n_failed);
}

static void report_failure(Up *up, const CvdMachine *machine, const char *failure)
{
    if (!cvd_failures_add(up->failures, machine->name, failure))
        return;
    cvd_progress_clear(&up->progress);
    g_critical("%s: %s", machine->name, failure);
}

static void report_others(const Up *up)
{
    g_autoptr(GPtrArray) lines = cvd_failures_format_others(up->failures);

    for (guint i = 0; i < lines->len; i++)
        g_critical("%s", (const char *)lines->pdata[i]);
}

static void report_up(const Up *up)
{
    const CvdGroupReport report = get_report(up);
    gboolean has_wishes = up->options->from != NULL || up->options->overrides != NULL;
    g_autofree char *text = cvd_group_report_format_end(&report);

    g_message("%s: %s%s", up->group, text,
              report.n_before > 0 && has_wishes
                  ? "; what ran before keeps the snapshot and the settings that it was started with"
                  : "");
}

static void report_given_up(const Up *up)
{
    const CvdGroupReport report = get_report(up);
    g_autofree char *end = cvd_group_report_format_end(&report);
    g_autoptr(GString) text = g_string_new(report.n > 0 ? end : "nothing was started");

    if (report.n_done < report.n)
        g_string_append(text, ", the others were told to stop");
    if (up->counts[CVD_MACHINE_FOUND] > 0)
        g_string_append_printf(text, "; %u ran before: left alone", up->counts[CVD_MACHINE_FOUND]);
    g_message("%s: interrupted; %s", up->group, text->str);
}

/* ---- Machines ---- */

static void start(const Up *up, CvdMachine *machine)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *index = g_strdup_printf("%u", machine->index);
    char **overrides = up->options->overrides;
    const char *const fixed[] = {up->launcher, "--detach", "--config", up->options->config};

    for (gsize i = 0; i < G_N_ELEMENTS(fixed); i++)
        g_ptr_array_add(argv, (char *)fixed[i]);
    if (up->is_group) {
        g_ptr_array_add(argv, (char *)"--index");
        g_ptr_array_add(argv, index);
    }
    if (up->options->from != NULL) {
        g_ptr_array_add(argv, (char *)"--from");
        g_ptr_array_add(argv, up->options->from);
    }
    for (; overrides != NULL && *overrides != NULL; overrides++) {
        g_ptr_array_add(argv, (char *)"--set");
        g_ptr_array_add(argv, *overrides);
    }
    g_ptr_array_add(argv, NULL);
    cvd_machine_start(machine, (const char *const *)argv->pdata);
}

/* One that has been followed to its end has its turn again. */
static void start_next(Up *up)
{
    for (guint i = 0; i < up->machines->len; i++) {
        CvdMachine *machine = up->machines->pdata[i];
        if (up->counts[CVD_MACHINE_STARTING] >= up->options->n_jobs ||
            up->counts[CVD_MACHINE_FOLLOWED] >= MAX_FOLLOWED)
            return;
        if (machine->state == CVD_MACHINE_WAITING)
            start(up, machine);
    }
}

/* If the user does not wait, all are told. */
static void stop_next(const Up *up)
{
    for (guint i = 0; i < up->machines->len; i++) {
        CvdMachine *machine = up->machines->pdata[i];
        if (up->counts[CVD_MACHINE_STOPPING] >= MAX_STOPPING && !up->is_abandoned)
            return;
        if (machine->state == CVD_MACHINE_DUE)
            cvd_machine_stop(machine);
    }
}

/* What comes next is begun by the loop, not from within a machine. */
static void on_changed(CvdMachine *machine, const char *failure, gpointer data)
{
    Up *up = data;

    up->n_refused += failure != NULL && machine->is_refused;
    if (failure != NULL)
        report_failure(up, machine, failure);
    show_progress(up);
}

/* ---- Interruption ---- */

static gboolean on_interrupt(gpointer data)
{
    Up *up = data;

    if (up->is_given_up) {
        up->is_abandoned = TRUE;
        return G_SOURCE_CONTINUE;
    }
    up->is_given_up = TRUE;
    up->n_to_stop = up->counts[CVD_MACHINE_UP] + up->counts[CVD_MACHINE_STARTING];
    up->start_us = g_get_monotonic_time();
    cvd_progress_clear(&up->progress);
    if (up->n_to_stop > 0)
        g_message("%s: stopping the %u that were started here; ctrl-c again does not wait for it",
                  up->group, up->n_to_stop);
    cvd_progress_init(&up->progress, NULL, MAX(up->n_to_stop, 1));
    for (guint i = 0; i < up->machines->len; i++)
        cvd_machine_give_up(up->machines->pdata[i]);
    return G_SOURCE_CONTINUE;
}

/* One that is ignored stays so. */
static void catch_interrupts(Up *up)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            g_unix_signal_add(numbers[i], on_interrupt, up);
    }
}

/* ---- All of it ---- */

static gboolean on_tick(gpointer data)
{
    show_progress(data);
    return G_SOURCE_CONTINUE;
}

static gboolean is_over(const Up *up)
{
    const guint *counts = up->counts;
    guint n_left = counts[CVD_MACHINE_WAITING] + counts[CVD_MACHINE_FOLLOWED];
    guint n_busy =
        counts[CVD_MACHINE_STARTING] + counts[CVD_MACHINE_STOPPING] + counts[CVD_MACHINE_DUE];

    return up->is_abandoned || (n_busy == 0 && (up->is_given_up || n_left == 0));
}

static void go(Up *up)
{
    for (;;) {
        if (up->is_given_up)
            stop_next(up);
        else
            start_next(up);
        if (is_over(up))
            return;
        g_main_context_iteration(NULL, TRUE);
    }
}

static void show_time(Up *up)
{
    up->tick = g_timeout_source_new_seconds(1);
    g_source_set_callback(up->tick, on_tick, up, NULL);
    g_source_attach(up->tick, NULL);
}

static void add_machines(Up *up, const CvdConfig *config, GArray *indices)
{
    for (guint i = 0; i < indices->len; i++) {
        guint index = g_array_index(indices, guint, i);
        g_autofree char *name =
            up->is_group ? cvd_group_name_format(up->group, index) : g_strdup(config->name);
        g_ptr_array_add(up->machines, cvd_machine_new(name, index, up->counts, on_changed, up));
    }
}

/* As of one cvd-launch: nothing was started, as none could be. */
static int get_status(const Up *up)
{
    const guint *counts = up->counts;

    if (up->is_given_up)
        return EXIT_FAILURE;
    if (up->n_refused > 0 && up->n_refused == counts[CVD_MACHINE_FAILED] &&
        counts[CVD_MACHINE_UP] == 0)
        return CVD_EXIT_USAGE;
    return count_up(up) == up->machines->len ? EXIT_SUCCESS : EXIT_FAILURE;
}

int cvd_up(const CvdConfig *config, const CvdUpOptions *options, GArray *indices)
{
    Up up = {
        .options = options,
        .is_group = config->group.name != NULL,
        .group = config->group.name != NULL ? config->group.name : config->name,
        .launcher = cvd_starter_find_launcher(),
        .machines = g_ptr_array_new_with_free_func((GDestroyNotify)cvd_machine_free),
        .failures = cvd_failures_new(),
        .start_us = g_get_monotonic_time(),
    };

    add_machines(&up, config, indices);
    cvd_progress_init(&up.progress, NULL, up.machines->len);
    catch_interrupts(&up);
    show_time(&up);
    show_progress(&up);
    go(&up);
    cvd_progress_clear(&up.progress);
    report_others(&up);
    if (up.is_given_up)
        report_given_up(&up);
    else
        report_up(&up);
    int status = get_status(&up);
    cvd_source_clear(&up.tick);
    g_ptr_array_unref(up.machines);
    cvd_failures_free(up.failures);
    g_free(up.launcher);
    return status;
}
