/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/*
 * Whether all of a VM can be saved: what QEMU's own stream leaves out has to be in files that are
 * copied, or not to matter. Pure.
 */

/**
 * CvdSaveDisk:
 * @node: its name in QEMU, as the configuration has it
 * @path: absolute, of the qcow2 file
 * @size: of the disk, in bytes, as QEMU says; 0 = not known
 * @is_launchers: whether it is the launcher's: an overlay that it has made, or what is under that
 *   in the snapshot that the VM is from; it may read these, whoever QEMU runs as
 *
 * A disk that the guest can write to, or what is under one.
 */
typedef struct {
    char *node;
    char *path;
    guint64 size;
    gboolean is_launchers;
} CvdSaveDisk;

void cvd_save_disk_free(CvdSaveDisk *disk);

/**
 * cvd_save_check_config:
 * @error: %CVD_ERROR_FAILED
 *
 * Returns: whether a VM of that configuration can be saved, as far as that says so
 */
gboolean cvd_save_check_config(const CvdConfig *config, GError **error);

/**
 * cvd_save_find_disks:
 * @blocks: what QEMU returns of `query-block`, or anything
 * @error: %CVD_ERROR_FAILED: one of them cannot be copied, and what to do
 *
 * Returns: (transfer full) (element-type CvdSaveDisk) (nullable): in the order of the
 *   configuration
 */
GPtrArray *cvd_save_find_disks(const CvdConfig *config, JsonNode *blocks, GError **error);

/**
 * cvd_save_has_other_shared_memory:
 * @memdevs: what QEMU returns of `query-memdev`, or anything
 *
 * Returns: whether there is shared memory beside the launcher's RAM and the window: QEMU's
 *   capability `x-ignore-shared` would leave it out
 */
gboolean cvd_save_has_other_shared_memory(JsonNode *memdevs);

G_END_DECLS
