/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life cycle against a model of everything around it: QEMU and its guest, users, a second QMP
 * client, time, and starts that fail, in any order. Bytes decide what happens next, so a failing
 * run can be made shorter by leaving bytes out; what remains is printed as a story for lifecycle.c.
 *
 * Promises are checked against what the model knows, not against what the machines believe.
 * CVD_MODEL_SECONDS says how long to go on; by default as long as the unit tests can spare.
 */
#include "launcher/control/verbs.h"
#include "tests/unit/lifecycle-words.h"

#include <stdlib.h>
#include <string.h>

#define MS           1000
#define N_BYTES      600
#define STOP_S       3
#define LIMIT        3
#define MAX_COMMANDS 4

typedef struct {
    const guint8 *bytes;
    gsize n_bytes, n_used;
    GString *story; /* NULL = not wanted */
    const char *violation;

    CvdConfig config;
    CvdLifecycle lifecycle;
    gint64 now_us;

    /* QEMU */
    gboolean is_alive, is_qmp_ready, is_handing_over, is_handed_over;
    gboolean is_restoring, has_restored; /* the snapshot was to be taken in; it was */
    gboolean is_misfit;                  /* and that it does not fit was why the VM went down */
    gboolean is_hook_running, are_programs_ready, are_all_ready;
    gboolean is_quit_sent, is_term_sent, is_kill_sent;
    CvdRunState run_state;
    CvdGuestCommand command;    /* sent, and not answered */
    gboolean is_used;           /* the window, by a VM that is gone */
    gboolean is_dirty;          /* reset, and the tables were not cleared since */
    gboolean has_run, has_said; /* since this VM's start; that it is ready, since the last reset */
    gboolean is_told, was_told; /* that it is ready; since this VM's start */
    /* A snapshot */
    gboolean is_asked;             /* and neither complete nor failed */
    gboolean is_of_this_vm;        /* no other was started since */
    gboolean is_saving, is_copied; /* the guest stood still; and all that needs that is done */
    gboolean is_cancelled;
    gboolean was_resumed; /* by somebody else, since it was asked for */
    gboolean is_left;     /* complete, and the VM is not to run on */
    /* What was promised */
    gboolean are_clients_held;
    gboolean is_held_for_reset; /* they are, and the guest was reset */
    gboolean is_pause_accepted, is_restart_accepted, is_ended;
    gint64 start_us;
    /* The last starts sooner than 10 s after the one before, nobody having asked; oldest first. */
    gint64 unasked_us[LIMIT + 1];
    guint n_starts;
} Model;

static guint64 n_actions[CVD_N_ACTIONS];
static guint64 n_states[CVD_STATE_FAILED];
static guint64 n_ladder[CVD_LADDER_GONE + 1];
static guint64 n_events[CVD_N_EVENTS];
static guint64 n_saving[CVD_SAVING_CANCELLING + 1];
static guint64 n_obstacles[CVD_OBSTACLE_INCOMING + 1];
static guint64 n_run_states[CVD_RUN_SHUTDOWN + 1];

static guint draw(Model *m, guint n)
{
    return m->n_used < m->n_bytes ? m->bytes[m->n_used++] % n : 0;
}

static void check(Model *m, gboolean is_true, const char *violation)
{
    if (!is_true && m->violation == NULL)
        m->violation = violation;
}

static void happen(Model *m, CvdEvent event, CvdRunState run_state);

/* ---- What the launcher does ---- */

static gboolean is_held_for_snapshot(const Model *m)
{
    return m->is_asked && m->is_of_this_vm && !m->is_copied && !m->was_resumed;
}

static void send_command(Model *m)
{
    CvdGuestCommand command = m->lifecycle.guest.command;

    check(m, m->command == CVD_COMMAND_NONE, "two commands are under way");
    check(m, m->is_alive, "a command to a QEMU that is gone");
    if (command == CVD_COMMAND_CONT) {
        check(m, !m->is_pause_accepted, "cont, though a pause was accepted");
        check(m, !m->is_dirty, "cont, though the tables are the old guest's");
        check(m, m->is_handed_over, "cont before the hand-over");
        check(m, m->has_restored || !m->lifecycle.is_restored, "cont before the snapshot is in");
        check(m, m->are_programs_ready, "cont before the programs are ready");
        check(m, !m->is_saving || !is_held_for_snapshot(m), "cont of a guest that is saved");
        check(m, !m->is_left, "cont, though the snapshot that ends it is complete");
    }
    m->command = command;
}

/* A failure comes at most so long before its start as that is early. */
static void note_unasked_start(Model *m)
{
    gint64 oldest_us = m->now_us - CVD_RESTART_WINDOW_US + CVD_RETRY_EARLY_US;

    memmove(m->unasked_us, m->unasked_us + 1, LIMIT * sizeof *m->unasked_us);
    m->unasked_us[LIMIT] = m->now_us;
    check(m, m->unasked_us[0] == 0 || m->unasked_us[0] < oldest_us,
          "more starts than the policy allows");
}

static void start(Model *m)
{
    gboolean is_early = m->now_us - m->start_us < CVD_RETRY_EARLY_US;

    check(m, !m->is_alive, "two QEMUs");
    check(m, !m->is_ended, "a start after the end");
    check(m, !m->is_used, "a start in a window that was not renewed");
    if (is_early && !m->is_restart_accepted)
        note_unasked_start(m);
    check(m, !m->is_misfit || m->is_restart_accepted,
          "started again, though it does not fit its snapshot");
    m->n_starts++;
    m->is_restart_accepted = FALSE;
    if (draw(m, 8) == 7) {
        happen(m, CVD_EVENT_START_FAILED, CVD_RUN_UNKNOWN);
        return;
    }
    m->start_us = m->now_us;
    m->is_alive = TRUE;
    m->is_hook_running = m->is_qmp_ready = m->is_handing_over = m->is_handed_over = FALSE;
    m->are_programs_ready = m->are_all_ready = m->config.n_programs == 0;
    m->is_quit_sent = m->is_term_sent = m->is_kill_sent = FALSE;
    m->is_restoring = m->has_restored = m->is_misfit = FALSE;
    m->run_state =
        m->lifecycle.is_restored || draw(m, 8) == 7 ? CVD_RUN_INCOMING : CVD_RUN_PRELAUNCH;
    m->command = CVD_COMMAND_NONE;
    m->is_dirty = m->is_pause_accepted = m->is_left = m->is_of_this_vm = FALSE;
    m->has_run = m->has_said = m->is_told = m->was_told = FALSE;
}

/* What is promised to those who wait until it is ready. */
static void tell_ready(Model *m)
{
    check(m, m->is_alive && m->is_handed_over, "ready, and there is nothing that could be");
    check(m, !m->is_told, "said twice to be ready");
    if (m->config.ready == CVD_MACHINE_READY_GUEST)
        check(m, m->has_said, "ready, though the guest has not said so");
    if (m->config.ready == CVD_MACHINE_READY_PROGRAMS)
        check(m, m->has_run && m->are_all_ready, "ready, though something is not");
    m->is_told = m->was_told = TRUE;
}

static void save(Model *m)
{
    check(m, m->is_asked && !m->is_saving, "saved, and nobody has asked");
    check(m, m->is_alive && m->run_state != CVD_RUN_RUNNING, "saved while the guest runs");
    check(m,
          m->run_state != CVD_RUN_SUSPENDED && m->run_state != CVD_RUN_INCOMING &&
              !cvd_run_state_is_fault(m->run_state),
          "saved in a state from which it could not go on");
    check(m, !m->is_dirty, "saved with the old guest's tables");
    check(m, m->are_clients_held, "saved while there are clients");
    check(m, m->command == CVD_COMMAND_NONE, "saved while a command is under way");
    m->is_saving = TRUE;
}

static void cancel(Model *m)
{
    check(m, m->is_asked && !m->is_cancelled, "cancelled, and there is no snapshot");
    m->is_cancelled = TRUE;
}

static void carry_out(Model *m, guint actions)
{
    for (guint i = 0; i < CVD_N_ACTIONS; i++)
        n_actions[i] += (actions >> i) & 1;
    if (actions & CVD_ACTION_CLEAR_SIGNALS) {
        check(m, m->run_state != CVD_RUN_RUNNING || !m->is_alive, "cleared while the guest runs");
        m->is_dirty = FALSE;
    }
    if (actions & CVD_ACTION_HOLD_CLIENTS) {
        check(m, !m->are_clients_held, "clients closed twice");
        m->are_clients_held = TRUE;
    }
    if (actions & CVD_ACTION_RENEW)
        check(m, !m->is_alive, "the window is renewed under a QEMU");
    gboolean is_renewed = !(actions & CVD_ACTION_RENEW) || draw(m, 8) != 7;
    if ((actions & CVD_ACTION_RENEW) && is_renewed)
        m->is_used = FALSE;
    if (actions & CVD_ACTION_ADMIT_CLIENTS) {
        check(m, m->are_clients_held, "clients admitted that were not held");
        check(m, !m->is_dirty || !m->is_alive, "clients admitted to the old guest's tables");
        check(m, !m->is_alive || !is_held_for_snapshot(m),
              "clients admitted to a guest that is saved");
        m->are_clients_held = m->is_held_for_reset = FALSE;
    }
    if (actions & CVD_ACTION_HAND_OVER)
        m->is_handing_over = TRUE;
    if (actions & CVD_ACTION_RESTORE) {
        check(m, m->is_alive && m->is_handed_over,
              "a snapshot for a QEMU that is not ready for it");
        check(m, m->lifecycle.is_restored && !m->is_restoring, "a snapshot taken in twice");
        m->is_restoring = TRUE;
    }
    if (actions & CVD_ACTION_SEND)
        send_command(m);
    if (actions & CVD_ACTION_SAVE)
        save(m);
    if (actions & CVD_ACTION_CANCEL)
        cancel(m);
    if (actions & CVD_ACTION_QUIT)
        m->is_quit_sent = TRUE;
    if (actions & CVD_ACTION_TERMINATE)
        m->is_term_sent = TRUE;
    if (actions & CVD_ACTION_KILL)
        m->is_kill_sent = TRUE;
    if (actions & CVD_ACTION_READY)
        check(m, m->is_handed_over, "the start is complete before the hand-over");
    if ((actions & CVD_ACTION_ANNOUNCE) ||
        ((actions & CVD_ACTION_READY) && m->lifecycle.readiness.is_ready))
        tell_ready(m);
    check(m, m->lifecycle.cause != CVD_CAUSE_NOT_READY || !m->was_told,
          "ended as it was not ready in time, and it was");
    if (!is_renewed)
        happen(m, CVD_EVENT_RENEW_FAILED, CVD_RUN_UNKNOWN);
    else if (actions & CVD_ACTION_START)
        start(m);
    if (actions & CVD_ACTION_END) {
        check(m, !m->is_ended, "ended twice");
        check(m, !m->is_alive || m->lifecycle.ladder.state == CVD_LADDER_ABANDONED,
              "the end, and QEMU lives");
        check(m,
              !m->is_restart_accepted || m->lifecycle.ladder.state == CVD_LADDER_ABANDONED ||
                  m->lifecycle.cause == CVD_CAUSE_START_FAILED,
              "a restart was accepted, and it ends");
        m->is_ended = TRUE;
    }
}

static void tell(Model *m, CvdEvent event, guint actions)
{
    static const char *const status_names[] = {
        "preconfig", "prelaunch",      "inmigrate",      "running",  "paused",  "suspended",
        "io-error",  "internal-error", "guest-panicked", "watchdog", "shutdown"};
    gboolean has_state = event == CVD_EVENT_STATUS || event == CVD_EVENT_HANDED_OVER;
    g_autofree char *done = lifecycle_actions_to_text(actions, m->lifecycle.guest.command);

    if (m->story == NULL)
        return;
    g_string_append_printf(m->story, "\"%s%s%s %s %s;\" /* %" G_GINT64_FORMAT " ms */\n",
                           lifecycle_event_names[event], has_state ? ":" : "",
                           has_state ? status_names[m->run_state] : "",
                           cvd_state_get_name(cvd_lifecycle_get_state(&m->lifecycle)),
                           done[0] != '\0' ? done : "-", m->now_us / MS);
}

static void happen(Model *m, CvdEvent event, CvdRunState run_state)
{
    if (m->violation != NULL || m->is_ended)
        return;
    CvdCause cause_before = m->lifecycle.cause;
    guint actions = cvd_lifecycle_step(&m->lifecycle, event, run_state, m->now_us);

    check(m,
          m->lifecycle.cause != CVD_CAUSE_NOT_READY || cause_before == CVD_CAUSE_NOT_READY ||
              m->run_state == CVD_RUN_RUNNING,
          "ended as it is not ready, while something keeps it from running");
    n_events[event]++;
    n_states[cvd_lifecycle_get_state(&m->lifecycle)]++;
    n_ladder[m->lifecycle.ladder.state]++;
    n_run_states[m->lifecycle.guest.state]++;
    n_saving[m->lifecycle.saving.state]++;
    n_obstacles[m->lifecycle.saving.obstacle]++;
    if (cvd_ladder_is_going_down(&m->lifecycle.ladder))
        m->is_pause_accepted = FALSE;
    tell(m, event, actions);
    carry_out(m, actions);
    if (m->is_asked && !m->is_copied && !m->is_cancelled) {
        check(m, m->are_clients_held, "there are clients while a snapshot is taken");
        check(m, !m->is_saving || m->run_state != CVD_RUN_RUNNING, "saved while the guest runs");
        check(m, m->is_alive, "the VM is gone, and its snapshot is not cancelled");
    }
}

/* ---- What QEMU and its guest do ---- */

static void vm_stops(Model *m, CvdRunState state)
{
    if (m->run_state != CVD_RUN_RUNNING)
        return;
    m->run_state = state;
    happen(m, CVD_EVENT_VM_STOPPED, CVD_RUN_UNKNOWN);
}

static void vm_resumes(Model *m, gboolean is_ours)
{
    if (m->run_state == CVD_RUN_RUNNING || m->run_state == CVD_RUN_INCOMING ||
        m->run_state == CVD_RUN_SUSPENDED)
        return;
    m->run_state = CVD_RUN_RUNNING;
    m->has_run = TRUE;
    if (!is_ours && m->command != CVD_COMMAND_CONT) { /* from our own it cannot be told */
        m->is_pause_accepted = FALSE;
        m->was_resumed = m->is_asked;
    }
    happen(m, CVD_EVENT_VM_RESUMED, CVD_RUN_UNKNOWN);
}

static void answer_command(Model *m)
{
    CvdGuestCommand command = m->command;

    if (command == CVD_COMMAND_NONE || !m->is_qmp_ready)
        return;
    if (command != CVD_COMMAND_STATUS && draw(m, 16) == 15) {
        m->command = CVD_COMMAND_NONE;
        happen(m, CVD_EVENT_COMMAND_FAILED, CVD_RUN_UNKNOWN);
        return;
    }
    if (command == CVD_COMMAND_STATUS) {
        m->command = CVD_COMMAND_NONE;
        happen(m, CVD_EVENT_STATUS, m->run_state);
        return;
    }
    if (command == CVD_COMMAND_STOP)
        vm_stops(m, CVD_RUN_STOPPED);
    if (command == CVD_COMMAND_CONT)
        vm_resumes(m, TRUE);
    m->command = CVD_COMMAND_NONE;
    happen(m, CVD_EVENT_COMMAND_DONE, CVD_RUN_UNKNOWN);
}

static void reset(Model *m)
{
    m->is_dirty = m->is_held_for_reset = TRUE;
    m->has_said = FALSE;
    m->is_told &= m->config.ready != CVD_MACHINE_READY_GUEST;
    if (m->run_state != CVD_RUN_RUNNING && m->run_state != CVD_RUN_INCOMING)
        m->run_state = CVD_RUN_PRELAUNCH;
    happen(m, CVD_EVENT_VM_RESET, CVD_RUN_UNKNOWN);
}

static void shut_down(Model *m, const char *reason)
{
    cvd_lifecycle_note_shutdown(&m->lifecycle, reason);
    happen(m, CVD_EVENT_VM_SHUTDOWN, CVD_RUN_UNKNOWN);
}

static void exits(Model *m)
{
    m->is_alive = FALSE;
    m->is_used = TRUE;
    happen(m, CVD_EVENT_QEMU_EXITED, CVD_RUN_UNKNOWN);
}

static void says_ready(Model *m)
{
    m->has_said = TRUE;
    happen(m, CVD_EVENT_GUEST_READY, CVD_RUN_UNKNOWN);
}

static void sleeps_or_wakes(Model *m)
{
    if (m->run_state == CVD_RUN_RUNNING) {
        m->run_state = CVD_RUN_SUSPENDED;
        happen(m, CVD_EVENT_VM_SUSPENDED, CVD_RUN_UNKNOWN);
    } else if (m->run_state == CVD_RUN_SUSPENDED) {
        m->run_state = CVD_RUN_RUNNING;
        m->has_run = TRUE;
        happen(m, CVD_EVENT_VM_WOKE, CVD_RUN_UNKNOWN);
    }
}

/* It comes paused, asleep, or not at all. */
static void take_in_snapshot(Model *m)
{
    static const CvdRunState states[] = {CVD_RUN_STOPPED, CVD_RUN_STOPPED, CVD_RUN_SUSPENDED};
    guint choice = draw(m, G_N_ELEMENTS(states) + 1);

    if (choice == G_N_ELEMENTS(states)) {
        happen(m, CVD_EVENT_RESTORE_FAILED, CVD_RUN_UNKNOWN);
        m->is_misfit = m->lifecycle.cause == CVD_CAUSE_RESTORE_FAILED;
        return;
    }
    m->run_state = states[choice];
    m->has_restored = TRUE;
    happen(m, CVD_EVENT_RESTORED, CVD_RUN_UNKNOWN);
}

static void come_up(Model *m)
{
    if (m->is_hook_running) {
        m->is_hook_running = FALSE;
        happen(m, CVD_EVENT_PREPARED, CVD_RUN_UNKNOWN);
    } else if (!m->is_qmp_ready) {
        m->is_qmp_ready = TRUE;
        happen(m, CVD_EVENT_QMP_READY, CVD_RUN_UNKNOWN);
    } else if (m->is_handing_over && !m->is_handed_over) {
        m->is_handed_over = TRUE;
        happen(m, CVD_EVENT_HANDED_OVER, m->run_state);
    }
}

static void fault(Model *m)
{
    static const CvdRunState faults[] = {CVD_RUN_IO_ERROR, CVD_RUN_INTERNAL_ERROR, CVD_RUN_PANICKED,
                                         CVD_RUN_WATCHDOG};

    vm_stops(m, faults[draw(m, G_N_ELEMENTS(faults))]);
}

static void step_qemu(Model *m)
{
    static const char *const ends[] = {"guest-shutdown", "guest-panic", "guest-reset",
                                       "host-qmp-quit", "host-signal"};
    gboolean is_running = m->run_state == CVD_RUN_RUNNING;

    if (!m->is_handed_over && draw(m, 4) != 3) {
        come_up(m);
        return;
    }
    switch (draw(m, 16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        answer_command(m);
        return;
    case 6:
        if (is_running)
            says_ready(m);
        return;
    case 7:
    case 8:
        if (is_running)
            reset(m);
        return;
    case 9:
        sleeps_or_wakes(m);
        return;
    case 10:
        fault(m);
        return;
    case 11:
        shut_down(m, ends[draw(m, G_N_ELEMENTS(ends))]);
        if (draw(m, 2) == 0)
            exits(m);
        return;
    case 12:
        if (m->is_quit_sent || m->is_term_sent || m->is_kill_sent || draw(m, 4) == 3)
            exits(m);
        return;
    case 13: /* a second QMP client */
        if (draw(m, 2) == 0)
            vm_stops(m, CVD_RUN_STOPPED);
        else
            vm_resumes(m, FALSE);
        return;
    case 14:
        if (m->is_restoring && !m->has_restored)
            take_in_snapshot(m);
        else if (m->run_state == CVD_RUN_INCOMING && !m->lifecycle.is_restored)
            m->run_state = CVD_RUN_STOPPED; /* without any event */
        return;
    default: {
        static const CvdEvent failures[] = {CVD_EVENT_CONNECTION_LOST, CVD_EVENT_QMP_GIVEN_UP,
                                            CVD_EVENT_UNRESPONSIVE, CVD_EVENT_WATCHDOG};
        happen(m, failures[draw(m, G_N_ELEMENTS(failures))], CVD_RUN_UNKNOWN);
    }
    }
}

/* ---- What users do, and time ---- */

static void ask(Model *m, const char *method)
{
    const CvdVerb *verb = cvd_verb_find(method);

    if (cvd_verb_get_obstacle(verb, cvd_lifecycle_get_state(&m->lifecycle)) != NULL)
        return;
    if (verb->event == CVD_EVENT_PAUSE_REQUESTED)
        m->is_pause_accepted = TRUE;
    if (verb->event == CVD_EVENT_RESUME_REQUESTED)
        m->is_pause_accepted = FALSE;
    if (verb->event == CVD_EVENT_RESTART_REQUESTED)
        m->is_restart_accepted = TRUE;
    happen(m, verb->event, CVD_RUN_UNKNOWN);
}

static void ask_snapshot(Model *m)
{
    const CvdVerb *verb = cvd_verb_find("Snapshot");

    if (m->is_asked || cvd_verb_get_obstacle(verb, cvd_lifecycle_get_state(&m->lifecycle)) != NULL)
        return;
    m->is_asked = m->is_of_this_vm = TRUE;
    m->is_saving = m->is_copied = m->is_cancelled = m->was_resumed = FALSE;
    happen(m, verb->event, CVD_RUN_UNKNOWN);
}

static void end_snapshot(Model *m, CvdEvent event)
{
    m->is_asked = m->is_saving = FALSE;
    happen(m, event, CVD_RUN_UNKNOWN);
}

/* What the launcher does for a snapshot goes on, or fails. */
static void step_snapshot(Model *m)
{
    if (!m->is_asked)
        ask_snapshot(m);
    else if (m->is_cancelled || draw(m, 8) == 7)
        end_snapshot(m, CVD_EVENT_SNAPSHOT_FAILED);
    else if (m->is_copied) {
        end_snapshot(m, CVD_EVENT_SNAPSHOT_ENDED);
    } else if (m->is_saving && draw(m, 2) == 0) {
        m->is_left = TRUE;
        end_snapshot(m, CVD_EVENT_SNAPSHOT_ENDED);
    } else if (m->is_saving) {
        m->is_copied = TRUE;
        happen(m, CVD_EVENT_SNAPSHOT_SAVED, CVD_RUN_UNKNOWN);
    }
}

static void step_user(Model *m)
{
    switch (draw(m, 16)) {
    case 0:
    case 1:
    case 2:
        ask(m, "Pause");
        return;
    case 3:
    case 4:
    case 5:
        ask(m, "Resume");
        return;
    case 6:
    case 7:
        step_snapshot(m);
        return;
    case 8:
    case 9:
        ask(m, "Restart");
        return;
    case 10:
        if (m->is_alive && m->is_qmp_ready)
            reset(m);
        return;
    case 11:
        m->is_restart_accepted = FALSE;
        happen(m, CVD_EVENT_STOP_REQUESTED, CVD_RUN_UNKNOWN);
        return;
    case 12:
        m->is_restart_accepted = FALSE;
        happen(m, draw(m, 2) == 0 ? CVD_EVENT_HANGUP : CVD_EVENT_TIME_LIMIT, CVD_RUN_UNKNOWN);
        return;
    case 13:
    case 14:
        if (!m->are_programs_ready && m->is_alive) {
            m->are_programs_ready = TRUE;
            happen(m, CVD_EVENT_PROGRAMS_READY, CVD_RUN_UNKNOWN);
        } else if (!m->are_all_ready && m->is_alive) {
            m->are_all_ready = TRUE;
            happen(m, CVD_EVENT_ALL_READY, CVD_RUN_UNKNOWN);
        }
        return;
    case 15:
        if (m->config.n_programs == 0)
            return;
        m->is_restart_accepted = FALSE;
        happen(m, CVD_EVENT_PROGRAM_FAILED, CVD_RUN_UNKNOWN);
        return;
    default:
        return;
    }
}

static void step_time(Model *m)
{
    static const gint64 passes_us[] = {MS, 50 * MS, 1000 * MS, 11000 * MS};
    gint64 due_us = cvd_lifecycle_get_due_us(&m->lifecycle);
    guint choice = draw(m, 8);

    if (choice < G_N_ELEMENTS(passes_us))
        m->now_us += passes_us[choice];
    else if (due_us != 0)
        m->now_us = MAX(m->now_us, due_us) + (choice == 7 ? 700 * MS : 0);
    if (due_us != 0 && m->now_us >= due_us)
        happen(m, CVD_EVENT_TIMER, CVD_RUN_UNKNOWN);
}

/* ---- What must hold when nothing is under way ---- */

static void settle(Model *m)
{
    if (m->is_restoring && !m->has_restored && draw(m, 2) == 0)
        take_in_snapshot(m);
    for (guint i = 0; i < MAX_COMMANDS && m->command != CVD_COMMAND_NONE && m->is_qmp_ready; i++)
        answer_command(m);
    check(m,
          !m->lifecycle.is_restored || m->has_restored ||
              m->lifecycle.ladder.state != CVD_LADDER_UP,
          "the start is complete, and the snapshot is not in");
    if (m->command != CVD_COMMAND_NONE || !m->is_handed_over || !m->are_programs_ready ||
        (m->lifecycle.is_restored && !m->has_restored) || !m->is_alive || m->is_ended ||
        cvd_ladder_is_going_down(&m->lifecycle.ladder))
        return;
    check(m, !m->is_pause_accepted || m->run_state != CVD_RUN_RUNNING,
          "a pause was accepted, and the guest runs");
    check(m, cvd_guest_is_settled(&m->lifecycle.guest), "at rest, but not as wanted");
    check(m, !m->is_dirty, "at rest with the old guest's tables");
    check(m, !m->are_clients_held || m->is_held_for_reset || (m->is_asked && !m->is_copied),
          "at rest, and clients are not let in");
    check(m, !m->is_asked || m->is_saving || m->is_cancelled,
          "at rest, and the snapshot does not begin");
    CvdState state = cvd_lifecycle_get_state(&m->lifecycle);
    check(m, !cvd_run_state_is_fault(m->run_state) || state == CVD_STATE_FAULTED,
          "a fault that is not told");
    if (state == CVD_STATE_RUNNING)
        check(m, m->run_state == CVD_RUN_RUNNING, "said to run, and does not");
    check(m, m->is_told == m->lifecycle.readiness.is_ready, "ready, or not, and nobody was told");
    check(m, m->is_told || m->config.ready != CVD_MACHINE_READY_GUEST || !m->has_said,
          "the guest has said that it is ready, and it is not");
    check(m,
          m->is_told || m->config.ready != CVD_MACHINE_READY_PROGRAMS || !m->has_run ||
              !m->are_all_ready,
          "all programs are ready, and it is not");
    if (state == CVD_STATE_RUNNING && !m->was_told)
        check(m, m->lifecycle.readiness.due_us != 0, "not ready for as long as it likes");
}

/* Whatever has happened: a stop, a QEMU that does nothing at all, and time. */
static void drain(Model *m)
{
    gint64 begin_us = m->now_us;

    m->is_restart_accepted = FALSE;
    happen(m, CVD_EVENT_STOP_REQUESTED, CVD_RUN_UNKNOWN);
    for (guint i = 0; i < 32 && !m->is_ended; i++) {
        gint64 due_us = cvd_lifecycle_get_due_us(&m->lifecycle);
        check(m, due_us != 0, "nothing is due, and it has not ended");
        if (m->violation != NULL)
            return;
        m->now_us = MAX(m->now_us, due_us);
        happen(m, CVD_EVENT_TIMER, CVD_RUN_UNKNOWN);
    }
    check(m, m->is_ended, "it does not end");
    check(m, !m->is_asked || m->is_cancelled, "a snapshot was accepted, and does not end");
    check(m, m->now_us - begin_us <= (STOP_S + 5) * G_USEC_PER_SEC, "it ends too late");
}

static const char *run(const guint8 *bytes, gsize n, GString *story)
{
    Model m = {.bytes = bytes, .n_bytes = n, .story = story, .now_us = G_USEC_PER_SEC};
    char *hook[] = {(char *)"true", NULL}, *pin[] = {(char *)"0", (char *)"1", NULL};
    CvdOnEvent settings[] = {CVD_ON_EVENT_EXIT, CVD_ON_EVENT_RESTART};
    CvdMachineReady settings_of_ready[] = {CVD_MACHINE_READY_RUNNING, CVD_MACHINE_READY_GUEST,
                                           CVD_MACHINE_READY_GUEST, CVD_MACHINE_READY_PROGRAMS};

    m.lifecycle = (CvdLifecycle){
        .config = &m.config, .start_paused = draw(&m, 4) == 3, .is_restored = draw(&m, 4) == 3};
    m.config = (CvdConfig){
        .ivshmem_force_bus_master = draw(&m, 4) == 3,
        .qemu = {.cpus = {.pin = draw(&m, 4) == 3 ? pin : NULL}},
        .start_timeout_s = 30,
        .ready = settings_of_ready[draw(&m, G_N_ELEMENTS(settings_of_ready))],
        .stop = draw(&m, 4) == 3 ? CVD_STOP_QUIT : CVD_STOP_POWERDOWN,
        .stop_timeout_s = STOP_S,
        .on_crash = settings[draw(&m, 2)],
        .on_panic = settings[draw(&m, 2)],
        .on_reboot = settings[draw(&m, 2)],
        .restart_limit = LIMIT,
        .restart_delay_ms = 1000,
        .n_programs = draw(&m, 2),
        .hooks = {.before_start = draw(&m, 2) == 1 ? hook : NULL, .timeout_s = 30},
    };
    happen(&m, CVD_EVENT_STARTED, CVD_RUN_UNKNOWN);
    m.start_us = m.now_us;
    m.is_alive = TRUE;
    m.is_hook_running = m.config.hooks.before_start != NULL;
    m.are_programs_ready = m.are_all_ready = m.config.n_programs == 0;
    m.is_pause_accepted = m.lifecycle.start_paused;
    m.run_state = m.lifecycle.is_restored ? CVD_RUN_INCOMING : CVD_RUN_PRELAUNCH;
    while (m.n_used < n && m.violation == NULL && !m.is_ended) {
        guint who = draw(&m, 8);
        if (who < 5 && m.is_alive)
            step_qemu(&m);
        else if (who < 7)
            step_user(&m);
        else
            step_time(&m);
        if (draw(&m, 4) == 3)
            settle(&m);
    }
    drain(&m);
    cvd_retry_clear(&m.lifecycle.policy.retry);
    return m.violation;
}

/* Leaves out whatever is not needed for the same violation, and tells the rest as a story. */
static void report(guint8 *bytes, gsize n, const char *violation)
{
    g_autoptr(GString) story = g_string_new(NULL);

    for (gsize size = n / 2; size > 0; size /= 2) {
        for (gsize at = 0; at + size <= n;) {
            guint8 shorter[N_BYTES];
            memcpy(shorter, bytes, at);
            memcpy(shorter + at, bytes + at + size, n - at - size);
            if (g_strcmp0(run(shorter, n - size, NULL), violation) == 0) {
                memcpy(bytes, shorter, n -= size);
                continue;
            }
            at += size;
        }
    }
    run(bytes, n, story);
    g_error("%s:\n%s", violation, story->str);
}

static void assert_all_seen(const guint64 *counts, gsize n, const char *what)
{
    for (gsize i = 0; i < n; i++)
        if (counts[i] == 0)
            g_error("%s %zu was never seen", what, i);
}

static void test_any_order(void)
{
    const char *seconds = g_getenv("CVD_MODEL_SECONDS");
    gint64 end_us =
        g_get_monotonic_time() + G_USEC_PER_SEC * (seconds != NULL ? strtol(seconds, NULL, 10) : 3);
    guint64 n_runs = 0;

    while (g_get_monotonic_time() < end_us) {
        guint8 bytes[N_BYTES];
        /* Half of them do the same again and again, or nearly: loops need that. */
        gsize period = g_test_rand_bit() ? (gsize)g_test_rand_int_range(4, 40) : N_BYTES;
        for (gsize i = 0; i < N_BYTES; i++)
            bytes[i] = i < period || g_test_rand_int_range(0, 32) == 0 ? (guint8)g_test_rand_int()
                                                                       : bytes[i - period];
        const char *violation = run(bytes, N_BYTES, NULL);
        if (violation != NULL)
            report(bytes, N_BYTES, violation);
        n_runs++;
    }
    assert_all_seen(n_actions, G_N_ELEMENTS(n_actions), "action");
    assert_all_seen(n_states, G_N_ELEMENTS(n_states), "state");
    assert_all_seen(n_ladder, G_N_ELEMENTS(n_ladder), "state of the process");
    assert_all_seen(n_saving, G_N_ELEMENTS(n_saving), "state of a snapshot");
    assert_all_seen(n_obstacles, G_N_ELEMENTS(n_obstacles), "obstacle of a snapshot");
    assert_all_seen(n_run_states, G_N_ELEMENTS(n_run_states) - 1, "run state");
    assert_all_seen(n_events, G_N_ELEMENTS(n_events), "event");
    g_test_message("%" G_GUINT64_FORMAT " runs of up to %d choices", n_runs, N_BYTES);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/lifecycle-model/any-order", test_any_order);
    return g_test_run();
}
