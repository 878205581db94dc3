/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/qemu/log-file.h"

G_BEGIN_DECLS

/**
 * CVD_STREAM_INTERVAL_MS, CVD_STREAM_READ_SIZE, CVD_STREAM_BUFFER_SIZE:
 *
 * Of what QEMU writes, its own output and the serial port a byte at a time, this much is read at
 * once, then nothing for so long. In the socket each write of a byte takes the room of 768: with
 * the largest send buffer that everybody may have, it holds 554 of them.
 */
#define CVD_STREAM_INTERVAL_MS 5
#define CVD_STREAM_READ_SIZE   16384
#define CVD_STREAM_BUFFER_SIZE 212992

/**
 * CvdStreamLog:
 *
 * Copies what a stream brings, QEMU's own output, into a log, in the thread's default
 * #GMainContext. Its writer can be as fast as it likes: one dispatch reads one buffer.
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
