/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "vsoc/ring.h"

/** CVD_AGENT_RING_SPINS: how often an end that has nothing to do looks again before it sleeps */
#define CVD_AGENT_RING_SPINS 4096

/**
 * cvd_agent_ring_sink:
 * @ring: an opened ring, whose messages are read, summed up and compared with their tags
 * @rung: becomes readable when the writer rings
 * @ring_writer: rings it
 * @data: for @ring_writer
 *
 * Reads for ever; a message without a byte ends a series, and has it accounted for.
 *
 * Returns: -1 when the ring is broken or @rung cannot be waited for
 */
int cvd_agent_ring_sink(struct vsoc_ring *ring, int rung, void (*ring_writer)(void *data),
                        void *data);

/** cvd_agent_ring_wait_rung: Returns: 0 once @rung was readable, and has been read, or −1 */
int cvd_agent_ring_wait_rung(int rung);
