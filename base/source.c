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

/* A poll descriptor of its own, as changing that of g_source_add_unix_fd() wakes the loop. */
typedef struct {
    GSource source;
    GPollFD poll_fd;
    gint64 interval_us;
    gint64 next_us; /* when to read next; 0: when something comes */
} StreamSource;

static gboolean prepare_stream(GSource *source, int *timeout_ms)
{
    const StreamSource *stream = (const StreamSource *)source;
    gint64 left_us = stream->next_us - g_source_get_time(source);

    if (stream->next_us == 0)
        return FALSE;
    *timeout_ms = left_us > 0 ? (int)(left_us / 1000) + 1 : 0;
    return left_us <= 0;
}

static gboolean check_stream(GSource *source)
{
    const StreamSource *stream = (const StreamSource *)source;

    return stream->poll_fd.revents != 0 ||
           (stream->next_us != 0 && stream->next_us <= g_source_get_time(source));
}

static gboolean dispatch_stream(GSource *source, GSourceFunc read, gpointer user_data)
{
    StreamSource *stream = (StreamSource *)source;

    stream->next_us = read(user_data) ? g_get_monotonic_time() + stream->interval_us : 0;
    stream->poll_fd.events = stream->next_us == 0 ? G_IO_IN : 0;
    return G_SOURCE_CONTINUE;
}

GSource *cvd_source_watch_stream(int fd, guint interval_ms, GSourceFunc read, gpointer user_data)
{
    static GSourceFuncs funcs = {
        .prepare = prepare_stream,
        .check = check_stream,
        .dispatch = dispatch_stream,
    };
    GSource *source = g_source_new(&funcs, sizeof(StreamSource));
    StreamSource *stream = (StreamSource *)source;
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();

    stream->poll_fd = (GPollFD){.fd = fd, .events = G_IO_IN};
    stream->interval_us = interval_ms * G_TIME_SPAN_MILLISECOND;
    g_source_add_poll(source, &stream->poll_fd);
    g_source_set_can_recurse(source, TRUE);
    g_source_set_callback(source, read, user_data, NULL);
    g_source_attach(source, context);
    return source;
}

void cvd_source_set_stream_interval(GSource *stream, guint interval_ms)
{
    ((StreamSource *)stream)->interval_us = interval_ms * G_TIME_SPAN_MILLISECOND;
}

void cvd_source_set_timer(GSource **timer, gint64 due_us, GSourceFunc callback, gpointer user_data)
{
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();

    cvd_source_clear(timer);
    *timer = g_timeout_source_new(0);
    g_source_set_ready_time(*timer, due_us);
    g_source_set_callback(*timer, callback, user_data, NULL);
    g_source_attach(*timer, context);
}

void cvd_source_clear(GSource **source)
{
    if (*source != NULL) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}
