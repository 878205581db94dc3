/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "vsoc/window.h"

/**
 * cvd_agent_fill: writes numbers over the data of @region that depend on @seed and the place: the
 * word at offset X of the region becomes (X + @seed) × 0x9e3779b1 modulo 2³², without its upper
 * half's share: y XOR (y >> 15).
 */
void cvd_agent_fill(const struct vsoc_window *window, uint32_t region, uint32_t seed);

/** cvd_agent_check: says whether the data of @region is what cvd_agent_fill() would write. */
void cvd_agent_check(const struct vsoc_window *window, uint32_t region, uint32_t seed);

/**
 * cvd_agent_checksum: says the sum of all words w of the data of @region, and the sum of all sums
 * up to each of them, both modulo 2⁶⁴.
 */
void cvd_agent_checksum(const struct vsoc_window *window, uint32_t region);
