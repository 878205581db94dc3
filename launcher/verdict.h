/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/lifecycle/lifecycle.h"
#include "launcher/qemu/process.h"

G_BEGIN_DECLS

/**
 * cvd_verdict:
 * @lifecycle: of a VM that is gone
 * @program: QEMU's name
 * @qemu: how the process ended
 * @exit_status: (out): the launcher's own if nothing follows, 0 or 1
 *
 * Pure.
 *
 * Returns: (transfer full): how it ended, in words
 */
char *cvd_verdict(const CvdLifecycle *lifecycle, const char *program, CvdExit qemu,
                  int *exit_status);

/**
 * cvd_describe_state:
 * @lifecycle: of a VM that is not gone
 * @fault: (nullable): what QEMU said of a fault, in words
 *
 * Returns: (transfer full): why it is in its state; empty where nothing is to be said
 */
char *cvd_describe_state(const CvdLifecycle *lifecycle, const char *fault);

G_END_DECLS
