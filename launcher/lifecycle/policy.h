/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/lifecycle/retry.h"

G_BEGIN_DECLS

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
    CVD_CAUSE_NOT_READY, /* it runs, but was not ready in time */
    CVD_CAUSE_COMMAND_FAILED,
    CVD_CAUSE_RESTORE_FAILED, /* it does not fit its snapshot, which has not changed since */
    CVD_CAUSE_VM_SHUTDOWN,    /* #CvdShutdown says more */
    CVD_CAUSE_WATCHDOG,
    CVD_CAUSE_INTERNAL_ERROR,
    CVD_CAUSE_UNRESPONSIVE,
    CVD_CAUSE_QMP_GIVEN_UP,
    CVD_CAUSE_CONNECTION_LOST,
    CVD_CAUSE_QEMU_EXITED,
    CVD_CAUSE_SNAPSHOT,       /* it is complete, and the VM was not to run on */
    CVD_CAUSE_PROGRAM_FAILED, /* a host program that the machine cannot do without */
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

typedef enum {
    CVD_FOLLOW_UNDECIDED, /* there is a VM */
    CVD_FOLLOW_RESTART,   /* another VM is started when that is due */
    CVD_FOLLOW_GIVE_UP,   /* nothing, as there were too many failures */
    CVD_FOLLOW_END,       /* nothing */
} CvdFollow;

/**
 * CvdPolicy:
 * @follow: what follows the VM
 * @is_counted: whether the last end counted as a failure
 * @is_stop_asked: whether nothing is to follow, whatever the cause
 * @is_restart_asked: whether another VM is to follow this one, whatever the cause
 * @was_ready: whether any VM's start was complete: nothing is restarted that never ran
 * @was_announced: whether any VM was ready, as `lifecycle.ready` has it
 * @start_us: when this VM was started
 * @due_us: when another one is; 0 = never
 * @retry: its failures; the owner's to clear
 *
 * What follows the end of a VM. Pure.
 */
typedef struct {
    CvdFollow follow;
    gboolean is_counted;
    gboolean is_stop_asked;
    gboolean is_restart_asked;
    gboolean was_ready;
    gboolean was_announced;
    gint64 start_us;
    gint64 due_us;
    CvdRetry retry;
} CvdPolicy;

/** cvd_policy_start: another VM is started */
void cvd_policy_start(CvdPolicy *policy, gint64 now_us);

/** cvd_policy_will_restart: Returns: whether a VM that goes down for this is followed by another,
 * unless that makes too many */
gboolean cvd_policy_will_restart(const CvdPolicy *policy, const CvdConfig *config, CvdCause cause,
                                 CvdShutdown shutdown);

/** cvd_policy_end: the VM is gone: decides what follows */
void cvd_policy_end(CvdPolicy *policy, const CvdConfig *config, CvdCause cause,
                    CvdShutdown shutdown, gint64 now_us);

G_END_DECLS
