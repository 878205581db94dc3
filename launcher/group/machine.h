/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/process.h"
#include "launcher/group/found.h"
#include "launcher/group/starter.h"

G_BEGIN_DECLS

/** CvdMachineState: how far a machine is on its way up, and down again */
typedef enum {
    CVD_MACHINE_WAITING,  /* for its turn */
    CVD_MACHINE_FOLLOWED, /* it runs already, and is waited for, as it starts or stops */
    CVD_MACHINE_STARTING, /* its starter runs */
    CVD_MACHINE_UP,       /* this run has started it */
    CVD_MACHINE_FOUND,    /* it ran before, and is up or left alone */
    CVD_MACHINE_FAILED,   /* its starter, or the one that ran before, said why */
    CVD_MACHINE_DUE,      /* waits for its turn to be taken down */
    CVD_MACHINE_STOPPING, /* its starter, or its launcher, was told to end */
    CVD_MACHINE_STOPPED,
} CvdMachineState;
#define CVD_MACHINE_N_STATES (CVD_MACHINE_STOPPED + 1)

typedef struct CvdMachine CvdMachine;

/** CvdMachineChanged: @failure: (nullable): why it is %CVD_MACHINE_FAILED */
typedef void (*CvdMachineChanged)(CvdMachine *machine, const char *failure, gpointer user_data);

/**
 * CvdMachine:
 * @name: of the instance
 * @index: its number in the group
 * @state: set by the functions below alone
 * @is_refused: with %CVD_MACHINE_FAILED: because of the configuration or the usage
 *
 * One machine of a group, and what is started and ended for it.
 */
struct CvdMachine {
    char *name;
    guint index;
    CvdMachineState state;
    gboolean is_refused;
    /*< private >*/
    guint *counts;
    CvdMachineChanged changed;
    gpointer user_data;
    CvdFound *found;
    CvdStarter *starter;
    CvdProcessId launcher; /* once it is up */
    int launcher_fd;       /* readable when that has ended */
    GSource *end;
};

/**
 * cvd_machine_new:
 * @counts: (array length=CVD_MACHINE_N_STATES): of all machines, how many are in each state; kept
 *   current
 * @changed: called when what was begun has ended: when %CVD_MACHINE_FOLLOWED,
 *   %CVD_MACHINE_STARTING or %CVD_MACHINE_STOPPING is left, and after cvd_machine_start() if that
 *   comes to nothing. One that ran before and has ended waits for its turn again.
 *
 * Returns: (transfer full): one that waits
 */
CvdMachine *cvd_machine_new(const char *name, guint index, guint *counts, CvdMachineChanged changed,
                            gpointer user_data);
/** cvd_machine_free: leaves its processes alone */
void cvd_machine_free(CvdMachine *machine);

/** cvd_machine_start: @argv: (array zero-terminated=1): of the starter of one that waits, unless it
 * runs already */
void cvd_machine_start(CvdMachine *machine, const char *const *argv);

/**
 * cvd_machine_give_up:
 *
 * One that is starting is told to end, and is %CVD_MACHINE_STOPPING; one that is up is
 * %CVD_MACHINE_DUE; one that is followed is left alone, and %CVD_MACHINE_FOUND. All others stay as
 * they are.
 */
void cvd_machine_give_up(CvdMachine *machine);

/** cvd_machine_stop: takes one down that is due */
void cvd_machine_stop(CvdMachine *machine);

G_END_DECLS
