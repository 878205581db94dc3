/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/** CVD_AGENT_SPEED_MAX: how many MiB may be asked for; nothing else is served meanwhile */
#define CVD_AGENT_SPEED_MAX 4096u

/** cvd_agent_speed: sums up @mib MiB as those who take messages do, from memory that is at hand,
 * and says how long that takes by this machine's clock. */
void cvd_agent_speed(uint32_t mib);
