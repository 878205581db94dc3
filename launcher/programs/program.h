/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/lifecycle/retry.h"

G_BEGIN_DECLS

/** CVD_PROGRAM_KILL_US: a process in uninterruptible sleep does not even die of SIGKILL */
#define CVD_PROGRAM_KILL_US (800 * G_TIME_SPAN_MILLISECOND)
/** CVD_PROGRAM_LOST_US: a back end ends because its QEMU does, and may be seen to do so first */
#define CVD_PROGRAM_LOST_US (500 * G_TIME_SPAN_MILLISECOND)

/** CVD_PROGRAM_CLOSED_US: who ends within so long after its regions were closed has not failed */
#define CVD_PROGRAM_CLOSED_US (2 * G_TIME_SPAN_SECOND)

/** CvdProgramState: of a host program; cvd_program_state_get_name() */
typedef enum {
    CVD_PROGRAM_WAITING,  /* for those that it comes after, or for the next VM */
    CVD_PROGRAM_STARTING, /* it runs, and is not ready */
    CVD_PROGRAM_READY,
    CVD_PROGRAM_DELAYED,  /* it has ended, and is started again when that is due */
    CVD_PROGRAM_LOST,     /* a back end that has ended: perhaps QEMU has, too */
    CVD_PROGRAM_STOPPING, /* it was sent its stop signal */
    CVD_PROGRAM_KILLING,  /* it was sent SIGKILL */
    CVD_PROGRAM_DONE,     /* it has ended as it should */
    CVD_PROGRAM_STOPPED,  /* a user has stopped it */
    CVD_PROGRAM_FAILED,   /* it has ended, and is not started again */
} CvdProgramState;

/** cvd_program_state_get_name: Returns: (transfer none): one lower-case word */
const char *cvd_program_state_get_name(CvdProgramState state);

/** cvd_program_is_settled: Returns: whether it stays so until something happens to the program: one
 * that is delayed is not awaited */
gboolean cvd_program_is_settled(CvdProgramState state);

/** CvdProgramCommand: what users ask of a program */
typedef enum {
    CVD_PROGRAM_START,
    CVD_PROGRAM_STOP,
    CVD_PROGRAM_RESTART,
} CvdProgramCommand;

/** CvdProgramEvent: what happens to one program, or with %CVD_PROGRAMS_BEGIN_VM and beyond to all
 */
typedef enum {
    CVD_PROGRAM_SPAWNED,
    CVD_PROGRAM_REPORTED_READY, /* it has its regions, said so, or listens, as `ready` has it */
    CVD_PROGRAM_SUCCEEDED,      /* it has ended, and exited with 0 */
    CVD_PROGRAM_ENDED,          /* it has ended in another way, or could not be started */
    CVD_PROGRAM_ASKED_START,    /* by a user */
    CVD_PROGRAM_ASKED_STOP,
    CVD_PROGRAM_ASKED_RESTART,
    CVD_PROGRAMS_SERVE,    /* the sockets listen */
    CVD_PROGRAMS_BEGIN_VM, /* a QEMU is about to be started */
    CVD_PROGRAMS_END_VM,   /* it is gone */
    CVD_PROGRAMS_HOLD,     /* the guest was reset: connections are closed, and nobody is let in */
    CVD_PROGRAMS_ADMIT,    /* clients are let in again */
    CVD_PROGRAMS_END,      /* all are to end; the second time at once */
    CVD_PROGRAMS_TIMER,    /* cvd_program_table_get_due_us() has come */
} CvdProgramEvent;

/** CvdProgramAction: what is to be done with a program */
typedef enum {
    CVD_PROGRAM_SPAWN = 1 << 0,
    CVD_PROGRAM_SIGNAL = 1 << 1, /* its stop signal */
    CVD_PROGRAM_KILL = 1 << 2,   /* SIGKILL to its process group */
    CVD_PROGRAM_REPORT = 1 << 3, /* it has ended unasked: say so, and what follows from its state */
    CVD_PROGRAM_GIVE_UP = 1 << 4, /* SIGKILL did not end it: say that it is left behind */
} CvdProgramAction;

/** CvdProgramsAction: what is to be said of all of them */
typedef enum {
    CVD_PROGRAMS_PREPARED = 1 << 0, /* QEMU may be started */
    CVD_PROGRAMS_READY = 1 << 1,    /* the guest may run */
    CVD_PROGRAMS_FAILED = 1 << 2,   /* the machine cannot go on: @failed */
    CVD_PROGRAMS_ENDED = 1 << 3,    /* none is left */
} CvdProgramsAction;

/**
 * CvdProgram:
 * @config: borrowed
 * @state: its state
 * @next: of one that is ended by us: its state when it is gone
 * @actions: #CvdProgramAction bits that the last step asks for
 * @since_us: since when it is in @state
 * @start_us: when it was spawned last
 * @due_us: when its state is over; 0 = never
 * @n_restarts: how often it was started again by itself
 * @has_failed: whether its process ended last with anything but success
 */
typedef struct {
    const CvdProgramConfig *config;
    CvdProgramState state;
    CvdProgramState next;
    guint actions;
    gint64 since_us;
    gint64 start_us;
    gint64 due_us;
    guint n_restarts;
    gboolean has_failed;
    CvdRetry retry;
} CvdProgram;

/**
 * CvdProgramTable:
 * @config: borrowed
 * @is_restored: whether each VM is from a snapshot, so that it has what most `oneshot` programs do
 * @programs: (array): as many as the configuration has
 * @failed: (nullable): the first of which the machine cannot do without that failed
 *
 * All host programs: which may run, which are to, and who waits for whom. Pure.
 */
typedef struct {
    const CvdConfig *config;
    gboolean is_restored;
    CvdProgram *programs;
    const CvdProgram *failed;
    /*< private >*/
    gboolean is_serving;
    gboolean has_vm;
    gboolean is_held;
    gint64 closed_us; /* when connections were closed last; 0 = never */
    gboolean is_prepared;
    gboolean is_ready;
    gboolean is_ending;
    gboolean is_ended;
} CvdProgramTable;

void cvd_program_table_init(CvdProgramTable *table, const CvdConfig *config, gboolean is_restored);
void cvd_program_table_clear(CvdProgramTable *table);

/**
 * cvd_program_table_step:
 * @index: of the program; ignored with events for all
 * @now_us: the monotonic time, microseconds
 *
 * Returns: #CvdProgramsAction bits; each program's own are in its @actions
 */
guint cvd_program_table_step(CvdProgramTable *table, CvdProgramEvent event, guint index,
                             gint64 now_us);

/** cvd_program_table_get_due_us: Returns: when %CVD_PROGRAMS_TIMER is due; 0 = never */
gint64 cvd_program_table_get_due_us(const CvdProgramTable *table);

/** cvd_program_is_awaited: Returns: whether it keeps the guest from running */
gboolean cvd_program_is_awaited(const CvdProgram *program);

/** cvd_program_is_running: Returns: whether it has a process */
gboolean cvd_program_is_running(const CvdProgram *program);

/** cvd_program_is_back_end: Returns: whether QEMU cannot be started without it */
gboolean cvd_program_is_back_end(const CvdProgramConfig *config);

/**
 * cvd_program_get_obstacle:
 *
 * Returns: (nullable): %NULL if a user may ask that now; if not, why, as the end of a sentence that
 *   begins with its name
 */
const char *cvd_program_get_obstacle(const CvdProgram *program, CvdProgramCommand command);

G_END_DECLS
