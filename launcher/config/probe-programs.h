/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

G_BEGIN_DECLS

/**
 * cvd_programs_probe:
 * @config: a configuration
 * @problems: (element-type utf8): as cvd_config_load()
 *
 * Looks whether host programs and hooks are there and can be run as the configuration has it.
 * Starts none.
 */
void cvd_programs_probe(const CvdConfig *config, GPtrArray *problems);

G_END_DECLS
