/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/qemu/qmp.h"

G_BEGIN_DECLS

/**
 * CvdHeartbeat:
 *
 * Asks QEMU again and again for its status, to notice one that does not answer any more: neither
 * this nor another command, see cvd_qmp_is_overdue().
 */
typedef struct CvdHeartbeat CvdHeartbeat;

/**
 * cvd_heartbeat_new:
 * @qmp: ready for commands; is freed before the heartbeat
 * @timeout_ms: how long an answer may take, and the time from an answer to the next question; time
 *   in which this process did not run does not count
 * @unresponsive: called once, when no answer has come in time; must not free the heartbeat
 */
CvdHeartbeat *cvd_heartbeat_new(CvdQmp *qmp, guint timeout_ms,
                                void (*unresponsive)(gpointer user_data), gpointer user_data);
void cvd_heartbeat_free(CvdHeartbeat *heartbeat);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdHeartbeat, cvd_heartbeat_free)

G_END_DECLS
