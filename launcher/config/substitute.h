/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/place.h"
#include "launcher/config/values.h"

G_BEGIN_DECLS

/** CVD_QEMU_FIRST_FD: QEMU's descriptors of its VM socket, of QMP, of the serial port and of the
 * guest's RAM follow each other from here on, then those of the sockets to host programs */
#define CVD_QEMU_FIRST_FD CVD_CHILD_FIRST_FD

/** CVD_QEMU_RAM_FD: that of the guest's RAM */
#define CVD_QEMU_RAM_FD (CVD_QEMU_FIRST_FD + 3)

/** CVD_QEMU_FIRST_SOCKET_FD: that of the first socket to a host program */
#define CVD_QEMU_FIRST_SOCKET_FD (CVD_QEMU_FIRST_FD + 4)

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

/** cvd_program_get_notify_path: Returns: (transfer full): where a program says that it is ready:
 * `PROGRAM-notify.sock` in the runtime directory */
char *cvd_program_get_notify_path(const CvdConfig *config, const CvdProgramConfig *program);

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
 * cvd_config_get_socket_names:
 * @program: (nullable): whose sockets; %NULL = those of all programs, as QEMU has them
 *
 * Returns: (transfer container) (array zero-terminated=1): the names, borrowed from @config
 */
const char **cvd_config_get_socket_names(const CvdConfig *config, const CvdProgramConfig *program);

/**
 * cvd_substitute_check:
 * @place: where @text stands
 * @text: for cvd_substitute()
 * @sockets: (array zero-terminated=1) (nullable): what NAME of `${socket:NAME}` may be there; %NULL
 *   = no socket can be named
 *
 * Adds a problem for each substitution that is unknown, has no end, or has another one in it.
 *
 * Returns: whether there is none
 */
gboolean cvd_substitute_check(const CvdPlace *place, const char *text, const char *const *sockets);

/** cvd_substitute_get_sockets: Returns: (transfer full) (array zero-terminated=1): NAME of each
 * `${socket:NAME}` in @text */
char **cvd_substitute_get_sockets(const char *text);

/** cvd_substitute_escape: Returns: (transfer full): what cvd_substitute() makes @text of */
char *cvd_substitute_escape(const char *text);

/**
 * cvd_substitute_resolve:
 * @text: a path, for cvd_substitute()
 *
 * As cvd_place_resolve(), also where what is put in at the beginning is an absolute path.
 *
 * Returns: (transfer full): a text of an absolute path
 */
char *cvd_substitute_resolve(const CvdPlace *place, const char *text);

/**
 * cvd_substitute:
 * @program: (nullable): the host program that gets the text; %NULL: QEMU or a hook
 * @text: with `${name}`, `${runtime}`, `${client_socket}`, `${config_dir}`, `${index}`,
 * `${socket:NAME}` and `$$`; checked when the configuration was read. What is put in is not looked
 * at again.
 *
 * A socket stands for the number of a descriptor, in the program for %CVD_SOCKET_PATH for the path.
 * A dollar before anything else stands for itself.
 *
 * Returns: (transfer full): the text with what they stand for
 */
char *cvd_substitute(const CvdConfig *config, const CvdProgramConfig *program, const char *text);

G_END_DECLS
