/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * cvd_log_init:
 * @prefix: (nullable): what every line starts with, normally the instance's name; %NULL keeps it
 * @verbose: whether g_info() and g_debug() lines are wanted
 *
 * Sends GLib's structured log to stderr, one line a message, `PREFIX: text`, warnings and errors
 * marked as such, the text as cvd_terminal_text_append() has it (a message may quote a peer's
 * bytes); or to the journal when stderr is connected to it. Of a message at most 64 KiB are
 * written, and of what libraries say %CVD_LOG_LINES_PER_SECOND lines a second. May be called again,
 * when the instance's name is known.
 */
void cvd_log_init(const char *prefix, gboolean verbose);

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
