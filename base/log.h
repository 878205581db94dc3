/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * cvd_log_init:
 * @program: (nullable): what every line starts with, the program's name; %NULL keeps it
 * @verbose: whether g_info() and g_debug() lines are wanted
 *
 * Sends GLib's structured log to stderr, one line a message, `PROGRAM: text`, with the local time
 * before it where details are wanted, warnings and errors
 * marked as such, the text as cvd_terminal_text_append() has it (a message may quote a peer's
 * bytes); or to the journal when stderr is connected to it. Of a message at most 64 KiB are
 * written, and of what libraries say %CVD_LOG_LINES_PER_SECOND lines a second. May be called again.
 *
 * A journal that does not read is waited for, but not for longer than a second; from then on its
 * lines wait in the queue of cvd_log_never_block().
 */
void cvd_log_init(const char *program, gboolean verbose);

/**
 * cvd_log_set_instance:
 * @name: an instance's
 *
 * It is what every line on stderr starts with from now on, and the field CVD_INSTANCE in the
 * journal.
 */
void cvd_log_set_instance(const char *name);

/**
 * cvd_log_fields:
 * @level: a #GLogLevelFlags
 * @...: names of fields, each followed by its value, a string; at the end `MESSAGE`, a format, and
 *   what it takes
 *
 * A line that has further fields in the journal. cvd-launch(1), JOURNAL, lists them.
 */
#define cvd_log_fields(level, ...)                                                                 \
    g_log_structured(G_LOG_DOMAIN, (level), "CODE_FILE", __FILE__, "CODE_LINE",                    \
                     G_STRINGIFY(__LINE__), "CODE_FUNC", G_STRFUNC, __VA_ARGS__)

/**
 * cvd_log_client:
 * @pid: the client's
 * @region: (nullable): the region that it is about
 * @format: the line
 *
 * A line about a client.
 */
void cvd_log_client(GLogLevelFlags level, pid_t pid, const char *region, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/**
 * cvd_log_is_verbose:
 *
 * To be asked before a line that comes thousands of times a second: GLib formats it in any case.
 *
 * Returns: whether a g_debug() line would be written
 */
gboolean cvd_log_is_verbose(void);

/** CVD_LOG_MAX_QUEUED: how many bytes of lines wait for their reader at most */
#define CVD_LOG_MAX_QUEUED (256 * 1024)

/**
 * cvd_log_never_block:
 *
 * From now on a line that stderr or the journal does not take at once waits in a queue, which the
 * thread's default #GMainContext empties, and the next line; so a stopped terminal, a full pipe or
 * a journal that hangs cannot hold up the main loop. If the queue is full, too, lines are dropped,
 * and a line says how many were.
 */
void cvd_log_never_block(void);

/** CVD_LOG_MAX_FILE: of a file of cvd_log_to_file(), in bytes */
#define CVD_LOG_MAX_FILE (1024 * 1024)

/**
 * CvdLogNewFile:
 *
 * Logs nothing.
 *
 * Returns: (transfer full): a descriptor of a new, empty file in the place of one that is full; −1:
 *   there is none
 */
typedef int (*CvdLogNewFile)(gpointer user_data);

/**
 * cvd_log_to_file:
 * @new_file: makes the file, and another one when it is full; if it cannot, lines go
 *   nowhere, or the one that is full is emptied
 *
 * From now on stderr is a file, for all that writes there, and each line has date and time. What
 * waits in the queue of cvd_log_never_block() goes there, too. Where stderr is the journal's it
 * stays that.
 */
void cvd_log_to_file(CvdLogNewFile new_file, gpointer user_data);

/** cvd_log_keep_file: no new file is made any more, as its directory is going to be removed */
void cvd_log_keep_file(void);

/** cvd_log_get_fd: Returns: (transfer none): what lines are written to */
int cvd_log_get_fd(void);

/**
 * CvdLogLimit:
 *
 * Bounds the lines that a peer can provoke. Zero-initialised is ready to use.
 */
typedef struct {
    /*< private >*/
    gint64 second;
    guint n_lines;
    guint n_suppressed;
} CvdLogLimit;

/** CVD_LOG_LINES_PER_SECOND: how many lines a second a #CvdLogLimit lets pass. */
#define CVD_LOG_LINES_PER_SECOND 10

/**
 * cvd_log_limit_pass:
 * @limit: the limit that the line falls under
 * @now_us: the monotonic time, in microseconds
 *
 * Returns: whether the line may be written. With the first line of a new second it also logs how
 *   many were suppressed before.
 */
gboolean cvd_log_limit_pass(CvdLogLimit *limit, gint64 now_us);

/**
 * cvd_escape_bytes:
 * @bytes: (array length=size): what a peer sent
 * @size: how many
 *
 * Returns: (transfer full): at most the first 32 of them as printable ASCII, others as `\xNN`,
 *   followed by `…` if there were more
 */
char *cvd_escape_bytes(const void *bytes, gsize size);

G_END_DECLS
