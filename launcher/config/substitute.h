/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

G_BEGIN_DECLS

/** CVD_PROGRAM_FIRST_FD: the first descriptor that a host program inherits beside the usual three
 */
#define CVD_PROGRAM_FIRST_FD 3

/** CVD_REGION_N_FDS: how many a region takes: window, two doorbells, the connection */
#define CVD_REGION_N_FDS 4

/**
 * cvd_program_get_socket_fd:
 * @index: of a socket of @program
 *
 * Returns: the number that the socket has in the program, behind those of its regions if they are
 *   passed; −1 for one of kind %CVD_SOCKET_PATH
 */
int cvd_program_get_socket_fd(const CvdProgramConfig *program, guint index);

/** cvd_program_get_socket_path: Returns: (transfer full): where the program listens, or its
 * listening socket has its name: `PROGRAM-SOCKET.sock` in the runtime directory; for a pair too */
char *cvd_program_get_socket_path(const CvdConfig *config, const CvdProgramConfig *program,
                                  guint index);

/**
 * cvd_config_find_socket:
 * @name: a socket's
 * @program: (out) (optional): whose it is
 * @index: (out) (optional): which of the program's
 *
 * Returns: its number among all sockets of the configuration, from 0 on; −1: there is none
 */
int cvd_config_find_socket(const CvdConfig *config, const char *name,
                           const CvdProgramConfig **program, guint *index);

/**
 * cvd_substitute:
 * @program: (nullable): the host program that gets the text; %NULL: QEMU or a hook
 * @text: with `${name}`, `${runtime}`, `${client_socket}`, `${config_dir}`, `${index}`,
 * `${socket:NAME}` and `$$`; checked when the configuration was read. What is put in is not looked
 * at again.
 *
 * A socket stands for the number of a descriptor, in the program for %CVD_SOCKET_PATH for the path.
 *
 * Returns: (transfer full): the text with what they stand for
 */
char *cvd_substitute(const CvdConfig *config, const CvdProgramConfig *program, const char *text);

G_END_DECLS
