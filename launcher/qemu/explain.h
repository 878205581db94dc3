/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/qemu/process.h"

G_BEGIN_DECLS

/**
 * cvd_explain_failure:
 * @how: how QEMU ended; where it was killed, or a guest chose the status, the lines do not say why
 * @lines: (array zero-terminated=1): the last lines that QEMU printed
 *
 * Knows the ways in which QEMU usually refuses to start; of several lines the last counts. Pure.
 *
 * Returns: (nullable): what happened and what to do about it, one sentence or two;
 *   %NULL for a failure that is not known
 */
const char *cvd_explain_failure(CvdExit how, const char *const *lines);

G_END_DECLS
