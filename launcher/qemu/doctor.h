/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

G_BEGIN_DECLS

/**
 * cvd_doctor:
 * @config: (nullable): the configuration that is to run here; %NULL: none was found, and only the
 *   machine is looked at
 * @is_json: whether one JSON object is printed instead: cvd-launch(1), OPTIONS
 *
 * `--doctor`: looks at versions, QEMU and its devices, KVM, limits, memory, huge pages, the runtime
 * directory and AppArmor, and prints one line a finding on stdout: `ok:`, `warning:` or `problem:`,
 * with the remedy where there is something to do. Changes nothing. QEMU is run for moments, with a
 * time limit.
 *
 * Returns: 0, or 1 if something stands in the way of a launch
 */
int cvd_doctor(const CvdConfig *config, gboolean is_json);

/**
 * cvd_doctor_check:
 * @binary: QEMU
 * @problems: (element-type utf8): where what is wrong goes
 *
 * For `--check`: asks QEMU, as `--doctor` does, whether it has the machine and the devices. Huge
 * pages that are missing now are a warning.
 */
void cvd_doctor_check(const CvdConfig *config, const char *binary, GPtrArray *problems);

G_END_DECLS
