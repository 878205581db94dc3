/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

G_BEGIN_DECLS

/**
 * CvdProgramEnvironment:
 * @variables: (array zero-terminated=1): for execve(2)
 * @pid_text: (nullable): within @variables, ten bytes for the process's number: the value of
 *   LISTEN_PID
 */
typedef struct {
    char **variables;
    char *pid_text;
} CvdProgramEnvironment;

/**
 * cvd_program_environment:
 * @base: (array zero-terminated=1): what it is added to: the launcher's own environment
 * @program: (nullable): %NULL for a hook
 * @notify_socket: (nullable): where the program says that it is ready
 *
 * `CVD_NAME`, `CVD_CLIENT_SOCKET` and `CVD_RUNTIME`, of a program `CVD_PROGRAM` and `CVD_REGION`,
 * and what the configuration adds; for regions that it is given open LISTEN_FDS and LISTEN_FDNAMES
 * (sd_listen_fds(3)), and LISTEN_PID unless its number may be another where it runs. Pure.
 *
 * Returns: to be cleared
 */
CvdProgramEnvironment cvd_program_environment(const CvdConfig *config, char **base,
                                              const CvdProgramConfig *program,
                                              const char *notify_socket);
void cvd_program_environment_clear(CvdProgramEnvironment *environment);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdProgramEnvironment, cvd_program_environment_clear)

G_END_DECLS
