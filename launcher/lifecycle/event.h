/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** CvdEvent: what happens to a launch */
typedef enum {
    CVD_EVENT_STARTED,            /* QEMU is about to be spawned, for the first time or again */
    CVD_EVENT_PREPARED,           /* what comes before QEMU has ended: hook, or snapshot */
    CVD_EVENT_QMP_READY,          /* QMP greeted and took `qmp_capabilities` */
    CVD_EVENT_HANDED_OVER,        /* QEMU has read the whole hand-over; its run state */
    CVD_EVENT_RESTORED,           /* QEMU has taken in what the snapshot has of it */
    CVD_EVENT_RESTORE_FAILED,     /* it cannot, or must not */
    CVD_EVENT_PROGRAMS_READY,     /* no host program is awaited any more */
    CVD_EVENT_PROGRAM_FAILED,     /* one that the machine cannot do without has failed for good */
    CVD_EVENT_STATUS,             /* the reply to %CVD_COMMAND_STATUS: QEMU's run state */
    CVD_EVENT_COMMAND_DONE,       /* the guest's command under way succeeded */
    CVD_EVENT_COMMAND_FAILED,     /* it was refused */
    CVD_EVENT_VM_STOPPED,         /* QMP's STOP */
    CVD_EVENT_VM_RESUMED,         /* QMP's RESUME */
    CVD_EVENT_VM_SUSPENDED,       /* QMP's SUSPEND */
    CVD_EVENT_VM_WOKE,            /* QMP's WAKEUP */
    CVD_EVENT_VM_RESET,           /* QMP's RESET, of the guest's own or from outside */
    CVD_EVENT_VM_SHUTDOWN,        /* QMP's SHUTDOWN: QEMU is going to exit */
    CVD_EVENT_GUEST_READY,        /* the guest says that it is ready */
    CVD_EVENT_ALL_READY,          /* each host program is, also those that nobody awaits any more */
    CVD_EVENT_WATCHDOG,           /* QMP's WATCHDOG: the guest's watchdog has stopped it */
    CVD_EVENT_UNRESPONSIVE,       /* QEMU does not answer any more */
    CVD_EVENT_QMP_GIVEN_UP,       /* what QEMU sends is no QMP */
    CVD_EVENT_CONNECTION_LOST,    /* QEMU closed QMP or the ivshmem connection */
    CVD_EVENT_PAUSE_REQUESTED,    /* somebody asked over the control socket */
    CVD_EVENT_RESUME_REQUESTED,   /* the same */
    CVD_EVENT_STOP_REQUESTED,     /* the same, or SIGINT or SIGTERM */
    CVD_EVENT_HANGUP,             /* SIGHUP; a terminal that closes brings several */
    CVD_EVENT_TIME_LIMIT,         /* `--timeout` */
    CVD_EVENT_RESTART_REQUESTED,  /* somebody asked over the control socket */
    CVD_EVENT_SNAPSHOT_REQUESTED, /* likewise */
    CVD_EVENT_SNAPSHOT_SAVED,     /* all of the VM is copied, and the guest may go on */
    CVD_EVENT_SNAPSHOT_ENDED,     /* it is complete; if not saved before, the VM is to end */
    CVD_EVENT_SNAPSHOT_FAILED,    /* there is none, and nothing of it goes on */
    CVD_EVENT_TIMER,              /* cvd_lifecycle_get_due_us() has come */
    CVD_EVENT_RENEW_FAILED,       /* CVD_ACTION_RENEW was not possible */
    CVD_EVENT_START_FAILED,       /* another QEMU could not be started */
    CVD_EVENT_QEMU_EXITED,        /* the process is gone */
    CVD_N_EVENTS,
} CvdEvent;

/**
 * CvdAction:
 *
 * What the machines ask for, to be carried out in the order of the values.
 */
typedef enum {
    CVD_ACTION_CLEAR_SIGNALS = 1 << 0, /* zero the signal tables and words */
    CVD_ACTION_HOLD_CLIENTS = 1 << 1,  /* close the clients' connections, let nobody in */
    CVD_ACTION_REPORT_END = 1 << 2,    /* say how the VM ended, and when another follows */
    CVD_ACTION_RENEW = 1 << 3,         /* close the clients' connections, renew the window */
    CVD_ACTION_ADMIT_CLIENTS = 1 << 4, /* let clients in again */
    CVD_ACTION_HAND_OVER = 1 << 5,     /* report CVD_EVENT_HANDED_OVER when QEMU has read all */
    CVD_ACTION_RESTORE = 1 << 6,       /* have QEMU take in the snapshot, report the end of that */
    CVD_ACTION_SEND = 1 << 7,          /* send @guest.command, report its reply */
    CVD_ACTION_SAVE = 1 << 8,          /* the guest stands still: save it */
    CVD_ACTION_CANCEL = 1 << 9,        /* give the snapshot up, report when that is done */
    CVD_ACTION_WAKE = 1 << 10,         /* send `system_wakeup` */
    CVD_ACTION_POWERDOWN = 1 << 11,    /* send `system_powerdown` */
    CVD_ACTION_QUIT = 1 << 12,         /* send `quit` */
    CVD_ACTION_TERMINATE = 1 << 13,    /* SIGHUP to QEMU */
    CVD_ACTION_KILL = 1 << 14,         /* SIGKILL to QEMU's process group */
    CVD_ACTION_READY = 1 << 15,        /* the start is complete: say so; often it is ready, too */
    CVD_ACTION_ANNOUNCE = 1 << 16,     /* it has become ready later than that, or again */
    CVD_ACTION_START = 1 << 17,        /* start another QEMU, unless the renewal failed */
    CVD_ACTION_END = 1 << 18,          /* tear everything else down */
    CVD_N_ACTIONS = 19,
} CvdAction;
