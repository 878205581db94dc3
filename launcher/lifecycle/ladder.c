/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/lifecycle/ladder.h"

#define MS 1000
/* How long a state may take: docs/cvd-launch.1, SIGNALS. */
#define STEP_US (2000 * MS)
/* A guest that has only just started, its firmware above all, ignores the power button; so it is
 * pressed again and again. */
#define PRESS_US (1000 * MS)
/* A process in uninterruptible sleep does not even die of SIGKILL. */
#define KILL_US (800 * MS)

CvdLadder cvd_ladder_start(guint start_timeout_ms, gint64 now_us)
{
    return (CvdLadder){.due_us = now_us + MS * (gint64)start_timeout_ms};
}

void cvd_ladder_ready(CvdLadder *ladder)
{
    if (ladder->state != CVD_LADDER_LOADING)
        return;
    ladder->state = CVD_LADDER_UP;
    ladder->due_us = 0;
}

static guint go(CvdLadder *ladder, CvdLadderState state, gint64 due_us, guint actions)
{
    ladder->state = state;
    ladder->due_us = due_us;
    return actions;
}

static guint press(CvdLadder *ladder, gint64 now_us)
{
    return go(ladder, CVD_LADDER_POWERING_DOWN, MIN(now_us + PRESS_US, ladder->power_down_until_us),
              CVD_ACTION_POWERDOWN);
}

/* A further state, whichever: what is entered is what counts. */
static guint enter(CvdLadder *ladder, CvdLadderState state, gint64 now_us)
{
    switch (state) {
    case CVD_LADDER_POWERING_DOWN:
        return press(ladder, now_us);
    case CVD_LADDER_QUITTING:
        return go(ladder, state, now_us + STEP_US, CVD_ACTION_QUIT);
    case CVD_LADDER_EXITING:
        return go(ladder, state, now_us + STEP_US, 0);
    case CVD_LADDER_TERMINATING:
        return go(ladder, state, now_us + STEP_US, CVD_ACTION_TERMINATE);
    case CVD_LADDER_KILLING:
        return go(ladder, state, now_us + KILL_US, CVD_ACTION_KILL);
    case CVD_LADDER_ABANDONED:
    case CVD_LADDER_GONE:
        return go(ladder, state, 0, 0);
    case CVD_LADDER_LOADING:
    case CVD_LADDER_UP:
        break;
    }
    g_assert_not_reached();
}

guint cvd_ladder_descend(CvdLadder *ladder, CvdLadderState to, guint stop_timeout_ms, gint64 now_us)
{
    if (ladder->state >= to)
        return 0;
    ladder->has_closed = FALSE;
    ladder->power_down_until_us = now_us + MS * (gint64)stop_timeout_ms;
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

/* What follows a state whose time is over. */
static CvdLadderState next(const CvdLadder *ladder, gint64 now_us)
{
    switch (ladder->state) {
    case CVD_LADDER_LOADING:
    case CVD_LADDER_QUITTING:
        return CVD_LADDER_TERMINATING;
    case CVD_LADDER_POWERING_DOWN:
        return now_us < ladder->power_down_until_us ? CVD_LADDER_POWERING_DOWN
                                                    : CVD_LADDER_QUITTING;
    case CVD_LADDER_EXITING:
        return ladder->has_closed ? CVD_LADDER_KILLING : CVD_LADDER_TERMINATING;
    case CVD_LADDER_TERMINATING:
        return CVD_LADDER_KILLING;
    case CVD_LADDER_KILLING:
        return CVD_LADDER_ABANDONED;
    case CVD_LADDER_UP:
    case CVD_LADDER_ABANDONED:
    case CVD_LADDER_GONE:
        break;
    }
    g_assert_not_reached();
}

guint cvd_ladder_time_passed(CvdLadder *ladder, gint64 now_us)
{
    if (ladder->due_us == 0 || now_us < ladder->due_us)
        return 0;
    return enter(ladder, next(ladder, now_us), now_us);
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
