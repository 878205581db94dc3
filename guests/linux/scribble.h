/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#define CVD_AGENT_SPARE_NONE (-1)

/**
 * cvd_agent_scribble:
 * @spared: a region that is left alone, with all descriptors; %CVD_AGENT_SPARE_NONE = nothing is
 *
 * Has a process of its own write garbage into the window and ring any region, until it is stopped.
 */
void cvd_agent_scribble(int spared);
