/* SPDX-License-Identifier: Apache-2.0 */
#include "base/source.h"

GSource *cvd_source_watch_fd(int fd, GIOCondition condition, GUnixFDSourceFunc callback,
                             gpointer user_data)
{
    GSource *source = g_unix_fd_source_new(fd, condition);
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();

    /* GLib takes the descriptors of other sources out of its set while they are dispatched, and
     * wakes the loop for that: each event would cost two rounds. */
    g_source_set_can_recurse(source, TRUE);
    g_source_set_callback(source, G_SOURCE_FUNC(callback), user_data, NULL);
    g_source_attach(source, context);
    return source;
}

void cvd_source_clear(GSource **source)
{
    if (*source != NULL) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}
