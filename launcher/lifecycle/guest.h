/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/lifecycle/event.h"

#include <glib.h>

G_BEGIN_DECLS

/** CVD_GUEST_SETTLE_US: how long a guest that was reset must run before clients are let in */
#define CVD_GUEST_SETTLE_US (500 * G_TIME_SPAN_MILLISECOND)

/**
 * CvdRunState:
 *
 * QEMU's run state (RunState in QEMU's qapi/run-state.json), as far as it makes a difference here.
 */
typedef enum {
    CVD_RUN_UNKNOWN,        /* QEMU has not been asked yet, or is still being configured */
    CVD_RUN_PRELAUNCH,      /* stopped before the first instruction, or after a reset */
    CVD_RUN_INCOMING,       /* waits for a migration */
    CVD_RUN_RUNNING,        /* the guest's processors run */
    CVD_RUN_STOPPED,        /* paused, in a debugger, saved, migrated away */
    CVD_RUN_SUSPENDED,      /* asleep (S3), until something wakes it */
    CVD_RUN_IO_ERROR,       /* stopped by QEMU: a disk did not take a write, or give a read */
    CVD_RUN_INTERNAL_ERROR, /* stopped by QEMU: it cannot execute the guest any further */
    CVD_RUN_PANICKED,       /* stopped by QEMU: the guest said that it panicked */
    CVD_RUN_WATCHDOG,       /* stopped by QEMU: the guest's watchdog ran out */
    CVD_RUN_SHUTDOWN,       /* powered off, but QEMU stays (`-no-shutdown`) */
} CvdRunState;

/**
 * CvdHold:
 *
 * A reason why the guest may not run. It is to run exactly when there is none.
 */
typedef enum {
    CVD_HOLD_START = 1 << 0,    /* QEMU has not read the whole hand-over yet */
    CVD_HOLD_USER = 1 << 1,     /* `--paused`, or a pause through our own control interface */
    CVD_HOLD_OUTSIDE = 1 << 2,  /* somebody else stopped it */
    CVD_HOLD_FAULT = 1 << 3,    /* QEMU stopped it, or refuses to resume it */
    CVD_HOLD_RESET = 1 << 4,    /* it was reset, and the signal tables are still the old guest's */
    CVD_HOLD_PROGRAMS = 1 << 5, /* host programs are not ready yet */
    CVD_HOLD_SNAPSHOT = 1 << 6, /* it is being saved; no client is let in meanwhile */
    CVD_HOLD_RESTORE = 1 << 7,  /* its state is still in the snapshot */
} CvdHold;

/** CvdGuestCommand: what the launcher has sent by itself and has no reply to yet */
typedef enum {
    CVD_COMMAND_NONE,
    CVD_COMMAND_STATUS,     /* `query-status` */
    CVD_COMMAND_PIN,        /* binds the vCPUs' threads to processors */
    CVD_COMMAND_BUS_MASTER, /* sets the ivshmem device's bus-master bit */
    CVD_COMMAND_CONT,
    CVD_COMMAND_STOP,
} CvdGuestCommand;

/**
 * CvdGuest:
 * @state: what is known of the run state
 * @holds: #CvdHold bits
 * @fault: why %CVD_HOLD_FAULT is set; %CVD_RUN_STOPPED: `cont` was refused
 * @command: what is under way: at most one command at a time
 * @wants_bus_master: whether the bit is to be set before the guest runs (configuration)
 * @must_set_bus_master: whether it is to be set now: power-on and reset clear it
 * @must_restore: whether QEMU is to take in a snapshot, once it has read the hand-over
 * @must_pin: whether the vCPUs' threads are to be bound before the guest runs
 * @must_ask: whether the run state is to be asked for
 * @has_run: whether the guest has ever run
 * @is_broken: whether the VM cannot go on, as a command was refused that must not be
 * @are_clients_held: from a reset until the new guest has run for a while, and during a snapshot
 * @must_settle: whether it was a reset, so that they are let in some time after that
 * @admit_us: when that is, monotonic; 0 while the guest does not run
 * @n_resets: how often it was reset
 *
 * The guest: whether it runs, and whether it may: docs of each hold above. After every
 * event it compares the two and sends `cont` or `stop`, nothing else. Pure.
 */
typedef struct {
    CvdRunState state;
    guint holds;
    CvdRunState fault;
    CvdGuestCommand command;
    gboolean wants_bus_master;
    gboolean must_set_bus_master;
    gboolean must_restore;
    gboolean must_pin;
    gboolean must_ask;
    gboolean has_run;
    gboolean is_broken;
    gboolean are_clients_held;
    gboolean must_settle;
    gint64 admit_us;
    guint n_resets;
} CvdGuest;

/** cvd_guest_start: @holds: beside %CVD_HOLD_START; with %CVD_HOLD_RESTORE it comes from a
 * snapshot, which has the bus-master bit, too; Returns: the guest of a QEMU that was just spawned
 * with `-S` */
CvdGuest cvd_guest_start(guint holds, gboolean wants_bus_master, gboolean wants_pin);

/**
 * cvd_guest_step:
 * @event: those that are not about the guest change nothing
 * @state: with %CVD_EVENT_HANDED_OVER and %CVD_EVENT_STATUS, else ignored
 * @may_send: whether commands make sense: not while QEMU is on its way out
 * @now_us: the monotonic time, microseconds
 *
 * Returns: #CvdAction bits
 */
guint cvd_guest_step(CvdGuest *guest, CvdEvent event, CvdRunState state, gboolean may_send,
                     gint64 now_us);

/** cvd_guest_is_settled: Returns: whether nothing is under way, and the guest is as it is to be */
gboolean cvd_guest_is_settled(const CvdGuest *guest);

/** cvd_run_state_parse: Returns: the run state of that QMP name; unknown ones are stopped */
CvdRunState cvd_run_state_parse(const char *name);

/** cvd_run_state_is_fault: Returns: whether QEMU stopped the guest by itself */
gboolean cvd_run_state_is_fault(CvdRunState state);

G_END_DECLS
