/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"
#include "launcher/lifecycle/guest.h"

G_BEGIN_DECLS

/**
 * CvdReadiness:
 * @has_said: whether the guest has said that it is ready since it was started or reset
 * @are_programs_ready: whether all host programs were, since this VM was started
 * @is_ready: whether the machine is, as `lifecycle.ready` has it
 * @was_ready: whether it ever was since this VM was started
 * @left_us: what is left of the start's time limit, while that does not run
 * @due_us: when it is over, monotonic; 0: it does not run
 *
 * Whether what runs is also ready; zeroed when a VM is started. Until it is, the time limit of the
 * start goes on, but only while the guest runs. Pure.
 */
typedef struct {
    gboolean has_said;
    gboolean are_programs_ready;
    gboolean is_ready;
    gboolean was_ready;
    gint64 left_us;
    gint64 due_us;
} CvdReadiness;

/**
 * cvd_readiness_step:
 * @event: those that are not about readiness change nothing
 * @guest: after that event
 * @is_up: whether the start is complete, and QEMU not on its way out
 *
 * Returns: #CvdAction bits
 */
guint cvd_readiness_step(CvdReadiness *readiness, const CvdConfig *config, CvdEvent event,
                         const CvdGuest *guest, gboolean is_up, gint64 now_us);

G_END_DECLS
