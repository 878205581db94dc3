/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib-unix.h>

G_BEGIN_DECLS

/**
 * cvd_source_watch_fd:
 * @fd: a descriptor, which must outlive the source
 * @condition: what to wait for
 * @callback: called for it; also from within itself, if it runs the context
 *
 * Returns: (transfer full): a source that is attached to the thread's default #GMainContext
 */
GSource *cvd_source_watch_fd(int fd, GIOCondition condition, GUnixFDSourceFunc callback,
                             gpointer user_data);

/**
 * CVD_STREAM_INTERVAL_MS, CVD_STREAM_READ_SIZE:
 *
 * Of what QEMU and host programs write, their own output and the serial port a byte at a time, this
 * much is read at once, then nothing for so long.
 */
#define CVD_STREAM_INTERVAL_MS 5
#define CVD_STREAM_READ_SIZE   16384

/**
 * cvd_source_watch_stream:
 * @fd: a descriptor, which must outlive the source
 * @interval_ms: the time from one read to the next
 * @read: reads what is there without waiting for more, a bounded amount; returns whether there was
 *   anything
 *
 * For a stream whose writer may write a byte at a time: what comes after a silence is read at once,
 * what follows in bulk.
 *
 * Returns: (transfer full): a source that is attached to the thread's default #GMainContext
 */
GSource *cvd_source_watch_stream(int fd, guint interval_ms, GSourceFunc read, gpointer user_data);

/** cvd_source_set_stream_interval: @stream: of cvd_source_watch_stream(); the time from its next
 * read, or from the one that it is in, to the one after that */
void cvd_source_set_stream_interval(GSource *stream, guint interval_ms);

/**
 * cvd_source_set_timer:
 * @timer: (inout): a source or %NULL, which this one replaces; attached to the thread's default
 *   #GMainContext
 * @due_us: the monotonic time, in microseconds
 * @callback: called then
 */
void cvd_source_set_timer(GSource **timer, gint64 due_us, GSourceFunc callback, gpointer user_data);

/**
 * cvd_source_clear:
 * @source: (inout): a source or %NULL; %NULL afterwards
 *
 * Destroys and releases it.
 */
void cvd_source_clear(GSource **source);

G_END_DECLS
