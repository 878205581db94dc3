/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/** cvd_agent_button_open: has @watch called with each descriptor that the power button, or the
 * key of that name on a keyboard, makes readable. A machine may have none.
 */
void cvd_agent_button_open(int (*watch)(int fd, uint32_t id), uint32_t id);

/** cvd_agent_button_pressed: Returns: whether what came from one of them is that it was pressed */
bool cvd_agent_button_pressed(void);
