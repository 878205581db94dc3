/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/lifecycle/readiness.h"

static void take(CvdReadiness *readiness, CvdEvent event)
{
    if (event == CVD_EVENT_VM_RESET)
        readiness->has_said = FALSE;
    if (event == CVD_EVENT_GUEST_READY)
        readiness->has_said = TRUE;
    readiness->are_programs_ready |= event == CVD_EVENT_ALL_READY;
}

static gboolean is_ready(const CvdReadiness *readiness, const CvdConfig *config,
                         const CvdGuest *guest)
{
    switch (config->ready) {
    case CVD_MACHINE_READY_RUNNING:
        return TRUE;
    case CVD_MACHINE_READY_GUEST:
        return readiness->has_said;
    case CVD_MACHINE_READY_PROGRAMS:
        return guest->has_run && (readiness->are_programs_ready || config->n_programs == 0);
    }
    g_assert_not_reached();
}

static void drive_limit(CvdReadiness *readiness, gboolean runs, gint64 now_us)
{
    if (runs && readiness->due_us == 0) {
        readiness->due_us = now_us + readiness->left_us;
    } else if (!runs && readiness->due_us != 0) {
        readiness->left_us = MAX(readiness->due_us - now_us, 0);
        readiness->due_us = 0;
    }
}

guint cvd_readiness_step(CvdReadiness *readiness, const CvdConfig *config, CvdEvent event,
                         const CvdGuest *guest, gboolean is_up, gint64 now_us)
{
    gboolean was_ready = readiness->is_ready;

    take(readiness, event);
    readiness->is_ready = is_up && is_ready(readiness, config, guest);
    readiness->was_ready |= readiness->is_ready;
    drive_limit(readiness, is_up && !readiness->was_ready && guest->state == CVD_RUN_RUNNING,
                now_us);
    return readiness->is_ready && !was_ready ? CVD_ACTION_ANNOUNCE : 0;
}
