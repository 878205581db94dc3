/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two questions are kept apart: whether the guest runs, which QEMU's events and replies say, and
 * whether it may, which the holds say. An input only changes what is known or what is wanted;
 * what has to be sent follows from the difference, in one place, drive(). So a pause during a
 * reset, during a sleep or before the first `cont` needs no case of its own.
 */
#include "launcher/lifecycle/guest.h"

CvdGuest cvd_guest_start(guint holds, gboolean wants_bus_master, gboolean wants_pin)
{
    gboolean is_restored = (holds & CVD_HOLD_RESTORE) != 0;

    return (CvdGuest){
        .holds = CVD_HOLD_START | holds,
        .wants_bus_master = wants_bus_master,
        .must_set_bus_master = wants_bus_master && !is_restored,
        .must_restore = is_restored,
        .must_pin = wants_pin,
    };
}

CvdRunState cvd_run_state_parse(const char *name)
{
    static const struct {
        const char *name;
        CvdRunState state;
    } states[] = {
        {"preconfig", CVD_RUN_UNKNOWN},
        {"prelaunch", CVD_RUN_PRELAUNCH},
        {"inmigrate", CVD_RUN_INCOMING},
        {"running", CVD_RUN_RUNNING},
        {"suspended", CVD_RUN_SUSPENDED},
        {"io-error", CVD_RUN_IO_ERROR},
        {"internal-error", CVD_RUN_INTERNAL_ERROR},
        {"guest-panicked", CVD_RUN_PANICKED},
        {"watchdog", CVD_RUN_WATCHDOG},
        {"shutdown", CVD_RUN_SHUTDOWN},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(states); i++)
        if (g_strcmp0(name, states[i].name) == 0)
            return states[i].state;
    return CVD_RUN_STOPPED;
}

gboolean cvd_run_state_is_fault(CvdRunState state)
{
    return state == CVD_RUN_IO_ERROR || state == CVD_RUN_INTERNAL_ERROR ||
           state == CVD_RUN_PANICKED || state == CVD_RUN_WATCHDOG;
}

static void runs(CvdGuest *guest)
{
    guest->state = CVD_RUN_RUNNING;
    guest->has_run = TRUE;
}

/* The reply to `query-status` shows who stopped the guest when STOP came: QEMU itself, or a user.
 */
static void take_status(CvdGuest *guest, CvdRunState state)
{
    guest->state = state;
    if (state == CVD_RUN_RUNNING) {
        runs(guest);
        guest->holds &= ~(guint)CVD_HOLD_OUTSIDE;
    }
    if (cvd_run_state_is_fault(state)) {
        guest->holds = (guest->holds & ~(guint)CVD_HOLD_OUTSIDE) | CVD_HOLD_FAULT;
        guest->fault = state;
    }
}

static void vm_stopped(CvdGuest *guest)
{
    guest->state = CVD_RUN_STOPPED;
    if (guest->command == CVD_COMMAND_STOP)
        return;
    guest->holds |= CVD_HOLD_OUTSIDE;
    guest->must_ask = TRUE;
}

/* A RESUME that nobody here caused ends a pause, whoever asked for that, and a snapshot. */
static void vm_resumed(CvdGuest *guest)
{
    runs(guest);
    if (guest->command != CVD_COMMAND_CONT)
        guest->holds &=
            ~(guint)(CVD_HOLD_USER | CVD_HOLD_OUTSIDE | CVD_HOLD_FAULT | CVD_HOLD_SNAPSHOT);
}

/*
 * A guest that does not run is in state `prelaunch` after a reset, and what was wrong with the old
 * one is over. SeaBIOS makes two resets of each on q35, 10 to 60 ms apart on an idle host, more on
 * a busy one.
 */
static void vm_reset(CvdGuest *guest)
{
    if (guest->state != CVD_RUN_RUNNING && guest->state != CVD_RUN_INCOMING)
        guest->state = CVD_RUN_PRELAUNCH;
    guest->holds = (guest->holds & ~(guint)CVD_HOLD_FAULT) | CVD_HOLD_RESET;
    guest->must_set_bus_master = guest->wants_bus_master;
    guest->n_resets++;
}

/* A `cont` without RESUME resumes nothing: QEMU takes it in state `inmigrate`, too. */
static void command_done(CvdGuest *guest)
{
    if (guest->command == CVD_COMMAND_CONT && guest->state != CVD_RUN_RUNNING) {
        guest->holds |= CVD_HOLD_OUTSIDE; /* until RESUME or the run state says otherwise */
        guest->must_ask = TRUE;
    }
    if (guest->command == CVD_COMMAND_STOP) {
        if (guest->state == CVD_RUN_RUNNING)
            guest->state = CVD_RUN_STOPPED;
        guest->must_ask = TRUE; /* QEMU may have stopped it by itself at that moment */
    }
    guest->command = CVD_COMMAND_NONE;
}

/* A guest that has run and cannot be resumed now is left for its user to look at. */
static void command_failed(CvdGuest *guest)
{
    CvdGuestCommand command = guest->command;

    guest->command = CVD_COMMAND_NONE;
    if (command == CVD_COMMAND_CONT && guest->has_run) {
        guest->holds |= CVD_HOLD_FAULT;
        guest->fault = CVD_RUN_STOPPED;
    } else if (command != CVD_COMMAND_STATUS) {
        guest->is_broken = TRUE;
    }
}

/* Most events are not about the guest; the cast lets the switch leave them out. */
static void take(CvdGuest *guest, CvdEvent event, CvdRunState state)
{
    switch ((guint)event) {
    case CVD_EVENT_HANDED_OVER:
        guest->holds &= ~(guint)CVD_HOLD_START;
        take_status(guest, state);
        break;
    case CVD_EVENT_STATUS:
        if (guest->command == CVD_COMMAND_STATUS)
            guest->command = CVD_COMMAND_NONE;
        take_status(guest, state);
        break;
    case CVD_EVENT_RESTORED: /* as QEMU says, perhaps paused, perhaps asleep */
        guest->holds &= ~(guint)CVD_HOLD_RESTORE;
        guest->must_ask = TRUE;
        break;
    case CVD_EVENT_PROGRAMS_READY:
        guest->holds &= ~(guint)CVD_HOLD_PROGRAMS;
        break;
    case CVD_EVENT_VM_STOPPED:
        vm_stopped(guest);
        break;
    case CVD_EVENT_VM_RESUMED:
        vm_resumed(guest);
        break;
    case CVD_EVENT_VM_SUSPENDED:
        guest->state = CVD_RUN_SUSPENDED;
        break;
    case CVD_EVENT_VM_WOKE:
        runs(guest);
        break;
    case CVD_EVENT_VM_RESET:
        vm_reset(guest);
        break;
    case CVD_EVENT_COMMAND_DONE:
        command_done(guest);
        break;
    case CVD_EVENT_COMMAND_FAILED:
        command_failed(guest);
        break;
    case CVD_EVENT_PAUSE_REQUESTED:
        guest->holds |= CVD_HOLD_USER;
        break;
    case CVD_EVENT_RESUME_REQUESTED:
        guest->must_ask |= guest->state == CVD_RUN_INCOMING; /* its end has no event */
        guest->holds &= ~(guint)(CVD_HOLD_USER | CVD_HOLD_OUTSIDE | CVD_HOLD_FAULT);
        break;
    case CVD_EVENT_SNAPSHOT_REQUESTED:
        guest->holds |= CVD_HOLD_SNAPSHOT;
        break;
    case CVD_EVENT_SNAPSHOT_SAVED:
    case CVD_EVENT_SNAPSHOT_FAILED:
        guest->holds &= ~(guint)CVD_HOLD_SNAPSHOT;
        break;
    default:
        break;
    }
}

static guint send(CvdGuest *guest, CvdGuestCommand command)
{
    guest->command = command;
    return CVD_ACTION_SEND;
}

static gboolean can_resume(CvdRunState state)
{
    return state == CVD_RUN_PRELAUNCH || state == CVD_RUN_STOPPED || cvd_run_state_is_fault(state);
}

/* Whether `cont` or `stop` would be sent now. */
static gboolean is_as_wanted(const CvdGuest *guest)
{
    return guest->holds == 0 ? !can_resume(guest->state) : guest->state != CVD_RUN_RUNNING;
}

static guint hold_clients(CvdGuest *guest)
{
    guint actions = guest->are_clients_held ? 0 : CVD_ACTION_HOLD_CLIENTS;

    guest->are_clients_held = TRUE;
    return actions;
}

static gboolean is_unprepared(const CvdGuest *guest)
{
    return guest->must_pin || guest->must_set_bus_master;
}

/* What comes before `cont`. */
static CvdGuestCommand prepare(CvdGuest *guest)
{
    if (guest->must_pin) {
        guest->must_pin = FALSE;
        return CVD_COMMAND_PIN;
    }
    guest->must_set_bus_master = FALSE;
    return CVD_COMMAND_BUS_MASTER;
}

/* The difference between what is and what is wanted. */
static guint drive(CvdGuest *guest)
{
    guint actions = 0;

    if (guest->must_restore && !(guest->holds & CVD_HOLD_START)) {
        guest->must_restore = FALSE;
        return CVD_ACTION_RESTORE;
    }
    if (guest->command != CVD_COMMAND_NONE)
        return 0;
    if (guest->must_ask) {
        guest->must_ask = FALSE;
        return send(guest, CVD_COMMAND_STATUS);
    }
    if ((guest->holds & CVD_HOLD_RESET) && guest->state != CVD_RUN_RUNNING) {
        guest->holds &= ~(guint)CVD_HOLD_RESET;
        guest->must_settle = TRUE;
        actions = CVD_ACTION_CLEAR_SIGNALS | hold_clients(guest);
    }
    if (can_resume(guest->state) && !(guest->holds & CVD_HOLD_START) && is_unprepared(guest))
        return actions | send(guest, prepare(guest));
    if (is_as_wanted(guest))
        return actions;
    return actions | send(guest, guest->holds == 0 ? CVD_COMMAND_CONT : CVD_COMMAND_STOP);
}

/* Those who are let in find a guest that runs, after its last reset. After a snapshot they find it
 * as it was before. */
static guint admit(CvdGuest *guest, CvdEvent event, gboolean may_send, gint64 now_us)
{
    gboolean is_running = guest->holds == 0 && guest->state == CVD_RUN_RUNNING;
    gboolean is_saved =
        may_send && is_as_wanted(guest) && !(guest->holds & (CVD_HOLD_SNAPSHOT | CVD_HOLD_RESET));
    gboolean has_settled =
        event == CVD_EVENT_TIMER && guest->admit_us != 0 && now_us >= guest->admit_us;
    gboolean is_due = guest->are_clients_held && (guest->must_settle ? has_settled : is_saved);

    if (is_due)
        guest->are_clients_held = guest->must_settle = FALSE;
    if (!guest->are_clients_held || !is_running)
        guest->admit_us = 0;
    else if (guest->admit_us == 0)
        guest->admit_us = now_us + CVD_GUEST_SETTLE_US;
    return is_due ? CVD_ACTION_ADMIT_CLIENTS : 0;
}

guint cvd_guest_step(CvdGuest *guest, CvdEvent event, CvdRunState state, gboolean may_send,
                     gint64 now_us)
{
    guint actions = 0;

    take(guest, event, state);
    if (event == CVD_EVENT_SNAPSHOT_REQUESTED)
        actions = hold_clients(guest);
    if (may_send && !guest->is_broken)
        actions |= drive(guest);
    return actions | admit(guest, event, may_send, now_us);
}

gboolean cvd_guest_is_settled(const CvdGuest *guest)
{
    return guest->command == CVD_COMMAND_NONE && !guest->must_ask &&
           guest->state != CVD_RUN_UNKNOWN &&
           !(guest->holds & (CVD_HOLD_START | CVD_HOLD_RESTORE | CVD_HOLD_PROGRAMS)) &&
           is_as_wanted(guest);
}
