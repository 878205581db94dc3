/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process is watched through a pidfd and reaped here, by nobody else: as long as it is not
 * reaped its pid cannot be another's, so signals go to the right one.
 */
#include "launcher/qemu-process.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/source.h"
#include "launcher/run-as.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAP_LIMIT_MS 1000
/* What QEMU opens itself until it runs; if it is more, the start is slower. */
#define N_QEMU_FDS 64

struct CvdQemuProcess {
    pid_t pid; /* 0 once it was reaped */
    int pidfd;
    GSource *source;
    CvdQemuExited exited;
    gpointer user_data;
};

typedef struct {
    pid_t launcher;
    const CvdRunAs *run_as;
    guint n_received_fds;
} ChildSetup;

/*
 * Runs in the child, between fork and exec. The launcher's own stop signals are blocked
 * (launch-common.c), QEMU's must not be. A change of ids takes the death signal away, so it
 * comes after that; and if the launcher died before it was set, no signal will come.
 */
static void set_up_child(gpointer data)
{
    static const char text[] = "cvd-launch: cannot become the user of qemu.run_as\n";
    const ChildSetup *setup = data;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGTTIN, SIG_DFL);
    cvd_fd_reserve(STDERR_FILENO, setup->n_received_fds + N_QEMU_FDS);
    if (setup->run_as != NULL && cvd_run_as_enter(setup->run_as) < 0) {
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
            _exit(EXIT_FAILURE);
        _exit(EXIT_FAILURE);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != setup->launcher)
        _exit(EXIT_FAILURE);
}

static gboolean on_exit_readable(int fd, GIOCondition condition, gpointer data)
{
    CvdQemuProcess *process = data;
    siginfo_t info = {0};

    int r = waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG | WNOWAIT);
    if (r < 0 && errno == EINTR)
        return G_SOURCE_CONTINUE;
    if (r == 0 && info.si_pid == 0)
        return G_SOURCE_CONTINUE;

    /* Helpers that it left behind go with it; until it is reaped the group's id is its own. */
    kill(-process->pid, SIGKILL);
    waitid(P_PIDFD, (id_t)process->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
    process->pid = 0;
    cvd_source_clear(&process->source);
    process->exited(
        (CvdExit){
            .is_known = r == 0,
            .is_signal = info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED,
            .value = info.si_status,
            .has_core = info.si_code == CLD_DUMPED,
        },
        process->user_data);
    return G_SOURCE_REMOVE;
}

static gboolean watch(CvdQemuProcess *process, GError **error)
{
    process->pidfd = pidfd_open(process->pid, 0);
    if (process->pidfd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot watch QEMU (pidfd_open)");
        return FALSE;
    }
    process->source = cvd_source_watch_fd(process->pidfd, G_IO_IN, on_exit_readable, process);
    return TRUE;
}

CvdQemuProcess *cvd_qemu_process_spawn(char **argv, const CvdQemuFds *fds, const CvdRunAs *run_as,
                                       CvdQemuExited exited, gpointer user_data, GError **error)
{
    g_autoptr(CvdQemuProcess) process = g_new0(CvdQemuProcess, 1);
    const int sources[] = {fds->ivshmem, fds->qmp, fds->serial};
    const int targets[] = {CVD_QEMU_FIRST_FD, CVD_QEMU_FIRST_FD + 1, CVD_QEMU_FIRST_FD + 2};
    gsize n_fds = G_N_ELEMENTS(sources) - (fds->serial < 0 ? 1 : 0);
    ChildSetup setup = {
        .launcher = getpid(),
        .run_as = run_as,
        .n_received_fds = fds->n_received,
    };
    g_autoptr(GError) spawn_error = NULL;

    process->pidfd = -1;
    process->exited = exited;
    process->user_data = user_data;
    if (!g_spawn_async_with_pipes_and_fds(NULL, (const char *const *)argv, NULL,
                                          G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDIN_FROM_DEV_NULL,
                                          set_up_child, &setup, -1, fds->output, fds->output,
                                          sources, targets, n_fds, &process->pid, NULL, NULL, NULL,
                                          &spawn_error)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FAILED, "cannot start %s: %s; check qemu.binary",
                    argv[0], spawn_error->message);
        return NULL;
    }
    if (!watch(process, error))
        return NULL;
    return g_steal_pointer(&process);
}

/* So that nothing of it is left when we end. */
static void reap(CvdQemuProcess *process)
{
    struct pollfd poll_fd = {.fd = process->pidfd, .events = POLLIN};

    if (poll(&poll_fd, 1, REAP_LIMIT_MS) > 0)
        waitid(P_PIDFD, (id_t)process->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
}

void cvd_qemu_process_free(CvdQemuProcess *process)
{
    cvd_source_clear(&process->source);
    if (process->pid != 0) {
        cvd_qemu_process_kill(process);
        if (process->pidfd >= 0)
            reap(process);
    }
    cvd_close_fd(&process->pidfd);
    g_free(process);
}

pid_t cvd_qemu_process_get_pid(const CvdQemuProcess *process)
{
    return process->pid;
}

void cvd_qemu_process_terminate(CvdQemuProcess *process)
{
    if (process->pid != 0 && pidfd_send_signal(process->pidfd, SIGTERM, NULL, 0) < 0)
        g_warning("cannot send SIGTERM to QEMU (pid %d): %s", process->pid, g_strerror(errno));
}

void cvd_qemu_process_kill(CvdQemuProcess *process)
{
    if (process->pid != 0 && kill(-process->pid, SIGKILL) < 0)
        g_warning("cannot kill QEMU (process group %d): %s", process->pid, g_strerror(errno));
}
