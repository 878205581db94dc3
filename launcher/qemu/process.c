/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between QEMU and us there may be a wrapper: a script, setpriv, timeout. So its end is ensured in
 * several ways:
 *
 * - The death signal, which the kernel clears where ids change or a file has capabilities.
 * - A pseudo-terminal of whose master we have the only descriptor. It controls QEMU's session, so
 *   that our end hangs it up: the kernel then sends SIGHUP to the session's leader, whatever its
 *   ids, and when a leader ends to its group. QEMU takes that for a request to quit.
 * - At an orderly end the process group is killed, QEMU by its own number if it has left that, and
 *   whatever else has become our child.
 *
 * As a subreaper we become the parent of what a wrapper leaves behind, so SIGCHLD comes at its end
 * too. Children are reaped here and by nobody else: until then their number is not another's.
 */
#include "launcher/qemu/process.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/source.h"
#include "launcher/config/run-as.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAP_LIMIT_MS 1000
/* What QEMU opens itself until it runs; if it is more, the start is slower. */
#define N_QEMU_FDS 64

#define ADVICE                                                                                     \
    "so that QEMU surely ends with its launcher, a wrapper has to end in exec, and without setsid"

struct CvdQemuProcess {
    pid_t pid;         /* our child; 0 once it was reaped */
    gboolean is_known; /* whether QEMU is @pid or, with a wrapper, @qemu */
    CvdProcessId qemu;
    pid_t group;
    gboolean is_killed; /* by us */
    gboolean is_warned; /* of a process that was left */
    CvdExit how;
    int terminal_fd; /* the master; −1 where there are no pseudo-terminals */
    int children_fd;
    GSource *source;
    CvdQemuExited exited;
    gpointer user_data;
};

typedef struct {
    pid_t launcher;
    const CvdRunAs *run_as;
    guint n_fds;
    guint n_received_fds;
    int terminal_fd; /* the slave */
} ChildSetup;

/*
 * Runs in the child, between fork and exec. The launcher ignores and blocks signals that QEMU must
 * not; but SIGTERM stays blocked in QEMU, too: a service manager sends it to all processes at once,
 * and then the launcher is to have the guest power down. A change of ids takes the death signal
 * away, so it comes after that; and if the launcher died before it was set, no signal will come.
 */
static void set_up_child(gpointer data)
{
    static const char text[] = "cvd-launch: cannot become the user of qemu.run_as\n";
    static const int defaults[] = {SIGHUP, SIGINT, SIGPIPE, SIGTTIN, SIGXFSZ};
    const ChildSetup *setup = data;
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(defaults); i++)
        signal(defaults[i], SIG_DFL);
    setsid();
    if (setup->terminal_fd >= 0)
        ioctl(setup->terminal_fd, TIOCSCTTY, 0);
    close_range(CVD_QEMU_FIRST_FD + setup->n_fds, ~0U, CLOSE_RANGE_CLOEXEC);
    cvd_fd_reserve(STDERR_FILENO, setup->n_received_fds + N_QEMU_FDS);
    cvd_restore_fd_limit(setup->n_received_fds + N_QEMU_FDS);
    if (setup->run_as != NULL && cvd_run_as_enter(setup->run_as) < 0) {
        G_GNUC_UNUSED gssize n = write(STDERR_FILENO, text, sizeof text - 1);
        _exit(EXIT_FAILURE);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != setup->launcher)
        _exit(EXIT_FAILURE);
}

static void note_exit(CvdQemuProcess *process, const siginfo_t *info)
{
    /* Helpers that it left behind go with it; until it is reaped the group's id is its own. */
    kill(-process->pid, SIGKILL);
    process->pid = 0;
    process->how = (CvdExit){
        .is_known = TRUE,
        .is_signal = info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED,
        .value = info->si_status,
        .has_core = info->si_code == CLD_DUMPED,
    };
}

/* Whatever has become our child is something that QEMU, or a wrapper, has left to us. */
static gboolean kill_orphans(CvdQemuProcess *process)
{
    g_autofree char *text = NULL;
    gboolean is_any = FALSE;
    pid_t pid;

    g_file_get_contents("/proc/thread-self/children", &text, NULL, NULL);
    for (char *next = text; next != NULL && (pid = (pid_t)g_ascii_strtoull(next, &next, 10)) > 0;) {
        is_any |= kill(pid, SIGKILL) == 0;
        if (getpgid(pid) == process->group || pid == process->qemu.pid || process->is_warned ||
            (process->is_killed && !process->is_known))
            continue;
        process->is_warned = TRUE;
        if (process->is_known)
            g_warning("process %d, which QEMU has left behind, was killed", pid);
        else
            g_warning("process %d had left what was started as QEMU, which has ended, and was "
                      "killed; " ADVICE,
                      pid);
    }
    return is_any;
}

/* Returns: whether anything has outlived what was started; SIGCHLD will come at its end, too */
static gboolean kill_left_behind(CvdQemuProcess *process)
{
    gboolean is_qemu_left =
        cvd_process_id_is_alive(process->qemu) && kill(process->qemu.pid, SIGKILL) == 0;

    return kill_orphans(process) || is_qemu_left;
}

static void reap_children(CvdQemuProcess *process)
{
    siginfo_t info = {0};

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        pid_t pid = info.si_pid;
        if (pid == process->pid)
            note_exit(process, &info);
        waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG);
        info.si_pid = 0;
    }
}

static gboolean on_children_ended(int fd, GIOCondition condition, gpointer data)
{
    CvdQemuProcess *process = data;

    cvd_children_forget(fd);
    reap_children(process);
    if (process->pid != 0 || kill_left_behind(process))
        return G_SOURCE_CONTINUE;
    cvd_source_clear(&process->source);
    process->exited(process->how, process->user_data);
    return G_SOURCE_REMOVE;
}

/* Returns: the slave; −1 where there are no pseudo-terminals: the other ways have to do */
static int open_terminal(CvdQemuProcess *process)
{
    int unlock = 0;

    process->terminal_fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (process->terminal_fd < 0 || ioctl(process->terminal_fd, TIOCSPTLCK, &unlock) < 0)
        return -1;
    return ioctl(process->terminal_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static const char *find_advice(const GError *error)
{
    if (g_error_matches(error, G_SPAWN_ERROR, G_SPAWN_ERROR_FORK))
        return "; raise the limit of processes (ulimit -u, or pids.max of the control group), or "
               "stop something else";
    if (g_error_matches(error, G_SPAWN_ERROR, G_SPAWN_ERROR_FAILED))
        return "";
    return "; check qemu.binary";
}

static gboolean spawn(CvdQemuProcess *process, char **argv, const CvdQemuFds *fds,
                      const CvdRunAs *run_as, GError **error)
{
    const int sources[] = {fds->ivshmem, fds->qmp, fds->serial};
    const int targets[] = {CVD_QEMU_FIRST_FD, CVD_QEMU_FIRST_FD + 1, CVD_QEMU_FIRST_FD + 2};
    guint n_fds = G_N_ELEMENTS(sources) - (fds->serial < 0 ? 1 : 0);
    cvd_autofd input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cvd_autofd terminal_fd = open_terminal(process);
    ChildSetup setup = {
        .launcher = getpid(),
        .run_as = run_as,
        .n_fds = n_fds,
        .n_received_fds = fds->n_received,
        .terminal_fd = terminal_fd,
    };
    g_autoptr(GError) reason = NULL;

    if (input < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                                   "cannot open /dev/null, which is to be QEMU's stdin");
    /* What else is open is closed by set_up_child(): GLib gives up where a seccomp profile that is
     * older than close_range(2) refuses it. */
    if (g_spawn_async_with_pipes_and_fds(fds->directory, (const char *const *)argv, NULL,
                                         G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                                         set_up_child, &setup, input, fds->output, fds->output,
                                         sources, targets, n_fds, &process->pid, NULL, NULL, NULL,
                                         &reason))
        return TRUE;
    return cvd_fail(error, CVD_ERROR_FAILED, "cannot start %s: %s%s", argv[0], reason->message,
                    find_advice(reason));
}

CvdQemuProcess *cvd_qemu_process_spawn(char **argv, const CvdQemuFds *fds, const CvdRunAs *run_as,
                                       CvdQemuExited exited, gpointer user_data, GError **error)
{
    g_autoptr(CvdQemuProcess) process = g_new0(CvdQemuProcess, 1);

    process->terminal_fd = -1;
    process->is_known = TRUE;
    process->exited = exited;
    process->user_data = user_data;
    process->children_fd = cvd_children_watch();
    if (process->children_fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot watch QEMU (signalfd)");
        return NULL;
    }
    process->source =
        cvd_source_watch_fd(process->children_fd, G_IO_IN, on_children_ended, process);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (!spawn(process, argv, fds, run_as, error))
        return NULL;
    process->is_known = FALSE;
    process->group = process->pid;
    return g_steal_pointer(&process);
}

/* So that nothing of it is left when we end. */
static void wait_end(CvdQemuProcess *process)
{
    struct pollfd children = {.fd = process->children_fd, .events = POLLIN};

    do {
        cvd_children_forget(children.fd);
        reap_children(process);
        if (process->pid == 0 && !kill_left_behind(process))
            return;
    } while (poll(&children, 1, REAP_LIMIT_MS) != 0);
}

void cvd_qemu_process_free(CvdQemuProcess *process)
{
    if (process->source != NULL) {
        cvd_qemu_process_kill(process);
        wait_end(process);
    }
    cvd_source_clear(&process->source);
    cvd_close_fd(&process->terminal_fd);
    cvd_close_fd(&process->children_fd);
    g_free(process);
}

pid_t cvd_qemu_process_get_pid(const CvdQemuProcess *process)
{
    return process->pid != 0 && process->qemu.pid != 0 ? process->qemu.pid : process->pid;
}

void cvd_qemu_process_set_qemu(CvdQemuProcess *process, pid_t pid)
{
    process->is_known = pid != 0;
    if (pid == 0 || pid == process->pid)
        return;
    process->qemu = cvd_process_id_get(pid);
    g_warning("QEMU (pid %d) has a wrapper (pid %d) around it; " ADVICE, pid, process->pid);
}

char *cvd_qemu_process_get_record(const CvdQemuProcess *process)
{
    g_autofree char *child = cvd_process_id_format(cvd_process_id_get(process->pid));
    g_autofree char *qemu = cvd_process_id_format(process->qemu);

    return g_strdup_printf("%s%s", qemu, child);
}

void cvd_qemu_process_terminate(CvdQemuProcess *process)
{
    pid_t pid = cvd_process_id_is_alive(process->qemu) ? process->qemu.pid : process->pid;

    if (pid != 0 && kill(pid, SIGHUP) < 0)
        g_warning("cannot send SIGHUP to QEMU (pid %d): %s", pid, g_strerror(errno));
}

void cvd_qemu_process_kill(CvdQemuProcess *process)
{
    process->is_killed = TRUE;
    if (process->pid != 0 && kill(-process->pid, SIGKILL) < 0)
        g_warning("cannot kill QEMU (process group %d): %s", process->pid, g_strerror(errno));
    if (process->is_known)
        kill_left_behind(process);
}
