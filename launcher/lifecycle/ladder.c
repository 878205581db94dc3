/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/lifecycle/ladder.h"

/* How long a state may take: docs/cvd-launch.1, SIGNALS. */
#define STEP_US (2 * G_TIME_SPAN_SECOND)
/* A guest that has only just started, its firmware above all, ignores the power button; so it is
 * pressed again and again. */
#define PRESS_US G_TIME_SPAN_SECOND
/* A process in uninterruptible sleep does not even die of SIGKILL. */
#define KILL_US (800 * G_TIME_SPAN_MILLISECOND)

/* docs/lifecycle.md, Ladder. */
static const struct {
    guint action; /* on entry */
    gint64 limit_us;
    CvdLadderState next; /* when that is over */
} states[] = {
    [CVD_LADDER_LOADING] = {0, 0, CVD_LADDER_TERMINATING},
    [CVD_LADDER_POWERING_DOWN] = {CVD_ACTION_POWERDOWN, PRESS_US, CVD_LADDER_QUITTING},
    [CVD_LADDER_QUITTING] = {CVD_ACTION_QUIT, STEP_US, CVD_LADDER_TERMINATING},
    [CVD_LADDER_EXITING] = {0, STEP_US, CVD_LADDER_TERMINATING},
    [CVD_LADDER_TERMINATING] = {CVD_ACTION_TERMINATE, STEP_US, CVD_LADDER_KILLING},
    [CVD_LADDER_KILLING] = {CVD_ACTION_KILL, KILL_US, CVD_LADDER_ABANDONED},
    [CVD_LADDER_ABANDONED] = {0, 0, 0},
    [CVD_LADDER_GONE] = {0, 0, 0},
};

CvdLadder cvd_ladder_start(guint start_timeout_s, gint64 now_us)
{
    return (CvdLadder){.due_us = now_us + start_timeout_s * G_TIME_SPAN_SECOND};
}

void cvd_ladder_ready(CvdLadder *ladder)
{
    ladder->state = CVD_LADDER_UP;
    ladder->due_us = 0;
}

gint64 cvd_ladder_get_longest_us(guint stop_timeout_s)
{
    gint64 sum_us = stop_timeout_s * G_TIME_SPAN_SECOND;

    for (CvdLadderState state = CVD_LADDER_QUITTING; state != CVD_LADDER_ABANDONED;
         state = states[state].next)
        sum_us += states[state].limit_us;
    return sum_us;
}

static guint enter(CvdLadder *ladder, CvdLadderState state, gint64 now_us)
{
    ladder->state = state;
    ladder->due_us = states[state].limit_us != 0 ? now_us + states[state].limit_us : 0;
    if (state == CVD_LADDER_POWERING_DOWN)
        ladder->due_us = MIN(ladder->due_us, ladder->power_down_until_us);
    return states[state].action;
}

guint cvd_ladder_descend(CvdLadder *ladder, CvdLadderState to, guint stop_timeout_s, gint64 now_us)
{
    if (ladder->state >= to)
        return 0;
    ladder->has_closed = FALSE;
    ladder->power_down_until_us = now_us + stop_timeout_s * G_TIME_SPAN_SECOND;
    return enter(ladder, to, now_us);
}

gboolean cvd_ladder_closed(CvdLadder *ladder, gint64 now_us)
{
    if (ladder->state >= CVD_LADDER_QUITTING)
        return FALSE;
    cvd_ladder_descend(ladder, CVD_LADDER_EXITING, 0, now_us);
    ladder->has_closed = TRUE;
    return TRUE;
}

guint cvd_ladder_time_passed(CvdLadder *ladder, gint64 now_us)
{
    CvdLadderState next = states[ladder->state].next;

    if (ladder->due_us == 0 || now_us < ladder->due_us)
        return 0;
    if (ladder->state == CVD_LADDER_POWERING_DOWN && now_us < ladder->power_down_until_us)
        next = CVD_LADDER_POWERING_DOWN;
    if (ladder->state == CVD_LADDER_EXITING && ladder->has_closed)
        next = CVD_LADDER_KILLING;
    return enter(ladder, next, now_us);
}

void cvd_ladder_gone(CvdLadder *ladder)
{
    enter(ladder, CVD_LADDER_GONE, 0);
}

gboolean cvd_ladder_is_going_down(const CvdLadder *ladder)
{
    return ladder->state > CVD_LADDER_UP;
}

gboolean cvd_ladder_takes_commands(const CvdLadder *ladder)
{
    return ladder->state <= CVD_LADDER_POWERING_DOWN;
}
