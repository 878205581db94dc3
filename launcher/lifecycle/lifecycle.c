/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machines side by side. An event goes to those whom it concerns; what they answer is
 * translated, and whether the start is complete or the VM gone is looked at afterwards.
 */
#include "launcher/lifecycle/lifecycle.h"

#include <string.h>

/* ---- What users see ---- */

static gboolean is_gone(const CvdLifecycle *lifecycle)
{
    return lifecycle->policy.follow != CVD_FOLLOW_UNDECIDED;
}

/* STOP may be a fault's, which is known once the question after it is answered. */
static gboolean is_guest_paused(const CvdGuest *guest)
{
    gboolean is_known = !guest->must_ask && guest->command != CVD_COMMAND_STATUS;
    guint pauses = CVD_HOLD_USER | CVD_HOLD_SNAPSHOT | (is_known ? CVD_HOLD_OUTSIDE : 0);

    return guest->state == CVD_RUN_INCOMING ||
           ((guest->holds & pauses) != 0 && guest->state != CVD_RUN_RUNNING);
}

CvdState cvd_lifecycle_get_state(const CvdLifecycle *lifecycle)
{
    const CvdGuest *guest = &lifecycle->guest;

    if (is_gone(lifecycle))
        return lifecycle->policy.follow == CVD_FOLLOW_RESTART ? CVD_STATE_RESTARTING
                                                              : CVD_STATE_STOPPED;
    if (cvd_ladder_is_going_down(&lifecycle->ladder))
        return cvd_policy_will_restart(&lifecycle->policy, lifecycle->config, lifecycle->cause,
                                       lifecycle->shutdown)
                   ? CVD_STATE_RESTARTING
                   : CVD_STATE_STOPPING;
    if (!lifecycle->is_ready)
        return CVD_STATE_STARTING;
    if ((guest->holds & CVD_HOLD_FAULT) || cvd_run_state_is_fault(guest->state))
        return CVD_STATE_FAULTED;
    if (guest->state == CVD_RUN_SUSPENDED)
        return CVD_STATE_SUSPENDED;
    return is_guest_paused(guest) ? CVD_STATE_PAUSED : CVD_STATE_RUNNING;
}

const char *cvd_state_get_name(CvdState state)
{
    static const char *const names[] = {
        [CVD_STATE_STARTING] = "starting",     [CVD_STATE_RUNNING] = "running",
        [CVD_STATE_PAUSED] = "paused",         [CVD_STATE_SUSPENDED] = "suspended",
        [CVD_STATE_FAULTED] = "faulted",       [CVD_STATE_STOPPING] = "stopping",
        [CVD_STATE_RESTARTING] = "restarting", [CVD_STATE_STOPPED] = "stopped",
        [CVD_STATE_FAILED] = "failed",
    };

    return names[state];
}

/* A reset is over when clients may come again, or when the guest is not to run anyway. */
static gboolean is_reset_done(const CvdLifecycle *lifecycle, guint n_resets)
{
    const CvdGuest *guest = &lifecycle->guest;

    return guest->n_resets != n_resets && cvd_guest_is_settled(guest) &&
           (!guest->are_clients_held || guest->holds != 0);
}

CvdAnswer cvd_lifecycle_get_answer(const CvdLifecycle *lifecycle, CvdAwaited awaited,
                                   guint n_resets)
{
    const CvdGuest *guest = &lifecycle->guest;
    gboolean is_paused = (guest->holds & CVD_HOLD_USER) != 0;
    gboolean is_done = awaited == CVD_AWAITED_RESET ? is_reset_done(lifecycle, n_resets)
                       : awaited == CVD_AWAITED_PAUSE
                           ? cvd_guest_is_settled(guest) && is_paused
                           : cvd_guest_is_settled(guest) && guest->holds == 0;

    if (is_done)
        return CVD_ANSWER_DONE;
    if (cvd_ladder_is_going_down(&lifecycle->ladder)) /* a reboot may be configured to end it */
        return awaited == CVD_AWAITED_RESET && lifecycle->shutdown == CVD_SHUTDOWN_REBOOT
                   ? CVD_ANSWER_DONE
                   : CVD_ANSWER_FAILED;
    if (awaited == CVD_AWAITED_PAUSE && !is_paused)
        return CVD_ANSWER_FAILED;
    if (awaited == CVD_AWAITED_RESUME && cvd_guest_is_settled(guest) &&
        !(guest->holds & CVD_HOLD_SNAPSHOT))
        return CVD_ANSWER_FAILED;
    return CVD_ANSWER_PENDING;
}

/* ---- Ways down ---- */

static void set_cause(CvdLifecycle *lifecycle, CvdCause cause)
{
    if (lifecycle->cause == CVD_CAUSE_NONE)
        lifecycle->cause = cause;
}

/* A guest that sleeps could not see the power button. */
static guint from_ladder(const CvdLifecycle *lifecycle, guint actions)
{
    if ((actions & CVD_ACTION_POWERDOWN) && lifecycle->guest.state == CVD_RUN_SUSPENDED)
        actions ^= CVD_ACTION_POWERDOWN | CVD_ACTION_WAKE;
    return actions;
}

static guint descend(CvdLifecycle *lifecycle, CvdCause cause, CvdLadderState to, gint64 now_us)
{
    set_cause(lifecycle, cause);
    return from_ladder(lifecycle, cvd_ladder_descend(&lifecycle->ladder, to,
                                                     lifecycle->config->stop_timeout_s, now_us));
}

/* Something makes the VM go down that nobody here asked for. */
static guint fail(CvdLifecycle *lifecycle, CvdCause cause, CvdLadderState to, gint64 now_us)
{
    if (!cvd_ladder_takes_commands(&lifecycle->ladder))
        return 0;
    return descend(lifecycle, cause, to, now_us);
}

static guint step_guest(CvdLifecycle *lifecycle, CvdEvent event, CvdRunState run_state,
                        gint64 now_us)
{
    guint actions = cvd_guest_step(&lifecycle->guest, event, run_state,
                                   cvd_ladder_takes_commands(&lifecycle->ladder), now_us);

    if (lifecycle->guest.is_broken)
        actions |= fail(lifecycle, CVD_CAUSE_COMMAND_FAILED, CVD_LADDER_QUITTING, now_us);
    return actions;
}

/* As a user wants it taken down: through the guest if there is one that could listen. */
static guint take_down(CvdLifecycle *lifecycle, CvdCause cause, gint64 now_us)
{
    gboolean can_power_down =
        lifecycle->config->stop == CVD_STOP_POWERDOWN && lifecycle->guest.has_run;

    if (lifecycle->ladder.state == CVD_LADDER_LOADING) /* SIGHUP ends also one without QMP yet */
        return descend(lifecycle, cause, CVD_LADDER_TERMINATING, now_us);
    if (lifecycle->ladder.state == CVD_LADDER_UP && can_power_down)
        return descend(lifecycle, cause, CVD_LADDER_POWERING_DOWN, now_us) |
               step_guest(lifecycle, CVD_EVENT_RESUME_REQUESTED, CVD_RUN_UNKNOWN, now_us);
    return descend(lifecycle, cause, CVD_LADDER_QUITTING, now_us);
}

/* ---- Ends and restarts ---- */

static guint end_launch(CvdLifecycle *lifecycle)
{
    if (lifecycle->policy.follow != CVD_FOLLOW_GIVE_UP)
        lifecycle->policy.follow = CVD_FOLLOW_END;
    lifecycle->policy.due_us = 0;
    return CVD_ACTION_END;
}

/* A restart that is under way, asked for or not, becomes the end. */
static guint stop(CvdLifecycle *lifecycle, CvdCause cause, gint64 now_us)
{
    gboolean was_asked = lifecycle->policy.is_stop_asked;

    if (is_gone(lifecycle) && lifecycle->policy.follow != CVD_FOLLOW_RESTART)
        return 0;
    lifecycle->policy.is_stop_asked = TRUE;
    if (is_gone(lifecycle) || lifecycle->cause == CVD_CAUSE_RESTART_REQUESTED)
        lifecycle->cause = cause;
    if (is_gone(lifecycle))
        return end_launch(lifecycle);
    /* Who turns a restart into a stop has asked for a stop once. */
    if (lifecycle->ladder.state == CVD_LADDER_POWERING_DOWN && !was_asked)
        return 0;
    return take_down(lifecycle, cause, now_us);
}

static guint restart(CvdLifecycle *lifecycle, gint64 now_us)
{
    if (lifecycle->policy.follow == CVD_FOLLOW_RESTART) { /* no need to wait any longer */
        lifecycle->policy.due_us = now_us;
        return 0;
    }
    if (!cvd_ladder_is_going_down(&lifecycle->ladder))
        return take_down(lifecycle, CVD_CAUSE_RESTART_REQUESTED, now_us);
    lifecycle->policy.is_restart_asked = TRUE;
    return 0;
}

static guint started(CvdLifecycle *lifecycle, gint64 now_us)
{
    lifecycle->cause = CVD_CAUSE_NONE;
    lifecycle->shutdown = CVD_SHUTDOWN_NONE;
    lifecycle->is_ready = lifecycle->has_answered = FALSE;
    guint holds = (lifecycle->start_paused ? CVD_HOLD_USER : 0) |
                  (lifecycle->is_restored ? CVD_HOLD_RESTORE : 0) |
                  (lifecycle->config->n_programs > 0 ? CVD_HOLD_PROGRAMS : 0);
    char **pin = lifecycle->config->qemu.cpus.pin;
    lifecycle->guest = cvd_guest_start(holds, lifecycle->config->ivshmem_force_bus_master,
                                       pin != NULL && pin[1] != NULL);
    /* Only the first start has a hook before it. */
    guint hook_s = !lifecycle->policy.was_ready && lifecycle->config->hooks.before_start != NULL
                       ? lifecycle->config->hooks.timeout_s
                       : 0;
    lifecycle->ladder = cvd_ladder_start(
        lifecycle->config->start_timeout_s + hook_s + lifecycle->prepare_s, now_us);
    lifecycle->readiness = (CvdReadiness){0};
    cvd_policy_start(&lifecycle->policy, now_us);
    return 0;
}

/* That had a limit of its own, and what it has left of that is not for QEMU. */
static guint prepared(CvdLifecycle *lifecycle, gint64 now_us)
{
    if (lifecycle->ladder.state == CVD_LADDER_LOADING)
        lifecycle->ladder = cvd_ladder_start(lifecycle->config->start_timeout_s, now_us);
    return 0;
}

static guint start_again(CvdLifecycle *lifecycle, gint64 now_us)
{
    guint actions = lifecycle->must_renew ? CVD_ACTION_RENEW | CVD_ACTION_START : CVD_ACTION_START;

    lifecycle->must_renew = FALSE;
    return actions | started(lifecycle, now_us);
}

/* The VM is gone, or there is none: what follows. */
static guint gone(CvdLifecycle *lifecycle, gint64 now_us)
{
    cvd_policy_end(&lifecycle->policy, lifecycle->config, lifecycle->cause, lifecycle->shutdown,
                   now_us);
    return lifecycle->policy.follow == CVD_FOLLOW_RESTART ? CVD_ACTION_REPORT_END
                                                          : end_launch(lifecycle);
}

static guint qemu_exited(CvdLifecycle *lifecycle, gint64 now_us)
{
    if (is_gone(lifecycle))
        return 0;
    if (lifecycle->cause == CVD_CAUSE_CONNECTION_LOST &&
        lifecycle->ladder.state == CVD_LADDER_EXITING)
        lifecycle->cause = CVD_CAUSE_QEMU_EXITED; /* its connections merely closed first */
    set_cause(lifecycle, CVD_CAUSE_QEMU_EXITED);
    cvd_ladder_gone(&lifecycle->ladder);
    guint actions = gone(lifecycle, now_us);
    if (lifecycle->policy.follow != CVD_FOLLOW_RESTART)
        return actions;
    if (lifecycle->guest.are_clients_held)
        actions |= CVD_ACTION_ADMIT_CLIENTS;
    return actions | CVD_ACTION_RENEW;
}

/*
 * Neither a VM nor, perhaps, a window that another VM could have. It is tried again like any other
 * failure, after a delay, so that nothing calls itself.
 */
static guint start_failed(CvdLifecycle *lifecycle, gint64 now_us)
{
    if (lifecycle->policy.follow != CVD_FOLLOW_RESTART &&
        lifecycle->ladder.state != CVD_LADDER_LOADING)
        return 0;
    lifecycle->cause = CVD_CAUSE_START_FAILED;
    cvd_ladder_gone(&lifecycle->ladder);
    return gone(lifecycle, now_us);
}

/* ---- Time ---- */

static gint64 earlier(gint64 a_us, gint64 b_us)
{
    return a_us == 0 ? b_us : b_us == 0 ? a_us : MIN(a_us, b_us);
}

gint64 cvd_lifecycle_get_due_us(const CvdLifecycle *lifecycle)
{
    gint64 admit_us = cvd_ladder_takes_commands(&lifecycle->ladder) ? lifecycle->guest.admit_us : 0;

    return earlier(earlier(lifecycle->ladder.due_us, admit_us),
                   earlier(lifecycle->policy.due_us, lifecycle->readiness.due_us));
}

/* QEMU's limits do not run while the launcher does not: stopped, frozen, or in a debugger. */
static void forgive_lost_time(CvdLifecycle *lifecycle, gint64 now_us)
{
    CvdLadder *ladder = &lifecycle->ladder;
    CvdReadiness *readiness = &lifecycle->readiness;
    gint64 lost_us = now_us - lifecycle->last_us;

    if (readiness->due_us != 0 && now_us > readiness->due_us + CVD_LIFECYCLE_LATE_US)
        readiness->due_us += lost_us;
    if (ladder->due_us == 0 || now_us <= ladder->due_us + CVD_LIFECYCLE_LATE_US)
        return;
    ladder->due_us += lost_us;
    ladder->power_down_until_us += lost_us;
}

static guint time_passed(CvdLifecycle *lifecycle, gint64 now_us)
{
    guint actions = 0;

    if (lifecycle->policy.due_us != 0 && now_us >= lifecycle->policy.due_us)
        return start_again(lifecycle, now_us);
    if (cvd_ladder_takes_commands(&lifecycle->ladder))
        actions = step_guest(lifecycle, CVD_EVENT_TIMER, CVD_RUN_UNKNOWN, now_us);
    if (lifecycle->readiness.due_us != 0 && now_us >= lifecycle->readiness.due_us)
        actions |= take_down(lifecycle, CVD_CAUSE_NOT_READY, now_us);
    if (lifecycle->ladder.due_us == 0 || now_us < lifecycle->ladder.due_us)
        return actions;
    if (lifecycle->ladder.state == CVD_LADDER_LOADING)
        set_cause(lifecycle, CVD_CAUSE_START_TIMED_OUT);
    actions |= from_ladder(lifecycle, cvd_ladder_time_passed(&lifecycle->ladder, now_us));
    if (lifecycle->ladder.state == CVD_LADDER_ABANDONED) /* and nobody else may have the window */
        return actions | end_launch(lifecycle);
    /* Perhaps the disk takes writes again. */
    if (lifecycle->ladder.state == CVD_LADDER_POWERING_DOWN &&
        (lifecycle->guest.holds & CVD_HOLD_FAULT))
        actions |= step_guest(lifecycle, CVD_EVENT_RESUME_REQUESTED, CVD_RUN_UNKNOWN, now_us);
    return actions;
}

/* ---- Events ---- */

static guint status(CvdLifecycle *lifecycle, CvdRunState run_state, gint64 now_us)
{
    guint actions = step_guest(lifecycle, CVD_EVENT_STATUS, run_state, now_us);

    if (run_state == CVD_RUN_INTERNAL_ERROR)
        actions |= fail(lifecycle, CVD_CAUSE_INTERNAL_ERROR, CVD_LADDER_QUITTING, now_us);
    return actions;
}

/* The button was pressed while the guest could not see it. */
static guint runs_again(CvdLifecycle *lifecycle, CvdEvent event, gint64 now_us)
{
    guint actions = step_guest(lifecycle, event, CVD_RUN_UNKNOWN, now_us);

    if (lifecycle->ladder.state != CVD_LADDER_POWERING_DOWN || now_us < lifecycle->next_press_us)
        return actions;
    lifecycle->next_press_us = now_us + G_USEC_PER_SEC;
    return actions | CVD_ACTION_POWERDOWN;
}

static guint vm_shutdown(CvdLifecycle *lifecycle, gint64 now_us)
{
    if (lifecycle->ladder.state == CVD_LADDER_EXITING &&
        lifecycle->cause == CVD_CAUSE_CONNECTION_LOST)
        lifecycle->cause = CVD_CAUSE_VM_SHUTDOWN; /* read after the connection's end */
    return fail(lifecycle, CVD_CAUSE_VM_SHUTDOWN, CVD_LADDER_EXITING, now_us);
}

/* A VM whose snapshot is complete must not run on, unless it does already. */
static guint snapshot_ended(CvdLifecycle *lifecycle, gint64 now_us)
{
    return lifecycle->saving.state == CVD_SAVING_COPYING
               ? fail(lifecycle, CVD_CAUSE_SNAPSHOT, CVD_LADDER_QUITTING, now_us)
               : 0;
}

static guint handle(CvdLifecycle *lifecycle, CvdEvent event, CvdRunState run_state, gint64 now_us)
{
    switch (event) {
    case CVD_EVENT_STARTED:
        return started(lifecycle, now_us);
    case CVD_EVENT_PREPARED:
        return prepared(lifecycle, now_us);
    case CVD_EVENT_QMP_READY:
        lifecycle->has_answered = TRUE;
        return lifecycle->ladder.state == CVD_LADDER_LOADING ? CVD_ACTION_HAND_OVER : 0;
    case CVD_EVENT_STATUS:
        return status(lifecycle, run_state, now_us);
    case CVD_EVENT_VM_RESUMED:
    case CVD_EVENT_VM_WOKE:
        return runs_again(lifecycle, event, now_us);
    case CVD_EVENT_VM_SHUTDOWN:
        return vm_shutdown(lifecycle, now_us);
    case CVD_EVENT_WATCHDOG:
        return fail(lifecycle, CVD_CAUSE_WATCHDOG, CVD_LADDER_QUITTING, now_us);
    case CVD_EVENT_RESTORE_FAILED:
        return fail(lifecycle, CVD_CAUSE_RESTORE_FAILED, CVD_LADDER_QUITTING, now_us);
    case CVD_EVENT_UNRESPONSIVE:
        return fail(lifecycle, CVD_CAUSE_UNRESPONSIVE, CVD_LADDER_KILLING, now_us);
    case CVD_EVENT_QMP_GIVEN_UP:
        return fail(lifecycle, CVD_CAUSE_QMP_GIVEN_UP, CVD_LADDER_TERMINATING, now_us);
    case CVD_EVENT_CONNECTION_LOST:
        if (cvd_ladder_closed(&lifecycle->ladder, now_us))
            set_cause(lifecycle, CVD_CAUSE_CONNECTION_LOST);
        return 0;
    case CVD_EVENT_STOP_REQUESTED:
        return stop(lifecycle, CVD_CAUSE_STOP_REQUESTED, now_us);
    case CVD_EVENT_HANGUP:
        return lifecycle->policy.is_stop_asked ? 0
                                               : stop(lifecycle, CVD_CAUSE_STOP_REQUESTED, now_us);
    case CVD_EVENT_TIME_LIMIT:
        return lifecycle->policy.is_stop_asked ? 0 : stop(lifecycle, CVD_CAUSE_TIME_LIMIT, now_us);
    case CVD_EVENT_PROGRAM_FAILED:
        return lifecycle->policy.is_stop_asked ? 0
                                               : stop(lifecycle, CVD_CAUSE_PROGRAM_FAILED, now_us);
    case CVD_EVENT_RESTART_REQUESTED:
        return restart(lifecycle, now_us);
    case CVD_EVENT_SNAPSHOT_ENDED:
        return snapshot_ended(lifecycle, now_us);
    case CVD_EVENT_TIMER:
        return time_passed(lifecycle, now_us);
    case CVD_EVENT_RENEW_FAILED:
        lifecycle->must_renew = TRUE;
        return start_failed(lifecycle, now_us);
    case CVD_EVENT_START_FAILED:
        return start_failed(lifecycle, now_us);
    case CVD_EVENT_QEMU_EXITED:
        return qemu_exited(lifecycle, now_us);
    case CVD_EVENT_HANDED_OVER:
    case CVD_EVENT_RESTORED:
    case CVD_EVENT_PROGRAMS_READY:
    case CVD_EVENT_GUEST_READY:
    case CVD_EVENT_ALL_READY:
    case CVD_EVENT_COMMAND_DONE:
    case CVD_EVENT_COMMAND_FAILED:
    case CVD_EVENT_VM_STOPPED:
    case CVD_EVENT_VM_SUSPENDED:
    case CVD_EVENT_VM_RESET:
    case CVD_EVENT_PAUSE_REQUESTED:
    case CVD_EVENT_RESUME_REQUESTED:
    case CVD_EVENT_SNAPSHOT_REQUESTED:
    case CVD_EVENT_SNAPSHOT_SAVED:
    case CVD_EVENT_SNAPSHOT_FAILED:
        return step_guest(lifecycle, event, run_state, now_us);
    case CVD_N_EVENTS:
        break;
    }
    g_assert_not_reached();
}

static guint complete_start(CvdLifecycle *lifecycle, gint64 now_us)
{
    lifecycle->readiness.left_us = MAX(lifecycle->ladder.due_us - now_us, 0);
    cvd_ladder_ready(&lifecycle->ladder);
    lifecycle->is_ready = lifecycle->policy.was_ready = TRUE;
    return CVD_ACTION_READY;
}

guint cvd_lifecycle_step(CvdLifecycle *lifecycle, CvdEvent event, CvdRunState run_state,
                         gint64 now_us)
{
    CvdLadder *ladder = &lifecycle->ladder;

    forgive_lost_time(lifecycle, now_us);
    guint actions = handle(lifecycle, event, run_state, now_us);

    lifecycle->last_us = now_us;
    if (ladder->state == CVD_LADDER_LOADING && cvd_guest_is_settled(&lifecycle->guest))
        actions |= complete_start(lifecycle, now_us);
    actions |= cvd_readiness_step(&lifecycle->readiness, lifecycle->config, event,
                                  &lifecycle->guest, ladder->state == CVD_LADDER_UP, now_us);
    actions |= cvd_saving_step(&lifecycle->saving, event, &lifecycle->guest,
                               cvd_ladder_is_going_down(ladder));
    lifecycle->policy.was_announced |= lifecycle->readiness.is_ready;
    return actions & CVD_ACTION_READY ? actions & ~(guint)CVD_ACTION_ANNOUNCE : actions;
}

void cvd_lifecycle_note_shutdown(CvdLifecycle *lifecycle, const char *reason)
{
    static const struct {
        const char *reason;
        CvdShutdown shutdown;
    } reasons[] = {
        {"guest-shutdown", CVD_SHUTDOWN_POWER_OFF},     {"guest-reset", CVD_SHUTDOWN_REBOOT},
        {"host-qmp-system-reset", CVD_SHUTDOWN_REBOOT}, {"guest-panic", CVD_SHUTDOWN_PANIC},
        {"host-qmp-quit", CVD_SHUTDOWN_QUIT},           {"host-ui", CVD_SHUTDOWN_UI},
        {"host-signal", CVD_SHUTDOWN_SIGNAL},           {"host-error", CVD_SHUTDOWN_ERROR},
    };

    if (lifecycle->shutdown != CVD_SHUTDOWN_NONE)
        return;
    lifecycle->shutdown = CVD_SHUTDOWN_OTHER;
    for (gsize i = 0; i < G_N_ELEMENTS(reasons); i++)
        if (g_strcmp0(reason, reasons[i].reason) == 0)
            lifecycle->shutdown = reasons[i].shutdown;
}
