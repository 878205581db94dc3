/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * cvd_agent_console_read:
 * @obey: called with each line that is complete, without its end
 *
 * Takes what was typed on stdin, which must be readable.
 *
 * Returns: 0, or −1 when no more will come
 */
int cvd_agent_console_read(void (*obey)(char *line));
