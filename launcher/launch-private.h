/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/log.h"
#include "launcher/control-group.h"
#include "launcher/control/control.h"
#include "launcher/control/verbs.h"
#include "launcher/launch-host.h"
#include "launcher/lifecycle/lifecycle.h"
#include "launcher/programs/hook.h"
#include "launcher/programs/programs.h"
#include "launcher/qemu/line-watch.h"
#include "launcher/qemu/vm.h"
#include "launcher/restore-disks.h"
#include "launcher/verdict.h"

G_BEGIN_DECLS

/*< private >*/
/** CvdLaunchSnapshot: a snapshot that is being taken */
typedef struct CvdLaunchSnapshot CvdLaunchSnapshot;

/** CvdWaitingCall: is answered when the guest is as its caller wants it */
typedef struct {
    CvdControlCall *call;
    const CvdVerb *verb;
    guint n_resets; /* of the guest, when it came */
} CvdWaitingCall;

/** CvdWaitingProgramCall: is answered when the program is as its caller wants it */
typedef struct {
    CvdControlCall *call;
    const CvdProgramConfig *program;
    CvdProgramCommand command;
} CvdWaitingProgramCall;

/** CvdLaunchReady: how it is learnt that the machine is ready, and who has been told */
typedef struct {
    CvdLineWatch *line_watch; /* of `lifecycle.ready_pattern`; NULL = nothing is looked for */
    const char *by;           /* what has made it ready last, in words */
    char *awaited;            /* names of programs, with `lifecycle.ready` programs; NULL = none */
    guint n_logged;           /* the VM, counted from 1, of which it was logged last; 0 = none */
    gboolean is_notified;     /* to the service manager, and the hook for that */
} CvdLaunchReady;

/** CvdLaunchRestore: of a launch whose VMs come from a snapshot */
typedef struct {
    CvdRestore *from;         /* NULL: they boot */
    char **blockdevs;         /* for QEMU */
    CvdOverlays *overlays;    /* of its disks; NULL = none */
    gboolean is_making_disks; /* they are under way */
    GCancellable *copy;       /* of memory that is being filled; NULL = none */
    int ram_fd;               /* that has been; −1 = none */
    gboolean must_ring;       /* the guest, once it runs */
} CvdLaunchRestore;

/**
 * CvdLaunch:
 *
 * A launch from its first VM to the end of its last.
 */
typedef struct {
    CvdHost host;
    const CvdConfig *config;
    const CvdQemuTools *tools;
    CvdChildren *children;
    CvdControlGroup *control_group; /* NULL = QEMU is in none of its own */
    CvdPrograms *programs;          /* NULL: the configuration has none */
    CvdLifecycle lifecycle;
    GArray *inputs;        /* events that wait until an earlier one is handled */
    GArray *calls;         /* of CvdWaitingCall */
    GArray *program_calls; /* of CvdWaitingProgramCall */
    char *reason;          /* for its state, or how the VM has ended */
    char *fault;           /* what QEMU said last of a fault, NULL = nothing */
    char *notified;        /* what the service manager knows of both, NULL = nothing */
    GSource *timer;
    CvdLogFile *qemu_log;
    CvdConsole *qemu_output;
    CvdLogFile *console_log; /* NULL without a serial port, as is `console` */
    CvdConsole *console;

    /* Of the VM that there is, or was last: */
    CvdVm *vm;                /* NULL before the first */
    int ram_fd;               /* its RAM; −1: that is QEMU's own, or there is no QEMU */
    gint64 start_time_us;     /* of the first: of the program */
    gint64 ready_time_us;     /* 0 before */
    gboolean is_all_sent;     /* the hand-over has left the server */
    gboolean is_prepared;     /* back ends are as QEMU needs them */
    gboolean is_preparing;    /* that is awaited, and then QEMU is started */
    GSource *awaited_timer;   /* until it is said which programs are awaited */
    GSource *hand_over_timer; /* until the next check whether QEMU has read it */
    gint64 hand_over_pause_us;
    CvdExit qemu_exit;        /* once it is gone */
    int exit_status;          /* likewise, if no other follows */
    guint n_restarts;         /* VMs before it */
    gboolean is_end_notified; /* to the service manager */

    gboolean is_serving;         /* the sockets listen */
    CvdLaunchSnapshot *snapshot; /* NULL = none is taken */
    gboolean is_ending;          /* QEMU is gone for good, and the programs are on their way down */
    gboolean has_ended;          /* nothing is awaited any more but the end of @snapshot */
    char *failure;               /* why the machine cannot go on, NULL = QEMU says it */
    CvdHook *hook;               /* that runs; NULL = none */
    CvdOutput *hook_output;
    CvdOutputLoad output_load; /* of hooks and programs */
    gboolean is_pressing;      /* the power button: QEMU has not answered yet */
    CvdLogLimit log_limit;     /* of what QEMU or a guest can provoke */
    CvdLaunchReady ready;
    CvdLaunchRestore restore;
} CvdLaunch;

/** cvd_launch_may_log: Returns: whether a line that QEMU or its guest provokes may be written */
gboolean cvd_launch_may_log(CvdLaunch *launch);

/** CVD_LAUNCH_STATE_ID: the MESSAGE_ID of lines about the state in the journal */
#define CVD_LAUNCH_STATE_ID "31583fc63f2f47d0bad356495a1ed44e"

/** cvd_launch_log_state: writes a line about the state that the instance has now */
void cvd_launch_log_state(const CvdLaunch *launch, GLogLevelFlags level, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/** cvd_launch_handle: takes a step of the lifecycle and carries it out */
void cvd_launch_handle(CvdLaunch *launch, CvdEvent event);

/**
 * cvd_launch_handle_status:
 * @event: one that comes with QEMU's run state
 * @status: the reply to `query-status`
 */
void cvd_launch_handle_status(CvdLaunch *launch, CvdEvent event, CvdJsonSpan status);

/** cvd_launch_carry_out: @actions: #CvdAction bits, of a step of the lifecycle */
void cvd_launch_carry_out(CvdLaunch *launch, guint actions);

/** cvd_launch_set_fault: @text: (nullable): what QEMU said of a fault that may follow */
void cvd_launch_set_fault(CvdLaunch *launch, const char *text);

/** cvd_launch_get_state: Returns: as cvd_lifecycle_get_state(), or failed */
CvdState cvd_launch_get_state(const CvdLaunch *launch);

/** cvd_launch_is_asked_restart: Returns: whether it restarts, and not because of a failure */
gboolean cvd_launch_is_asked_restart(const CvdLaunch *launch);

/** cvd_launch_hand_over: reports %CVD_EVENT_HANDED_OVER once QEMU has read all that was sent */
void cvd_launch_hand_over(CvdLaunch *launch);

/**
 * cvd_launch_take_snapshot:
 * @arguments: of the method Snapshot, in a state in which it may be used
 *
 * What follows the call, up to its answer.
 */
void cvd_launch_take_snapshot(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call);

/** cvd_launch_save: the guest stands still: saves it. %CVD_EVENT_SNAPSHOT_SAVED or another of those
 * follows. */
void cvd_launch_save(CvdLaunch *launch);

/** cvd_launch_cancel_snapshot: %CVD_EVENT_SNAPSHOT_FAILED follows, if the lifecycle knows of one */
void cvd_launch_cancel_snapshot(CvdLaunch *launch);

/** cvd_launch_note_qmp_closed: QEMU says nothing more of a snapshot. */
void cvd_launch_note_qmp_closed(CvdLaunch *launch);
/** cvd_launch_note_migration: @event_data: (nullable): of QMP's event MIGRATION */
void cvd_launch_note_migration(CvdLaunch *launch, JsonObject *event_data);

/** cvd_launch_check_verb: Returns: whether it may be used in the state that the instance is in;
 * @error: %CVD_ERROR_BUSY */
gboolean cvd_launch_check_verb(const CvdLaunch *launch, const CvdVerb *verb, GError **error);

/** cvd_launch_vm_handlers: what QEMU says */
extern const CvdVmHandlers cvd_launch_vm_handlers;

/** cvd_launch_answer_program_calls: likewise, of those about host programs */
void cvd_launch_answer_program_calls(CvdLaunch *launch);

/** cvd_launch_answer_calls: answers those that are carried out, or cannot be any more */
void cvd_launch_answer_calls(CvdLaunch *launch);

/**
 * cvd_launch_open_programs:
 *
 * Makes @programs, if the configuration has any.
 */
void cvd_launch_open_programs(CvdLaunch *launch);

/**
 * cvd_launch_begin_vm:
 *
 * Starts QEMU, at once or after the first hook and when the back ends are as it needs them.
 */
gboolean cvd_launch_begin_vm(CvdLaunch *launch, GError **error);

/** cvd_launch_serve_programs: starts the programs, once the server listens and the first hook has
 * ended */
void cvd_launch_serve_programs(CvdLaunch *launch);

/** cvd_launch_cancel_vm: Returns: whether a QEMU was about to be started; it is not */
gboolean cvd_launch_cancel_vm(CvdLaunch *launch);

/** cvd_launch_after_ready: the first VM that is ready is: runs the hook for that */
void cvd_launch_after_ready(CvdLaunch *launch);

/** cvd_launch_blame_programs: sets @failure if the start took too long because of programs */
void cvd_launch_blame_programs(CvdLaunch *launch);

/** cvd_launch_end: QEMU is gone for good: ends the programs, runs the last hook, and quits the
 * loop; the second time at once */
void cvd_launch_end(CvdLaunch *launch);

/** cvd_launch_close_programs: kills what is left of programs and hooks */
void cvd_launch_close_programs(CvdLaunch *launch);

/** cvd_launch_start_vm: starts QEMU now */
gboolean cvd_launch_start_vm(CvdLaunch *launch, GError **error);

/** cvd_launch_start_vm_or_report: likewise; a failure is an event of the lifecycle */
void cvd_launch_start_vm_or_report(CvdLaunch *launch);
/** cvd_launch_open_ready: listens to the guest, if it is to say that it is ready */
void cvd_launch_open_ready(CvdLaunch *launch);
void cvd_launch_close_ready(CvdLaunch *launch);

/** cvd_launch_await_ready: there is a new guest: what the one before has said counts no more */
void cvd_launch_await_ready(CvdLaunch *launch);

/** cvd_launch_look_at_programs: something about host programs has changed */
void cvd_launch_look_at_programs(CvdLaunch *launch);

/** cvd_launch_announce_ready: tells users and the service manager that the machine is ready */
void cvd_launch_announce_ready(CvdLaunch *launch);

/**
 * cvd_launch_notify_delay:
 * @before: the state before the last step
 *
 * Has the service manager wait longer for a start that something holds up.
 */
void cvd_launch_notify_delay(CvdLaunch *launch, CvdState before);

/** cvd_launch_control_handlers: what the control interface can do to a launch */
extern const CvdControlHandlers cvd_launch_control_handlers;

/**
 * cvd_launch_report_end:
 *
 * Sets @reason and @exit_status, says how the VM ended and, after a failure, why that may be and
 * what is left to look at.
 */
void cvd_launch_report_end(CvdLaunch *launch);

/** cvd_launch_report_failed_start: says why there is no first VM, and leaves a record of it */
void cvd_launch_report_failed_start(CvdLaunch *launch, const GError *error);

/** cvd_launch_get_prepare_s: Returns: as of #CvdLifecycle; @restore: (nullable) */
guint cvd_launch_get_prepare_s(const CvdRestore *restore);

/** cvd_launch_open_restore: before the server is started: the window is to be the snapshot's */
gboolean cvd_launch_open_restore(CvdLaunch *launch, GError **error);

/**
 * cvd_launch_prepare_restore:
 *
 * Begins to make what the next VM needs of the snapshot. Sets @is_preparing if that takes a while;
 * cvd_launch_restore_prepared() is called then.
 */
gboolean cvd_launch_prepare_restore(CvdLaunch *launch, GError **error);

/** cvd_launch_restore_prepared: @error: (nullable): the VM cannot be started */
void cvd_launch_restore_prepared(CvdLaunch *launch, const GError *error);

/** cvd_launch_cancel_restore: nobody needs what was made, or is under way */
void cvd_launch_cancel_restore(CvdLaunch *launch);
void cvd_launch_close_restore(CvdLaunch *launch);

/** cvd_launch_give_restored: adds to what QEMU is given what comes from the snapshot */
gboolean cvd_launch_give_restored(CvdLaunch *launch, CvdVmResources *resources, GError **error);

/** cvd_launch_restore: has QEMU take in the state */
void cvd_launch_restore(CvdLaunch *launch);

/** cvd_launch_handle_migration: @status: of QMP's MIGRATION */
void cvd_launch_handle_migration(CvdLaunch *launch, const char *status);

/** cvd_launch_ring_hosts: rings the doorbells of clients that were pending, in a new window */
void cvd_launch_ring_hosts(CvdLaunch *launch);

/** cvd_launch_ring_guest: likewise those of a guest that has begun to run */
void cvd_launch_ring_guest(CvdLaunch *launch);

/** cvd_launch_describe: Returns: (transfer full): the record of the launch as it is, JSON */
char *cvd_launch_describe(const CvdLaunch *launch);

G_END_DECLS
