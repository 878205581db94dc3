/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/log-file.h"

G_BEGIN_DECLS

/**
 * CvdStreamLog:
 *
 * Copies what a stream brings, QEMU's own output, into a log, in the thread's default
 * #GMainContext. Its writer can be as fast as it likes: one dispatch reads one buffer, with less
 * priority than the protocols have.
 */
typedef struct CvdStreamLog CvdStreamLog;

/**
 * cvd_stream_log_new:
 * @take_fd: a socket; consumed
 * @log: borrowed; outlives the stream
 */
CvdStreamLog *cvd_stream_log_new(int take_fd, CvdLogFile *log);
void cvd_stream_log_free(CvdStreamLog *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdStreamLog, cvd_stream_log_free)

/**
 * cvd_stream_log_read_rest:
 *
 * Reads what is in the stream already, when its writer is gone; a bounded amount, as somebody else
 * may still be writing.
 */
void cvd_stream_log_read_rest(CvdStreamLog *stream);

G_END_DECLS
