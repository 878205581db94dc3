/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ctl/ctl.h"

G_BEGIN_DECLS

/*
 * The ways in which a user speaks with QEMU: one command, a list of them, a prompt, and a socket
 * for other programs.
 */

/**
 * cvd_ctl_qmp_split:
 * @line: a command as it is typed
 * @error: a usage error: something is not closed
 *
 * White space separates words, but not in brackets and strings of JSON, and not between single
 * quotes, which are left out. A line that begins with `{` is one word.
 *
 * Returns: (transfer full) (nullable): the words; none of an empty line
 */
char **cvd_ctl_qmp_split(const char *line, GError **error);

/** cvd_ctl_qmp_is_empty: Returns: whether a line has no command: a comment begins with `#` */
gboolean cvd_ctl_qmp_is_empty(const char *line);

/**
 * cvd_ctl_qmp_compose:
 * @words: (array zero-terminated=1): a command's name and its arguments: `KEY=VALUE`, or all of
 *   them as a JSON object; or nothing but the whole command as JSON
 * @error: a usage error
 *
 * A VALUE that is JSON stands for itself, anything else is a string. `A.B=VALUE` is a member of the
 * object A.
 *
 * Returns: (transfer full) (nullable): the command as one JSON text, if @words are JSON unchecked
 */
char *cvd_ctl_qmp_compose(char *const *words, GError **error);

/**
 * cvd_ctl_qmp_read_reply:
 * @fds: (nullable): what came with the reply of the method Qmp
 * @size: (out): in bytes
 *
 * Returns: (transfer full) (nullable): what QEMU has returned
 */
char *cvd_ctl_qmp_read_reply(GUnixFDList *fds, gsize *size, GError **error);

/** cvd_ctl_qmp_take_error: @take_error: (transfer full): why the method Qmp has failed, in words
 * for the user in @error */
void cvd_ctl_qmp_take_error(GError *take_error, GError **error);

/**
 * cvd_ctl_qmp_serve:
 * @path: of the socket, which must not be there yet; mode 0600
 *
 * Gives each program that connects there a QMP stream, until the instance ends or the user
 * interrupts, and removes the socket.
 */
gboolean cvd_ctl_qmp_serve(CvdTool *tool, const char *path, GError **error);

G_END_DECLS
