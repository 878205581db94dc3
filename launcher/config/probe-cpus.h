/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

G_BEGIN_DECLS

/**
 * cvd_cpus_probe:
 * @qemu: a configuration's
 * @problems: (element-type utf8): as cvd_config_load()
 *
 * Looks whether the processors that QEMU is to use are there, and may be used, and whether there
 * is a control group for it.
 */
void cvd_cpus_probe(const CvdQemuConfig *qemu, GPtrArray *problems);

G_END_DECLS
