/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream reads one command, hands it on, and reads the next when it has answered: so that what a
 * client says waits in its socket, and what waits for a client are one reply, which may be long,
 * and events, which have a bound.
 */
#include "launcher/qemu/qmp-streams.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json-stream.h"
#include "base/log.h"
#include "base/source.h"
#include "launcher/qemu/qmp-message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define READ_SIZE 16384
/* With more than that unread no further command is taken. */
#define MAX_BACKLOG (64 * 1024)
#define END_OF_LINE "\r\n"

typedef enum {
    STREAM_READING, /* the next command */
    STREAM_WAITING, /* for QEMU's reply to the last one */
    STREAM_ENDING,  /* there are no more commands: what was answered is still written */
    STREAM_CLOSED,
} StreamState;

typedef struct {
    CvdQmpStreams *streams;
    StreamState state;
    gboolean is_negotiated;
    int fd;
    GSource *source;
    GIOCondition watched;
    CvdJsonStream inbox;
    GQueue outbox;  /* of Output */
    gsize n_unread; /* bytes in it */
    gsize n_events; /* bytes of events among them */
} Stream;

typedef struct {
    GBytes *bytes;
    gsize n_sent;
    gboolean is_event;
} Output;

struct CvdQmpStreams {
    CvdQmp *qmp; /* NULL: it has ended */
    GPtrArray *streams;
    CvdLogLimit log_limit;
};

static void set_state(Stream *stream, StreamState state)
{
    static const char *const names[] = {"reading", "waiting", "ending", "closed"};

    if (state != stream->state)
        g_debug("QMP stream %d: %s -> %s", stream->fd, names[stream->state], names[state]);
    stream->state = state;
}

static void output_free(gpointer data)
{
    Output *output = data;

    g_bytes_unref(output->bytes);
    g_free(output);
}

/* The one way in which a stream ends. A command that QEMU has been given is carried out. */
static void close_stream(gpointer data)
{
    Stream *stream = data;

    set_state(stream, STREAM_CLOSED);
    cvd_qmp_forget(stream->streams->qmp, stream);
    cvd_source_clear(&stream->source);
    cvd_close_fd(&stream->fd);
    cvd_json_stream_clear(&stream->inbox);
    g_queue_clear_full(&stream->outbox, output_free);
    g_free(stream);
}

static void end(Stream *stream)
{
    g_ptr_array_remove(stream->streams->streams, stream);
}

/* ---- To the client ---- */

static gboolean may_read(const Stream *stream)
{
    return stream->state == STREAM_READING && stream->n_unread <= MAX_BACKLOG;
}

static gboolean on_ready(int fd, GIOCondition condition, gpointer data);

/* That the client has gone is reported in any case. */
static void watch(Stream *stream)
{
    GIOCondition condition =
        (may_read(stream) ? G_IO_IN : 0) | (stream->outbox.head != NULL ? G_IO_OUT : 0);

    if (stream->source != NULL && condition == stream->watched)
        return;
    cvd_source_clear(&stream->source);
    stream->watched = condition;
    stream->source = cvd_source_watch_fd(stream->fd, condition, on_ready, stream);
}

static void queue(Stream *stream, GBytes *bytes, gboolean is_event)
{
    Output *output = g_new(Output, 1);
    gsize size = g_bytes_get_size(bytes);

    *output = (Output){.bytes = g_bytes_ref(bytes), .is_event = is_event};
    g_queue_push_tail(&stream->outbox, output);
    stream->n_unread += size;
    stream->n_events += is_event ? size : 0;
}

static GBytes *make_line(CvdJsonSpan message)
{
    GString *line = g_string_sized_new(message.size + sizeof END_OF_LINE);

    g_string_append_len(line, message.text, (gssize)message.size);
    g_string_append(line, END_OF_LINE);
    return g_string_free_to_bytes(line);
}

static void say(Stream *stream, const char *message)
{
    g_autoptr(GBytes) line = make_line((CvdJsonSpan){message, strlen(message)});

    queue(stream, line, FALSE);
}

static void drop_first(Stream *stream)
{
    Output *output = g_queue_pop_head(&stream->outbox);

    stream->n_events -= output->is_event ? g_bytes_get_size(output->bytes) : 0;
    output_free(output);
}

/* Returns: whether the client is still there */
static gboolean flush(Stream *stream)
{
    while (stream->outbox.head != NULL) {
        Output *output = stream->outbox.head->data;
        gsize size;
        const char *bytes = g_bytes_get_data(output->bytes, &size);
        gssize n =
            cvd_socket_send(stream->fd, bytes + output->n_sent, size - output->n_sent, NULL, 0);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        output->n_sent += (gsize)n;
        stream->n_unread -= (gsize)n;
        if (output->n_sent == size)
            drop_first(stream);
    }
    return TRUE;
}

/* ---- From the client ---- */

/* There may be whole commands already among what was read. */
static void look_again(Stream *stream)
{
    watch(stream);
    g_source_set_ready_time(stream->source, 0);
}

static void on_reply(CvdJsonSpan reply, const GError *error, gpointer data)
{
    Stream *stream = data;

    set_state(stream, STREAM_READING);
    if (error != NULL) /* the end of all */
        return;
    g_autoptr(GBytes) line = make_line(reply);
    queue(stream, line, FALSE);
    look_again(stream);
}

static void handle_command(Stream *stream)
{
    CvdJsonSpan span = cvd_json_stream_get(&stream->inbox);
    g_autofree char *command = g_strndup(span.text, span.size);
    g_autofree char *own_reply = cvd_qmp_answer_for_qemu(&stream->is_negotiated, command);

    if (own_reply != NULL) {
        say(stream, own_reply);
        return;
    }
    set_state(stream, STREAM_WAITING);
    cvd_qmp_relay(stream->streams->qmp, command, on_reply, stream);
}

static void refuse(Stream *stream, const char *why)
{
    g_autofree char *reply = cvd_qmp_refusal("GenericError", why, NULL);

    say(stream, reply);
}

/* Returns: whether there was a command, or something else */
static gboolean handle_next(Stream *stream)
{
    switch (cvd_json_stream_next(&stream->inbox)) {
    case CVD_JSON_STREAM_WANTS_MORE:
        return FALSE;
    case CVD_JSON_STREAM_GARBAGE:
        refuse(stream, "JSON parse error: expected an object; this ends the stream");
        set_state(stream, STREAM_ENDING);
        break;
    case CVD_JSON_STREAM_TOO_LONG:
        refuse(stream, "a command of more than 1 MiB");
        break;
    case CVD_JSON_STREAM_OBJECT:
        handle_command(stream);
        break;
    }
    return TRUE;
}

/* The next in what was read. */
static void handle_commands(Stream *stream)
{
    while (may_read(stream) && handle_next(stream))
        ;
}

/* Descriptors that come along are closed. Returns: whether the client is still there */
static gboolean read_commands(Stream *stream)
{
    guint8 bytes[READ_SIZE];
    gssize n = cvd_socket_receive(stream->fd, bytes, sizeof bytes, NULL, 0);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        set_state(stream, STREAM_ENDING);
    g_byte_array_append(stream->inbox.bytes, bytes, (guint)n);
    return TRUE;
}

/* A client that has closed its end may have said something before, but hears nothing any more. */
static gboolean on_ready(int fd, GIOCondition condition, gpointer data)
{
    Stream *stream = data;
    gboolean is_gone = (condition & (G_IO_HUP | G_IO_ERR)) != 0;

    g_source_set_ready_time(stream->source, -1);
    handle_commands(stream);
    if (may_read(stream) && (condition & (G_IO_IN | G_IO_HUP | G_IO_ERR)) != 0)
        is_gone = !read_commands(stream);
    handle_commands(stream);
    gboolean is_held_up = stream->state == STREAM_READING && !may_read(stream);
    if (is_gone || !flush(stream) ||
        (stream->state == STREAM_ENDING && stream->outbox.head == NULL)) {
        end(stream);
        return G_SOURCE_REMOVE;
    }
    watch(stream);
    if (is_held_up && may_read(stream))
        look_again(stream);
    return G_SOURCE_CONTINUE;
}

/* ---- All of them ---- */

CvdQmpStreams *cvd_qmp_streams_new(CvdQmp *qmp)
{
    CvdQmpStreams *streams = g_new0(CvdQmpStreams, 1);

    streams->qmp = qmp;
    streams->streams = g_ptr_array_new_with_free_func(close_stream);
    return streams;
}

static void add_stream(CvdQmpStreams *streams, int take_fd)
{
    Stream *stream = g_new0(Stream, 1);

    stream->streams = streams;
    stream->fd = take_fd;
    cvd_json_stream_init(&stream->inbox, CVD_QMP_MAX_COMMAND);
    g_ptr_array_add(streams->streams, stream);
    say(stream, cvd_qmp_get_greeting(streams->qmp));
    watch(stream);
}

int cvd_qmp_streams_open(CvdQmpStreams *streams, GError **error)
{
    int pair[2] = {-1, -1};

    if (streams->qmp == NULL || cvd_qmp_get_greeting(streams->qmp) == NULL)
        cvd_fail(error, CVD_ERROR_CLOSED, "QEMU does not speak QMP; wait until it runs");
    else if (streams->streams->len >= CVD_QMP_MAX_STREAMS)
        cvd_fail(error, CVD_ERROR_BUSY, "there are %d QMP streams already; close one",
                 CVD_QMP_MAX_STREAMS);
    else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot make a socket pair");
    else
        add_stream(streams, pair[0]);
    return pair[1];
}

static void send_event(Stream *stream, GBytes *line)
{
    if (!stream->is_negotiated)
        return;
    queue(stream, line, TRUE);
    watch(stream);
}

void cvd_qmp_streams_send_event(CvdQmpStreams *streams, CvdJsonSpan event)
{
    if (streams->streams->len == 0)
        return;
    g_autoptr(GBytes) line = make_line(event);
    for (guint i = streams->streams->len; i-- > 0;) {
        Stream *stream = g_ptr_array_index(streams->streams, i);
        send_event(stream, line);
        if (stream->n_events <= CVD_QMP_MAX_UNREAD_EVENTS || !flush(stream) ||
            stream->n_events <= CVD_QMP_MAX_UNREAD_EVENTS)
            continue;
        if (cvd_log_limit_pass(&streams->log_limit, g_get_monotonic_time()))
            g_warning("a QMP stream is closed, as its client has not read %d bytes of events",
                      CVD_QMP_MAX_UNREAD_EVENTS);
        end(stream);
    }
}

void cvd_qmp_streams_end(CvdQmpStreams *streams)
{
    for (guint i = 0; i < streams->streams->len; i++)
        flush(g_ptr_array_index(streams->streams, i));
    g_ptr_array_set_size(streams->streams, 0);
    streams->qmp = NULL;
}

void cvd_qmp_streams_free(CvdQmpStreams *streams)
{
    cvd_qmp_streams_end(streams);
    g_ptr_array_unref(streams->streams);
    g_free(streams);
}
