/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_STREAM_LOG_MAX_SIZE: of the file, in bytes; beyond it the older half is dropped. */
#define CVD_STREAM_LOG_MAX_SIZE (1024 * 1024)

/**
 * CvdStreamLog:
 *
 * Reads a stream of QEMU's, its output or the guest's serial console, in the thread's default
 * #GMainContext, and keeps its end in a file of bounded size.
 */
typedef struct CvdStreamLog CvdStreamLog;

/**
 * cvd_stream_log_new:
 * @take_stream_fd: what is read; consumed
 * @take_file_fd: an empty file, open for reading and writing; consumed
 */
CvdStreamLog *cvd_stream_log_new(int take_stream_fd, int take_file_fd);
void cvd_stream_log_free(CvdStreamLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdStreamLog, cvd_stream_log_free)

/**
 * cvd_stream_log_relay:
 * @log: a log whose stream is a socket
 *
 * Also copies the stream to stdout, and stdin to the stream. Output that stdout does not take at
 * once is lost there, though not in the file; so a stopped terminal holds up nothing.
 */
void cvd_stream_log_relay(CvdStreamLog *log);

/**
 * cvd_stream_log_read_rest:
 *
 * Reads what is in the stream already, when its writer is gone; a bounded amount, as somebody else
 * may still be writing.
 */
void cvd_stream_log_read_rest(CvdStreamLog *log);

/**
 * cvd_stream_log_tail:
 * @max_lines: how many
 *
 * Returns: (transfer full) (array zero-terminated=1): the last lines of the file, without their
 * ends
 */
char **cvd_stream_log_tail(CvdStreamLog *log, guint max_lines);

G_END_DECLS
