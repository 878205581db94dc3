/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/types.h"

G_BEGIN_DECLS

/** cvd_keys: all keys of cvd.json, with those of qemu.json in `qemu`; they fill a #CvdConfig */
extern const CvdKey cvd_keys[];
/** cvd_qemu_keys: those of qemu.json alone; they fill a #CvdQemuConfig */
extern const CvdKey cvd_qemu_keys[];

G_END_DECLS
