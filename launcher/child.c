/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child may start others, or be a wrapper: a script, setpriv, timeout. So its end is ensured in
 * several ways:
 *
 * - The death signal, which the kernel clears where ids change or a file has capabilities.
 * - A pseudo-terminal of whose master we have the only descriptor. It controls the child's session,
 *   so that our end hangs it up: the kernel then sends SIGHUP to the session's leader, whatever its
 *   ids, and when a leader ends to its group.
 * - At an orderly end the process group is killed, and whatever else has become our child.
 *
 * As a subreaper we become the parent of what a child leaves behind, so SIGCHLD comes at its end
 * too. Children are reaped here and by nobody else: until then their number is not another's.
 */
#include "launcher/child.h"

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
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAP_LIMIT_MS 1000
#define PID_DIGITS    10

struct CvdChildren {
    CvdInstanceDir *dir;
    GPtrArray *all;
    int fd; /* SIGCHLD */
    GSource *source;
};

struct CvdChild {
    CvdChildren *children;
    pid_t pid; /* 0 once it was reaped */
    pid_t session;
    CvdProcessId id;  /* as long as it is not reaped */
    int terminal_fd;  /* the master; −1 where there are no pseudo-terminals */
    char *other;      /* (nullable): of cvd_child_set_other() */
    char *mark;       /* (nullable): of CvdSpawn */
    gboolean is_over; /* and @exited was called */
    CvdExit how;
    const CvdChildHandlers *handlers;
    gpointer user_data;
};

char *cvd_exit_describe(CvdExit how)
{
    if (how.is_signal)
        return g_strdup_printf("was killed by signal %d (%s)%s", how.value, g_strsignal(how.value),
                               how.has_core ? ", core dumped" : "");
    return g_strdup_printf("exited with status %d", how.value);
}

/* ---- Between fork and exec ---- */

typedef struct {
    const CvdSpawn *spawn;
    pid_t launcher;
    int terminal_fd; /* the slave */
} ChildSetup;

static void write_pid(char *text)
{
    pid_t pid = getpid();

    for (int i = PID_DIGITS; i-- > 0; pid /= 10)
        text[i] = (char)('0' + pid % 10);
}

static void set_signals(const CvdSpawn *spawn)
{
    static const int defaults[] = {SIGHUP, SIGINT, SIGPIPE, SIGTTIN, SIGXFSZ};
    sigset_t blocked;

    sigemptyset(&blocked);
    if (spawn->ignores_sigterm)
        sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(defaults); i++)
        signal(defaults[i], SIG_DFL);
}

/* Those that are left out were not given their number. */
static void set_descriptors(const CvdSpawn *spawn)
{
    for (guint i = 0; i < spawn->n_fds; i++)
        if (spawn->fds[i] < 0)
            close(CVD_CHILD_FIRST_FD + (int)i);
    close_range(CVD_CHILD_FIRST_FD + spawn->n_fds, ~0U, CLOSE_RANGE_CLOEXEC);
    cvd_fd_reserve(STDERR_FILENO, spawn->n_room);
    cvd_restore_fd_limit(spawn->n_room);
}

static void fail_in_child(const char *why)
{
    static const char prefix[] = "cvd-launch: ";
    G_GNUC_UNUSED gssize n = write(STDERR_FILENO, prefix, sizeof prefix - 1);

    n = write(STDERR_FILENO, why, strlen(why));
    _exit(EXIT_FAILURE);
}

/*
 * The launcher ignores and blocks signals that a child must not. A change of ids takes the death
 * signal away, so it comes after that; and if the launcher died before it was set, no signal will
 * come.
 */
static void set_up_child(gpointer data)
{
    const ChildSetup *setup = data;
    const CvdSpawn *spawn = setup->spawn;

    set_signals(spawn);
    setsid();
    if (spawn->cgroup_fd > 0 && write(spawn->cgroup_fd, "0", 1) < 0)
        fail_in_child("cannot enter the control group that was made for it\n");
    if (setup->terminal_fd >= 0)
        ioctl(setup->terminal_fd, TIOCSCTTY, 0);
    set_descriptors(spawn);
    for (guint i = 0; i < spawn->n_limits; i++)
        setrlimit(spawn->limits[i].resource,
                  &(struct rlimit){spawn->limits[i].soft, spawn->limits[i].hard});
    if (spawn->processors != NULL && cvd_processors_set_allowed(0, spawn->processors) < 0)
        fail_in_child("none of the processors that the configuration names can be used\n");
    if (spawn->run_as != NULL && cvd_run_as_enter(spawn->run_as) < 0)
        fail_in_child("cannot become the user that the configuration names\n");
    if (spawn->has_no_new_privileges)
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (spawn->pid_text != NULL)
        write_pid(spawn->pid_text);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != setup->launcher)
        _exit(EXIT_FAILURE);
}

/* ---- Record ---- */

static void record(CvdChildren *children)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (children->dir == NULL)
        return;
    for (guint i = 0; i < children->all->len; i++) {
        const CvdChild *child = g_ptr_array_index(children->all, i);
        g_autofree char *id =
            cvd_process_id_format(child->pid != 0 ? child->id : (CvdProcessId){0});
        g_string_append_printf(text, "%s%s", child->other != NULL ? child->other : "", id);
    }
    cvd_instance_dir_record_processes(children->dir, text->str);
}

void cvd_child_set_other(CvdChild *child, const char *id)
{
    g_free(child->other);
    child->other = g_strdup(id);
    record(child->children);
}

/* ---- Reaping ---- */

static CvdChild *find(const CvdChildren *children, pid_t pid)
{
    for (guint i = 0; i < children->all->len; i++) {
        CvdChild *child = g_ptr_array_index(children->all, i);
        if (child->pid == pid)
            return child;
    }
    return NULL;
}

static void note_exit(CvdChild *child, const siginfo_t *info)
{
    /* What it left in its group goes with it; until it is reaped the group's id is its own. */
    kill(-child->pid, SIGKILL);
    child->pid = 0;
    child->how = (CvdExit){
        .is_known = TRUE,
        .is_signal = info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED,
        .value = info->si_status,
        .has_core = info->si_code == CLD_DUMPED,
    };
}

static void reap(CvdChildren *children)
{
    siginfo_t info = {0};

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        pid_t pid = info.si_pid;
        CvdChild *child = find(children, pid);
        if (child != NULL)
            note_exit(child, &info);
        waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG);
        info.si_pid = 0;
    }
}

/* A process can hide from whom it comes. */
static gboolean has_mark(const char *environment, gsize size, const char *mark)
{
    for (gsize i = 0; mark != NULL && i < size; i += strlen(environment + i) + 1)
        if (strcmp(environment + i, mark) == 0)
            return TRUE;
    return FALSE;
}

/* Another user's process could have us wait: its environment may be in a file of its own file
 * system. Ours could do us worse. Returns: (transfer full) (nullable) */
static char *read_environment(pid_t pid, gsize *size)
{
    g_autofree char *dir = g_strdup_printf("/proc/%d", pid);
    g_autofree char *path = g_build_filename(dir, "environ", NULL);
    char *environment = NULL;
    struct stat st;

    if (stat(dir, &st) == 0 && st.st_uid == geteuid())
        g_file_get_contents(path, &environment, size, NULL);
    return environment;
}

/* A child that runs may have left something to us, and go on. One without a mark is given the
 * benefit of the doubt. @ended: which did not go on */
static gboolean is_of_another(const CvdChild *ended, pid_t pid)
{
    const CvdChildren *children = ended->children;
    pid_t session = getsid(pid);
    gsize size = 0;

    if (find(children, pid) != NULL)
        return TRUE;
    g_autofree char *environment = read_environment(pid, &size);
    gboolean is_its_own = session == ended->session || has_mark(environment, size, ended->mark);
    for (guint i = 0; i < children->all->len; i++) {
        const CvdChild *child = g_ptr_array_index(children->all, i);
        if (child->pid != 0 &&
            (child->session == session || has_mark(environment, size, child->mark) ||
             (child->mark == NULL && ended->mark != NULL && !is_its_own)))
            return TRUE;
    }
    return FALSE;
}

gboolean cvd_child_kill_left_behind(CvdChild *child)
{
    g_autofree char *text = NULL;
    gboolean is_any = FALSE;
    pid_t pid;

    g_file_get_contents("/proc/thread-self/children", &text, NULL, NULL);
    for (char *next = text; next != NULL && (pid = (pid_t)g_ascii_strtoull(next, &next, 10)) > 0;) {
        if (is_of_another(child, pid))
            continue;
        is_any |= kill(pid, SIGKILL) == 0;
        if (child->handlers->left_behind != NULL && getpgid(pid) != child->session)
            child->handlers->left_behind(pid, child->user_data);
    }
    return is_any;
}

/* Returns: whether anything has outlived the child; SIGCHLD will come at its end, too */
static gboolean has_left_some(CvdChild *child)
{
    gboolean are_others =
        child->handlers->kill_others != NULL && child->handlers->kill_others(child->user_data);

    return cvd_child_kill_left_behind(child) || are_others;
}

/* The next that is gone with all that it left behind. */
static CvdChild *find_over(const CvdChildren *children)
{
    for (guint i = 0; i < children->all->len; i++) {
        CvdChild *child = g_ptr_array_index(children->all, i);
        if (child->pid == 0 && !child->is_over && !has_left_some(child))
            return child;
    }
    return NULL;
}

static gboolean on_children_ended(int fd, GIOCondition condition, gpointer data)
{
    CvdChildren *children = data;
    CvdChild *child;

    g_source_set_ready_time(children->source, -1);
    cvd_children_forget(fd);
    reap(children);
    while ((child = find_over(children)) != NULL) {
        child->is_over = TRUE;
        record(children);
        child->handlers->exited(child->how, child->user_data);
    }
    return G_SOURCE_CONTINUE;
}

CvdChildren *cvd_children_new(CvdInstanceDir *dir, GError **error)
{
    g_autoptr(CvdChildren) children = g_new0(CvdChildren, 1);

    children->dir = dir;
    children->all = g_ptr_array_new();
    children->fd = cvd_children_watch();
    if (children->fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot watch children (signalfd)");
        return NULL;
    }
    children->source = cvd_source_watch_fd(children->fd, G_IO_IN, on_children_ended, children);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return g_steal_pointer(&children);
}

void cvd_children_free(CvdChildren *children)
{
    g_assert(children->all->len == 0);
    cvd_source_clear(&children->source);
    cvd_close_fd(&children->fd);
    g_ptr_array_unref(children->all);
    g_free(children);
}

/* ---- One child ---- */

/* @first_fd: the child gives the numbers below that away, before it needs the slave. Returns: the
 * slave; −1 where there are no pseudo-terminals: the other ways have to do */
static int open_terminal(CvdChild *child, int first_fd)
{
    int unlock = 0;

    child->terminal_fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (child->terminal_fd < 0 || ioctl(child->terminal_fd, TIOCSPTLCK, &unlock) < 0)
        return -1;
    cvd_autofd slave = ioctl(child->terminal_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return slave >= 0 ? fcntl(slave, F_DUPFD_CLOEXEC, first_fd) : -1;
}

static gboolean spawn_process(CvdChild *child, const CvdSpawn *spawn, GError **error)
{
    g_autofree int *sources = g_new(int, spawn->n_fds + 1);
    g_autofree int *targets = g_new(int, spawn->n_fds + 1);
    gsize n_fds = 0;
    cvd_autofd input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cvd_autofd terminal_fd = open_terminal(child, CVD_CHILD_FIRST_FD + (int)spawn->n_fds);
    ChildSetup setup = {.spawn = spawn, .launcher = getpid(), .terminal_fd = terminal_fd};

    if (input < 0) {
        g_set_error(error, G_SPAWN_ERROR, G_SPAWN_ERROR_FAILED,
                    "cannot open /dev/null, which is to be its stdin: %s", g_strerror(errno));
        return FALSE;
    }
    for (guint i = 0; i < spawn->n_fds; i++) {
        if (spawn->fds[i] < 0)
            continue;
        sources[n_fds] = spawn->fds[i];
        targets[n_fds++] = CVD_CHILD_FIRST_FD + (int)i;
    }
    /* What else is open is closed by set_up_child(): GLib gives up where a seccomp profile that is
     * older than close_range(2) refuses it. */
    return g_spawn_async_with_pipes_and_fds(
        spawn->directory, (const char *const *)spawn->argv, (const char *const *)spawn->environment,
        G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN | G_SPAWN_SEARCH_PATH,
        set_up_child, &setup, input, spawn->output, spawn->output, sources, targets, n_fds,
        &child->pid, NULL, NULL, NULL, error);
}

CvdChild *cvd_child_spawn(CvdChildren *children, const CvdSpawn *spawn,
                          const CvdChildHandlers *handlers, gpointer user_data, GError **error)
{
    CvdChild *child = g_new(CvdChild, 1);

    *child = (CvdChild){
        .children = children, .terminal_fd = -1, .handlers = handlers, .user_data = user_data};
    if (!spawn_process(child, spawn, error)) {
        cvd_close_fd(&child->terminal_fd);
        g_free(child);
        return NULL;
    }
    child->session = child->pid;
    child->id = cvd_process_id_get(child->pid);
    child->mark = g_strdup(spawn->mark);
    g_ptr_array_add(children->all, child);
    record(children);
    return child;
}

/* So that nothing of it is left when we end. */
static void wait_end(CvdChild *child)
{
    CvdChildren *children = child->children;
    struct pollfd ended = {.fd = children->fd, .events = POLLIN};

    do {
        cvd_children_forget(children->fd);
        reap(children);
        if (child->pid == 0 && !has_left_some(child))
            break;
    } while (poll(&ended, 1, REAP_LIMIT_MS) != 0);
    /* Others may have ended meanwhile. */
    g_source_set_ready_time(children->source, 0);
}

void cvd_child_free(CvdChild *child)
{
    if (!child->is_over) {
        cvd_child_kill_group(child, SIGKILL);
        wait_end(child);
    }
    g_ptr_array_remove(child->children->all, child);
    record(child->children);
    cvd_close_fd(&child->terminal_fd);
    g_free(child->other);
    g_free(child->mark);
    g_free(child);
}

pid_t cvd_child_get_pid(const CvdChild *child)
{
    return child->pid;
}

gboolean cvd_child_has(const CvdChild *child, pid_t pid)
{
    return child->pid != 0 && (pid == child->pid || getsid(pid) == child->session);
}

int cvd_child_kill_group(CvdChild *child, int signal_number)
{
    return child->pid != 0 ? kill(-child->pid, signal_number) : 0;
}
