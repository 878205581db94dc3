/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU as a child. Its session is on a terminal that is hung up when we end, and QEMU takes SIGHUP
 * for a request to quit. SIGTERM stays blocked in it: a service manager sends that to all processes
 * at once, and then the launcher is to have the guest power down. If there is a wrapper around it,
 * QEMU itself is ended by its own number.
 */
#include "launcher/qemu/process.h"

#include "base/error.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

/* What QEMU opens itself until it runs; if it is more, the start is slower. */
#define N_QEMU_FDS 64

#define ADVICE                                                                                     \
    "so that QEMU surely ends with its launcher, a wrapper has to end in exec, and without setsid"

struct CvdQemuProcess {
    CvdChild *child;
    gboolean is_known; /* whether QEMU is @child or, with a wrapper, @qemu */
    CvdProcessId qemu;
    gboolean is_killed; /* by us */
    gboolean is_warned; /* of a process that was left */
    CvdQemuExited exited;
    gpointer user_data;
};

static void on_exited(CvdExit how, gpointer data)
{
    CvdQemuProcess *process = data;

    process->exited(how, process->user_data);
}

static void on_left_behind(pid_t pid, gpointer data)
{
    CvdQemuProcess *process = data;

    if (pid == process->qemu.pid || process->is_warned ||
        (process->is_killed && !process->is_known))
        return;
    process->is_warned = TRUE;
    if (process->is_known)
        g_warning("process %d, which QEMU has left behind, was killed", pid);
    else
        g_warning("process %d had left what was started as QEMU, which has ended, and was "
                  "killed; " ADVICE,
                  pid);
}

static gboolean kill_qemu(gpointer data)
{
    CvdQemuProcess *process = data;

    return cvd_process_id_is_alive(process->qemu) && kill(process->qemu.pid, SIGKILL) == 0;
}

static const CvdChildHandlers handlers = {
    .exited = on_exited, .left_behind = on_left_behind, .kill_others = kill_qemu};

static const char *find_advice(const GError *error)
{
    if (g_error_matches(error, G_SPAWN_ERROR, G_SPAWN_ERROR_FORK))
        return "; raise the limit of processes (ulimit -u, or pids.max of the control group), or "
               "stop something else";
    if (g_error_matches(error, G_SPAWN_ERROR, G_SPAWN_ERROR_FAILED))
        return "";
    return "; check qemu.binary";
}

CvdQemuProcess *cvd_qemu_process_spawn(CvdChildren *children, char **argv, const CvdQemuFds *fds,
                                       const CvdRunAs *run_as, CvdQemuExited exited,
                                       gpointer user_data, GError **error)
{
    g_autoptr(CvdQemuProcess) process = g_new0(CvdQemuProcess, 1);
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(int));
    g_autoptr(GError) reason = NULL;

    g_array_append_val(all, fds->ivshmem);
    g_array_append_val(all, fds->qmp);
    g_array_append_val(all, fds->serial);
    g_array_append_val(all, fds->ram);
    g_array_append_vals(all, fds->others, fds->n_others);
    CvdSpawn spawn = {
        .argv = argv,
        .directory = fds->directory,
        .run_as = run_as,
        .processors = fds->processors,
        .cgroup_fd = fds->cgroup_fd,
        .output = fds->output,
        .fds = (const int *)(gpointer)all->data,
        .n_fds = all->len,
        .n_room = fds->n_received + N_QEMU_FDS,
        .ignores_sigterm = TRUE,
    };
    process->is_known = TRUE;
    process->exited = exited;
    process->user_data = user_data;
    process->child = cvd_child_spawn(children, &spawn, &handlers, process, &reason);
    if (process->child == NULL) {
        cvd_fail(error, CVD_ERROR_FAILED, "cannot start %s: %s%s", argv[0], reason->message,
                 find_advice(reason));
        return NULL;
    }
    process->is_known = FALSE;
    return g_steal_pointer(&process);
}

void cvd_qemu_process_free(CvdQemuProcess *process)
{
    process->is_killed = TRUE;
    g_clear_pointer(&process->child, cvd_child_free);
    g_free(process);
}

pid_t cvd_qemu_process_get_pid(const CvdQemuProcess *process)
{
    pid_t pid = cvd_child_get_pid(process->child);

    return pid != 0 && process->qemu.pid != 0 ? process->qemu.pid : pid;
}

int cvd_qemu_process_open_fds(const CvdQemuProcess *process)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", cvd_qemu_process_get_pid(process));

    return process->is_known ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

void cvd_qemu_process_set_qemu(CvdQemuProcess *process, pid_t pid)
{
    pid_t child_pid = cvd_child_get_pid(process->child);

    process->is_known = pid != 0;
    if (pid == 0 || pid == child_pid)
        return;
    process->qemu = cvd_process_id_get(pid);
    g_autofree char *id = cvd_process_id_format(process->qemu);
    cvd_child_set_other(process->child, id);
    g_warning("QEMU (pid %d) has a wrapper (pid %d) around it; " ADVICE, pid, child_pid);
}

void cvd_qemu_process_terminate(CvdQemuProcess *process)
{
    pid_t child_pid = cvd_child_get_pid(process->child);
    pid_t pid = cvd_process_id_is_alive(process->qemu) ? process->qemu.pid : child_pid;

    if (pid != 0 && kill(pid, SIGHUP) < 0)
        g_warning("cannot send SIGHUP to QEMU (pid %d): %s", pid, g_strerror(errno));
}

void cvd_qemu_process_kill(CvdQemuProcess *process)
{
    process->is_killed = TRUE;
    if (cvd_child_kill_group(process->child, SIGKILL) < 0)
        g_warning("cannot kill QEMU (process group %d): %s", cvd_child_get_pid(process->child),
                  g_strerror(errno));
    if (process->is_known) {
        kill_qemu(process);
        cvd_child_kill_left_behind(process->child);
    }
}
