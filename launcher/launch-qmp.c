/* SPDX-License-Identifier: Apache-2.0 */
/* What QEMU says becomes events of the lifecycle; and the end of the hand-over, which only asking
 * can find. */
#include "launcher/launch-private.h"

#include "base/source.h"

#include <string.h>

/* Between two looks at whether QEMU has read the hand-over, for which there is no event: the first
 * look is at once, and most often it has. Each pause is twice the one before. */
#define FIRST_PAUSE_US G_TIME_SPAN_MILLISECOND
#define LAST_PAUSE_US  (128 * G_TIME_SPAN_MILLISECOND)
/* Of a text that QEMU gives, in bytes. */
#define MAX_TEXT 128
/* From here on a guest that has not printed anything looks broken. */
#define MANY_RESETS 10U

/* ---- Hand-over ---- */

/*
 * When every byte of the hand-over has left the socket QEMU may still be about to act on the last:
 * one more answer shows that its main loop has come round.
 */
static void on_settled(CvdJsonSpan result, const GError *error, gpointer data)
{
    if (error == NULL)
        cvd_launch_handle_status(data, CVD_EVENT_HANDED_OVER, result);
}

static gboolean check_hand_over(gpointer data)
{
    CvdLaunch *launch = data;

    cvd_source_clear(&launch->hand_over_timer);
    if (launch->lifecycle.ladder.state != CVD_LADDER_LOADING)
        return G_SOURCE_REMOVE;
    if (cvd_server_vm_has_read_all(launch->host.server)) {
        cvd_qmp_execute(launch->vm->qmp, "query-status", NULL, on_settled, launch);
        return G_SOURCE_REMOVE;
    }
    cvd_source_set_timer(&launch->hand_over_timer,
                         g_get_monotonic_time() + launch->hand_over_pause_us, check_hand_over,
                         launch);
    launch->hand_over_pause_us = MIN(2 * launch->hand_over_pause_us, LAST_PAUSE_US);
    return G_SOURCE_REMOVE;
}

void cvd_launch_hand_over(CvdLaunch *launch)
{
    launch->hand_over_pause_us = FIRST_PAUSE_US;
    if (launch->is_all_sent && launch->lifecycle.has_answered)
        check_hand_over(launch);
}

/* ---- Events ---- */

static const char *get_text(JsonObject *event_data, const char *member)
{
    const char *text = cvd_json_get_text(event_data, member);

    return text != NULL ? text : "";
}

/* Here each reset is seen; what follows from several at once may happen once. */
static void on_reset(CvdLaunch *launch, JsonObject *event_data)
{
    cvd_launch_handle(launch, CVD_EVENT_VM_RESET);
    if (launch->lifecycle.guest.n_resets == MANY_RESETS && launch->console != NULL &&
        !cvd_console_has_printed(launch->console))
        g_warning("the guest was reset %u times and has printed nothing: perhaps its kernel or "
                  "firmware does not run on this processor (qemu.cpu)",
                  MANY_RESETS);
}

static void on_shutdown(CvdLaunch *launch, JsonObject *event_data)
{
    cvd_lifecycle_note_shutdown(&launch->lifecycle, get_text(event_data, "reason"));
    cvd_launch_handle(launch, CVD_EVENT_VM_SHUTDOWN);
}

/* SHUTDOWN follows if QEMU is to exit at a panic, but STOP comes first. */
static void on_panic(CvdLaunch *launch, JsonObject *event_data)
{
    const char *action = get_text(event_data, "action");

    if (cvd_launch_may_log(launch))
        g_message("guest panicked");
    cvd_launch_set_fault(launch, NULL);
    if (action[0] != '\0' && strcmp(action, "poweroff") != 0)
        return;
    cvd_lifecycle_note_shutdown(&launch->lifecycle, "guest-panic");
    cvd_launch_handle(launch, CVD_EVENT_VM_SHUTDOWN);
}

/* Another action than `pause`, the launcher's, is a choice of the configuration. */
static void on_watchdog(CvdLaunch *launch, JsonObject *event_data)
{
    if (cvd_launch_may_log(launch))
        g_message("the guest's watchdog ran out");
    if (strcmp(get_text(event_data, "action"), "pause") == 0)
        cvd_launch_handle(launch, CVD_EVENT_WATCHDOG);
}

/* STOP follows, and a run state that says no more than that it was a disk. */
static void on_io_error(CvdLaunch *launch, JsonObject *event_data)
{
    const char *device = get_text(event_data, "device");
    g_autofree char *text = NULL;

    if (strcmp(get_text(event_data, "action"), "stop") != 0)
        return;
    if (device[0] == '\0')
        device = get_text(event_data, "node-name");
    text =
        g_strdup_printf("%.*s: %.*s", MAX_TEXT, device, MAX_TEXT, get_text(event_data, "reason"));
    cvd_launch_set_fault(launch, text);
}

static void on_migration(CvdLaunch *launch, JsonObject *event_data)
{
    cvd_launch_note_migration(launch, event_data);
    cvd_launch_handle_migration(launch, get_text(event_data, "status"));
}

/* What was rung before it ran would be lost. */
static void on_resume(CvdLaunch *launch, JsonObject *event_data)
{
    cvd_launch_handle(launch, CVD_EVENT_VM_RESUMED);
    cvd_launch_ring_guest(launch);
}

static void on_event(const char *name, JsonObject *event_data, const char *text, gpointer data)
{
    static const struct {
        const char *name;
        void (*handle)(CvdLaunch *launch, JsonObject *event_data); /* NULL: as @event */
        CvdEvent event;
    } events[] = {
        {"STOP", NULL, CVD_EVENT_VM_STOPPED},
        {"RESUME", on_resume, 0},
        {"RESET", on_reset, 0},
        {"SUSPEND", NULL, CVD_EVENT_VM_SUSPENDED},
        {"WAKEUP", NULL, CVD_EVENT_VM_WOKE},
        {"SHUTDOWN", on_shutdown, 0},
        {"GUEST_PANICKED", on_panic, 0},
        {"WATCHDOG", on_watchdog, 0},
        {"BLOCK_IO_ERROR", on_io_error, 0},
        {"MIGRATION", on_migration, 0},
    };
    CvdLaunch *launch = data;

    g_debug("QMP event %s", name);
    cvd_control_guest_event(launch->host.control, name, text);
    for (gsize i = 0; i < G_N_ELEMENTS(events); i++) {
        if (strcmp(name, events[i].name) != 0)
            continue;
        if (events[i].handle != NULL)
            events[i].handle(launch, event_data);
        else
            cvd_launch_handle(launch, events[i].event);
    }
}

static void on_event_text(CvdJsonSpan event, gpointer data)
{
    const CvdLaunch *launch = data;

    cvd_qmp_streams_send_event(launch->vm->qmp_streams, event);
}

static void on_ready(gpointer data)
{
    cvd_launch_handle(data, CVD_EVENT_QMP_READY);
}

/* A `stop` or `cont` through us is like `pause` or `resume`: it outlives a reset. */
static void on_passed_on(const char *name, gpointer data)
{
    if (strcmp(name, "\"stop\"") == 0)
        cvd_launch_handle(data, CVD_EVENT_PAUSE_REQUESTED);
    else if (strcmp(name, "\"cont\"") == 0)
        cvd_launch_handle(data, CVD_EVENT_RESUME_REQUESTED);
}

static void on_closed(const GError *error, gpointer data)
{
    CvdLaunch *launch = data;

    if (error != NULL)
        g_warning("%s", error->message);
    cvd_qmp_streams_end(launch->vm->qmp_streams);
    cvd_launch_handle(launch, error != NULL ? CVD_EVENT_QMP_GIVEN_UP : CVD_EVENT_CONNECTION_LOST);
    cvd_launch_note_qmp_closed(launch);
}

static void on_unresponsive(gpointer data)
{
    cvd_launch_handle(data, CVD_EVENT_UNRESPONSIVE);
}

static void on_exited(CvdExit how, gpointer data)
{
    CvdLaunch *launch = data;

    if (launch->control_group != NULL)
        how.is_out_of_memory = cvd_control_group_take_oom_kills(launch->control_group) > 0;
    launch->qemu_exit = how;
    cvd_launch_handle(launch, CVD_EVENT_QEMU_EXITED);
}

const CvdVmHandlers cvd_launch_vm_handlers = {
    .qmp = {.ready = on_ready,
            .event = on_event,
            .event_text = on_event_text,
            .passed_on = on_passed_on,
            .closed = on_closed},
    .unresponsive = on_unresponsive,
    .exited = on_exited,
};
