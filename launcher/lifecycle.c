/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A launch as a state machine: what happened goes in, what is to be done comes out. Every way down
 * leads through the same ladder, quit, SIGTERM, SIGKILL, each rung with a time limit; a VM may
 * enter it at any rung and leaves it when the process is gone. What follows then, the end or
 * another VM, is decided in one place, by the first cause of the way down.
 */
#include "launcher/lifecycle.h"

#include <string.h>

/* A rung of the ladder: section 5 of the launcher's specification. */
#define RUNG_MS 2000
/*
 * A guest that has only just started, its firmware above all, ignores the power button; so it is
 * pressed again and again.
 */
#define PRESS_MS 1000
/* A process in uninterruptible sleep does not even die of SIGKILL; the teardown ends all the same.
 */
#define KILL_MS 800
/* A restart without delay: still a timer, so that nothing of the old VM is in use any more. */
#define AT_ONCE_MS 1

typedef enum {
    THEN_END,
    THEN_RESTART,        /* at once, however often */
    THEN_COUNT_AND_RETRY /* as the restart policy says */
} Then;

static const CvdStep nothing = {.timer_ms = CVD_TIMER_UNCHANGED};

static Then then_retry_if(CvdOnEvent setting)
{
    return setting == CVD_ON_EVENT_RESTART ? THEN_COUNT_AND_RETRY : THEN_END;
}

static Then then_after_shutdown(const CvdLifecycle *lifecycle)
{
    switch (lifecycle->shutdown) {
    case CVD_SHUTDOWN_POWER_OFF:
    case CVD_SHUTDOWN_QUIT:
    case CVD_SHUTDOWN_UI:
        return THEN_END;
    case CVD_SHUTDOWN_REBOOT:
        return lifecycle->on_reboot == CVD_ON_EVENT_RESTART ? THEN_RESTART : THEN_END;
    case CVD_SHUTDOWN_PANIC:
        return then_retry_if(lifecycle->on_panic);
    case CVD_SHUTDOWN_NONE:
    case CVD_SHUTDOWN_SIGNAL:
    case CVD_SHUTDOWN_ERROR:
    case CVD_SHUTDOWN_OTHER:
        return then_retry_if(lifecycle->on_crash);
    }
    g_assert_not_reached();
}

/* What follows when the process is gone; may be asked as soon as the way down has begun. */
static Then what_then(const CvdLifecycle *lifecycle)
{
    if (lifecycle->is_stop_asked)
        return THEN_END;
    switch (lifecycle->cause) {
    case CVD_CAUSE_NONE:
    case CVD_CAUSE_STOP_REQUESTED:
    case CVD_CAUSE_TIME_LIMIT:
        return THEN_END;
    case CVD_CAUSE_RESTART_REQUESTED:
        return THEN_RESTART;
    case CVD_CAUSE_VM_SHUTDOWN:
        return then_after_shutdown(lifecycle);
    case CVD_CAUSE_WATCHDOG:
        return then_retry_if(lifecycle->on_panic);
    case CVD_CAUSE_START_FAILED:
    case CVD_CAUSE_START_TIMED_OUT:
    case CVD_CAUSE_COMMAND_FAILED:
    case CVD_CAUSE_UNRESPONSIVE:
    case CVD_CAUSE_CONNECTION_LOST:
    case CVD_CAUSE_QEMU_EXITED:
        return lifecycle->was_ready ? then_retry_if(lifecycle->on_crash) : THEN_END;
    }
    g_assert_not_reached();
}

const char *cvd_lifecycle_get_state_name(const CvdLifecycle *lifecycle)
{
    switch (lifecycle->state) {
    case CVD_STATE_LOADING:
    case CVD_STATE_HANDING_OVER:
    case CVD_STATE_RESUMING:
        return "starting";
    case CVD_STATE_RUNNING:
    case CVD_STATE_RESET_STOPPING:
    case CVD_STATE_RESET_RESUMING:
        return lifecycle->is_ready ? "running" : "starting";
    case CVD_STATE_PAUSED:
        return "paused";
    case CVD_STATE_POWERING_DOWN:
    case CVD_STATE_DOWN_RESETTING:
    case CVD_STATE_QUITTING:
    case CVD_STATE_EXITING:
    case CVD_STATE_TERMINATING:
    case CVD_STATE_KILLING:
        return what_then(lifecycle) == THEN_END ? "stopping" : "restarting";
    case CVD_STATE_RESTARTING:
        return "restarting";
    case CVD_STATE_ENDED:
        return "stopped";
    }
    g_assert_not_reached();
}

/* Whether the ladder is behind some rung, or the process is gone. */
static gboolean is_going_down(CvdState state)
{
    switch (state) {
    case CVD_STATE_LOADING:
    case CVD_STATE_HANDING_OVER:
    case CVD_STATE_RESUMING:
    case CVD_STATE_RUNNING:
    case CVD_STATE_PAUSED:
    case CVD_STATE_RESET_STOPPING:
    case CVD_STATE_RESET_RESUMING:
        return FALSE;
    case CVD_STATE_POWERING_DOWN:
    case CVD_STATE_DOWN_RESETTING:
    case CVD_STATE_QUITTING:
    case CVD_STATE_EXITING:
    case CVD_STATE_TERMINATING:
    case CVD_STATE_KILLING:
    case CVD_STATE_RESTARTING:
    case CVD_STATE_ENDED:
        return TRUE;
    }
    g_assert_not_reached();
}

gboolean cvd_lifecycle_is_going_down(const CvdLifecycle *lifecycle)
{
    return is_going_down(lifecycle->state);
}

/* Whether the guest was asked to power off, and still has time for it. */
static gboolean is_powering_down(CvdState state)
{
    return state == CVD_STATE_POWERING_DOWN || state == CVD_STATE_DOWN_RESETTING;
}

gboolean cvd_lifecycle_may_cont(const CvdLifecycle *lifecycle)
{
    return lifecycle->state != CVD_STATE_RESET_STOPPING &&
           (lifecycle->state == CVD_STATE_POWERING_DOWN || !is_going_down(lifecycle->state));
}

static void set_state(CvdLifecycle *lifecycle, CvdState state)
{
    if (lifecycle->state != state)
        g_debug("state %d -> %d", lifecycle->state, state);
    lifecycle->state = state;
}

static CvdStep go(CvdLifecycle *lifecycle, CvdState state, guint actions, int timer_ms)
{
    set_state(lifecycle, state);
    return (CvdStep){.actions = actions, .timer_ms = timer_ms};
}

static CvdStep end(CvdLifecycle *lifecycle)
{
    return go(lifecycle, CVD_STATE_ENDED, CVD_ACTION_END, CVD_TIMER_OFF);
}

/* A guest that is stopped after its reset has the button pressed when it runs again. */
static CvdStep press_power_button(CvdLifecycle *lifecycle)
{
    guint wait_ms = MIN(lifecycle->powerdown_left_ms, PRESS_MS);

    lifecycle->powerdown_left_ms -= wait_ms;
    return (CvdStep){
        .actions = lifecycle->state == CVD_STATE_DOWN_RESETTING ? 0 : CVD_ACTION_POWERDOWN,
        .timer_ms = (int)wait_ms,
    };
}

/* Enters the ladder, or goes on to a further rung of it. */
static CvdStep go_down(CvdLifecycle *lifecycle, CvdCause cause, CvdState rung)
{
    if (lifecycle->cause == CVD_CAUSE_NONE)
        lifecycle->cause = cause;
    if (rung == CVD_STATE_POWERING_DOWN) {
        lifecycle->powerdown_left_ms = lifecycle->stop_timeout_ms;
        set_state(lifecycle, rung);
        return press_power_button(lifecycle);
    }
    if (rung == CVD_STATE_QUITTING)
        return go(lifecycle, rung, CVD_ACTION_QUIT, RUNG_MS);
    if (rung == CVD_STATE_EXITING)
        return go(lifecycle, rung, 0, RUNG_MS);
    if (rung == CVD_STATE_TERMINATING)
        return go(lifecycle, rung, CVD_ACTION_TERMINATE, RUNG_MS);
    g_assert(rung == CVD_STATE_KILLING);
    return go(lifecycle, rung, CVD_ACTION_KILL, KILL_MS);
}

/* Takes the VM down as a user wants it taken down. */
static CvdStep take_down(CvdLifecycle *lifecycle, CvdCause cause)
{
    switch (lifecycle->state) {
    case CVD_STATE_LOADING: /* QMP takes no command yet, but SIGTERM ends even a blocked set-up */
        return go_down(lifecycle, cause, CVD_STATE_TERMINATING);
    case CVD_STATE_HANDING_OVER: /* no guest runs that could power down */
    case CVD_STATE_RESUMING:
    case CVD_STATE_PAUSED:
    case CVD_STATE_RESET_STOPPING:
    case CVD_STATE_RESET_RESUMING:
        return go_down(lifecycle, cause, CVD_STATE_QUITTING);
    case CVD_STATE_RUNNING:
        return go_down(lifecycle, cause,
                       lifecycle->stop == CVD_STOP_POWERDOWN ? CVD_STATE_POWERING_DOWN
                                                             : CVD_STATE_QUITTING);
    case CVD_STATE_POWERING_DOWN: /* asked twice */
    case CVD_STATE_DOWN_RESETTING:
        return go_down(lifecycle, cause, CVD_STATE_QUITTING);
    case CVD_STATE_QUITTING:
    case CVD_STATE_EXITING:
    case CVD_STATE_TERMINATING:
    case CVD_STATE_KILLING:
    case CVD_STATE_RESTARTING:
    case CVD_STATE_ENDED:
        return nothing;
    }
    g_assert_not_reached();
}

/* A restart that is under way, asked for or not, becomes the end. */
static CvdStep stop(CvdLifecycle *lifecycle, CvdCause cause)
{
    gboolean was_asked = lifecycle->is_stop_asked;

    lifecycle->is_stop_asked = TRUE;
    if (lifecycle->state == CVD_STATE_RESTARTING || lifecycle->cause == CVD_CAUSE_RESTART_REQUESTED)
        lifecycle->cause = cause;
    if (lifecycle->state == CVD_STATE_RESTARTING)
        return end(lifecycle);
    /* Who turns a restart into a stop has asked for a stop once. */
    if (is_powering_down(lifecycle->state) && !was_asked)
        return nothing;
    return take_down(lifecycle, cause);
}

static CvdStep restart(CvdLifecycle *lifecycle)
{
    if (lifecycle->state == CVD_STATE_RESTARTING) /* no need to wait any longer */
        return go(lifecycle, CVD_STATE_RESTARTING, 0, AT_ONCE_MS);
    if (is_going_down(lifecycle->state))
        return nothing;
    return take_down(lifecycle, CVD_CAUSE_RESTART_REQUESTED);
}

static CvdStep start_again(CvdLifecycle *lifecycle)
{
    lifecycle->cause = CVD_CAUSE_NONE;
    lifecycle->shutdown = CVD_SHUTDOWN_NONE;
    lifecycle->is_ready = FALSE;
    return go(lifecycle, CVD_STATE_LOADING, CVD_ACTION_START, (int)lifecycle->start_timeout_ms);
}

static CvdStep gone(CvdLifecycle *lifecycle, gint64 now_us)
{
    Then then = what_then(lifecycle);
    guint delay_ms = 0;

    if (then == THEN_COUNT_AND_RETRY &&
        !cvd_restart_policy_fail(&lifecycle->restarts, now_us, &delay_ms)) {
        lifecycle->has_given_up = TRUE;
        then = THEN_END;
    }
    if (then == THEN_END)
        return end(lifecycle);
    return go(lifecycle, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, (int)MAX(delay_ms, AT_ONCE_MS));
}

static CvdStep qemu_exited(CvdLifecycle *lifecycle, gint64 now_us)
{
    if (lifecycle->state == CVD_STATE_ENDED || lifecycle->state == CVD_STATE_RESTARTING)
        return nothing;
    if (lifecycle->cause == CVD_CAUSE_NONE ||
        (lifecycle->cause == CVD_CAUSE_CONNECTION_LOST && lifecycle->state == CVD_STATE_EXITING))
        lifecycle->cause = CVD_CAUSE_QEMU_EXITED; /* its connections merely closed first */
    return gone(lifecycle, now_us);
}

static CvdStep time_passed(CvdLifecycle *lifecycle, gint64 now_us)
{
    switch (lifecycle->state) {
    case CVD_STATE_LOADING:
    case CVD_STATE_HANDING_OVER:
    case CVD_STATE_RESUMING:
        return go_down(lifecycle, CVD_CAUSE_START_TIMED_OUT, CVD_STATE_TERMINATING);
    case CVD_STATE_RESET_STOPPING:
    case CVD_STATE_RESET_RESUMING: /* by a guest that was reset while it started */
        return lifecycle->is_ready
                   ? nothing
                   : go_down(lifecycle, CVD_CAUSE_START_TIMED_OUT, CVD_STATE_TERMINATING);
    case CVD_STATE_RUNNING:
    case CVD_STATE_PAUSED:
        return nothing;
    case CVD_STATE_POWERING_DOWN:
    case CVD_STATE_DOWN_RESETTING:
        return lifecycle->powerdown_left_ms > 0
                   ? press_power_button(lifecycle)
                   : go_down(lifecycle, lifecycle->cause, CVD_STATE_QUITTING);
    case CVD_STATE_QUITTING:
        return go_down(lifecycle, lifecycle->cause, CVD_STATE_TERMINATING);
    case CVD_STATE_EXITING: /* one that merely closed a connection still has the window mapped */
        return go_down(lifecycle, lifecycle->cause,
                       lifecycle->cause == CVD_CAUSE_CONNECTION_LOST ? CVD_STATE_KILLING
                                                                     : CVD_STATE_TERMINATING);
    case CVD_STATE_TERMINATING:
        return go_down(lifecycle, lifecycle->cause, CVD_STATE_KILLING);
    case CVD_STATE_KILLING: /* it is given up, and as long as it lives no other may have the window
                             */
        return end(lifecycle);
    case CVD_STATE_RESTARTING:
        return start_again(lifecycle);
    case CVD_STATE_ENDED:
        return nothing;
    }
    g_assert_not_reached();
}

static CvdStep become_ready(CvdLifecycle *lifecycle, CvdState state)
{
    lifecycle->is_ready = TRUE;
    lifecycle->was_ready = TRUE;
    return go(lifecycle, state, CVD_ACTION_READY, CVD_TIMER_OFF);
}

static CvdStep cont_done(CvdLifecycle *lifecycle)
{
    if (lifecycle->state != CVD_STATE_RESUMING && lifecycle->state != CVD_STATE_RESET_RESUMING)
        return nothing;
    if (!lifecycle->is_ready)
        return become_ready(lifecycle, CVD_STATE_RUNNING);
    return go(lifecycle, CVD_STATE_RUNNING, 0, CVD_TIMER_UNCHANGED);
}

/* What the old guest left is cleared, and the new one goes on: on its way down, too. */
static CvdStep stop_done(CvdLifecycle *lifecycle)
{
    CvdState state = lifecycle->state;

    if (state != CVD_STATE_RESET_STOPPING && state != CVD_STATE_DOWN_RESETTING)
        return nothing;
    return go(lifecycle,
              state == CVD_STATE_RESET_STOPPING ? CVD_STATE_RESET_RESUMING
                                                : CVD_STATE_POWERING_DOWN,
              CVD_ACTION_RESET_SIGNALS | CVD_ACTION_CONT, CVD_TIMER_UNCHANGED);
}

/*
 * A reset while `stop` is under way needs no second one, as the tables are zeroed after it; a reset
 * after the zeroing does. SeaBIOS makes two of each on q35.
 */
static CvdStep vm_reset(CvdLifecycle *lifecycle)
{
    if (lifecycle->state == CVD_STATE_RUNNING || lifecycle->state == CVD_STATE_RESUMING ||
        lifecycle->state == CVD_STATE_RESET_RESUMING)
        return go(lifecycle, CVD_STATE_RESET_STOPPING, CVD_ACTION_STOP, CVD_TIMER_UNCHANGED);
    if (lifecycle->state == CVD_STATE_POWERING_DOWN)
        return go(lifecycle, CVD_STATE_DOWN_RESETTING, CVD_ACTION_STOP, CVD_TIMER_UNCHANGED);
    if (lifecycle->state == CVD_STATE_PAUSED)
        return (CvdStep){.actions = CVD_ACTION_RESET_SIGNALS, .timer_ms = CVD_TIMER_UNCHANGED};
    return nothing;
}

/* Something made the VM go down that nobody here asked for. */
static CvdStep failed(CvdLifecycle *lifecycle, CvdCause cause, CvdState rung)
{
    if (is_going_down(lifecycle->state) && !is_powering_down(lifecycle->state))
        return nothing;
    return go_down(lifecycle, cause, rung);
}

CvdStep cvd_lifecycle_step(CvdLifecycle *lifecycle, CvdEvent event, gint64 now_us)
{
    CvdState state = lifecycle->state;

    switch (event) {
    case CVD_EVENT_QMP_READY:
        if (state == CVD_STATE_LOADING)
            return go(lifecycle, CVD_STATE_HANDING_OVER, CVD_ACTION_HAND_OVER, CVD_TIMER_UNCHANGED);
        return nothing;
    case CVD_EVENT_HANDED_OVER:
        if (state != CVD_STATE_HANDING_OVER)
            return nothing;
        if (lifecycle->start_paused)
            return become_ready(lifecycle, CVD_STATE_PAUSED);
        return go(lifecycle, CVD_STATE_RESUMING, CVD_ACTION_CONT, CVD_TIMER_UNCHANGED);
    case CVD_EVENT_CONT_DONE:
        return cont_done(lifecycle);
    case CVD_EVENT_STOP_DONE:
        return stop_done(lifecycle);
    case CVD_EVENT_COMMAND_FAILED:
        return failed(lifecycle, CVD_CAUSE_COMMAND_FAILED, CVD_STATE_QUITTING);
    case CVD_EVENT_VM_STOPPED:
        if (state == CVD_STATE_RUNNING)
            set_state(lifecycle, CVD_STATE_PAUSED);
        return nothing;
    case CVD_EVENT_VM_RESUMED:
        if (state == CVD_STATE_PAUSED)
            set_state(lifecycle, CVD_STATE_RUNNING);
        return nothing;
    case CVD_EVENT_VM_RESET:
        return vm_reset(lifecycle);
    case CVD_EVENT_VM_SHUTDOWN:
        if (state == CVD_STATE_EXITING && lifecycle->cause == CVD_CAUSE_CONNECTION_LOST)
            lifecycle->cause = CVD_CAUSE_VM_SHUTDOWN; /* read after the connection's end */
        return failed(lifecycle, CVD_CAUSE_VM_SHUTDOWN, CVD_STATE_EXITING);
    case CVD_EVENT_WATCHDOG:
        return failed(lifecycle, CVD_CAUSE_WATCHDOG, CVD_STATE_QUITTING);
    case CVD_EVENT_UNRESPONSIVE:
        return failed(lifecycle, CVD_CAUSE_UNRESPONSIVE, CVD_STATE_KILLING);
    case CVD_EVENT_CONNECTION_LOST:
        return failed(lifecycle, CVD_CAUSE_CONNECTION_LOST, CVD_STATE_EXITING);
    case CVD_EVENT_STOP_REQUESTED:
        return stop(lifecycle, CVD_CAUSE_STOP_REQUESTED);
    case CVD_EVENT_HANGUP:
        return lifecycle->is_stop_asked ? nothing : stop(lifecycle, CVD_CAUSE_STOP_REQUESTED);
    case CVD_EVENT_TIME_LIMIT:
        return lifecycle->is_stop_asked ? nothing : stop(lifecycle, CVD_CAUSE_TIME_LIMIT);
    case CVD_EVENT_RESTART_REQUESTED:
        return restart(lifecycle);
    case CVD_EVENT_TIMER:
        return time_passed(lifecycle, now_us);
    case CVD_EVENT_START_FAILED:
        if (lifecycle->cause == CVD_CAUSE_NONE)
            lifecycle->cause = CVD_CAUSE_START_FAILED;
        return gone(lifecycle, now_us);
    case CVD_EVENT_QEMU_EXITED:
        return qemu_exited(lifecycle, now_us);
    }
    g_assert_not_reached();
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
