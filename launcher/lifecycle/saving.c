/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/lifecycle/saving.h"

static void take(CvdSaving *saving, CvdEvent event)
{
    if (event == CVD_EVENT_SNAPSHOT_REQUESTED && saving->state == CVD_SAVING_NONE)
        *saving = (CvdSaving){.state = CVD_SAVING_STOPPING};
    if (event == CVD_EVENT_SNAPSHOT_SAVED && saving->state == CVD_SAVING_COPYING)
        saving->state = CVD_SAVING_FINISHING;
    if (event == CVD_EVENT_SNAPSHOT_ENDED || event == CVD_EVENT_SNAPSHOT_FAILED)
        saving->state = CVD_SAVING_NONE;
}

/* Of a guest that stands still. */
static CvdSavingObstacle find_obstacle_in(CvdRunState state)
{
    if (state == CVD_RUN_SUSPENDED)
        return CVD_OBSTACLE_SLEEP;
    if (state == CVD_RUN_INCOMING)
        return CVD_OBSTACLE_INCOMING;
    return state == CVD_RUN_STOPPED || state == CVD_RUN_PRELAUNCH ? CVD_OBSTACLE_NONE
                                                                  : CVD_OBSTACLE_FAULT;
}

static CvdSavingObstacle find_obstacle(const CvdSaving *saving, CvdEvent event,
                                       const CvdGuest *guest, gboolean is_going_down)
{
    if (is_going_down)
        return CVD_OBSTACLE_END;
    if (saving->state == CVD_SAVING_FINISHING)
        return CVD_OBSTACLE_NONE;
    if (!(guest->holds & CVD_HOLD_SNAPSHOT))
        return CVD_OBSTACLE_RESUME;
    if (saving->state == CVD_SAVING_COPYING && event == CVD_EVENT_VM_RESET)
        return CVD_OBSTACLE_RESET;
    return cvd_guest_is_settled(guest) ? find_obstacle_in(guest->state) : CVD_OBSTACLE_NONE;
}

/* A reset before the guest is stopped is over when nothing is under way any more. */
guint cvd_saving_step(CvdSaving *saving, CvdEvent event, const CvdGuest *guest,
                      gboolean is_going_down)
{
    take(saving, event);
    if (saving->state == CVD_SAVING_NONE || saving->state == CVD_SAVING_CANCELLING)
        return 0;
    saving->obstacle = find_obstacle(saving, event, guest, is_going_down);
    if (saving->obstacle != CVD_OBSTACLE_NONE) {
        saving->state = CVD_SAVING_CANCELLING;
        return CVD_ACTION_CANCEL;
    }
    if (saving->state != CVD_SAVING_STOPPING || !cvd_guest_is_settled(guest))
        return 0;
    saving->state = CVD_SAVING_COPYING;
    return CVD_ACTION_SAVE;
}

const char *cvd_saving_describe_obstacle(const CvdSaving *saving)
{
    static const char *const texts[] = {
        [CVD_OBSTACLE_NONE] = "",
        [CVD_OBSTACLE_END] = "",
        [CVD_OBSTACLE_RESET] = "the guest was reset meanwhile",
        [CVD_OBSTACLE_RESUME] = "somebody else resumed the guest meanwhile",
        [CVD_OBSTACLE_FAULT] = "QEMU stopped the guest by itself",
        [CVD_OBSTACLE_SLEEP] = "the guest sleeps",
        [CVD_OBSTACLE_INCOMING] = "it waits for an incoming migration",
    };

    return texts[saving->obstacle];
}
