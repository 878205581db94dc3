/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/child.h"
#include "launcher/config/values.h"

G_BEGIN_DECLS

/** CVD_CONFINE_MAX_LIMITS: how many cvd_confine_get_limits() has at most */
#define CVD_CONFINE_MAX_LIMITS 3

/**
 * cvd_confine_get_limits:
 * @confine: (nullable): %NULL = without any
 * @limits: (out caller-allocates) (array fixed-size=3): for #CvdSpawn
 *
 * Returns: how many there are
 */
guint cvd_confine_get_limits(const CvdConfine *confine, CvdLimit limits[CVD_CONFINE_MAX_LIMITS]);

/**
 * cvd_confine_wrap:
 * @program: if it is not to have a file system of its own, nothing is wrapped around it
 * @argv: (array zero-terminated=1): the program and its arguments, expanded. A path is absolute,
 *   and the program can read what is there.
 * @notify_socket: (nullable): absolute path of the socket that it says on that it is ready
 *
 * The command that runs the program where it sees, of the host's files, programs and libraries
 * (/usr and the like), a few files of /etc, and what the configuration names, and none of the
 * host's processes, IPC objects and, unless the configuration says so, networks: bubblewrap(1). It
 * inherits descriptors as any other. Its first process has number 2 there, which LISTEN_PID says if
 * it inherits any.
 *
 * The program's stop signal may be sent to the whole process group: bubblewrap, which would not
 * wait for the program, ignores it.
 *
 * Returns: (transfer full) (array zero-terminated=1)
 */
char **cvd_confine_wrap(const CvdConfig *config, const CvdProgramConfig *program, char **argv,
                        const char *notify_socket);

/**
 * cvd_confine_unwrap_exit:
 * @how: how the process that cvd_confine_wrap() has made ended
 *
 * Returns: how the program ended, as far as that can be known: bubblewrap ends with status 128 + N
 *   if signal N has ended it
 */
CvdExit cvd_confine_unwrap_exit(const CvdProgramConfig *program, CvdExit how);

G_END_DECLS
