/* SPDX-License-Identifier: Apache-2.0 */
/* The host programs and hooks of a launch: what they report becomes an event of the lifecycle, and
 * QEMU waits for the first hook and for the back ends that it connects to. */
#include "launcher/launch-private.h"

#include "base/source.h"

#include <string.h>

/* From here on whoever looks at the terminal wonders. */
#define AWAITED_US (2 * G_TIME_SPAN_SECOND)

static void set_failure(CvdLaunch *launch, const char *why)
{
    g_free(launch->failure);
    launch->failure = g_strdup(why);
}

/* One at a time: what is under way is cut short. Returns: whether one is configured */
static gboolean run_hook(CvdLaunch *launch, CvdHookKind kind, CvdHookDone done)
{
    g_clear_pointer(&launch->hook, cvd_hook_free);
    if (launch->hook_output == NULL)
        launch->hook_output =
            cvd_output_new(launch->host.dir, &launch->output_load, CVD_HOOK_OUTPUT);
    launch->hook =
        cvd_hook_run(launch->config, launch->children, launch->hook_output, kind, done, launch);
    return launch->hook != NULL;
}

/* ---- Programs ---- */

static void on_prepared(gpointer data)
{
    CvdLaunch *launch = data;

    launch->is_prepared = TRUE;
    if (!launch->is_preparing)
        return;
    launch->is_preparing = FALSE;
    cvd_launch_start_vm_or_report(launch);
}

static void on_ready(gpointer data)
{
    CvdLaunch *launch = data;

    cvd_source_clear(&launch->awaited_timer);
    cvd_launch_handle(launch, CVD_EVENT_PROGRAMS_READY);
}

static void on_failed(const char *why, gpointer data)
{
    CvdLaunch *launch = data;

    set_failure(launch, why);
    cvd_launch_handle(launch, CVD_EVENT_PROGRAM_FAILED);
}

static gboolean on_quitting(gpointer data)
{
    CvdLaunch *launch = data;

    cvd_source_clear(&launch->awaited_timer);
    g_message("waiting for the disk, to remove what a snapshot has begun; ctrl-c quits at once");
    return G_SOURCE_REMOVE;
}

/* What a snapshot has begun is removed before. */
static void quit(CvdLaunch *launch)
{
    launch->has_ended = TRUE;
    cvd_launch_cancel_snapshot(launch);
    if (launch->snapshot == NULL)
        g_main_loop_quit(launch->host.loop);
    else
        cvd_source_set_timer(&launch->awaited_timer, g_get_monotonic_time() + AWAITED_US,
                             on_quitting, launch);
}

static void on_after_stop(const GError *error, gpointer data)
{
    CvdLaunch *launch = data;

    if (error != NULL)
        g_warning("%s", error->message);
    g_clear_pointer(&launch->hook, cvd_hook_free);
    quit(launch);
}

static void run_after_stop(CvdLaunch *launch)
{
    if (!run_hook(launch, CVD_HOOK_AFTER_STOP, on_after_stop))
        quit(launch);
}

static void on_changed(gpointer data)
{
    cvd_launch_answer_program_calls(data);
    cvd_launch_look_at_programs(data);
}

static void on_ended(gpointer data)
{
    run_after_stop(data);
}

static guint open_region(const CvdProgramConfig *program, const char *region, int *fds,
                         GError **error, gpointer data)
{
    CvdLaunch *launch = data;
    CvdPassedRegion passed = CVD_PASSED_REGION_INIT;
    CvdServerUser user = {0};

    if (program->user != NULL)
        user = (CvdServerUser){program->user->uid, program->user->gids, program->user->n_gids};
    if (!cvd_server_open_region(launch->host.server, region, program->user != NULL ? &user : NULL,
                                &passed, error))
        return 0;
    memcpy(fds, passed.fds, sizeof passed.fds);
    return passed.client;
}

static void on_region_passed(guint number, pid_t pid, gpointer data)
{
    CvdLaunch *launch = data;

    cvd_server_set_client_pid(launch->host.server, number, pid);
}

static const CvdProgramsHandlers handlers = {
    .prepared = on_prepared,
    .ready = on_ready,
    .failed = on_failed,
    .changed = on_changed,
    .ended = on_ended,
    .open_region = open_region,
    .region_passed = on_region_passed,
};

static void on_client_attached(CvdServer *server, int pid, const char *region, gpointer data)
{
    CvdLaunch *launch = data;

    cvd_programs_client_attached(launch->programs, pid, region);
}

void cvd_launch_open_programs(CvdLaunch *launch)
{
    if (launch->config->n_programs == 0)
        return;
    launch->programs =
        cvd_programs_new(launch->config, launch->lifecycle.is_restored, launch->children,
                         launch->host.dir, &launch->output_load, &handlers, launch);
    g_signal_connect(launch->host.server, "client-attached", G_CALLBACK(on_client_attached),
                     launch);
}

static gboolean on_awaited(gpointer data)
{
    CvdLaunch *launch = data;
    g_autofree char *names = cvd_programs_describe_awaited(launch->programs);

    cvd_source_clear(&launch->awaited_timer);
    if (names != NULL && cvd_launch_get_state(launch) == CVD_STATE_STARTING)
        g_message("waiting for programs to be ready: %s", names);
    return G_SOURCE_REMOVE;
}

static gboolean prepare_programs(CvdLaunch *launch, GError **error)
{
    if (launch->programs == NULL)
        return cvd_launch_start_vm(launch, error);
    launch->is_prepared = FALSE;
    cvd_source_set_timer(&launch->awaited_timer, g_get_monotonic_time() + AWAITED_US, on_awaited,
                         launch);
    if (!cvd_programs_begin_vm(launch->programs, error))
        return FALSE;
    launch->is_preparing = !launch->is_prepared;
    return launch->is_preparing || cvd_launch_start_vm(launch, error);
}

/* ---- Start and end ---- */

void cvd_launch_serve_programs(CvdLaunch *launch)
{
    if (launch->programs != NULL && launch->is_serving && launch->hook == NULL)
        cvd_programs_serve(launch->programs);
}

static gboolean prepare_vm(CvdLaunch *launch, GError **error)
{
    if (!cvd_launch_prepare_restore(launch, error))
        return FALSE;
    return launch->is_preparing || prepare_programs(launch, error);
}

/* @prepare: what is next, unless there was an error */
static void go_on(CvdLaunch *launch, gboolean (*prepare)(CvdLaunch *launch, GError **error),
                  const GError *reason)
{
    g_autoptr(GError) error = reason != NULL ? g_error_copy(reason) : NULL;

    launch->is_preparing = FALSE;
    if (error == NULL && prepare(launch, &error)) {
        cvd_launch_serve_programs(launch);
        return;
    }
    set_failure(launch, error->message);
    cvd_launch_handle(launch, CVD_EVENT_START_FAILED);
}

static void on_before_start(const GError *error, gpointer data)
{
    CvdLaunch *launch = data;

    g_clear_pointer(&launch->hook, cvd_hook_free);
    if (error == NULL && launch->lifecycle.prepare_s == 0)
        cvd_launch_handle(launch, CVD_EVENT_PREPARED);
    go_on(launch, prepare_vm, error);
}

void cvd_launch_restore_prepared(CvdLaunch *launch, const GError *error)
{
    if (error == NULL)
        cvd_launch_handle(launch, CVD_EVENT_PREPARED);
    go_on(launch, prepare_programs, error);
}

gboolean cvd_launch_begin_vm(CvdLaunch *launch, GError **error)
{
    g_clear_pointer(&launch->failure, g_free);
    launch->is_preparing =
        launch->n_restarts == 0 && run_hook(launch, CVD_HOOK_BEFORE_START, on_before_start);
    return launch->is_preparing || prepare_vm(launch, error);
}

gboolean cvd_launch_cancel_vm(CvdLaunch *launch)
{
    gboolean was_preparing = launch->is_preparing;

    launch->is_preparing = FALSE;
    if (was_preparing) {
        g_clear_pointer(&launch->hook, cvd_hook_free);
        cvd_launch_cancel_restore(launch);
    }
    return was_preparing;
}

static void on_after_ready(const GError *error, gpointer data)
{
    CvdLaunch *launch = data;

    if (error != NULL)
        g_warning("%s", error->message);
    g_clear_pointer(&launch->hook, cvd_hook_free);
}

void cvd_launch_after_ready(CvdLaunch *launch)
{
    run_hook(launch, CVD_HOOK_AFTER_READY, on_after_ready);
}

void cvd_launch_blame_programs(CvdLaunch *launch)
{
    g_autofree char *awaited =
        launch->programs != NULL ? cvd_programs_describe_awaited(launch->programs) : NULL;

    if (launch->failure == NULL && awaited != NULL &&
        launch->lifecycle.cause == CVD_CAUSE_START_TIMED_OUT)
        launch->failure = g_strdup_printf("not ready within lifecycle.start_timeout_s (%u s): %s",
                                          launch->config->start_timeout_s, awaited);
}

static gboolean on_ending(gpointer data)
{
    CvdLaunch *launch = data;
    g_autofree char *names = cvd_programs_describe_running(launch->programs);

    cvd_source_clear(&launch->awaited_timer);
    if (names != NULL)
        g_message("waiting for programs to end: %s; ctrl-c kills them", names);
    return G_SOURCE_REMOVE;
}

static void end_programs(CvdLaunch *launch)
{
    cvd_source_set_timer(&launch->awaited_timer, g_get_monotonic_time() + AWAITED_US, on_ending,
                         launch);
    cvd_programs_end(launch->programs);
}

void cvd_launch_end(CvdLaunch *launch)
{
    gboolean was_ending = launch->is_ending;

    cvd_launch_blame_programs(launch);
    if (!was_ending)
        g_clear_pointer(&launch->hook, cvd_hook_free); /* that of a machine that was ready */
    launch->is_ending = TRUE;
    if (was_ending && (launch->hook != NULL ||
                       launch->has_ended)) /* it has been asked for twice, or more often */
        g_main_loop_quit(launch->host.loop);
    else if (launch->programs != NULL)
        end_programs(launch);
    else if (!was_ending)
        run_after_stop(launch);
}

void cvd_launch_close_programs(CvdLaunch *launch)
{
    cvd_source_clear(&launch->awaited_timer);
    g_clear_pointer(&launch->hook, cvd_hook_free);
    g_clear_pointer(&launch->programs, cvd_programs_free);
    g_clear_pointer(&launch->hook_output, cvd_output_free);
    g_clear_pointer(&launch->failure, g_free);
}
