/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "guests/linux/device.h"
#include "vsoc/window.h"

/**
 * cvd_agent_serve_open:
 * @device: the device, which stays where it is
 * @watch: called for each region with the descriptor that its interrupts make readable; Returns: 0,
 *         or −1 after saying what is wrong
 *
 * Checks the layout, tells what regions there are, and has them interrupt from now on, if
 * they can.
 *
 * Returns: 0, or −1 after saying what is wrong
 */
int cvd_agent_serve_open(const struct cvd_agent_device *device,
                         int (*watch)(int fd, uint32_t region));

/** cvd_agent_serve_window: Returns: the window, once it is open */
const struct vsoc_window *cvd_agent_serve_window(void);

/**
 * cvd_agent_serve_begin_round: Returns: for how many milliseconds to wait for interrupts at most;
 * −1 for as long as it takes
 */
int cvd_agent_serve_begin_round(void);
/** cvd_agent_serve_rung: a region's descriptor is readable. */
void cvd_agent_serve_rung(uint32_t region);
/** cvd_agent_serve_end_round: does what is to be done without an interrupt. */
void cvd_agent_serve_end_round(void);

/** cvd_agent_serve_hold: answers nothing from now on, or again and what has come meanwhile. */
void cvd_agent_serve_hold(bool holds);

/**
 * cvd_agent_serve_lend:
 *
 * Gives the interrupts of @region to somebody else; it is not served any more until the agent is
 * started anew.
 *
 * Returns: a descriptor that they make readable from now on, the caller's, or −1 after saying what
 * is wrong
 */
int cvd_agent_serve_lend(uint32_t region);

/** cvd_agent_serve_signal: signals @offset of @region to the host. */
void cvd_agent_serve_signal(uint32_t region, uint32_t offset);
/** cvd_agent_serve_ring: rings the host's doorbell of @region. */
void cvd_agent_serve_ring(uint32_t region);
