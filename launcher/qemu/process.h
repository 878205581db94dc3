/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/child.h"
#include "launcher/qemu/command.h"

#include <sys/types.h>

G_BEGIN_DECLS

/**
 * CvdQemuFds:
 * @ivshmem: becomes descriptor %CVD_QEMU_FIRST_FD in QEMU
 * @qmp: becomes the next
 * @serial: becomes the next; −1 = none
 * @ram: becomes the next; −1 = none
 * @others: (array length=n_others): become those that follow, whatever is missing before them
 * @output: becomes stdout and stderr
 * @directory: (nullable): its working directory; %NULL = our own
 * @processors: (nullable): those that it may use; %NULL = as we
 * @cgroup_fd: as in #CvdSpawn
 * @n_received: how many it will be sent later; there is room for them from the start
 *
 * What QEMU inherits, besides /dev/null as stdin; the caller keeps its own.
 */
typedef struct {
    int ivshmem;
    int qmp;
    int serial;
    int ram;
    const int *others;
    guint n_others;
    int output;
    const char *directory;
    const CvdProcessors *processors;
    int cgroup_fd;
    guint n_received;
} CvdQemuFds;

/**
 * CvdQemuProcess:
 *
 * A QEMU that dies with this program and whose end is seen in the thread's default #GMainContext.
 */
typedef struct CvdQemuProcess CvdQemuProcess;

/**
 * CvdQemuExited:
 *
 * The process is gone and reaped. Must not free the process.
 */
typedef void (*CvdQemuExited)(CvdExit how, gpointer user_data);

/**
 * cvd_qemu_process_spawn:
 * @children: borrowed, outlives the process
 * @argv: (array zero-terminated=1): the command line, its program a path
 * @fds: what it inherits
 * @run_as: (nullable): the user that it runs as, if this is root's program; %NULL = our own. When
 *   that fails QEMU exits, with a line on @fds.output
 * @exited: called once; what is left of the process group has been killed then
 * @error: %CVD_ERROR_FAILED: it could not be started; the message names the program
 *
 * Starts QEMU in a process group of its own, so that ctrl-c on the terminal reaches only the
 * launcher, with SIGKILL as its death signal. Must be called from the main thread, since the death
 * signal comes when the thread that spawned ends (prctl(2)).
 *
 * Returns: (transfer full) (nullable): the process
 */
CvdQemuProcess *cvd_qemu_process_spawn(CvdChildren *children, char **argv, const CvdQemuFds *fds,
                                       const CvdRunAs *run_as, CvdQemuExited exited,
                                       gpointer user_data, GError **error);

/**
 * cvd_qemu_process_free:
 *
 * Forgets the process. If it has not been seen to exit its group is killed, and waited for: at most
 * a second, as one that hangs in the kernel must not hold us.
 */
void cvd_qemu_process_free(CvdQemuProcess *process);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdQemuProcess, cvd_qemu_process_free)

/** cvd_qemu_process_get_pid: Returns: QEMU, as far as it is known, or a wrapper; 0: it is gone */
pid_t cvd_qemu_process_get_pid(const CvdQemuProcess *process);

/** cvd_qemu_process_open_fds: Returns: (transfer full): /proc/PID/fd of QEMU itself; −1: it is not
 * known, or not to be seen */
int cvd_qemu_process_open_fds(const CvdQemuProcess *process);

/**
 * cvd_qemu_process_set_qemu:
 * @pid: whoever answers on QMP
 *
 * If that is not the process that was started, then there is a wrapper, and what its end, its
 * death signal and its process group do may not reach QEMU: a warning says what the wrapper should
 * do. From now on signals go to QEMU itself, and the process has exited when both have.
 */
void cvd_qemu_process_set_qemu(CvdQemuProcess *process, pid_t pid);

/** cvd_qemu_process_terminate: SIGHUP to QEMU, which blocks SIGTERM; nothing if it is gone. */
void cvd_qemu_process_terminate(CvdQemuProcess *process);
/** cvd_qemu_process_kill: SIGKILL to its process group; nothing if it is gone. */
void cvd_qemu_process_kill(CvdQemuProcess *process);

G_END_DECLS
