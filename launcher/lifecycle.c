/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A launch as a state machine: what happened goes in, what is to be done comes out. Every way down
 * leads through the same ladder, quit, SIGTERM, SIGKILL, each rung with a time limit; a launch may
 * enter it at any rung and leaves it when the process is gone.
 */
#include "launcher/lifecycle.h"

#include <signal.h>
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

static const CvdStep nothing = {.timer_ms = CVD_TIMER_UNCHANGED};

const char *cvd_state_name(CvdState state)
{
    switch (state) {
    case CVD_STATE_LOADING:
    case CVD_STATE_HANDING_OVER:
    case CVD_STATE_RESUMING:
        return "starting";
    case CVD_STATE_RUNNING:
    case CVD_STATE_RESET_STOPPING:
    case CVD_STATE_RESET_RESUMING:
        return "running";
    case CVD_STATE_PAUSED:
        return "paused";
    case CVD_STATE_POWERING_DOWN:
    case CVD_STATE_QUITTING:
    case CVD_STATE_EXITING:
    case CVD_STATE_TERMINATING:
    case CVD_STATE_KILLING:
        return "stopping";
    case CVD_STATE_ENDED:
        return "stopped";
    }
    g_assert_not_reached();
}

static gboolean is_going_down(CvdState state)
{
    return state == CVD_STATE_POWERING_DOWN || state == CVD_STATE_QUITTING ||
           state == CVD_STATE_EXITING || state == CVD_STATE_TERMINATING ||
           state == CVD_STATE_KILLING || state == CVD_STATE_ENDED;
}

static void set_state(CvdLifecycle *lifecycle, CvdState state)
{
    if (lifecycle->state != state)
        g_debug("state %d (%s) -> %d (%s)", lifecycle->state, cvd_state_name(lifecycle->state),
                state, cvd_state_name(state));
    lifecycle->state = state;
}

static CvdStep go(CvdLifecycle *lifecycle, CvdState state, guint actions, int timer_ms)
{
    set_state(lifecycle, state);
    return (CvdStep){.actions = actions, .timer_ms = timer_ms};
}

static CvdStep press_power_button(CvdLifecycle *lifecycle, guint first)
{
    guint wait_ms = MIN(lifecycle->powerdown_left_ms, PRESS_MS);

    lifecycle->powerdown_left_ms -= wait_ms;
    return go(lifecycle, CVD_STATE_POWERING_DOWN, first | CVD_ACTION_POWERDOWN, (int)wait_ms);
}

/* Enters the ladder, or goes on to a further rung of it. */
static CvdStep go_down(CvdLifecycle *lifecycle, CvdCause cause, CvdState rung)
{
    guint first = is_going_down(lifecycle->state) ? 0 : CVD_ACTION_STOPPING;

    if (lifecycle->cause == CVD_CAUSE_NONE)
        lifecycle->cause = cause;
    if (rung == CVD_STATE_POWERING_DOWN) {
        lifecycle->powerdown_left_ms = lifecycle->stop_timeout_ms;
        return press_power_button(lifecycle, first);
    }
    if (rung == CVD_STATE_QUITTING)
        return go(lifecycle, rung, first | CVD_ACTION_QUIT, RUNG_MS);
    if (rung == CVD_STATE_EXITING)
        return go(lifecycle, rung, first, RUNG_MS);
    if (rung == CVD_STATE_TERMINATING)
        return go(lifecycle, rung, first | CVD_ACTION_TERMINATE, RUNG_MS);
    g_assert(rung == CVD_STATE_KILLING);
    return go(lifecycle, rung, first | CVD_ACTION_KILL, KILL_MS);
}

static CvdStep stop(CvdLifecycle *lifecycle, CvdCause cause)
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
        return go_down(lifecycle, cause, CVD_STATE_QUITTING);
    case CVD_STATE_QUITTING:
    case CVD_STATE_EXITING:
    case CVD_STATE_TERMINATING:
    case CVD_STATE_KILLING:
    case CVD_STATE_ENDED:
        return nothing;
    }
    g_assert_not_reached();
}

static CvdStep time_passed(CvdLifecycle *lifecycle)
{
    switch (lifecycle->state) {
    case CVD_STATE_LOADING:
    case CVD_STATE_HANDING_OVER:
    case CVD_STATE_RESUMING:
        return go_down(lifecycle, CVD_CAUSE_START_TIMED_OUT, CVD_STATE_TERMINATING);
    case CVD_STATE_RUNNING:
    case CVD_STATE_PAUSED:
    case CVD_STATE_RESET_STOPPING:
    case CVD_STATE_RESET_RESUMING:
        return nothing;
    case CVD_STATE_POWERING_DOWN:
        return lifecycle->powerdown_left_ms > 0
                   ? press_power_button(lifecycle, 0)
                   : go_down(lifecycle, lifecycle->cause, CVD_STATE_QUITTING);
    case CVD_STATE_QUITTING:
        return go_down(lifecycle, lifecycle->cause, CVD_STATE_TERMINATING);
    case CVD_STATE_EXITING: /* one that merely closed a connection still has the window mapped */
        return go_down(lifecycle, lifecycle->cause,
                       lifecycle->cause == CVD_CAUSE_CONNECTION_LOST ? CVD_STATE_KILLING
                                                                     : CVD_STATE_TERMINATING);
    case CVD_STATE_TERMINATING:
        return go_down(lifecycle, lifecycle->cause, CVD_STATE_KILLING);
    case CVD_STATE_KILLING:
        return go(lifecycle, CVD_STATE_ENDED, CVD_ACTION_END, CVD_TIMER_OFF);
    case CVD_STATE_ENDED:
        return nothing;
    }
    g_assert_not_reached();
}

static CvdStep become_ready(CvdLifecycle *lifecycle, CvdState state)
{
    lifecycle->is_ready = TRUE;
    return go(lifecycle, state, CVD_ACTION_READY, CVD_TIMER_OFF);
}

static CvdStep cont_done(CvdLifecycle *lifecycle)
{
    if (lifecycle->state == CVD_STATE_RESUMING)
        return become_ready(lifecycle, CVD_STATE_RUNNING);
    if (lifecycle->state == CVD_STATE_RESET_RESUMING)
        set_state(lifecycle, CVD_STATE_RUNNING);
    return nothing;
}

/*
 * A reset while `stop` is under way needs no second one, as the tables are zeroed after it; a reset
 * after the zeroing does. SeaBIOS makes two of each on q35.
 */
static CvdStep vm_reset(CvdLifecycle *lifecycle)
{
    if (lifecycle->state == CVD_STATE_RUNNING || lifecycle->state == CVD_STATE_RESET_RESUMING)
        return go(lifecycle, CVD_STATE_RESET_STOPPING, CVD_ACTION_STOP, CVD_TIMER_UNCHANGED);
    if (lifecycle->state == CVD_STATE_PAUSED)
        return (CvdStep){.actions = CVD_ACTION_RESET_SIGNALS, .timer_ms = CVD_TIMER_UNCHANGED};
    return nothing;
}

CvdStep cvd_lifecycle_step(CvdLifecycle *lifecycle, CvdEvent event)
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
        if (state != CVD_STATE_RESET_STOPPING)
            return nothing;
        return go(lifecycle, CVD_STATE_RESET_RESUMING, CVD_ACTION_RESET_SIGNALS | CVD_ACTION_CONT,
                  CVD_TIMER_UNCHANGED);
    case CVD_EVENT_COMMAND_FAILED:
        if (is_going_down(state) && state != CVD_STATE_POWERING_DOWN)
            return nothing;
        return go_down(lifecycle, CVD_CAUSE_COMMAND_FAILED, CVD_STATE_QUITTING);
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
        if (is_going_down(state) && state != CVD_STATE_POWERING_DOWN)
            return nothing;
        return go_down(lifecycle, CVD_CAUSE_VM_SHUTDOWN, CVD_STATE_EXITING);
    case CVD_EVENT_CONNECTION_LOST:
        if (is_going_down(state) && state != CVD_STATE_POWERING_DOWN)
            return nothing;
        return go_down(lifecycle, CVD_CAUSE_CONNECTION_LOST, CVD_STATE_EXITING);
    case CVD_EVENT_STOP_REQUESTED:
        return stop(lifecycle, CVD_CAUSE_STOP_REQUESTED);
    case CVD_EVENT_HANGUP:
        return is_going_down(state) ? nothing : stop(lifecycle, CVD_CAUSE_STOP_REQUESTED);
    case CVD_EVENT_TIME_LIMIT:
        return is_going_down(state) ? nothing : stop(lifecycle, CVD_CAUSE_TIME_LIMIT);
    case CVD_EVENT_TIMER:
        return time_passed(lifecycle);
    case CVD_EVENT_QEMU_EXITED:
        if (state == CVD_STATE_ENDED)
            return nothing;
        if (lifecycle->cause == CVD_CAUSE_NONE ||
            (lifecycle->cause == CVD_CAUSE_CONNECTION_LOST && state == CVD_STATE_EXITING))
            lifecycle->cause = CVD_CAUSE_QEMU_EXITED; /* its connections merely closed first */
        return go(lifecycle, CVD_STATE_ENDED,
                  (is_going_down(state) ? 0 : CVD_ACTION_STOPPING) | CVD_ACTION_END, CVD_TIMER_OFF);
    }
    g_assert_not_reached();
}

static CvdVerdict verdict(int exit_status, char *text)
{
    return (CvdVerdict){.exit_status = exit_status, .text = text};
}

static CvdVerdict shutdown_verdict(const char *program, const char *reason)
{
    static const struct {
        const char *reason;
        int exit_status;
        const char *text;
    } reasons[] = {
        {"guest-shutdown", 0, "guest powered off"},
        {"guest-reset", 0, "guest rebooted, and lifecycle.on_reboot is \"exit\""},
        {"guest-panic", 1, "guest panicked"},
        {"host-qmp-quit", 0, "somebody else quit the VM over QMP"},
        {"host-ui", 0, "the VM's window was closed"},
        {"host-signal", 1, "somebody else sent a signal to QEMU, which then exited"},
        {"host-error", 1, "QEMU met an error and exited"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(reasons); i++)
        if (g_strcmp0(reason, reasons[i].reason) == 0)
            return verdict(reasons[i].exit_status, g_strdup(reasons[i].text));
    return verdict(1, g_strdup_printf("%s shut down (reason %s)", program,
                                      reason != NULL ? reason : "unknown"));
}

static char *describe_exit(const char *program, CvdExit qemu)
{
    if (!qemu.is_known)
        return g_strdup_printf("%s did not die of SIGKILL; it was left behind", program);
    if (qemu.is_signal && qemu.value == SIGSYS)
        return g_strdup_printf("%s was killed by its sandbox (signal %d): something in its "
                               "configuration needs a system call that qemu.sandbox denies",
                               program, qemu.value);
    if (qemu.is_signal)
        return g_strdup_printf("%s was killed by signal %d%s", program, qemu.value,
                               qemu.has_core ? " (core dumped)" : "");
    return g_strdup_printf("%s exited with status %d", program, qemu.value);
}

/* Whether it ended by a signal other than those of the ladder. */
static gboolean has_crashed(CvdExit qemu)
{
    return qemu.is_signal && qemu.value != SIGTERM && qemu.value != SIGKILL;
}

CvdVerdict cvd_lifecycle_verdict(const CvdLifecycle *lifecycle, const char *program,
                                 const char *shutdown_reason, CvdExit qemu)
{
    g_autofree char *how = describe_exit(program, qemu);
    g_autofree char *why = NULL;
    CvdVerdict shutdown;

    switch (lifecycle->cause) {
    case CVD_CAUSE_STOP_REQUESTED:
        if (!qemu.is_known)
            return verdict(1, g_steal_pointer(&how));
        if (qemu.is_signal && qemu.value == SIGKILL)
            return verdict(0, g_strdup_printf("stopped, though %s had to be killed", program));
        if (has_crashed(qemu))
            return verdict(0, g_strdup_printf("stopped, though %s", how));
        return verdict(0, g_strdup(g_strcmp0(shutdown_reason, "guest-shutdown") == 0
                                       ? "stopped: the guest powered off"
                                       : "stopped"));
    case CVD_CAUSE_TIME_LIMIT:
        return verdict(1, g_strdup("stopped, as the time of --timeout was over"));
    case CVD_CAUSE_START_TIMED_OUT:
        return verdict(1, g_strdup_printf("%s was not running within lifecycle.start_timeout_s; if "
                                          "it uses kvm, try --set qemu.accel=tcg",
                                          program));
    case CVD_CAUSE_COMMAND_FAILED:
        return verdict(1, g_strdup("QEMU refused a command; its answer stands above"));
    case CVD_CAUSE_VM_SHUTDOWN:
        shutdown = shutdown_verdict(program, shutdown_reason);
        if (qemu.is_known && !has_crashed(qemu))
            return shutdown;
        why = shutdown.text;
        return verdict(1, g_strdup_printf("%s, but %s", why, how));
    case CVD_CAUSE_CONNECTION_LOST:
        return verdict(1, g_strdup_printf("%s closed a connection to the launcher but went on, so "
                                          "it was killed",
                                          program));
    case CVD_CAUSE_NONE:
    case CVD_CAUSE_QEMU_EXITED:
        return verdict(1, lifecycle->is_ready
                              ? g_steal_pointer(&how)
                              : g_strdup_printf("%s before the VM was running", how));
    }
    g_assert_not_reached();
}
