/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** cvd_guest_panic: tells a pvpanic device, if there is one, and stops. */
void cvd_guest_panic(void) __attribute__((noreturn));

/** cvd_guest_hang: starts the i6300esb watchdog, if there is one, and never serves it. */
void cvd_guest_hang(void) __attribute__((noreturn));

/** cvd_guest_reboot: resets the machine. */
void cvd_guest_reboot(void) __attribute__((noreturn));
