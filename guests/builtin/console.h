/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/** CVD_GUEST_MAX_LINE: characters of a line that are kept */
#define CVD_GUEST_MAX_LINE 63

/** cvd_guest_console_interrupt: takes what has been typed; called with interrupts off. */
void cvd_guest_console_interrupt(void);

/**
 * cvd_guest_console_take:
 *
 * Returns: (nullable): a line that was typed since the last call, without its end; the next one is
 *   refused until this has been taken
 */
const char *cvd_guest_console_take(void);

/** cvd_guest_console_waits: Returns: whether a line waits to be taken */
bool cvd_guest_console_waits(void);
