/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * How the 256 vectors of the boot processor are used: exceptions; ACPI, the serial
 * port and the timer; regions; spurious.
 */
#define CVD_GUEST_VECTOR_MACHINE  0x20
#define CVD_GUEST_VECTOR_REGION   0x21
#define CVD_GUEST_REGION_VECTORS  222
#define CVD_GUEST_VECTOR_SPURIOUS 0xff

/** What boot.S and the processor leave on the stack. */
struct cvd_guest_frame {
    uint64_t vector;
    uint64_t error;
    uint64_t rip, cs, rflags, rsp, ss;
};

/** cvd_guest_interrupts_open: takes over from the firmware; interrupts stay off. */
void cvd_guest_interrupts_open(void);

/** cvd_guest_interrupt: called by boot.S, interrupts off. */
void cvd_guest_interrupt(const struct cvd_guest_frame *frame);

/** cvd_guest_interrupts_route: IOAPIC pin @pin, level and active high, raises @vector here. */
void cvd_guest_interrupts_route(unsigned pin, uint8_t vector);

/** cvd_guest_interrupts_message: Returns: the address for an MSI to this processor; its data is the
 * vector. */
uint32_t cvd_guest_interrupts_message(void);

/**
 * cvd_guest_interrupts_take:
 * @group: 0 … %CVD_GUEST_REGION_VECTORS − 1
 *
 * Returns: whether that region vector was raised since the last call
 */
bool cvd_guest_interrupts_take(unsigned group);

/** cvd_guest_interrupts_start_timer: has %CVD_GUEST_VECTOR_MACHINE raised once, after @ms. */
void cvd_guest_interrupts_start_timer(unsigned ms);

/** cvd_guest_interrupts_timer_runs: Returns: whether it has been started and @ms are not over */
bool cvd_guest_interrupts_timer_runs(void);

/** cvd_guest_interrupts_any: Returns: whether a region vector waits to be taken */
bool cvd_guest_interrupts_any(void);
