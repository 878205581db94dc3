/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>

/** cvd_guest_print_open: sets the first serial port up, if there is one; it interrupts on input. */
void cvd_guest_print_open(void);

/**
 * cvd_guest_print:
 * @format: as for printf, of which it knows %s, %u, %x and %lx, with a width and leading zeros
 *
 * Writes "cvd-guest: ", the text and a line end to the first serial port; without a port, nothing.
 */
void cvd_guest_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

void cvd_guest_vprint(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/** cvd_guest_print_read: Returns: a character that came in on that port, or −1 */
int cvd_guest_print_read(void);
