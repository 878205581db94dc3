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
 * CvdCtlQmpNames:
 *
 * What QEMU has names for: commands, their arguments, and what these may be.
 */
typedef struct CvdCtlQmpNames CvdCtlQmpNames;

CvdCtlQmpNames *cvd_ctl_qmp_names_new(void);
void cvd_ctl_qmp_names_free(CvdCtlQmpNames *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdCtlQmpNames, cvd_ctl_qmp_names_free)

/** cvd_ctl_qmp_names_set_commands: @reply: (array length=size): what QEMU returns of
 * `query-commands`, or anything */
void cvd_ctl_qmp_names_set_commands(CvdCtlQmpNames *names, const char *reply, gsize size);
/** cvd_ctl_qmp_names_set_schema: @reply: (array length=size): likewise of `query-qmp-schema` */
void cvd_ctl_qmp_names_set_schema(CvdCtlQmpNames *names, const char *reply, gsize size);
/** cvd_ctl_qmp_names_are_known: Returns: whether those of commands have been set */
gboolean cvd_ctl_qmp_names_are_known(const CvdCtlQmpNames *names);

/** cvd_ctl_qmp_names_nearest: Returns: (nullable) (transfer none): what may have been meant by
 * @command, if it is none */
const char *cvd_ctl_qmp_names_nearest(const CvdCtlQmpNames *names, const char *command);

/**
 * cvd_ctl_qmp_complete:
 * @line: as far as it is typed
 * @n_begun: (out): how many bytes at its end begin with what is returned
 *
 * Returns: (transfer full) (element-type utf8): sorted, what can stand there: a command or a value
 *   with a space behind it, a key with its `=`
 */
GPtrArray *cvd_ctl_qmp_complete(const CvdCtlQmpNames *names, const char *line, gsize *n_begun);

/** CVD_CTL_QMP_MAX_HISTORY: lines that are kept */
#define CVD_CTL_QMP_MAX_HISTORY 500
/** CVD_CTL_QMP_MAX_HISTORY_LINE: bytes of a line that is kept */
#define CVD_CTL_QMP_MAX_HISTORY_LINE 4096

/** cvd_ctl_qmp_history_get_path: Returns: (transfer full): where the user's history is kept */
char *cvd_ctl_qmp_history_get_path(void);
/** cvd_ctl_qmp_history_may_keep: Returns: whether a line is one for the history: a short one that
 * does not begin with a space, and neither has passwords in it nor secrets */
gboolean cvd_ctl_qmp_history_may_keep(const char *line);
/** cvd_ctl_qmp_history_load: Returns: (transfer full) (array zero-terminated=1): the last lines,
 * the oldest first; none if the file cannot be read */
char **cvd_ctl_qmp_history_load(const char *path);
/** cvd_ctl_qmp_history_append: makes the file, and its directory, if they are not there */
gboolean cvd_ctl_qmp_history_append(const char *path, const char *line, GError **error);

/**
 * cvd_ctl_qmp_prompt:
 * @instance: with the time limit that its calls have
 * @error: %G_IO_ERROR_CLOSED: the instance has ended
 *
 * Reads commands from a terminal until the user has none any more. Sees to signals itself.
 */
gboolean cvd_ctl_qmp_prompt(CvdTool *tool, CvdDBusInstance1 *instance, GError **error);

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
