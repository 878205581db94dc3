/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** cvd_agent_obey: carries out a line that was typed, or says what is wrong with it. */
void cvd_agent_obey(char *line);
