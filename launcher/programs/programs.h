/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/child.h"
#include "launcher/config/values.h"
#include "launcher/programs/output.h"
#include "launcher/programs/program.h"

G_BEGIN_DECLS

/**
 * CvdPrograms:
 *
 * The host programs of a launch, back ends among them: started, awaited, started again and ended in
 * the thread's default #GMainContext.
 */
typedef struct CvdPrograms CvdPrograms;

/**
 * CvdProgramsHandlers:
 * @prepared: after cvd_programs_begin_vm(): QEMU may be started
 * @ready: nothing keeps the guest from running any more
 * @failed: a program that the machine cannot do without has failed for good; @why is a sentence
 * @changed: what cvd_programs_foreach() tells is different
 * @ended: after cvd_programs_end(): none is left
 * @open_region: for a program that is given its regions open: stores the descriptors of @region,
 * the callee's to close, in @fds (array length=4)
 *
 * None of them may free the programs.
 */
typedef struct {
    void (*prepared)(gpointer user_data);
    void (*ready)(gpointer user_data);
    void (*failed)(const char *why, gpointer user_data);
    void (*changed)(gpointer user_data);
    void (*ended)(gpointer user_data);
    guint (*open_region)(const CvdProgramConfig *program, const char *region, int *fds,
                         GError **error, gpointer user_data);
    void (*region_passed)(guint number, pid_t pid, gpointer user_data);
} CvdProgramsHandlers;

/**
 * cvd_programs_new:
 * @config: borrowed, as are @children, @dir and @load; they outlive the programs
 * @is_restored: whether each VM is from a snapshot
 *
 * Returns: (transfer full): none of them is started yet
 */
CvdPrograms *cvd_programs_new(const CvdConfig *config, gboolean is_restored, CvdChildren *children,
                              CvdInstanceDir *dir, CvdOutputLoad *load,
                              const CvdProgramsHandlers *handlers, gpointer user_data);

/** cvd_programs_free: kills those that still run */
void cvd_programs_free(CvdPrograms *programs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdPrograms, cvd_programs_free)

/**
 * cvd_programs_begin_vm:
 * @error: %CVD_ERROR_FAILED: a socket could not be made
 *
 * Makes the sockets of back ends. @prepared follows: at once, unless one of the VM before has yet
 * to end, or there is one that listens at a path itself, which has to be started first; that takes
 * cvd_programs_serve().
 */
gboolean cvd_programs_begin_vm(CvdPrograms *programs, GError **error);

/**
 * cvd_programs_get_vm_fds:
 * @n_fds: (out): as many as the configuration has sockets
 *
 * Returns: (transfer none) (array length=n_fds): QEMU's ends of the sockets, in the order of
 *   cvd_config_find_socket(), from @prepared until cvd_programs_close_vm_fds()
 */
const int *cvd_programs_get_vm_fds(const CvdPrograms *programs, guint *n_fds);
/** cvd_programs_close_vm_fds: QEMU has inherited them */
void cvd_programs_close_vm_fds(CvdPrograms *programs);

/** cvd_programs_serve: the server listens: starts all, once. @ready follows. */
void cvd_programs_serve(CvdPrograms *programs);

/** cvd_programs_report_lost: QEMU has failed: logs which back ends had failed before */
void cvd_programs_report_lost(CvdPrograms *programs);

/** cvd_programs_end_vm: QEMU is gone: ends what has to be started anew for the next */
void cvd_programs_end_vm(CvdPrograms *programs);

/**
 * cvd_programs_hold_clients:
 *
 * The guest was reset, and no region can be opened until cvd_programs_admit_clients(): ends those
 * that were given theirs, to be started anew.
 */
void cvd_programs_hold_clients(CvdPrograms *programs);
void cvd_programs_admit_clients(CvdPrograms *programs);

/** cvd_programs_client_attached: process @pid was given @region */
void cvd_programs_client_attached(CvdPrograms *programs, pid_t pid, const char *region);

/** cvd_programs_end: ends all, each after those that are @after it. @ended follows. A second call
 * kills them. */
void cvd_programs_end(CvdPrograms *programs);

/** cvd_programs_describe_running: Returns: (transfer full) (nullable): the names of those that run
 */
char *cvd_programs_describe_running(const CvdPrograms *programs);

/** cvd_programs_describe_awaited: Returns: (transfer full) (nullable): the names of those that keep
 * the guest from running, each with what it lacks */
char *cvd_programs_describe_awaited(const CvdPrograms *programs);

/**
 * CvdProgramStatus:
 * @reason: (nullable): how it ended last, or what it says itself
 * @pid: 0: it does not run
 * @n_restarts: how often it was started again by itself
 * @since_us: since when it is in that state, monotonic
 */
typedef struct {
    const CvdProgramConfig *config;
    CvdProgramState state;
    const char *reason;
    pid_t pid;
    guint n_restarts;
    gint64 since_us;
} CvdProgramStatus;

/** cvd_programs_foreach: calls @func for each, in the order of the configuration */
void cvd_programs_foreach(const CvdPrograms *programs,
                          void (*func)(const CvdProgramStatus *status, gpointer user_data),
                          gpointer user_data);

/**
 * cvd_programs_command:
 * @command: what a user asks for
 * @name: of the program
 * @error: %CVD_ERROR_INVALID: there is no such program; the message names those that there are;
 *   %CVD_ERROR_BUSY: not now
 *
 * Returns: (transfer none) (nullable): the program, if it has begun
 */
const CvdProgramConfig *cvd_programs_command(CvdPrograms *programs, CvdProgramCommand command,
                                             const char *name, GError **error);

G_END_DECLS
