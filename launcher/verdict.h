/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/lifecycle.h"

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
 * cvd_cause_to_words:
 *
 * Returns: (transfer none): why a VM goes down that is not gone yet; empty for one that does not
 */
const char *cvd_cause_to_words(const CvdLifecycle *lifecycle);

G_END_DECLS
