/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/types.h"

G_BEGIN_DECLS

/** cvd_keys: all keys of cvd.json, with those of qemu.json in `qemu`; they fill a #CvdConfig */
extern const CvdKey cvd_keys[];
/** cvd_qemu_keys: those of qemu.json alone; they fill a #CvdQemuConfig */
extern const CvdKey cvd_qemu_keys[];

/** CVD_NAME_EXPECTED: what an instance's name is, for messages */
#define CVD_NAME_EXPECTED                                                                          \
    "a string of 1 to 32 letters, digits, '_', '.' or '-', of which the first is a letter or "     \
    "digit"

/** cvd_is_instance_name: Returns: whether @name keeps the rule for names of instances */
gboolean cvd_is_instance_name(const char *name);

G_END_DECLS
