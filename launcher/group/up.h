/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"
#include "launcher/group/options.h"

G_BEGIN_DECLS

/**
 * cvd_up:
 * @config: of any machine of the group
 * @indices: (element-type guint): which machines; one, if @config is of no group
 *
 * Starts them, and takes down what it has started if it is interrupted.
 *
 * Returns: the exit status: 0 = all are up
 */
int cvd_up(const CvdConfig *config, const CvdUpOptions *options, GArray *indices);

G_END_DECLS
