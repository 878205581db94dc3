/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config.h"

G_BEGIN_DECLS

/**
 * CvdState:
 *
 * Where a launch is. cvd_state_name() gives the name that users see; several states share one.
 */
typedef enum {
    CVD_STATE_LOADING,        /* QEMU was spawned; its QMP greeting is awaited */
    CVD_STATE_HANDING_OVER,   /* QMP works; QEMU is reading the ivshmem hand-over */
    CVD_STATE_RESUMING,       /* the first `cont` was sent */
    CVD_STATE_RUNNING,        /* the guest runs */
    CVD_STATE_PAUSED,         /* the guest is stopped: `--paused`, or somebody else stopped it */
    CVD_STATE_RESET_STOPPING, /* the guest was reset; `stop` was sent */
    CVD_STATE_RESET_RESUMING, /* signal tables are zeroed; `cont` was sent */
    CVD_STATE_POWERING_DOWN,  /* `system_powerdown` was sent */
    CVD_STATE_QUITTING,       /* `quit` was sent */
    CVD_STATE_EXITING,        /* QEMU said so, or closed a connection: it should be about to exit */
    CVD_STATE_TERMINATING,    /* SIGTERM was sent */
    CVD_STATE_KILLING,        /* SIGKILL was sent */
    CVD_STATE_ENDED,          /* QEMU is gone, or was given up */
} CvdState;

typedef enum {
    CVD_EVENT_QMP_READY,       /* QMP greeted and took `qmp_capabilities` */
    CVD_EVENT_HANDED_OVER,     /* QEMU has read the whole hand-over */
    CVD_EVENT_CONT_DONE,       /* `cont` succeeded */
    CVD_EVENT_STOP_DONE,       /* `stop` succeeded */
    CVD_EVENT_COMMAND_FAILED,  /* a command did not */
    CVD_EVENT_VM_STOPPED,      /* QMP's STOP */
    CVD_EVENT_VM_RESUMED,      /* QMP's RESUME */
    CVD_EVENT_VM_RESET,        /* QMP's RESET, of the guest's own or from outside */
    CVD_EVENT_VM_SHUTDOWN,     /* QMP's SHUTDOWN: QEMU is going to exit */
    CVD_EVENT_CONNECTION_LOST, /* QEMU closed QMP or the ivshmem connection */
    CVD_EVENT_STOP_REQUESTED,  /* SIGINT or SIGTERM */
    CVD_EVENT_HANGUP,          /* SIGHUP; a terminal that closes brings several */
    CVD_EVENT_TIME_LIMIT,      /* `--timeout` */
    CVD_EVENT_TIMER,           /* the timer that an earlier step armed */
    CVD_EVENT_QEMU_EXITED,     /* the process is gone */
} CvdEvent;

typedef enum {
    CVD_ACTION_HAND_OVER = 1 << 0,     /* report CVD_EVENT_HANDED_OVER when QEMU has read all */
    CVD_ACTION_RESET_SIGNALS = 1 << 1, /* zero the tables, close the client connections */
    CVD_ACTION_CONT = 1 << 2,          /* send `cont`, report CVD_EVENT_CONT_DONE or a failure */
    CVD_ACTION_STOP = 1 << 3,          /* send `stop`, report CVD_EVENT_STOP_DONE or a failure */
    CVD_ACTION_POWERDOWN = 1 << 4,     /* send `system_powerdown` */
    CVD_ACTION_QUIT = 1 << 5,          /* send `quit` */
    CVD_ACTION_TERMINATE = 1 << 6,     /* SIGTERM to QEMU */
    CVD_ACTION_KILL = 1 << 7,          /* SIGKILL to QEMU's process group */
    CVD_ACTION_READY = 1 << 8,         /* the start is complete: tell the user and systemd */
    CVD_ACTION_STOPPING = 1 << 9,      /* the end has begun: tell systemd */
    CVD_ACTION_END = 1 << 10,          /* tear the rest down */
} CvdAction;

/**
 * CvdCause:
 *
 * What made a launch go down; the first cause counts.
 */
typedef enum {
    CVD_CAUSE_NONE,
    CVD_CAUSE_STOP_REQUESTED,
    CVD_CAUSE_TIME_LIMIT,
    CVD_CAUSE_START_TIMED_OUT,
    CVD_CAUSE_COMMAND_FAILED,
    CVD_CAUSE_VM_SHUTDOWN,
    CVD_CAUSE_CONNECTION_LOST,
    CVD_CAUSE_QEMU_EXITED,
} CvdCause;

/** CVD_TIMER_UNCHANGED, CVD_TIMER_OFF: special values of #CvdStep.timer_ms */
#define CVD_TIMER_UNCHANGED (-1)
#define CVD_TIMER_OFF       0

/**
 * CvdLifecycle:
 * @state: where the launch is
 * @cause: why it goes down
 * @is_ready: whether the start was complete once
 * @start_paused: `--paused`
 * @stop: how a stop begins
 * @stop_timeout_ms: how long a power-down may take, at least 1
 * @powerdown_left_ms: how much of that is left when the timer is due
 */
typedef struct {
    CvdState state;
    CvdCause cause;
    gboolean is_ready;
    gboolean start_paused;
    CvdStop stop;
    guint stop_timeout_ms;
    guint powerdown_left_ms;
} CvdLifecycle;

/**
 * CvdStep:
 * @actions: #CvdAction bits, to be carried out in the order of their values
 * @timer_ms: replaces the one timer: after so long CVD_EVENT_TIMER is due
 */
typedef struct {
    guint actions;
    int timer_ms;
} CvdStep;

/**
 * cvd_lifecycle_step:
 * @lifecycle: (inout): where the launch is; its new state afterwards
 * @event: what happened
 *
 * Sections 4 to 6 of the launcher's specification as a table. Pure. The caller arms the timer with
 * the start's time limit before the first event.
 *
 * Returns: what is to be done
 */
CvdStep cvd_lifecycle_step(CvdLifecycle *lifecycle, CvdEvent event);

/** cvd_state_name: Returns: (transfer none): `starting`, `running`, `paused`, `stopping`, … */
const char *cvd_state_name(CvdState state);

/**
 * CvdExit:
 * @is_known: %FALSE for a process that was given up
 * @is_signal: whether a signal ended the process
 * @value: its exit status, or the signal's number
 * @has_core: whether it left a core
 */
typedef struct {
    gboolean is_known;
    gboolean is_signal;
    int value;
    gboolean has_core;
} CvdExit;

/**
 * CvdVerdict:
 * @exit_status: the launcher's own, 0 or 1
 * @text: (transfer full): how it ended, in words
 */
typedef struct {
    int exit_status;
    char *text;
} CvdVerdict;

/**
 * cvd_lifecycle_verdict:
 * @lifecycle: an ended launch
 * @program: QEMU's name
 * @shutdown_reason: (nullable): `reason` of QMP's SHUTDOWN event
 * @qemu: how the process ended
 */
CvdVerdict cvd_lifecycle_verdict(const CvdLifecycle *lifecycle, const char *program,
                                 const char *shutdown_reason, CvdExit qemu);

G_END_DECLS
