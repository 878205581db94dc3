/* SPDX-License-Identifier: Apache-2.0 */
/* What can be asked of an instance over D-Bus, and when. cvd-ctl has a table of its own, for its
 * command line. */
#include "launcher/control/verbs.h"

#include <string.h>

#define IN(state)  (1U << CVD_STATE_##state)
#define ALWAYS     (~0U)
#define WITH_GUEST (IN(RUNNING) | IN(PAUSED) | IN(SUSPENDED) | IN(FAULTED))

static const CvdVerb verbs[] = {
    {"Stop", "stop", ALWAYS, .event = CVD_EVENT_STOP_REQUESTED},
    {"Restart", "restart", WITH_GUEST | IN(STARTING) | IN(RESTARTING),
     .event = CVD_EVENT_RESTART_REQUESTED},
    {"Reset", "reset", WITH_GUEST, .command = "system_reset", .awaited = CVD_AWAITED_RESET},
    {"Pause", "pause", WITH_GUEST | IN(STARTING), .event = CVD_EVENT_PAUSE_REQUESTED,
     .awaited = CVD_AWAITED_PAUSE},
    {"Resume", "resume", WITH_GUEST | IN(STARTING), .event = CVD_EVENT_RESUME_REQUESTED,
     .awaited = CVD_AWAITED_RESUME},
    {"Snapshot", "snapshot", IN(RUNNING) | IN(PAUSED), .event = CVD_EVENT_SNAPSHOT_REQUESTED},
    {"PowerButton", "power-button", IN(RUNNING), .command = "system_powerdown"},
};

const CvdVerb *cvd_verb_find(const char *method)
{
    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(verbs[i].method, method) == 0)
            return &verbs[i];
    return NULL;
}

const char *cvd_verb_get_obstacle(const CvdVerb *verb, CvdState state)
{
    const guint bit = 1U << state;

    if (verb->states & bit)
        return NULL;
    if (bit & (IN(STARTING) | IN(RESTARTING)))
        return "wait until it has started";
    return bit & WITH_GUEST ? "wait until it is running" : "start it again when it has ended";
}
