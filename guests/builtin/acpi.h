/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * cvd_guest_acpi_open:
 * @rsdp: where the loader says that the root pointer is, or 0 to look for it
 *
 * Turns the power button's interrupt on. Returns: its IOAPIC pin, or 0 where there is no such ACPI
 */
unsigned cvd_guest_acpi_open(uint64_t rsdp);

/** cvd_guest_acpi_interrupt: acknowledges whatever ACPI wanted, and notes the power button. */
void cvd_guest_acpi_interrupt(void);

/** cvd_guest_acpi_button: Returns: whether the power button was pressed */
bool cvd_guest_acpi_button(void);

/** cvd_guest_acpi_power_off: does not return. */
void cvd_guest_acpi_power_off(void) __attribute__((noreturn));
