/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/**
 * cvd_agent_ring_region:
 *
 * Has a process of its own take the messages of a ring in the data of @region (docs/guest.md),
 * until it is stopped. It gets the region's interrupts: the region is not served any more.
 */
void cvd_agent_ring_region(uint32_t region);
