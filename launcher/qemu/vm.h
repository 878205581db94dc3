/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/probe.h"
#include "launcher/qemu/console.h"
#include "launcher/qemu/process.h"
#include "launcher/qemu/qmp.h"

G_BEGIN_DECLS

/**
 * CvdVm:
 *
 * One QEMU with what connects it to the launcher: QMP and the heartbeat, and descriptors. A launch
 * that restarts has one after the other.
 */
typedef struct CvdVm CvdVm;

/**
 * CvdVmHandlers:
 * @qmp: as for cvd_qmp_new()
 * @unresponsive: QEMU has not answered the heartbeat
 * @exited: the process is gone; what QMP and the streams still held has been handled
 *
 * None of them may free the VM.
 */
typedef struct {
    CvdQmpHandlers qmp;
    void (*unresponsive)(gpointer user_data);
    CvdQemuExited exited;
} CvdVmHandlers;

/**
 * cvd_vm_start:
 * @config: the configuration; it and all below are borrowed and outlive the VM
 * @tools: what cvd_config_probe() found
 * @dir: where QEMU's process is recorded, for the next launcher
 * @take_ivshmem_fd: QEMU's end of the VM socket; consumed
 * @output: where QEMU's output goes
 * @console: (nullable): where its serial port is attached; %NULL = it has none
 * @error: %CVD_ERROR_FAILED
 *
 * Step 3 of a start (docs/lifecycle.md, Start).
 *
 * Returns: (transfer full) (nullable): the VM
 */
CvdVm *cvd_vm_start(const CvdConfig *config, const CvdQemuTools *tools, CvdInstanceDir *dir,
                    int take_ivshmem_fd, CvdConsole *output, CvdConsole *console,
                    const CvdVmHandlers *handlers, gpointer user_data, GError **error);

/** cvd_vm_free: kills QEMU's process group if it has not been seen to exit */
void cvd_vm_free(CvdVm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdVm, cvd_vm_free)

CvdQmp *cvd_vm_get_qmp(const CvdVm *vm);
CvdQemuProcess *cvd_vm_get_process(const CvdVm *vm);
/** cvd_vm_get_argv: Returns: (transfer none) (array zero-terminated=1): QEMU's command line */
const char *const *cvd_vm_get_argv(const CvdVm *vm);

/** cvd_vm_start_heartbeat: from now on QEMU has to answer, if the configuration says so */
void cvd_vm_start_heartbeat(CvdVm *vm);

G_END_DECLS
