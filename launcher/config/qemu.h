/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/config.h"
#include "launcher/config/fields.h"

G_BEGIN_DECLS

/** CVD_SANDBOX_DEFAULT: what `"sandbox": true` stands for */
#define CVD_SANDBOX_DEFAULT                                                                        \
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

/**
 * cvd_qemu_config_read:
 * @place: where qemu.json's object stands
 * @node: (nullable): the object; %NULL leaves the defaults
 * @qemu: (out caller-allocates): zeroed before; `binary` and `append` stay %NULL when not given, as
 *   a layout file of 2017 may have them
 *
 * Reads qemu.json: cvd-launch(1), CONFIGURATION.
 */
void cvd_qemu_config_read(const CvdPlace *place, JsonNode *node, CvdQemuConfig *qemu);

/**
 * cvd_qemu_config_finish:
 * @vmm_path: (nullable): the binary if none was given
 * @kernel_command_line: (nullable): the same for `append`; unused without a kernel
 *
 * Fills in what is still missing, and checks what only shows in the whole.
 */
void cvd_qemu_config_finish(const CvdPlace *place, CvdQemuConfig *qemu, const char *vmm_path,
                            const char *kernel_command_line);
void cvd_qemu_config_clear(CvdQemuConfig *qemu);

/** cvd_qemu_config_get_vcpus: Returns: how many vCPUs @smp asks for; 1 if it does not say */
guint cvd_qemu_config_get_vcpus(const CvdQemuConfig *qemu);

/**
 * cvd_builtin_guest_path:
 *
 * Returns: (transfer full): absolute path of the guest that the project ships: the installed one
 *   beside this executable, that of the build tree, or where an installation puts it
 */
char *cvd_builtin_guest_path(void);

G_END_DECLS
