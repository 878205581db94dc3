/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"
#include "launcher/qemu/save-check.h"

G_BEGIN_DECLS

/**
 * cvd_disk_list_open:
 * @process_fd: of /proc/PID/fd; −1: it cannot be opened
 *
 * Returns: (transfer full) (nullable): the files that the process has open, for
 *   cvd_disk_open_file(); %NULL: they are not to be seen
 */
GArray *cvd_disk_list_open(int process_fd);

/**
 * cvd_disk_open_file:
 * @run_as: (nullable): the user that QEMU runs as, who must be able to read it
 * @qemu_files: (nullable): what QEMU has open. Another file than these is refused; where they are
 *   not to be seen, one of another size than QEMU says
 * @error: %CVD_ERROR_FAILED
 *
 * Returns: (transfer full): its descriptor, for reading; −1
 */
int cvd_disk_open_file(const CvdSaveDisk *disk, const CvdRunAs *run_as, const GArray *qemu_files,
                       GError **error);

G_END_DECLS
