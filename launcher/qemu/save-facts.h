/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"
#include "launcher/qemu/qmp.h"

G_BEGIN_DECLS

/**
 * CvdSaveFacts:
 * @disks: (element-type CvdSaveDisk): those that the guest can write to
 * @has_other_shared_memory: as cvd_save_has_other_shared_memory()
 * @qemu_version: `7.2.22`
 * @machine: the machine type as QEMU has it in the end: `pc-q35-7.2`
 * @accel: `kvm` or `tcg`
 *
 * What QEMU says of a VM that is to be saved.
 */
typedef struct {
    GPtrArray *disks;
    gboolean has_other_shared_memory;
    char *qemu_version;
    char *machine;
    char *accel;
} CvdSaveFacts;

/**
 * CvdSaveAsked:
 * @facts: (nullable): the callee may steal its members
 * @error: (nullable): of QMP; %CVD_ERROR_FAILED: the VM cannot be saved, and what to do;
 *   %CVD_ERROR_BUSY: not now
 */
typedef void (*CvdSaveAsked)(CvdSaveFacts *facts, const GError *error, gpointer user_data);

/**
 * cvd_save_ask:
 * @asked: called once, perhaps at once
 *
 * Asks QEMU, one question after the other.
 */
void cvd_save_ask(CvdQmp *qmp, const CvdConfig *config, CvdSaveAsked asked, gpointer user_data);

G_END_DECLS
