/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

G_BEGIN_DECLS

/** CvdProgramState: of a host program; cvd_program_state_get_name() */
typedef enum {
    CVD_PROGRAM_WAITING,  /* for those that it comes after, or for the next VM */
    CVD_PROGRAM_STARTING, /* it runs, and is not ready */
    CVD_PROGRAM_READY,
    CVD_PROGRAM_DELAYED,  /* it has ended, and is started again when that is due */
    CVD_PROGRAM_STOPPING, /* it was sent its stop signal */
    CVD_PROGRAM_KILLING,  /* it was sent SIGKILL */
    CVD_PROGRAM_DONE,     /* it has ended as it should */
    CVD_PROGRAM_STOPPED,  /* a user has stopped it */
    CVD_PROGRAM_FAILED,   /* it has ended, and is not started again */
} CvdProgramState;

/** cvd_program_state_get_name: Returns: (transfer none): one lower-case word */
const char *cvd_program_state_get_name(CvdProgramState state);

/** CvdProgramCommand: what users ask of a program */
typedef enum {
    CVD_PROGRAM_START,
    CVD_PROGRAM_STOP,
    CVD_PROGRAM_RESTART,
} CvdProgramCommand;

G_END_DECLS
