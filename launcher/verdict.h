/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/lifecycle/lifecycle.h"

G_BEGIN_DECLS

/**
 * CvdExit:
 * @is_known: %FALSE for a process that was given up
 * @is_signal: whether a signal ended the process
 * @value: its exit status, or the signal's number
 * @has_core: whether it left a core
 */
typedef struct {
    gboolean is_known;
    gboolean is_signal;
    int value;
    gboolean has_core;
} CvdExit;

/**
 * CvdVerdict:
 * @exit_status: the launcher's own if nothing follows, 0 or 1
 * @text: (transfer full): how it ended, in words
 */
typedef struct {
    int exit_status;
    char *text;
} CvdVerdict;

/**
 * cvd_verdict:
 * @lifecycle: of a VM that is gone
 * @program: QEMU's name
 * @qemu: how the process ended
 *
 * Pure.
 */
CvdVerdict cvd_verdict(const CvdLifecycle *lifecycle, const char *program, CvdExit qemu);

/**
 * cvd_describe_state:
 * @lifecycle: of a VM that is not gone
 * @fault: (nullable): what QEMU said of a fault, in words
 *
 * Returns: (transfer full): why it is in its state; empty where nothing is to be said
 */
char *cvd_describe_state(const CvdLifecycle *lifecycle, const char *fault);

G_END_DECLS
