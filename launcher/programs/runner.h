/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/child.h"
#include "launcher/config/values.h"
#include "launcher/programs/output.h"
#include "launcher/programs/program.h"

G_BEGIN_DECLS

/**
 * CvdRunner:
 *
 * The process of one host program, of which there may be several one after the other: what it is
 * given, its signals, its output and its end, in the thread's default #GMainContext. When it is to
 * run, others decide.
 */
typedef struct CvdRunner CvdRunner;

/**
 * CvdRunnerHandlers:
 * @happened: %CVD_PROGRAM_SPAWNED, %CVD_PROGRAM_REPORTED_READY, %CVD_PROGRAM_SUCCEEDED or
 *   %CVD_PROGRAM_ENDED
 * @changed: what it says of itself is different: cvd_runner_get_reason()
 * @open_region: for a program that is given its regions open: stores the descriptors of @region,
 *   the callee's to close, in @fds (array length=4); Returns: the connection's number, 0 = failed
 * @region_passed: the connection @number is process @pid's now
 *
 * None of them may free the runner.
 */
typedef struct {
    void (*happened)(const CvdProgramConfig *program, CvdProgramEvent event, gpointer user_data);
    void (*changed)(gpointer user_data);
    guint (*open_region)(const CvdProgramConfig *program, const char *region, int *fds,
                         GError **error, gpointer user_data);
    void (*region_passed)(guint number, pid_t pid, gpointer user_data);
} CvdRunnerHandlers;

/**
 * cvd_runner_new:
 * @config: borrowed, as are @program, which is one of its, @children and @handlers; they outlive
 * the runner
 * @take_output: where it prints
 *
 * Returns: (transfer full): there is no process yet
 */
CvdRunner *cvd_runner_new(const CvdConfig *config, const CvdProgramConfig *program,
                          CvdChildren *children, CvdOutput *take_output,
                          const CvdRunnerHandlers *handlers, gpointer user_data);

/** cvd_runner_free: kills the process, if there is one */
void cvd_runner_free(CvdRunner *runner);

/**
 * cvd_runner_open_sockets:
 * @error: %CVD_ERROR_FAILED
 *
 * Makes the sockets between the program and the next QEMU.
 */
gboolean cvd_runner_open_sockets(CvdRunner *runner, GError **error);

/** cvd_runner_append_vm_fds: appends QEMU's ends, which stay the runner's, to @fds, of int */
void cvd_runner_append_vm_fds(const CvdRunner *runner, GArray *fds);
/** cvd_runner_close_vm_fds: QEMU has inherited them */
void cvd_runner_close_vm_fds(CvdRunner *runner);

/** cvd_runner_spawn: starts the process. @happened tells whether that was possible. */
void cvd_runner_spawn(CvdRunner *runner);

/** cvd_runner_client_attached: process @pid, anyone's, was given @region */
void cvd_runner_client_attached(CvdRunner *runner, pid_t pid, const char *region);

/** cvd_runner_stop: sends the process its stop signal */
void cvd_runner_stop(CvdRunner *runner);
/** cvd_runner_kill: kills the process, as it had not ended after that, and says so */
void cvd_runner_kill(CvdRunner *runner);

/** cvd_runner_get_pid: Returns: of the process; 0 = there is none */
pid_t cvd_runner_get_pid(const CvdRunner *runner);

/** cvd_runner_get_reason: Returns: (transfer none) (nullable): how the process ended last, as the
 * end of a sentence that begins with its name, or what it says itself */
const char *cvd_runner_get_reason(const CvdRunner *runner);

/** cvd_runner_get_last_lines: as cvd_output_get_last_lines() */
char **cvd_runner_get_last_lines(const CvdRunner *runner, guint max_lines);
/** cvd_runner_get_log_path: Returns: (transfer full): where all is that it has printed */
char *cvd_runner_get_log_path(const CvdRunner *runner);

G_END_DECLS
