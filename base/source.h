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
 * cvd_source_clear:
 * @source: (inout): a source or %NULL; %NULL afterwards
 *
 * Destroys and releases it.
 */
void cvd_source_clear(GSource **source);

G_END_DECLS
