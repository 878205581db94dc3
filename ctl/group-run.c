/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A verb for all machines of a group: a task each, side by side in one main loop, so that one that
 * hangs keeps none from its turn. Not by a process each, as nothing of a task blocks.
 */
#include "base/error.h"
#include "base/failures.h"
#include "base/group-report.h"
#include "base/progress.h"
#include "base/source.h"
#include "ctl/task.h"

#include <stdlib.h>
#include <string.h>

/* So many descriptors fit any limit. */
#define MAX_AT_ONCE 64
/* Of VMs that start more at once are not faster, but late; one that hangs takes a place for a
 * while. */
#define MIN_RESTARTS 4

typedef struct {
    CvdTool *tool;
    const CvdCtlOrder *order;
    GPtrArray *dirs;
    guint n_running; /* the first of them that have a task; the last have failed before */
    guint n_begun;
    guint n_busy;
    GQueue reached;    /* members that have answered, and wait for their turn */
    guint n_under_way; /* of those that have had it */
    CvdGroupReport report;
    gint64 start_us;
    CvdFailures *failures;
    CvdProgress progress;
    GSource *tick;
} Run;

typedef struct {
    Run *run;
    const char *name;
    CvdCtlTask *task; /* once it has answered */
    gboolean is_under_way;
} Member;

static gboolean is_interrupted(const Run *run)
{
    return g_cancellable_is_cancelled(run->tool->cancellable);
}

/* ---- What the user sees ---- */

static void show_progress(Run *run)
{
    run->report.elapsed_us = g_get_monotonic_time() - run->start_us;
    g_autofree char *label = cvd_group_report_format_progress(&run->report);

    cvd_progress_show(&run->progress, label, run->report.n_done + run->report.n_failed);
}

static gboolean on_tick(gpointer data)
{
    Run *run = data;

    show_progress(run);
    cvd_source_set_timer(&run->tick, g_get_monotonic_time() + G_USEC_PER_SEC, on_tick, run);
    return G_SOURCE_REMOVE;
}

static void report_failure(Run *run, const char *name, const char *reason)
{
    run->report.n_failed++;
    if (!cvd_failures_add(run->failures, name, reason))
        return;
    cvd_progress_clear(&run->progress);
    g_printerr("cvd-ctl: %s: %s\n", name, reason);
}

static void report_end(Run *run)
{
    g_autoptr(GPtrArray) others = cvd_failures_format_others(run->failures);
    g_autofree char *text = NULL;

    cvd_progress_clear(&run->progress);
    for (guint i = 0; i < others->len; i++)
        g_printerr("cvd-ctl: %s\n", (const char *)others->pdata[i]);
    run->report.elapsed_us = g_get_monotonic_time() - run->start_us;
    text = cvd_group_report_format_end(&run->report);
    g_printerr("cvd-ctl: %s: %s%s\n", run->tool->group, is_interrupted(run) ? "interrupted; " : "",
               text);
}

/* ---- Machines ---- */

static const char *get_name(const char *dir)
{
    return strrchr(dir, '/') + 1;
}

static void on_done(GError *take_error, gpointer data)
{
    g_autofree Member *member = data;
    g_autoptr(GError) error = take_error;
    Run *run = member->run;

    run->n_busy--;
    run->n_under_way -= member->is_under_way ? 1 : 0;
    if (error == NULL) {
        run->report.n_done++;
    } else if (!is_interrupted(run)) {
        cvd_ctl_clarify(error);
        report_failure(run, member->name, error->message);
    }
    show_progress(run);
}

static void on_reached(CvdCtlTask *task, gpointer data)
{
    Member *member = data;

    member->task = task;
    g_queue_push_tail(&member->run->reached, member);
}

static void begin(Run *run, const char *dir)
{
    g_autofree char *socket = g_build_filename(dir, "control.sock", NULL);
    Member *member = g_new0(Member, 1);

    *member = (Member){.run = run, .name = get_name(dir)};
    run->n_busy++;
    cvd_ctl_task_start(run->tool, run->order, socket, on_reached, on_done, member);
}

static void conclude_failed(Run *run, const char *dir)
{
    g_autoptr(CvdCtlFailure) failure = cvd_ctl_failure_load(dir);
    const char *reason = failure != NULL ? failure->reason : "somebody has removed what it left";
    g_autofree char *text = g_strdup_printf("has failed: %s", reason);
    g_autofree char *printable = cvd_ctl_printable(text);

    if (!cvd_ctl_order_is_met_by_failure(run->order)) {
        report_failure(run, get_name(dir), printable);
        return;
    }
    run->report.n_done++;
    run->report.n_before++;
}

static void treat_failed(Run *run, const char *dir)
{
    g_autoptr(GError) error = NULL;

    if (run->order->treat_failed(dir, &error))
        run->report.n_done++;
    else
        report_failure(run, get_name(dir), error->message);
}

/* One that does not answer takes no other's turn. */
static void go_on(Run *run, guint n_at_once)
{
    Member *member;

    while (run->n_under_way < n_at_once && (member = g_queue_pop_head(&run->reached)) != NULL) {
        member->is_under_way = TRUE;
        run->n_under_way++;
        cvd_ctl_task_go_on(member->task);
    }
}

static void go(Run *run, guint n_at_once)
{
    while (run->n_busy > 0 || (run->n_begun < run->n_running && !is_interrupted(run))) {
        while (run->n_begun < run->n_running && run->n_busy < MAX_AT_ONCE && !is_interrupted(run))
            begin(run, run->dirs->pdata[run->n_begun++]);
        go_on(run, n_at_once);
        g_main_context_iteration(NULL, TRUE);
    }
}

/* ---- All of it ---- */

gboolean cvd_ctl_run_on_group(CvdTool *tool, const CvdCtlOrder *order, GError **error)
{
    gboolean is_for_failed = order->treat_failed != NULL;
    guint n_running;
    g_autoptr(GPtrArray) dirs = cvd_ctl_list_group(tool, &n_running, error);
    if (dirs == NULL)
        return FALSE;
    if (is_for_failed && n_running == dirs->len)
        return cvd_fail(error, CVD_ERROR_CLOSED, "group '%s': no machine has failed", tool->group);

    g_autoptr(CvdFailures) failures = cvd_failures_new();
    Run run = {
        .tool = tool,
        .order = order,
        .dirs = dirs,
        .n_running = is_for_failed ? 0 : n_running,
        .report = {.done = order->done, .n = dirs->len - (is_for_failed ? n_running : 0)},
        .start_us = g_get_monotonic_time(),
        .failures = failures,
    };
    gboolean is_restart = order->until == CVD_CTL_UNTIL_RESTARTED;

    cvd_progress_init(&run.progress, NULL, run.report.n);
    for (guint i = n_running; i < dirs->len; i++)
        (is_for_failed ? treat_failed : conclude_failed)(&run, dirs->pdata[i]);
    on_tick(&run);
    go(&run, is_restart ? CLAMP(g_get_num_processors(), MIN_RESTARTS, MAX_AT_ONCE) : MAX_AT_ONCE);
    cvd_source_clear(&run.tick);
    report_end(&run);
    tool->status = run.report.n_done == run.report.n ? EXIT_SUCCESS : EXIT_FAILURE;
    return TRUE;
}
