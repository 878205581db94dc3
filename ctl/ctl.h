/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/instance.h"
#include "base/tool.h"
#include "launcher/control/control-interface.h"

#include <gio/gunixfdlist.h>

G_BEGIN_DECLS

/**
 * CvdCtlOptions:
 *
 * What the options of the verbs say. The table of verbs, in ctl/main.c, says which verb has which.
 */
typedef struct {
    gboolean now;
    char *timeout;
    gboolean follow;
    gboolean qemu;
    gboolean launcher;
    char *lines;
    char *output;
    gboolean no_window;
    gboolean once;
    gboolean all_users;
    char *count;
    char *interval;
    char *socket;
    gboolean keep_running;
    gboolean compress;
    gboolean verify;
} CvdCtlOptions;

extern CvdCtlOptions cvd_ctl_options;

/** CVD_CTL_STATES: those that an instance can be in */
#define CVD_CTL_STATES                                                                             \
    "starting", "running", "paused", "suspended", "faulted", "stopping", "restarting", "stopped",  \
        "failed"

/** CVD_CTL_READY: what can be waited for, too */
#define CVD_CTL_READY "ready"

CvdToolRun cvd_ctl_list, cvd_ctl_status, cvd_ctl_clients, cvd_ctl_stop, cvd_ctl_restart,
    cvd_ctl_call, cvd_ctl_wait, cvd_ctl_events, cvd_ctl_qmp, cvd_ctl_logs, cvd_ctl_attach,
    cvd_ctl_report, cvd_ctl_forget, cvd_ctl_programs, cvd_ctl_program, cvd_ctl_top,
    cvd_ctl_snapshot, cvd_ctl_snapshots, cvd_ctl_info, cvd_ctl_delete;

/**
 * cvd_ctl_run_on_host:
 *
 * Has the cvd-ctl of the tool's host carry out its verb, over ssh. The tool's status is that of the
 * other cvd-ctl, or of ssh.
 */
CvdToolRun cvd_ctl_run_on_host;

/**
 * cvd_ctl_run_ssh:
 * @argv: (array zero-terminated=1): ssh and its arguments
 * @with_stdin: whether it has this process's stdin, not /dev/null
 * @out_fd: where its stdout goes; −1: to this process's
 * @error: it could not be run, or this was interrupted
 *
 * Runs it as a child to its end. What it prints on a terminal is made text that can do nothing
 * there. The tool's status is its exit status.
 */
gboolean cvd_ctl_run_ssh(CvdTool *tool, char **argv, gboolean with_stdin, int out_fd,
                         GError **error);

/** cvd_ctl_fail_ssh: @number: of an error; sets @error: ssh cannot be run. Returns: %FALSE */
gboolean cvd_ctl_fail_ssh(int number, GError **error);

/**
 * cvd_ctl_end_with_connection:
 *
 * Of a cvd-ctl that another one has started over ssh: sends this process SIGHUP when nobody reads
 * its stdout any more. Without a terminal sshd does not say otherwise that the connection has
 * ended. To be called before there are threads.
 */
void cvd_ctl_end_with_connection(void);

/** CVD_CTL_MAX_TIMEOUT_S: of --timeout */
#define CVD_CTL_MAX_TIMEOUT_S (24 * 60 * 60)

/** cvd_ctl_is_ready: Returns: whether the instance is ready, as its configuration has it */
gboolean cvd_ctl_is_ready(CvdDBusInstance1 *instance);

/**
 * cvd_ctl_list_instances:
 * @error: as cvd_instance_list()
 *
 * Returns: (transfer full) (element-type utf8) (nullable): as cvd_instance_list(); if --group is
 *   given, those of it
 */
GPtrArray *cvd_ctl_list_instances(const CvdTool *tool, CvdInstances which, GError **error);

/**
 * cvd_ctl_list_group:
 * @n_running: (out): how many of them run, and come first; the others have failed
 * @error: as cvd_instance_list(); %CVD_ERROR_CLOSED: there is none; %CVD_ERROR_BUSY: they are of
 *   several users
 *
 * Returns: (transfer full) (element-type utf8) (nullable): the directories of --group, of one user:
 *   this one, or, to root, who has none of it, of another
 */
GPtrArray *cvd_ctl_list_group(const CvdTool *tool, guint *n_running, GError **error);

/** cvd_ctl_is_meant: Returns: whether an instance of that name is that of --name, or of --group, if
 * one of them is given */
gboolean cvd_ctl_is_meant(const CvdTool *tool, const char *name);

/** cvd_ctl_fail_no_group: sets @error: there is no instance of --group, and what to do. Returns:
 * %FALSE */
gboolean cvd_ctl_fail_no_group(const CvdTool *tool, GError **error);

/** CVD_CTL_ANSWER_MS: how long an instance may take to answer */
#define CVD_CTL_ANSWER_MS 5000
/** CVD_CTL_LIST_MS: the same where many are asked */
#define CVD_CTL_LIST_MS 1000

/**
 * CvdCtlAnswer:
 * @socket: (transfer none): path of an instance's control socket
 * @instance: (nullable): the instance, its properties loaded
 * @error: (nullable): why there is none
 */
typedef struct {
    const char *socket;
    CvdDBusInstance1 *instance;
    GError *error;
    /*< private >*/
    struct CvdCtlAsking *asking;
} CvdCtlAnswer;

/**
 * cvd_ctl_ask:
 * @answers: (array length=n): filled in, zero but for the sockets before
 * @timeout_ms: how long they may take
 * @cancellable: an interrupt
 *
 * Connects to all of them at the same time, so that one that hangs costs no more than its time.
 */
void cvd_ctl_ask(CvdCtlAnswer *answers, guint n, guint timeout_ms, GCancellable *cancellable);

/** CvdCtlAsked: all answers are there */
typedef void (*CvdCtlAsked)(gpointer user_data);

/** cvd_ctl_ask_async: the same, and @asked when it is done: from the default #GMainContext, unless
 * @n is 0 */
void cvd_ctl_ask_async(CvdCtlAnswer *answers, guint n, guint timeout_ms, GCancellable *cancellable,
                       CvdCtlAsked asked, gpointer user_data);

/** cvd_ctl_find_socket: @name: (nullable): of an instance; Returns: (transfer full) (nullable): as
 * cvd_instance_find_socket(), the control socket; the message says if it has failed */
char *cvd_ctl_find_socket(const char *name, GError **error);

/**
 * cvd_ctl_connect:
 * @error: as cvd_instance_find_socket(); %G_IO_ERROR: it does not answer, or was interrupted
 *
 * Returns: (transfer full): the instance that --name says, or the only one
 */
CvdDBusInstance1 *cvd_ctl_connect(CvdTool *tool, GError **error);

/**
 * cvd_ctl_open_launcher:
 *
 * Returns: (transfer full): a descriptor of the launcher's process, readable when it has ended; −1:
 *   it is gone, or in another pid namespace
 */
int cvd_ctl_open_launcher(CvdDBusInstance1 *instance);

/** cvd_ctl_is_own: Returns: whether the launcher's process is one of this user's */
gboolean cvd_ctl_is_own(CvdDBusInstance1 *instance);

/** cvd_ctl_get_connection: Returns: (transfer none): what connects to the instance */
GDBusConnection *cvd_ctl_get_connection(CvdDBusInstance1 *instance);

/** cvd_ctl_clarify: leaves of a D-Bus error what the launcher said, or that it has ended, which
 * is all that a %G_IO_ERROR_CLOSED says; what it calls invalid is an error of usage */
void cvd_ctl_clarify(GError *error);

/** cvd_ctl_printable: Returns: (transfer full): text of a guest, of QEMU or of another user, fit
 * for one line of a terminal: what cannot be printed, line feeds too, is `\\uNNNN` */
char *cvd_ctl_printable(const char *text);

/**
 * cvd_ctl_print:
 * @format: as of printf(), but with `%s` and `%u` alone, which may have a width: `%-20s`
 *
 * As cvd_tool_print(), each string as cvd_ctl_printable() has it: for whatever an instance, its
 * directory or its record says.
 */
gboolean cvd_ctl_print(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/** CVD_CTL_MAX_LOG: how long a log file can be, in bytes: docs/cvd-launch.1 */
#define CVD_CTL_MAX_LOG (1024 * 1024)

/**
 * cvd_ctl_open_dir:
 * @dir: an instance's directory
 * @error: %CVD_ERROR_CLOSED: there is none; %CVD_ERROR_FOREIGN: it is not of the user who has the
 *   directory that it is in
 *
 * Returns: a descriptor of it, no link is followed; −1 with @error set
 */
int cvd_ctl_open_dir(const char *dir, GError **error);

/**
 * cvd_ctl_open_file:
 * @name: of a file in the directory @dir_fd, or a path
 *
 * Returns: a descriptor for reading of a regular file, no link is followed; −1 with @error set
 */
int cvd_ctl_open_file(int dir_fd, const char *name, GError **error);

/** cvd_ctl_open_programs: Returns: a descriptor of the directory that has the logs of host
 * programs; −1 with `errno` set if there is none in @dir_fd */
int cvd_ctl_open_programs(int dir_fd);

/** CVD_CTL_MAX_PROGRAM_LOGS: of so many files in that directory the others are not looked at */
#define CVD_CTL_MAX_PROGRAM_LOGS 1000

/** cvd_ctl_list_program_logs: Returns: (transfer full) (element-type utf8): the names of the logs
 * in the directory of cvd_ctl_open_programs(), in order; none if that is −1 */
GPtrArray *cvd_ctl_list_program_logs(int programs_fd);

/**
 * cvd_ctl_get_fd:
 * @list: (nullable): what came with a reply, which may be that of another user's instance
 * @index: which of them the reply means
 *
 * Returns: (transfer full): the descriptor; −1 with @error set if there is no such one
 */
int cvd_ctl_get_fd(GUnixFDList *list, int index, GError **error);

/**
 * cvd_ctl_get_window_size:
 * @record: what an instance says of itself, which may be anything
 *
 * Returns: how long its window is, in bytes; 0 if the record does not say
 */
off_t cvd_ctl_get_window_size(const char *record);

/**
 * cvd_ctl_read:
 * @fd: of a regular file, borrowed
 * @max_size: how many bytes it may have
 * @size: (out): how many it has
 *
 * Returns: (transfer full) (nullable): all of it, and a zero after it
 */
char *cvd_ctl_read(int fd, gsize max_size, gsize *size, GError **error);

/** cvd_ctl_format_uptime: Returns: (transfer full): `3d 4h`, `5m 6s`, `0.7s`, `-` for none */
char *cvd_ctl_format_uptime(guint64 us);

/**
 * CvdCtlProcess:
 * @pid: of a launcher that has a machine, or is to have it
 * @uid: whose it is
 * @name: (nullable): of the instance, as that user has it; %NULL: it cannot be seen
 */
typedef struct {
    pid_t pid;
    uid_t uid;
    char *name;
} CvdCtlProcess;

/**
 * cvd_ctl_list_processes:
 * @proc: where proc(5) is mounted
 *
 * Returns: (transfer full) (element-type CvdCtlProcess): the launchers that can be seen there, of
 *   one user 1000 at most, in the order of users
 */
GPtrArray *cvd_ctl_list_processes(const char *proc);

/** cvd_ctl_get_owner: @dir: an instance's directory; Returns: the user whose instance it is */
uid_t cvd_ctl_get_owner(const char *dir);
/** cvd_ctl_get_user: Returns: (transfer full): the user's name, or number */
char *cvd_ctl_get_user(uid_t uid);

/**
 * CvdCtlFailure:
 * @name: the instance
 * @dir: its directory
 * @reason: why, in words; may be empty
 * @time: when, ISO 8601; may be empty
 *
 * What an instance that has failed left behind.
 */
typedef struct {
    char *name;
    char *dir;
    char *reason;
    char *time;
} CvdCtlFailure;

/**
 * cvd_ctl_failure_load:
 * @dir: an instance's directory
 *
 * Returns: (transfer full) (nullable): the last failure that is on record there
 */
CvdCtlFailure *cvd_ctl_failure_load(const char *dir);
void cvd_ctl_failure_free(CvdCtlFailure *failure);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdCtlFailure, cvd_ctl_failure_free)

/**
 * cvd_ctl_failure_find:
 * @name: (nullable): of an instance; %NULL: the only one that has failed
 *
 * Returns: (transfer full) (nullable): the failure of one that does not run
 */
CvdCtlFailure *cvd_ctl_failure_find(const char *name);

/**
 * CvdCtlFollower:
 * @state: (nullable): the state is this now; also called once at the beginning
 * @guest_event: (nullable): something happened in the VM
 * @ready: (nullable): the instance is ready, or is not any more; also called once at the beginning
 *
 * Each returns whether to go on.
 */
typedef struct {
    gboolean (*state)(const char *state, const char *reason, gpointer data);
    gboolean (*guest_event)(const char *name, const char *details, gpointer data);
    gboolean (*ready)(gboolean is_ready, gpointer data);
} CvdCtlFollower;

/**
 * cvd_ctl_follow:
 * @timeout_ms: 0 = none
 * @error: %G_IO_ERROR_TIMED_OUT, %G_IO_ERROR_CANCELLED; %G_IO_ERROR_CLOSED: the instance has ended;
 *   %G_IO_ERROR_BUSY: it has no place for one who follows it
 *
 * Reports to @follower what happens until it has enough.
 */
gboolean cvd_ctl_follow(CvdTool *tool, CvdDBusInstance1 *instance, const CvdCtlFollower *follower,
                        gpointer data, guint timeout_ms, GError **error);

/** CvdCtlFollowed: it is over. @take_error: (nullable): as of cvd_ctl_follow() */
typedef void (*CvdCtlFollowed)(GError *take_error, gpointer user_data);

/** cvd_ctl_follow_async: the same, and @followed at its end, from the default #GMainContext */
void cvd_ctl_follow_async(CvdTool *tool, CvdDBusInstance1 *instance, const CvdCtlFollower *follower,
                          gpointer data, guint timeout_ms, CvdCtlFollowed followed,
                          gpointer user_data);

/**
 * cvd_ctl_await_exit:
 * @launcher: of cvd_ctl_open_launcher(), borrowed
 * @timeout_ms: 0 = none
 *
 * Follows the process alone, to its end: only then is everything removed.
 */
gboolean cvd_ctl_await_exit(CvdTool *tool, int launcher, guint timeout_ms, GError **error);
void cvd_ctl_await_exit_async(CvdTool *tool, int launcher, guint timeout_ms,
                              CvdCtlFollowed followed, gpointer user_data);

/**
 * cvd_ctl_format_event:
 * @event: `state`, or `guest` for an event of QEMU
 * @first: the state, or the event's name
 * @second: the reason, or the event's data as JSON
 *
 * Returns: (transfer full): a line with the time, without its end
 */
char *cvd_ctl_format_event(gboolean json, const char *event, const char *first, const char *second);

/**
 * cvd_ctl_wait_for_instance:
 * @name: of an instance
 * @or_failure: whether a failure of it ends the wait, too
 * @deadline_us: monotonic time; 0 = none
 *
 * Waits until the instance's control socket is there.
 *
 * Returns: (transfer full) (nullable): its path
 */
char *cvd_ctl_wait_for_instance(CvdTool *tool, const char *name, gboolean or_failure,
                                gint64 deadline_us, GError **error);

/** cvd_ctl_describe_missing_log: Returns: (transfer full): that there is no log of @program, and of
 * which there is one */
char *cvd_ctl_describe_missing_log(int programs_fd, const char *program);

/** cvd_ctl_complete_snapshots: adds those that there are, by cvd_complete_add() */
void cvd_ctl_complete_snapshots(GPtrArray *words);

/** cvd_ctl_complete_programs: adds those that have a log, by cvd_complete_add() */
void cvd_ctl_complete_programs(CvdTool *tool, GPtrArray *words);

/**
 * cvd_ctl_create_report:
 *
 * Returns: a descriptor of the new file, for writing; −1 with @error set
 */
int cvd_ctl_create_report(const char *path, GError **error);

/** cvd_ctl_get_report_path: Returns: (transfer full): what --output says, or a name in the current
 * directory that has the time, and @name */
char *cvd_ctl_get_report_path(const char *name);

/**
 * cvd_ctl_find_dir:
 * @name: (out): the instance's name
 *
 * Returns: (transfer full): the runtime directory of the instance that --name says, of the only one
 *   that runs, or of the only one that failed
 */
char *cvd_ctl_find_dir(CvdTool *tool, char **name, GError **error);

G_END_DECLS
