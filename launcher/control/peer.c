/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GDBusConnection takes in a message of any length before anybody can refuse it, keeps without
 * bound what its peer does not read, and cannot be given a stream that would do otherwise, as it
 * passes descriptors over a socket of its own only. So the bytes are moved here, and GDBusMessage
 * knows what they mean.
 *
 * A peer that does not read its answers, or whose calls take long, is not read from: what can grow
 * meanwhile is only what others send it, signals above all, and that has a bound.
 */
#include "launcher/control/peer.h"

#include "base/fd.h"
#include "base/source.h"

#include <errno.h>
#include <gio/gunixfdlist.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER_SIZE 16
#define MAX_LINE    1024 /* of the authentication */
#define READ_SIZE   16384
#define MAX_BACKLOG (64 * 1024) /* with more than that unread no further call is taken */

static const char not_d_bus[] = "its peer does not speak D-Bus";

typedef enum {
    PEER_SILENT,        /* a NUL byte is due */
    PEER_UNKNOWN,       /* AUTH is due */
    PEER_ASKED,         /* the data for AUTH is due */
    PEER_AUTHENTICATED, /* BEGIN is due */
    PEER_READY,         /* messages go to and fro */
    PEER_LOST,          /* shut down; the end is reported from the main loop */
    PEER_CLOSED,
} PeerState;

typedef struct {
    GBytes *bytes;
    gsize n_sent;
    GUnixFDList *fds; /* (nullable): go with the first byte */
} Output;

struct CvdControlPeer {
    CvdControlPeerOptions options;
    PeerState state;
    int fd;
    GSource *source;
    GIOCondition watched;
    GSource *deadline;
    GByteArray *input;
    GQueue output;   /* of Output */
    gsize n_unread;  /* bytes in it */
    guint32 serial;  /* of the message sent last */
    guint n_calls;   /* being carried out */
    gint64 heard_us; /* when something came last */
};

static void output_free(gpointer data)
{
    Output *output = data;

    g_bytes_unref(output->bytes);
    g_clear_object(&output->fds);
    g_free(output);
}

void cvd_control_peer_close(CvdControlPeer *peer)
{
    peer->state = PEER_CLOSED;
    cvd_source_clear(&peer->source);
    cvd_source_clear(&peer->deadline);
    cvd_close_fd(&peer->fd);
    g_queue_clear_full(&peer->output, output_free);
    peer->n_unread = 0;
}

static void clear(gpointer data)
{
    CvdControlPeer *peer = data;

    cvd_control_peer_close(peer);
    g_byte_array_unref(peer->input);
}

CvdControlPeer *cvd_control_peer_ref(CvdControlPeer *peer)
{
    return g_rc_box_acquire(peer);
}

void cvd_control_peer_unref(CvdControlPeer *peer)
{
    g_rc_box_release_full(peer, clear);
}

/* The one way in which a connection ends by itself; only from its own sources, never from a call of
 * the owner's. */
static void end(CvdControlPeer *peer)
{
    if (peer->state == PEER_CLOSED)
        return;
    cvd_control_peer_close(peer);
    peer->options.closed(peer->options.owner, peer);
}

static void log_end(const CvdControlPeer *peer, const char *why)
{
    if (cvd_log_limit_pass(peer->options.log_limit, g_get_monotonic_time()))
        g_warning("control: a connection is closed, as %.200s", why);
}

/* ---- What waits to be read ---- */

static gboolean may_read(const CvdControlPeer *peer)
{
    return peer->state < PEER_LOST && peer->n_calls < CVD_CONTROL_MAX_CALLS &&
           peer->n_unread <= MAX_BACKLOG;
}

static gboolean on_ready(int fd, GIOCondition condition, gpointer data);

/* The end of the connection is reported in any case. */
static void watch(CvdControlPeer *peer)
{
    GIOCondition condition =
        (may_read(peer) ? G_IO_IN : 0) | (peer->output.head != NULL ? G_IO_OUT : 0);

    if (peer->state == PEER_CLOSED || (peer->source != NULL && condition == peer->watched))
        return;
    cvd_source_clear(&peer->source);
    peer->watched = condition;
    peer->source = cvd_source_watch_fd(peer->fd, condition, on_ready, peer);
}

static void queue(CvdControlPeer *peer, void *take_bytes, gsize size, GUnixFDList *fds)
{
    Output *output = g_new0(Output, 1);

    output->bytes = g_bytes_new_take(take_bytes, size);
    output->fds = fds != NULL ? g_object_ref(fds) : NULL;
    g_queue_push_tail(&peer->output, output);
    peer->n_unread += size;
}

void cvd_control_peer_send(CvdControlPeer *peer, GDBusMessage *take_message)
{
    g_autoptr(GDBusMessage) message = take_message;
    g_autoptr(GError) error = NULL;
    gsize size;

    if (peer->state != PEER_READY)
        return;
    peer->serial = peer->serial == G_MAXUINT32 ? 1 : peer->serial + 1;
    g_dbus_message_set_serial(message, peer->serial);
    g_autofree guchar *bytes =
        g_dbus_message_to_blob(message, &size, G_DBUS_CAPABILITY_FLAGS_UNIX_FD_PASSING, &error);
    if (bytes == NULL) {
        log_end(peer, error->message);
    } else if (size <= CVD_CONTROL_MAX_UNREAD - peer->n_unread) {
        queue(peer, g_steal_pointer(&bytes), size, g_dbus_message_get_unix_fd_list(message));
        watch(peer);
        return;
    } else {
        log_end(peer, "too much waits for its peer to read it");
    }
    peer->state = PEER_LOST;
    shutdown(peer->fd, SHUT_RDWR); /* which wakes the source */
}

/* Returns: whether the connection is in order */
static gboolean write_output(CvdControlPeer *peer)
{
    while (peer->state < PEER_LOST && peer->output.head != NULL) {
        Output *output = peer->output.head->data;
        gsize size;
        const char *bytes = g_bytes_get_data(output->bytes, &size);
        gint n_fds = 0;
        const int *fds = output->fds != NULL && output->n_sent == 0
                             ? g_unix_fd_list_peek_fds(output->fds, &n_fds)
                             : NULL;
        gssize n = cvd_socket_send(peer->fd, bytes + output->n_sent, size - output->n_sent, fds,
                                   (guint)n_fds);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        output->n_sent += (gsize)n;
        peer->n_unread -= (gsize)n;
        if (output->n_sent == size)
            output_free(g_queue_pop_head(&peer->output));
    }
    return TRUE;
}

void cvd_control_peer_flush(CvdControlPeer *peer, gint64 deadline_us)
{
    for (;;) {
        struct pollfd room = {.fd = peer->fd, .events = POLLOUT};
        gint64 left_us = MAX(deadline_us - g_get_monotonic_time(), 0);
        if (peer->state >= PEER_LOST || !write_output(peer) || peer->output.head == NULL ||
            poll(&room, 1, (int)(left_us / 1000)) <= 0)
            return;
    }
}

/* ---- Authentication ---- */

static void answer(CvdControlPeer *peer, PeerState state, const char *line)
{
    char *text = g_strconcat(line, "\r\n", NULL);

    peer->state = state;
    queue(peer, text, strlen(text), NULL);
}

static void accept_peer(CvdControlPeer *peer)
{
    g_autofree char *guid = g_dbus_generate_guid();
    g_autofree char *line = g_strconcat("OK ", guid, NULL);

    answer(peer, PEER_AUTHENTICATED, line);
}

/* The credentials that the kernel gives have been checked, and whoever a peer says that it is, in
 * its own user namespace perhaps, it gets no other rights. */
static void handle_line(CvdControlPeer *peer, const char *line)
{
    gboolean is_authenticated = peer->state == PEER_AUTHENTICATED;

    if (peer->state == PEER_UNKNOWN && strcmp(line, "AUTH EXTERNAL") == 0) {
        answer(peer, PEER_ASKED, "DATA");
    } else if (peer->state == PEER_UNKNOWN && g_str_has_prefix(line, "AUTH EXTERNAL ")) {
        accept_peer(peer);
    } else if (peer->state == PEER_ASKED && g_str_has_prefix(line, "DATA")) {
        accept_peer(peer);
    } else if (is_authenticated && strcmp(line, "NEGOTIATE_UNIX_FD") == 0) {
        answer(peer, PEER_AUTHENTICATED, "AGREE_UNIX_FD");
    } else if (is_authenticated && strcmp(line, "BEGIN") == 0) {
        peer->state = PEER_READY;
        cvd_source_clear(&peer->deadline);
    } else if (strcmp(line, "BEGIN") == 0) {
        end(peer);
    } else if (g_str_has_prefix(line, "AUTH") || strcmp(line, "CANCEL") == 0) {
        answer(peer, PEER_UNKNOWN, "REJECTED EXTERNAL");
    } else {
        answer(peer, peer->state, "ERROR");
    }
}

/* Returns: whether there was something to take */
static gboolean take_line(CvdControlPeer *peer)
{
    GByteArray *input = peer->input;

    if (peer->state == PEER_SILENT && input->len > 0 && input->data[0] == '\0') {
        g_byte_array_remove_range(input, 0, 1);
        peer->state = PEER_UNKNOWN;
        return TRUE;
    }
    const guchar *border = input->len > 0 ? memmem(input->data, input->len, "\r\n", 2) : NULL;
    if ((peer->state == PEER_SILENT && input->len > 0) ||
        (border == NULL && input->len > MAX_LINE)) {
        log_end(peer, not_d_bus);
        end(peer);
    }
    if (border == NULL || peer->state == PEER_CLOSED)
        return FALSE;
    g_autofree char *line = g_strndup((const char *)input->data, (gsize)(border - input->data));
    g_byte_array_remove_range(input, 0, (guint)(border + 2 - input->data));
    handle_line(peer, line);
    return TRUE;
}

static gboolean on_deadline(gpointer data)
{
    CvdControlPeer *peer = data;

    log_end(peer, "its peer has not authenticated in time");
    end(peer);
    return G_SOURCE_REMOVE;
}

/* ---- Messages ---- */

/* GLib's parser says most of this too, but only when it has all of the message, or as a failed
 * assertion. Returns: (nullable): what is wrong */
static const char *check_header(const guchar *header, gssize *size)
{
    static const guchar no_serial[4] = {0};

    *size = g_dbus_message_bytes_needed((guchar *)header, HEADER_SIZE, NULL);
    if (*size < HEADER_SIZE || header[3] != 1 || memcmp(header + 8, no_serial, 4) == 0)
        return not_d_bus;
    if (*size > CVD_CONTROL_MAX_MESSAGE)
        return "its peer has sent a message of more than 1 MiB";
    return NULL;
}

/*
 * GLib lets fields of the header pass that are of another type than they ought to be, and a sender
 * that is no name of a bus: without a bus there is none, and a reply would be sent to it.
 */
static GDBusMessage *parse(const GByteArray *input, gssize size, GError **error)
{
    GDBusMessage *message = g_dbus_message_new_from_blob(input->data, (gsize)size, 0, error);

    if (message != NULL)
        g_dbus_message_set_sender(message, NULL);
    if (message == NULL ||
        g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_METHOD_CALL ||
        (g_dbus_message_get_path(message) != NULL && g_dbus_message_get_member(message) != NULL))
        return message;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, not_d_bus);
    g_object_unref(message);
    return NULL;
}

/* Returns: whether there was something to take */
static gboolean take_message(CvdControlPeer *peer)
{
    g_autoptr(GDBusMessage) message = NULL;
    g_autoptr(GError) error = NULL;
    gssize size;

    if (peer->input->len < HEADER_SIZE)
        return FALSE;
    const char *wrong = check_header(peer->input->data, &size);
    if (wrong == NULL) {
        if (peer->input->len < (gsize)size)
            return FALSE;
        message = parse(peer->input, size, &error);
    }
    if (message == NULL) {
        log_end(peer, wrong != NULL ? wrong : error->message);
        end(peer);
        return FALSE;
    }
    g_byte_array_remove_range(peer->input, 0, (guint)size);
    peer->options.message(peer->options.owner, peer, message);
    return TRUE;
}

static void handle_input(CvdControlPeer *peer)
{
    while (may_read(peer) && (peer->state == PEER_READY ? take_message(peer) : take_line(peer)))
        ;
}

/* What else a peer sends, descriptors, the kernel drops. Returns: whether there may be more */
static gboolean read_input(CvdControlPeer *peer)
{
    guchar bytes[READ_SIZE];
    gssize n = recv(peer->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    g_byte_array_append(peer->input, bytes, (guint)n);
    peer->heard_us = g_get_monotonic_time();
    return n > 0;
}

/* There may be whole messages already among what was read. */
static void look_again(CvdControlPeer *peer)
{
    g_source_set_ready_time(peer->source, 0);
}

static gboolean on_ready(int fd, GIOCondition condition, gpointer data)
{
    CvdControlPeer *peer = cvd_control_peer_ref(data);
    gboolean is_over = (condition & (G_IO_HUP | G_IO_ERR)) != 0;

    g_source_set_ready_time(peer->source, -1);
    if (may_read(peer) && (is_over || (condition & G_IO_IN) != 0))
        is_over = !read_input(peer);
    handle_input(peer);
    gboolean is_held_up = !may_read(peer);
    if (peer->state == PEER_LOST || is_over || !write_output(peer))
        end(peer);
    watch(peer);
    if (is_held_up && may_read(peer))
        look_again(peer);
    cvd_control_peer_unref(peer);
    return G_SOURCE_CONTINUE;
}

void cvd_control_peer_begin_call(CvdControlPeer *peer)
{
    peer->n_calls++;
}

void cvd_control_peer_end_call(CvdControlPeer *peer)
{
    peer->n_calls--;
    peer->heard_us = g_get_monotonic_time();
    if (peer->source != NULL)
        look_again(peer);
}

gint64 cvd_control_peer_get_idle_since(const CvdControlPeer *peer)
{
    return peer->state == PEER_READY && peer->n_calls == 0 ? peer->heard_us : G_MAXINT64;
}

/* ---- Beginning ---- */

CvdControlPeer *cvd_control_peer_new(int take_fd, const CvdControlPeerOptions *options)
{
    CvdControlPeer *peer = g_rc_box_new0(CvdControlPeer);

    peer->options = *options;
    peer->fd = take_fd;
    peer->input = g_byte_array_new();
    cvd_source_set_timer(&peer->deadline,
                         g_get_monotonic_time() +
                             CVD_CONTROL_AUTH_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND,
                         on_deadline, peer);
    watch(peer);
    return peer;
}

gboolean cvd_control_peer_is_ready(const CvdControlPeer *peer)
{
    return peer->state == PEER_READY;
}
