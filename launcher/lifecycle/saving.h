/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/lifecycle/guest.h"

G_BEGIN_DECLS

typedef enum {
    CVD_SAVING_NONE,       /* no snapshot is taken */
    CVD_SAVING_STOPPING,   /* the guest is to be stopped */
    CVD_SAVING_COPYING,    /* it is saved, and must not run */
    CVD_SAVING_FINISHING,  /* what is left to do does not need it: it may run */
    CVD_SAVING_CANCELLING, /* something came in between; what is under way has yet to end */
} CvdSavingState;

/** CvdSavingObstacle: what came in between */
typedef enum {
    CVD_OBSTACLE_NONE,
    CVD_OBSTACLE_END,      /* the VM goes down, or is gone */
    CVD_OBSTACLE_RESET,    /* the guest was reset */
    CVD_OBSTACLE_RESUME,   /* somebody else has resumed it */
    CVD_OBSTACLE_FAULT,    /* QEMU has stopped it by itself */
    CVD_OBSTACLE_SLEEP,    /* it sleeps */
    CVD_OBSTACLE_INCOMING, /* it waits for a migration */
} CvdSavingObstacle;

/**
 * CvdSaving:
 * @obstacle: why the snapshot is cancelled, or was the last time
 *
 * A snapshot of the VM that is being taken; one at a time. While %CVD_HOLD_SNAPSHOT is set the
 * guest does not run and no client is let in. Pure.
 */
typedef struct {
    CvdSavingState state;
    CvdSavingObstacle obstacle;
} CvdSaving;

/**
 * cvd_saving_step:
 * @event: those that are not about a snapshot change nothing
 * @guest: after that event
 * @is_going_down: whether QEMU is on its way out, or gone
 *
 * %CVD_ACTION_SAVE is followed by %CVD_EVENT_SNAPSHOT_SAVED or %CVD_EVENT_SNAPSHOT_ENDED, or else
 * by %CVD_EVENT_SNAPSHOT_FAILED; %CVD_ACTION_CANCEL by the last alone.
 *
 * Returns: #CvdAction bits
 */
guint cvd_saving_step(CvdSaving *saving, CvdEvent event, const CvdGuest *guest,
                      gboolean is_going_down);

/** cvd_saving_describe_obstacle: Returns: (transfer none): @saving's in words; empty for
 * %CVD_OBSTACLE_END, of which the lifecycle knows more */
const char *cvd_saving_describe_obstacle(const CvdSaving *saving);

G_END_DECLS
