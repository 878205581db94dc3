/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/processors.h"
#include "launcher/config/values.h"
#include "launcher/instance-dir.h"

#include <sys/resource.h>

G_BEGIN_DECLS

/**
 * CvdExit:
 * @is_known: %FALSE for a process that was given up
 * @is_signal: whether a signal ended the process
 * @value: its exit status, or the signal's number
 * @has_core: whether it left a core
 * @is_out_of_memory: whether the kernel has killed it as it needed more than its limit
 */
typedef struct {
    gboolean is_known;
    gboolean is_signal;
    int value;
    gboolean has_core;
    gboolean is_out_of_memory;
} CvdExit;

/** cvd_exit_describe: Returns: (transfer full): `exited with status 3`, `was killed by signal 9` */
char *cvd_exit_describe(CvdExit how);

/**
 * CvdChildren:
 *
 * All processes that the launcher has started, and what these leave behind. SIGCHLD is the whole
 * process's, so there is one of this, in the thread's default #GMainContext.
 */
typedef struct CvdChildren CvdChildren;

/** CvdChild: a process in a session of its own that does not outlive this one */
typedef struct CvdChild CvdChild;

/**
 * cvd_children_new:
 * @dir: (nullable): where they are recorded, so that the next launcher ends those that have
 * outlived this one
 * @error: %CVD_ERROR_FAILED
 *
 * Blocks SIGCHLD for good, and makes this process the parent of what a child leaves behind.
 *
 * Returns: (transfer full) (nullable): no children yet
 */
CvdChildren *cvd_children_new(CvdInstanceDir *dir, GError **error);

/** cvd_children_free: there must be no child any more */
void cvd_children_free(CvdChildren *children);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdChildren, cvd_children_free)

/**
 * CvdLimit:
 * @resource: e.g. RLIMIT_AS
 */
typedef struct {
    int resource;
    rlim_t soft;
    rlim_t hard;
} CvdLimit;

/**
 * CvdSpawn:
 * @argv: (array zero-terminated=1): the program is a path, or a name to look up in PATH
 * @environment: (array zero-terminated=1) (nullable): %NULL = as ours
 * @pid_text: (nullable): points at ten bytes within @environment, which become the child's number
 * @directory: (nullable): its working directory; %NULL = ours
 * @run_as: (nullable): the user that it runs as, if this is root's program; %NULL = our own. When
 *   that fails it exits, with a line on @output
 * @processors: (nullable): those that it may use; %NULL = as we. Where it may use none of them it
 *   exits, with a line on @output
 * @cgroup_fd: of a control group that it is put in, see cvd_control_group_get_fd(); 0 = none. Where
 * that fails it exits, with a line on @output
 * @output: becomes stdout and stderr; stdin is /dev/null
 * @fds: (array length=n_fds): become %CVD_CHILD_FIRST_FD and so on; a −1 leaves its number out
 * @n_room: how many more descriptors it is going to have; there is room for them from the start
 * @limits: (array length=n_limits): for it
 * @mark: (nullable): `NAME=value`, of @environment, by which what it leaves behind in another
 * session is known as its own for as long as it runs
 * @ignores_sigterm: SIGTERM stays blocked in it
 * @has_no_new_privileges: PR_SET_NO_NEW_PRIVS
 *
 * How a child is started.
 */
typedef struct {
    char **argv;
    char **environment;
    char *pid_text;
    const char *directory;
    const CvdRunAs *run_as;
    const CvdProcessors *processors;
    int cgroup_fd;
    int output;
    const int *fds;
    guint n_fds;
    guint n_room;
    const CvdLimit *limits;
    guint n_limits;
    const char *mark;
    gboolean ignores_sigterm;
    gboolean has_no_new_privileges;
} CvdSpawn;

/**
 * CvdChildHandlers:
 * @exited: it is gone, and so is what it has left behind. May free the child.
 * @left_behind: (nullable): @pid outlived it, in another process group; it was killed
 * @kill_others: (nullable): when it is gone: kills what else belongs to it; Returns: whether there
 *   was anything, whose end will be a SIGCHLD, too
 */
typedef struct {
    void (*exited)(CvdExit how, gpointer user_data);
    void (*left_behind)(pid_t pid, gpointer user_data);
    gboolean (*kill_others)(gpointer user_data);
} CvdChildHandlers;

/**
 * cvd_child_spawn:
 * @spawn: needed for this call only
 * @handlers: must outlive the child
 * @error: %G_SPAWN_ERROR
 *
 * Starts a process in a session and a process group of its own, so that ctrl-c on the terminal
 * reaches only the launcher, with SIGKILL as its death signal, no descriptors but the ones named,
 * and default signals. Must be called from the main thread, since the death signal comes when the
 * thread that spawned ends (prctl(2)).
 *
 * Returns: (transfer full) (nullable): the child
 */
CvdChild *cvd_child_spawn(CvdChildren *children, const CvdSpawn *spawn,
                          const CvdChildHandlers *handlers, gpointer user_data, GError **error);

/**
 * cvd_child_free:
 *
 * Forgets the child. If it has not been seen to exit its group is killed, and waited for: at most a
 * second, as one that hangs in the kernel must not hold us.
 */
void cvd_child_free(CvdChild *child);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdChild, cvd_child_free)

/** cvd_child_get_pid: Returns: its number; 0: it is gone */
pid_t cvd_child_get_pid(const CvdChild *child);

/** cvd_child_has: Returns: whether @pid is the child, or in its session */
gboolean cvd_child_has(const CvdChild *child, pid_t pid);

/** cvd_child_set_other: @id: another process that belongs to it, to be recorded */
void cvd_child_set_other(CvdChild *child, const char *id);

/**
 * cvd_child_kill_group:
 * @signal_number: for its process group
 *
 * Returns: 0, also when it is gone; −1 with `errno` set
 */
int cvd_child_kill_group(CvdChild *child, int signal_number);

/** cvd_child_kill_left_behind: kills what has become our child and is no child's; Returns: whether
 * there was any */
gboolean cvd_child_kill_left_behind(CvdChild *child);

G_END_DECLS
