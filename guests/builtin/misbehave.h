/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guests/builtin/device.h"
#include "vsoc/window.h"

/** cvd_guest_panic: tells a pvpanic device, if there is one, and stops. */
void cvd_guest_panic(void) __attribute__((noreturn));

/** cvd_guest_hang: starts the i6300esb watchdog, if there is one, and never serves it. */
void cvd_guest_hang(void) __attribute__((noreturn));

/** cvd_guest_reboot: resets the machine. */
void cvd_guest_reboot(void) __attribute__((noreturn));

/**
 * cvd_guest_scribble:
 * @spared: a region that is left alone, with all descriptors; −1 = nothing is
 *
 * Writes garbage into the window, a few hundred words that go on where the last ones ended, and
 * rings some region.
 */
void cvd_guest_scribble(const struct cvd_guest_device *device, const struct vsoc_window *window,
                        int spared);
