/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each state is the message that is being sent or awaited. Of what is awaited never more bytes are
 * read than belong to it, as the descriptors come with the bytes of their message. The request
 * follows only when the server has sent its version: one of another version would not understand
 * it.
 */
#include "client/handshake.h"

#include "base/fd.h"
#include "base/log.h"
#include "client/types.h"
#include "vsoc/window.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the name of a program may have in a message; the server escapes other bytes. */
#define PRINTABLE G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

/* A listening socket with a full backlog refuses and cannot be waited for. */
#define CONNECT_AGAIN_US (20 * 1000)

typedef enum {
    STATE_CONNECTING,
    STATE_SENDING_VERSION,
    STATE_VERSION,
    STATE_SENDING_REQUEST,
    STATE_BEGIN,
    STATE_END,
    STATE_GUEST_TO_HOST,
    STATE_HOST_TO_GUEST,
    STATE_WINDOW,
    STATE_SHARING,
    STATE_HOLDER,
    STATE_SENDING_LIST,
    STATE_COUNT,
    STATE_ENTRIES,
    STATE_DONE,
} State;

struct CvdHandshake {
    char *path;
    char *region;
    gboolean observes;
    State state;
    gint64 deadline_us;
    int socket;
    /* What is being sent, or what has come of the message that is awaited. */
    char bytes[MAX(VSOC_WIRE_MAX_REQUEST, VSOC_WIRE_ENTRY_SIZE) + 1];
    gsize n_bytes;
    gsize n_sent;
    int fd;
    guint32 n_listed;
    CvdHandshakeResult result;
};

typedef CvdHandshakeStep Step; /* of a state: DONE when the next follows */

CvdHandshake *cvd_handshake_new(const char *socket_path, const char *region, guint limit_ms)
{
    CvdHandshake *handshake = g_new(CvdHandshake, 1);

    *handshake = (CvdHandshake){
        .path = g_strdup(socket_path),
        .region = g_strdup(region),
        .deadline_us = g_get_monotonic_time() + (gint64)limit_ms * 1000,
        .socket = -1,
        .fd = -1,
        .result = {.guest_to_host = -1, .host_to_guest = -1, .window = -1, .connection = -1},
    };
    return handshake;
}

void cvd_handshake_observe(CvdHandshake *handshake)
{
    g_assert(handshake->state == STATE_CONNECTING && handshake->region != NULL);
    handshake->observes = TRUE;
}

void cvd_handshake_free(CvdHandshake *handshake)
{
    cvd_close_fd(&handshake->socket);
    cvd_close_fd(&handshake->fd);
    cvd_close_fd(&handshake->result.guest_to_host);
    cvd_close_fd(&handshake->result.host_to_guest);
    cvd_close_fd(&handshake->result.window);
    cvd_close_fd(&handshake->result.connection);
    g_clear_pointer(&handshake->result.regions, g_array_unref);
    g_free(handshake->path);
    g_free(handshake->region);
    g_free(handshake);
}

CvdHandshakeResult *cvd_handshake_get_result(CvdHandshake *handshake)
{
    g_assert(handshake->state == STATE_DONE);
    return &handshake->result;
}

static Step fail(CvdHandshake *handshake, GError **error, CvdRegionError code, const char *format,
                 ...) G_GNUC_PRINTF(4, 5);

static Step fail(CvdHandshake *handshake, GError **error, CvdRegionError code, const char *format,
                 ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, CVD_REGION_ERROR, (int)code, "%s: %s", handshake->path, what);
    return CVD_HANDSHAKE_FAILED;
}

static Step fail_errno(CvdHandshake *handshake, const char *what, GError **error)
{
    gboolean is_closed = errno == EPIPE || errno == ECONNRESET;

    return fail(handshake, error, is_closed ? CVD_REGION_ERROR_CLOSED : CVD_REGION_ERROR_FAILED,
                "%s: %s", what, g_strerror(errno));
}

static Step malformed(CvdHandshake *handshake, const char *expected, GError **error)
{
    g_autofree char *got = cvd_escape_bytes(handshake->bytes, handshake->n_bytes);

    return fail(handshake, error, CVD_REGION_ERROR_PROTOCOL,
                "the server does not keep to the protocol: expected %s, got \"%s\"", expected, got);
}

static void enter(CvdHandshake *handshake, State state)
{
    handshake->state = state;
    handshake->n_bytes = 0;
    handshake->n_sent = 0;
    if (state == STATE_SENDING_VERSION)
        handshake->n_bytes =
            g_strlcpy(handshake->bytes, VSOC_WIRE_GET_VERSION, sizeof handshake->bytes);
    else if (state == STATE_SENDING_LIST)
        handshake->n_bytes =
            g_strlcpy(handshake->bytes, VSOC_WIRE_GET_REGIONS, sizeof handshake->bytes);
    else if (state == STATE_SENDING_REQUEST)
        handshake->n_bytes =
            vsoc_wire_format_request(handshake->bytes, handshake->region, handshake->observes);
    else if (state == STATE_DONE)
        handshake->result.connection = g_steal_fd(&handshake->socket);
}

static void go_on(CvdHandshake *handshake)
{
    State last = handshake->observes ? STATE_HOLDER : STATE_WINDOW;

    if (handshake->state == STATE_VERSION && handshake->region == NULL)
        enter(handshake, STATE_SENDING_LIST);
    else
        enter(handshake, handshake->state == last ? STATE_DONE : handshake->state + 1);
}

static Step do_connect(CvdHandshake *handshake, GError **error)
{
    handshake->socket = cvd_socket_connect(handshake->path);
    if (handshake->socket >= 0)
        return CVD_HANDSHAKE_DONE;
    if (errno == EAGAIN)
        return CVD_HANDSHAKE_AGAIN;
    if (errno == ENAMETOOLONG)
        return fail(handshake, error, CVD_REGION_ERROR_NO_SERVER,
                    "no socket can have a path of more than 107 bytes");
    if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
        return fail(handshake, error, CVD_REGION_ERROR_NO_SERVER,
                    "no server listens there (%s); is cvd-launch running?", g_strerror(errno));
    return fail_errno(handshake, "cannot connect", error);
}

static Step do_send(CvdHandshake *handshake, GError **error)
{
    while (handshake->n_sent < handshake->n_bytes) {
        gssize n = cvd_socket_send(handshake->socket, handshake->bytes + handshake->n_sent,
                                   handshake->n_bytes - handshake->n_sent, NULL, 0);
        if (n < 0 && errno == EAGAIN)
            return CVD_HANDSHAKE_AGAIN;
        if (n < 0)
            return fail_errno(handshake, "cannot send", error);
        handshake->n_sent += (gsize)n;
    }
    return CVD_HANDSHAKE_DONE;
}

/* The descriptor of a message comes with one of its bytes; further ones are not wanted. */
static void keep_fd(CvdHandshake *handshake, int *fd)
{
    if (handshake->fd < 0)
        handshake->fd = g_steal_fd(fd);
    cvd_close_fd(fd);
}

/* Receives until @size bytes of the message are there. */
static Step do_receive(CvdHandshake *handshake, gsize size, GError **error)
{
    gboolean wants_fd = size == VSOC_WIRE_PASS_SIZE;

    g_assert(size < sizeof handshake->bytes);
    while (handshake->n_bytes < size) {
        int fd = -1;
        gssize n = cvd_socket_receive(handshake->socket, handshake->bytes + handshake->n_bytes,
                                      size - handshake->n_bytes, &fd, wants_fd ? 1 : 0);
        if (n < 0 && errno == EAGAIN)
            return CVD_HANDSHAKE_AGAIN;
        if (n < 0)
            return fail_errno(handshake, "cannot receive", error);
        if (n == 0)
            return fail(handshake, error, CVD_REGION_ERROR_CLOSED,
                        "the server has closed the connection before it had answered");
        keep_fd(handshake, &fd);
        handshake->n_bytes += (gsize)n;
    }
    return CVD_HANDSHAKE_DONE;
}

static Step receive_version(CvdHandshake *handshake, GError **error)
{
    gsize size = VSOC_WIRE_NUMBER_SIZE; /* of the shorter form */

    for (;;) {
        Step step = do_receive(handshake, size, error);
        if (step != CVD_HANDSHAKE_DONE)
            return step;
        switch (vsoc_wire_parse_version(handshake->bytes, handshake->n_bytes)) {
        case VSOC_WIRE_VERSION_MORE:
            size = VSOC_WIRE_MAX_VERSION;
            break;
        case VSOC_WIRE_VERSION_0:
            return CVD_HANDSHAKE_DONE;
        case VSOC_WIRE_VERSION_OTHER: {
            g_autofree char *got = cvd_escape_bytes(handshake->bytes, handshake->n_bytes);
            return fail(handshake, error, CVD_REGION_ERROR_VERSION,
                        "the server speaks another version of the protocol than 0: \"%s\"", got);
        }
        case VSOC_WIRE_VERSION_MALFORMED:
            return malformed(handshake, "`" VSOC_WIRE_VERSION_REPLY "`", error);
        }
    }
}

static Step receive_number(CvdHandshake *handshake, guint32 *number, GError **error)
{
    Step step = do_receive(handshake, VSOC_WIRE_NUMBER_SIZE, error);

    if (step == CVD_HANDSHAKE_DONE && !vsoc_wire_parse_number(handshake->bytes, number))
        return malformed(handshake, "`0x` and 8 hexadecimal digits", error);
    return step;
}

/* What follows the number came together with it, if anything did. */
static Step refused(CvdHandshake *handshake, GError **error)
{
    char text[VSOC_WIRE_REFUSAL_SIZE];
    gsize prefix = strlen(VSOC_WIRE_IN_USE);
    gssize n = cvd_socket_receive(handshake->socket, text, sizeof text - 1, NULL, 0);

    text[MAX(n, 0)] = '\0';
    if (!g_str_has_prefix(text, VSOC_WIRE_IN_USE))
        return fail(handshake, error, CVD_REGION_ERROR_UNKNOWN_REGION,
                    "the server has no region '%s'; `cvd-client list` shows what there is",
                    handshake->region);
    const char *holder = g_strcanon(text + prefix, PRINTABLE, '?');
    return fail(handshake, error, CVD_REGION_ERROR_IN_USE,
                "region '%s' is exclusive, and %s has it; end that program first",
                handshake->region, holder[0] != '\0' ? holder : "another program");
}

static Step receive_begin(CvdHandshake *handshake, GError **error)
{
    Step step = receive_number(handshake, &handshake->result.begin, error);

    if (step == CVD_HANDSHAKE_DONE && handshake->result.begin == VSOC_WIRE_UNKNOWN)
        return refused(handshake, error);
    return step;
}

static Step receive_end(CvdHandshake *handshake, GError **error)
{
    return receive_number(handshake, &handshake->result.end, error);
}

static Step receive_fd(CvdHandshake *handshake, GError **error)
{
    static const char zeroes[VSOC_WIRE_PASS_SIZE];
    CvdHandshakeResult *result = &handshake->result;
    const struct {
        int *fd;
        const char *what;
    } wanted[] = {
        {&result->guest_to_host, "8 zero bytes with the guest-to-host doorbell"},
        {&result->host_to_guest, "8 zero bytes with the host-to-guest doorbell"},
        {&result->window, "8 zero bytes with the window"},
    };
    guint i = handshake->state - STATE_GUEST_TO_HOST;
    Step step = do_receive(handshake, VSOC_WIRE_PASS_SIZE, error);

    if (step != CVD_HANDSHAKE_DONE)
        return step;
    if (handshake->fd < 0 || memcmp(handshake->bytes, zeroes, sizeof zeroes) != 0)
        return malformed(handshake, wanted[i].what, error);
    *wanted[i].fd = g_steal_fd(&handshake->fd);
    return CVD_HANDSHAKE_DONE;
}

static Step receive_sharing(CvdHandshake *handshake, GError **error)
{
    guint32 number = 0;
    Step step = receive_number(handshake, &number, error);

    if (step == CVD_HANDSHAKE_DONE && number > VSOC_WIRE_TAKEN)
        return malformed(handshake, "0, 1 or 2", error);
    handshake->result.sharing = number;
    return step;
}

static Step receive_holder(CvdHandshake *handshake, GError **error)
{
    return receive_number(handshake, &handshake->result.holder, error);
}

static Step receive_count(CvdHandshake *handshake, GError **error)
{
    Step step = receive_number(handshake, &handshake->n_listed, error);

    if (step != CVD_HANDSHAKE_DONE)
        return step;
    if (handshake->n_listed == VSOC_WIRE_UNKNOWN)
        return fail(handshake, error, CVD_REGION_ERROR_UNKNOWN_REGION,
                    "this user may have none of the regions (`access` in the instance's "
                    "configuration)");
    if (handshake->n_listed > CVD_MAX_LISTED)
        return malformed(handshake, "at most 2048 regions", error);
    handshake->result.regions = g_array_new(FALSE, FALSE, sizeof(CvdRegionInfo));
    return CVD_HANDSHAKE_DONE;
}

static void add_entry(CvdHandshake *handshake, const struct vsoc_wire_entry *entry)
{
    CvdRegionInfo info = {.begin = entry->begin, .end = entry->end};

    G_STATIC_ASSERT(sizeof info.name == sizeof entry->name);
    memcpy(info.name, entry->name, sizeof info.name);
    g_array_append_val(handshake->result.regions, info);
}

static Step receive_entries(CvdHandshake *handshake, GError **error)
{
    while (handshake->result.regions->len < handshake->n_listed) {
        struct vsoc_wire_entry entry;
        gsize used;
        guint32 length = 0;
        Step step = do_receive(handshake, 3 * (gsize)VSOC_WIRE_NUMBER_SIZE, error);
        if (step != CVD_HANDSHAKE_DONE)
            return step;
        if (vsoc_wire_parse_number(handshake->bytes + 2 * (gsize)VSOC_WIRE_NUMBER_SIZE, &length) &&
            length <= VSOC_MAX_DEVICE_NAME)
            step = do_receive(handshake, 3 * (gsize)VSOC_WIRE_NUMBER_SIZE + length, error);
        if (step != CVD_HANDSHAKE_DONE)
            return step;
        if (vsoc_wire_parse_entry(handshake->bytes, handshake->n_bytes, &entry, &used) !=
            VSOC_WIRE_PARSED)
            return malformed(handshake, "the entry of a region", error);
        add_entry(handshake, &entry);
        handshake->n_bytes = 0;
    }
    return CVD_HANDSHAKE_DONE;
}

/* What each state does, and what it waits for; nothing: only until a moment. */
static const struct {
    Step (*run)(CvdHandshake *handshake, GError **error);
    GIOCondition condition;
} states[STATE_DONE + 1] = {
    [STATE_CONNECTING] = {do_connect, 0},          [STATE_SENDING_VERSION] = {do_send, G_IO_OUT},
    [STATE_VERSION] = {receive_version, G_IO_IN},  [STATE_SENDING_REQUEST] = {do_send, G_IO_OUT},
    [STATE_BEGIN] = {receive_begin, G_IO_IN},      [STATE_END] = {receive_end, G_IO_IN},
    [STATE_GUEST_TO_HOST] = {receive_fd, G_IO_IN}, [STATE_HOST_TO_GUEST] = {receive_fd, G_IO_IN},
    [STATE_WINDOW] = {receive_fd, G_IO_IN},        [STATE_SHARING] = {receive_sharing, G_IO_IN},
    [STATE_HOLDER] = {receive_holder, G_IO_IN},    [STATE_SENDING_LIST] = {do_send, G_IO_OUT},
    [STATE_COUNT] = {receive_count, G_IO_IN},      [STATE_ENTRIES] = {receive_entries, G_IO_IN},
};

static const char *silence_of(const CvdHandshake *handshake)
{
    return handshake->state == STATE_CONNECTING
               ? "the server takes no connection; it may have as many clients as it may have"
               : "the server does not answer in time";
}

static gboolean is_name(const char *name)
{
    guint32 n;

    return vsoc_name_check(name, strlen(name), &n) == VSOC_NAME_GOOD;
}

CvdHandshakeStep cvd_handshake_step(CvdHandshake *handshake, GError **error)
{
    if (handshake->region != NULL && !is_name(handshake->region)) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_UNKNOWN_REGION,
                    "'%s': no region can have that name: 1 to 15 of A-Z a-z 0-9 _ - .",
                    handshake->region);
        return CVD_HANDSHAKE_FAILED;
    }
    while (handshake->state != STATE_DONE) {
        Step step = states[handshake->state].run(handshake, error);
        if (step == CVD_HANDSHAKE_DONE)
            go_on(handshake);
        else if (step == CVD_HANDSHAKE_AGAIN && g_get_monotonic_time() >= handshake->deadline_us)
            return fail(handshake, error, CVD_REGION_ERROR_PROTOCOL, "%s", silence_of(handshake));
        else
            return step;
    }
    return CVD_HANDSHAKE_DONE;
}

/* When to step again even if nothing happens. */
static gint64 moment_of(const CvdHandshake *handshake)
{
    if (handshake->state == STATE_CONNECTING)
        return MIN(handshake->deadline_us, g_get_monotonic_time() + CONNECT_AGAIN_US);
    return handshake->deadline_us;
}

static gboolean wait_blocking(CvdHandshake *handshake, GCancellable *cancellable, GError **error)
{
    GPollFD fds[2] = {{.fd = handshake->socket, .events = states[handshake->state].condition}};
    /* Without a free descriptor a cancellation is seen when the wait is over. */
    gboolean has_cancel = g_cancellable_make_pollfd(cancellable, &fds[1]);
    gint64 left_us = moment_of(handshake) - g_get_monotonic_time();

    g_poll(fds, has_cancel ? 2 : 1, (int)(MAX(left_us, 0) / 1000 + 1));
    if (has_cancel)
        g_cancellable_release_fd(cancellable);
    return !g_cancellable_set_error_if_cancelled(cancellable, error);
}

gboolean cvd_handshake_run(CvdHandshake *handshake, GCancellable *cancellable, GError **error)
{
    if (g_cancellable_set_error_if_cancelled(cancellable, error))
        return FALSE;
    for (;;) {
        switch (cvd_handshake_step(handshake, error)) {
        case CVD_HANDSHAKE_DONE:
            return TRUE;
        case CVD_HANDSHAKE_FAILED:
            return FALSE;
        case CVD_HANDSHAKE_AGAIN:
            if (!wait_blocking(handshake, cancellable, error))
                return FALSE;
        }
    }
}

typedef struct {
    GSource source;
    CvdHandshake *handshake;
    GCancellable *cancellable;
    gpointer tag; /* of the socket, once there is one */
} HandshakeSource;

static void prepare_next(HandshakeSource *self)
{
    CvdHandshake *handshake = self->handshake;

    if (handshake->socket >= 0 && self->tag == NULL)
        self->tag = g_source_add_unix_fd(&self->source, handshake->socket,
                                         states[handshake->state].condition);
    else if (self->tag != NULL)
        g_source_modify_unix_fd(&self->source, self->tag, states[handshake->state].condition);
    g_source_set_ready_time(&self->source, moment_of(handshake));
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer user_data)
{
    HandshakeSource *self = (HandshakeSource *)(void *)source;
    g_autoptr(GError) error = NULL;

    if (!g_cancellable_set_error_if_cancelled(self->cancellable, &error) &&
        cvd_handshake_step(self->handshake, &error) == CVD_HANDSHAKE_AGAIN) {
        prepare_next(self);
        return G_SOURCE_CONTINUE;
    }
    /* A connection that is done belongs to somebody else now. */
    if (self->tag != NULL)
        g_source_remove_unix_fd(source, g_steal_pointer(&self->tag));
    if (callback != NULL)
        ((CvdHandshakeFunc)(void (*)(void))callback)(self->handshake, error, user_data);
    return G_SOURCE_REMOVE;
}

static void finalize(GSource *source)
{
    g_clear_object(&((HandshakeSource *)(void *)source)->cancellable);
}

static gboolean on_cancelled(GCancellable *cancellable, gpointer data)
{
    return G_SOURCE_CONTINUE;
}

GSource *cvd_handshake_source_new(CvdHandshake *handshake, GCancellable *cancellable)
{
    static GSourceFuncs functions = {.dispatch = dispatch, .finalize = finalize};
    GSource *source = g_source_new(&functions, sizeof(HandshakeSource));
    HandshakeSource *self = (HandshakeSource *)(void *)source;

    self->handshake = handshake;
    if (cancellable != NULL) {
        self->cancellable = g_object_ref(cancellable);
        g_autoptr(GSource) child = g_cancellable_source_new(cancellable);
        g_source_set_callback(child, G_SOURCE_FUNC(on_cancelled), NULL, NULL);
        g_source_add_child_source(source, child);
    }
    g_source_set_name(source, "cvd handshake");
    g_source_set_ready_time(source, 0); /* the first step is made by the loop too */
    return source;
}
