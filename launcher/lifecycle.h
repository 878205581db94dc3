/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config.h"
#include "launcher/restart-policy.h"

G_BEGIN_DECLS

/**
 * CvdState:
 *
 * Where a launch is. cvd_lifecycle_get_state_name() gives the name that users see; several states
 * share one.
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
    CVD_STATE_DOWN_RESETTING, /* the same, but the guest was reset; `stop` was sent */
    CVD_STATE_QUITTING,       /* `quit` was sent */
    CVD_STATE_EXITING,        /* QEMU said so, or closed a connection: it should be about to exit */
    CVD_STATE_TERMINATING,    /* SIGTERM was sent */
    CVD_STATE_KILLING,        /* SIGKILL was sent */
    CVD_STATE_RESTARTING,     /* QEMU is gone; the next one starts when the timer is due */
    CVD_STATE_ENDED,          /* QEMU is gone, or was given up */
} CvdState;

typedef enum {
    CVD_EVENT_QMP_READY,         /* QMP greeted and took `qmp_capabilities` */
    CVD_EVENT_HANDED_OVER,       /* QEMU has read the whole hand-over */
    CVD_EVENT_CONT_DONE,         /* `cont` succeeded */
    CVD_EVENT_STOP_DONE,         /* `stop` succeeded */
    CVD_EVENT_COMMAND_FAILED,    /* a command did not */
    CVD_EVENT_VM_STOPPED,        /* QMP's STOP */
    CVD_EVENT_VM_RESUMED,        /* QMP's RESUME */
    CVD_EVENT_VM_RESET,          /* QMP's RESET, of the guest's own or from outside */
    CVD_EVENT_VM_SHUTDOWN,       /* QMP's SHUTDOWN: QEMU is going to exit */
    CVD_EVENT_WATCHDOG,          /* QMP's WATCHDOG: the guest's watchdog has stopped it */
    CVD_EVENT_UNRESPONSIVE,      /* QEMU does not answer any more */
    CVD_EVENT_CONNECTION_LOST,   /* QEMU closed QMP or the ivshmem connection */
    CVD_EVENT_STOP_REQUESTED,    /* SIGINT or SIGTERM, or somebody asked over the control socket */
    CVD_EVENT_HANGUP,            /* SIGHUP; a terminal that closes brings several */
    CVD_EVENT_TIME_LIMIT,        /* `--timeout` */
    CVD_EVENT_RESTART_REQUESTED, /* somebody asked over the control socket */
    CVD_EVENT_TIMER,             /* the timer that an earlier step armed */
    CVD_EVENT_START_FAILED,      /* another QEMU could not be started */
    CVD_EVENT_QEMU_EXITED,       /* the process is gone */
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
    CVD_ACTION_RENEW = 1 << 9,         /* close the clients, make the window new, tell why */
    CVD_ACTION_START = 1 << 10,        /* start another QEMU, or report CVD_EVENT_START_FAILED */
    CVD_ACTION_END = 1 << 11,          /* tear the rest down */
} CvdAction;

/**
 * CvdCause:
 *
 * What made a VM go down; the first cause counts.
 */
typedef enum {
    CVD_CAUSE_NONE,
    CVD_CAUSE_STOP_REQUESTED,
    CVD_CAUSE_TIME_LIMIT,
    CVD_CAUSE_RESTART_REQUESTED,
    CVD_CAUSE_START_FAILED,
    CVD_CAUSE_START_TIMED_OUT,
    CVD_CAUSE_COMMAND_FAILED,
    CVD_CAUSE_VM_SHUTDOWN, /* #CvdShutdown tells more */
    CVD_CAUSE_WATCHDOG,
    CVD_CAUSE_UNRESPONSIVE,
    CVD_CAUSE_CONNECTION_LOST,
    CVD_CAUSE_QEMU_EXITED,
} CvdCause;

/**
 * CvdShutdown:
 *
 * `reason` of QMP's SHUTDOWN event, as far as it makes a difference here.
 */
typedef enum {
    CVD_SHUTDOWN_NONE, /* there was no such event */
    CVD_SHUTDOWN_POWER_OFF,
    CVD_SHUTDOWN_REBOOT, /* a reset, where `-action reboot=shutdown` was given */
    CVD_SHUTDOWN_PANIC,
    CVD_SHUTDOWN_QUIT,   /* over QMP */
    CVD_SHUTDOWN_UI,     /* through the VM's own window */
    CVD_SHUTDOWN_SIGNAL, /* to QEMU */
    CVD_SHUTDOWN_ERROR,
    CVD_SHUTDOWN_OTHER,
} CvdShutdown;

/** CVD_TIMER_UNCHANGED, CVD_TIMER_OFF: special values of #CvdStep.timer_ms */
#define CVD_TIMER_UNCHANGED (-1)
#define CVD_TIMER_OFF       0

/**
 * CvdLifecycle:
 * @state: where the launch is
 * @cause: why the VM goes down
 * @shutdown: what QEMU said of that
 * @is_ready: whether this VM's start was complete
 * @was_ready: whether any VM's was: nothing is restarted that never ran
 * @is_stop_asked: whether the launch is to end with this VM
 * @has_given_up: whether there were too many failures
 * @start_paused: `--paused`
 * @start_timeout_ms: from exec to running
 * @stop: how a stop begins
 * @stop_timeout_ms: how long a power-down may take, at least 1
 * @powerdown_left_ms: how much of that is left when the timer is due
 * @on_crash: what follows a failure of QEMU
 * @on_panic: what follows a panic, or the watchdog
 * @on_reboot: what follows a reboot that ended QEMU
 * @restarts: bounds the restarts after failures
 */
typedef struct {
    CvdState state;
    CvdCause cause;
    CvdShutdown shutdown;
    gboolean is_ready;
    gboolean was_ready;
    gboolean is_stop_asked;
    gboolean has_given_up;
    gboolean start_paused;
    guint start_timeout_ms;
    CvdStop stop;
    guint stop_timeout_ms;
    guint powerdown_left_ms;
    CvdOnEvent on_crash;
    CvdOnEvent on_panic;
    CvdOnEvent on_reboot;
    CvdRestartPolicy restarts;
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
 * @now_us: the monotonic time, in microseconds
 *
 * Sections 4 to 6 of the launcher's specification as a table. Pure. The caller arms the timer with
 * the start's time limit before the first event.
 *
 * Returns: what is to be done
 */
CvdStep cvd_lifecycle_step(CvdLifecycle *lifecycle, CvdEvent event, gint64 now_us);

/**
 * cvd_lifecycle_note_shutdown:
 * @reason: (nullable): `reason` of QMP's SHUTDOWN event, the first of a VM, or `guest-panic` with
 *   GUEST_PANICKED; CVD_EVENT_VM_SHUTDOWN follows
 */
void cvd_lifecycle_note_shutdown(CvdLifecycle *lifecycle, const char *reason);

/** cvd_lifecycle_is_going_down: Returns: whether the VM is, or is gone */
gboolean cvd_lifecycle_is_going_down(const CvdLifecycle *lifecycle);

/** cvd_lifecycle_may_cont: Returns: whether `cont` may still be sent for what was decided before */
gboolean cvd_lifecycle_may_cont(const CvdLifecycle *lifecycle);

/**
 * cvd_lifecycle_get_state_name:
 *
 * Returns: (transfer none): `starting`, `running`, `paused`, `stopping`, `restarting` or `stopped`
 */
const char *cvd_lifecycle_get_state_name(const CvdLifecycle *lifecycle);

G_END_DECLS
