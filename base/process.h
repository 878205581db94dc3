/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * CvdProcessId:
 * @pid: its number, which another process may have later; 0 = none
 * @start_time: when it was started, in clock ticks since the machine was (proc_pid_stat(5))
 *
 * A process that need not be a child of ours.
 */
typedef struct {
    pid_t pid;
    guint64 start_time;
} CvdProcessId;

/** cvd_process_id_get: Returns: the process that has @pid now; @pid is 0 if there is none */
CvdProcessId cvd_process_id_get(pid_t pid);
/** cvd_process_id_is_alive: Returns: whether it still runs; a zombie does not */
gboolean cvd_process_id_is_alive(CvdProcessId id);

/** cvd_process_get_name: Returns: (transfer full) (nullable): what the process calls itself now, by
 * cvd_escape_bytes() */
char *cvd_process_get_name(pid_t pid);

/** cvd_process_id_format: Returns: (transfer full): a text for cvd_process_id_parse(), which
 * several of them in a row are, too */
char *cvd_process_id_format(CvdProcessId id);
/** cvd_process_id_parse: @text: (inout): moved on; Returns: whether there is another one */
gboolean cvd_process_id_parse(const char **text, CvdProcessId *id);

/**
 * cvd_process_end_all:
 * @ids: of processes that may be anybody's children, by cvd_process_id_format()
 * @error: %CVD_ERROR_BUSY: one cannot be ended
 *
 * Ends those that are there, with a line in the log: by SIGHUP, and 2 seconds later by SIGKILL.
 * Waits for the end of each, 4 seconds at most.
 */
gboolean cvd_process_end_all(const char *ids, GError **error);

/**
 * cvd_children_watch:
 *
 * Blocks SIGCHLD, for all threads that are made from now on and for good; a child has to unblock
 * it. A pidfd would do for one child, but old seccomp profiles refuse it.
 *
 * Returns: (transfer full): a descriptor that is readable when a child has ended, of which
 *   cvd_children_forget() is to be called before they are looked at; −1 with `errno` set
 */
int cvd_children_watch(void);
/** cvd_children_forget: what has ended by now makes the descriptor readable no more */
void cvd_children_forget(int fd);

G_END_DECLS
