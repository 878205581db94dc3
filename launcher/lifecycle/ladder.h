/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/lifecycle/event.h"

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdLadderState:
 *
 * How a QEMU process is brought to its end. A process only ever goes down this list; on its way it
 * may pass over a state.
 */
typedef enum {
    CVD_LADDER_LOADING,       /* QEMU was spawned, and is to run within the start's time limit */
    CVD_LADDER_UP,            /* the start is complete */
    CVD_LADDER_POWERING_DOWN, /* the guest's power button is pressed, again and again */
    CVD_LADDER_QUITTING,      /* `quit` was sent */
    CVD_LADDER_EXITING,       /* QEMU said that it exits, or closed a connection */
    CVD_LADDER_TERMINATING,   /* SIGHUP was sent */
    CVD_LADDER_KILLING,       /* SIGKILL was sent */
    CVD_LADDER_ABANDONED,     /* it does not even die of SIGKILL: uninterruptible sleep */
    CVD_LADDER_GONE,          /* the process has ended, or there never was one */
} CvdLadderState;

/**
 * CvdLadder:
 * @state: where the process is
 * @has_closed: in state exiting: whether it merely closed a connection: it may still use the window
 * @due_us: when the next state is entered without being asked for, monotonic; 0 = never
 * @power_down_until_us: in state powering-down: until when the guest has time
 *
 * The ways down of one QEMU process, each state with a time limit. Pure.
 */
typedef struct {
    CvdLadderState state;
    gboolean has_closed;
    gint64 due_us;
    gint64 power_down_until_us;
} CvdLadder;

/** cvd_ladder_start: Returns: a process that was just spawned */
CvdLadder cvd_ladder_start(guint start_timeout_s, gint64 now_us);

/** cvd_ladder_get_longest_us: Returns: how long a stop may take, by all its limits */
gint64 cvd_ladder_get_longest_us(guint stop_timeout_s);

/** cvd_ladder_ready: the start of a process that is loading is complete */
void cvd_ladder_ready(CvdLadder *ladder);

/**
 * cvd_ladder_descend:
 * @to: from powering-down to killing
 * @stop_timeout_s: how long a power-down may take
 *
 * Goes to a state further down; nothing if the process is there already, or beyond.
 *
 * Returns: #CvdAction bits
 */
guint cvd_ladder_descend(CvdLadder *ladder, CvdLadderState to, guint stop_timeout_s, gint64 now_us);

/** cvd_ladder_closed: QEMU closed a connection. Returns: whether that begins its way down */
gboolean cvd_ladder_closed(CvdLadder *ladder, gint64 now_us);

/** cvd_ladder_time_passed: enters the next state if it is due. Returns: #CvdAction bits */
guint cvd_ladder_time_passed(CvdLadder *ladder, gint64 now_us);

/** cvd_ladder_gone: the process has ended */
void cvd_ladder_gone(CvdLadder *ladder);

/** cvd_ladder_is_going_down: Returns: whether it is beyond up */
gboolean cvd_ladder_is_going_down(const CvdLadder *ladder);

/** cvd_ladder_takes_commands: Returns: whether QEMU is to run the guest: up, or powering down */
gboolean cvd_ladder_takes_commands(const CvdLadder *ladder);

G_END_DECLS
