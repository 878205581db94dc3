/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/probe.h"
#include "launcher/qemu/console.h"
#include "launcher/qemu/process.h"
#include "launcher/qemu/qmp-streams.h"

G_BEGIN_DECLS

/**
 * CvdVmHandlers:
 * @qmp: as for cvd_qmp_new()
 * @unresponsive: QEMU has not answered the heartbeat; called once
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
 * CvdVm:
 * @process: QEMU
 * @qmp: its QMP
 * @qmp_streams: the same for other programs
 * @argv: (array zero-terminated=1): its command line
 *
 * One QEMU with what connects it to the launcher: QMP and the heartbeat, and descriptors. A launch
 * that restarts has one after the other.
 */
typedef struct {
    CvdQemuProcess *process;
    CvdQmp *qmp;
    CvdQmpStreams *qmp_streams;
    char **argv;
    /*< private >*/
    const CvdConfig *config;
    CvdVmHandlers handlers;
    gpointer user_data;
    int greeting_fd; /* QMP's, until QEMU has greeted */
    GSource *greeting;
    guint heartbeat_ms;
    gint64 heartbeat_us;         /* when the next is due */
    gboolean is_heartbeat_asked; /* the last, and not answered */
    GSource *heartbeat;
    CvdConsole *output;
    CvdConsole *console; /* NULL without a serial port */
} CvdVm;

/**
 * CvdVmResources:
 * @children: of whom QEMU becomes one
 * @ivshmem_fd: QEMU's end of the VM socket
 * @origin: what the VM begins with
 * @ram_fd: a file that is the guest's RAM, in the place of @origin.ram_path; −1 = none
 * @fds: (array length=n_fds): QEMU's ends of the sockets of back ends
 * @disk_fds: (array length=origin.n_fds): what @origin.blockdevs has as sets, in the place of
 *   @origin.first_fd
 * @cgroup_fd: as in #CvdSpawn
 * @output: where QEMU's output goes
 * @console: (nullable): where its serial port is attached; %NULL = it has none
 *
 * What a VM is connected to. The descriptors stay the caller's, for whom QEMU has copies.
 */
typedef struct {
    CvdChildren *children;
    int ivshmem_fd;
    CvdQemuOrigin origin;
    int ram_fd;
    const int *fds;
    guint n_fds;
    const int *disk_fds;
    int cgroup_fd;
    CvdConsole *output;
    CvdConsole *console;
} CvdVmResources;

/**
 * cvd_vm_start:
 * @config: the configuration; it, @tools and the objects in @resources outlive the VM
 * @tools: what cvd_config_probe() found
 * @error: %CVD_ERROR_FAILED
 *
 * Step 3 of a start (docs/lifecycle.md, Start).
 *
 * Returns: (transfer full) (nullable): the VM
 */
CvdVm *cvd_vm_start(const CvdConfig *config, const CvdQemuTools *tools,
                    const CvdVmResources *resources, const CvdVmHandlers *handlers,
                    gpointer user_data, GError **error);

/** cvd_vm_free: kills QEMU's process group if it has not been seen to exit */
void cvd_vm_free(CvdVm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdVm, cvd_vm_free)

/**
 * cvd_vm_start_heartbeat:
 * @timeout_ms: how long an answer may take, and the time from an answer to the next question; time
 *   in which this process did not run does not count
 *
 * Asks QEMU again and again for its status, to notice one that does not answer any more: neither
 * this nor another command, see cvd_qmp_is_overdue().
 */
void cvd_vm_start_heartbeat(CvdVm *vm, guint timeout_ms);

G_END_DECLS
