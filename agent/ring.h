/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * cvd_agent_ring_sink:
 * @region: in whose data the host has a ring buffer
 * @busy: whether to look for data all the time, in a process of its own, until it is stopped; else
 *        the region's interrupt tells of them, and the region is a ring until the agent ends
 *
 * Takes what the host puts in (docs/guest.md has the format) and adds it up.
 */
void cvd_agent_ring_sink(uint32_t region, bool busy);
