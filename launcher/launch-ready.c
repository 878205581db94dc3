/* SPDX-License-Identifier: Apache-2.0 */
/* When the machine is ready: who says so, and who is told. */
#include "launcher/launch-private.h"

#include "base/notify.h"

/* ---- Who says so ---- */

static void on_guest_ready(CvdServer *server, gpointer data)
{
    CvdLaunch *launch = data;

    launch->ready.by = "the guest said so";
    cvd_launch_handle(launch, CVD_EVENT_GUEST_READY);
}

static void on_printed(const char *bytes, gsize size, gpointer data)
{
    CvdLaunch *launch = data;

    switch (cvd_line_watch_take(launch->ready.line_watch, bytes, size)) {
    case CVD_LINE_WATCH_GOES_ON:
        break;
    case CVD_LINE_WATCH_MATCHED:
        if (launch->lifecycle.guest.holds & CVD_HOLD_RESET) /* the old guest may have printed it */
            break;
        launch->ready.by = "its console matches lifecycle.ready_pattern";
        cvd_launch_handle(launch, CVD_EVENT_GUEST_READY);
        break;
    case CVD_LINE_WATCH_GIVEN_UP:
        g_warning(
            "lifecycle.ready_pattern: comparing the guest's console with it takes too long, so "
            "no more is compared; write a simpler one, without repetitions in repetitions");
        break;
    }
}

void cvd_launch_open_ready(CvdLaunch *launch)
{
    launch->ready.by = "all programs are";
    g_signal_connect(launch->host.server, "guest-ready", G_CALLBACK(on_guest_ready), launch);
}

void cvd_launch_close_ready(CvdLaunch *launch)
{
    if (launch->console != NULL)
        cvd_console_set_listener(launch->console, NULL, NULL);
    g_clear_pointer(&launch->ready.line_watch, cvd_line_watch_free);
}

/* What the old guest has printed last is still to be read: it is stopped by now. */
void cvd_launch_await_ready(CvdLaunch *launch)
{
    cvd_launch_close_ready(launch);
    if (launch->config->ready_pattern == NULL || launch->console == NULL)
        return;
    cvd_console_read_rest(launch->console);
    launch->ready.line_watch = cvd_line_watch_new(launch->config->ready_pattern);
    cvd_console_set_listener(launch->console, on_printed, launch);
}

static void add_awaited(const CvdProgramStatus *status, gpointer data)
{
    GString *awaited = data;

    if (status->state != CVD_PROGRAM_READY && status->state != CVD_PROGRAM_DONE)
        g_string_append_printf(awaited, "%s%s (%s)", awaited->len > 0 ? ", " : "",
                               status->config->name, cvd_program_state_get_name(status->state));
}

/* Also those without which the guest may run: that have failed, or were stopped by a user. */
void cvd_launch_look_at_programs(CvdLaunch *launch)
{
    g_autoptr(GString) awaited = g_string_new(NULL);

    if (launch->config->ready != CVD_MACHINE_READY_PROGRAMS ||
        launch->lifecycle.readiness.are_programs_ready ||
        cvd_ladder_is_going_down(&launch->lifecycle.ladder))
        return;
    cvd_programs_foreach(launch->programs, add_awaited, awaited);
    g_clear_pointer(&launch->ready.awaited, g_free);
    if (awaited->len > 0)
        launch->ready.awaited = g_strdup(awaited->str);
    else
        cvd_launch_handle(launch, CVD_EVENT_ALL_READY);
}

/* ---- Who is told ---- */

/* That it runs has been said; here, when that is not all that was waited for. */
static void log_ready(CvdLaunch *launch)
{
    double ms = (double)(g_get_monotonic_time() - launch->start_time_us) / 1000;

    if (launch->config->ready == CVD_MACHINE_READY_RUNNING)
        return;
    if (launch->ready.n_logged != launch->n_restarts + 1)
        cvd_launch_log_state(launch, G_LOG_LEVEL_MESSAGE, "ready after %.0f ms: %s", ms,
                             launch->ready.by);
    else if (cvd_launch_may_log(launch))
        cvd_launch_log_state(launch, G_LOG_LEVEL_MESSAGE, "ready again: %s", launch->ready.by);
    launch->ready.n_logged = launch->n_restarts + 1;
}

void cvd_launch_announce_ready(CvdLaunch *launch)
{
    log_ready(launch);
    if (launch->ready.is_notified)
        return;
    launch->ready.is_notified = TRUE;
    cvd_notify_ready();
    cvd_launch_after_ready(launch);
}

/* The manager does not know that the time limit of the start does not run while the guest does not,
 * nor that another QEMU is started; the launcher's own limits hold. */
void cvd_launch_notify_delay(CvdLaunch *launch, CvdState before)
{
    CvdState state = cvd_lifecycle_get_state(&launch->lifecycle);

    if (!launch->ready.is_notified && state != before && state != CVD_STATE_STARTING &&
        state != CVD_STATE_RUNNING && state != CVD_STATE_STOPPING)
        cvd_notify_need_time(G_TIME_SPAN_DAY);
}
