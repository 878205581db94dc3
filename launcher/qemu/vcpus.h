/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/qemu/qmp.h"

#include <sys/types.h>

G_BEGIN_DECLS

/**
 * cvd_vcpus_pin:
 * @qmp: a connection
 * @pid: of the QEMU behind it
 * @pin: (array zero-terminated=1): for each vCPU the processors that its thread may use, a list for
 *   cvd_processors_parse()
 * @done: called when all are bound, or with why one could not be
 *
 * Asks QEMU which thread each vCPU has, and binds these threads, from outside, as QEMU's sandbox
 * forbids it that. vCPUs that share a thread share their processors, too. Only threads of @pid are
 * touched, whatever QEMU says.
 */
void cvd_vcpus_pin(CvdQmp *qmp, pid_t pid, char **pin, CvdQmpReply done, gpointer user_data);

G_END_DECLS
