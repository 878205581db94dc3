/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session is in one state; step() does what is due in it and says whether there is more to do
 * now. Nothing is queued for sending: a message is made again from the state when the socket takes
 * it, and `sent` says how much of it went before. While an answer waits for the client to read,
 * nothing is read from the client, so that it cannot make more of it.
 */
#include "server/client-session.h"

#include "base/fd.h"
#include "vsoc/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* What is thrown away, or listed, in one go; a listing of all regions takes some 30 of these. */
#define CHUNK_SIZE     4096
#define DISCARD_CHUNKS 4

typedef enum {
    SEND_DONE,
    SEND_WAIT, /* `wants` says for what */
    SEND_DEAD,
} SendResult;

static const char *const state_names[] = {
    [CVD_SESSION_READING] = "reading",
    [CVD_SESSION_IDLE] = "idle",
    [CVD_SESSION_SENDING_VERSION] = "sending version",
    [CVD_SESSION_SENDING_LIST] = "sending list",
    [CVD_SESSION_SENDING_UNKNOWN] = "sending unknown",
    [CVD_SESSION_SENDING_IN_USE] = "sending in use",
    [CVD_SESSION_SENDING_OFFSETS] = "sending offsets",
    [CVD_SESSION_SENDING_GUEST_TO_HOST] = "sending guest_to_host",
    [CVD_SESSION_SENDING_HOST_TO_GUEST] = "sending host_to_guest",
    [CVD_SESSION_SENDING_WINDOW] = "sending window",
    [CVD_SESSION_SENDING_HOLDER] = "sending holder",
    [CVD_SESSION_SENDING_LEGACY_HELLO] = "sending legacy hello",
    [CVD_SESSION_SENDING_LEGACY_ANSWER] = "sending legacy answer",
    [CVD_SESSION_LINGERING] = "lingering",
    [CVD_SESSION_CLOSED] = "closed",
};
G_STATIC_ASSERT(G_N_ELEMENTS(state_names) == CVD_SESSION_CLOSED + 1);

static void set_state(CvdClientSession *session, CvdSessionState state)
{
    if (state != session->state && cvd_log_is_verbose())
        g_debug("client connection %d: %s -> %s", session->fd, state_names[session->state],
                state_names[state]);
    session->state = (guint8)state;
    session->sent = 0;
    session->list_item = 0;
}

static void log_peer(CvdClientSession *session, gint64 now_us, const char *region,
                     const char *format, ...) G_GNUC_PRINTF(4, 5);

/* What a client does wrong can be repeated without end, so its lines are limited. */
static void log_peer(CvdClientSession *session, gint64 now_us, const char *region,
                     const char *format, ...)
{
    va_list arguments;

    if (!cvd_log_limit_pass(&session->service->log_limit, now_us))
        return;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    cvd_log_client(G_LOG_LEVEL_MESSAGE, session->pid, region, "client of pid %d, uid %u %s",
                   session->pid, session->uid, text);
}

/* Returns whether more may come. */
static gboolean discard(CvdClientSession *session, guint n_chunks)
{
    char bytes[CHUNK_SIZE];

    for (guint i = 0; i < n_chunks; i++) {
        gssize n = cvd_socket_receive(session->fd, bytes, sizeof bytes, NULL, 0);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
    }
    return TRUE;
}

static void end(CvdClientSession *session)
{
    set_state(session, CVD_SESSION_CLOSED);
    session->wants = CVD_SESSION_WANTS_NOTHING;
    session->deadline = 0;
    session->service->closing(session->service->owner, session);
    cvd_close_fd(&session->fd);
}

void cvd_client_session_close(CvdClientSession *session)
{
    if (session->state == CVD_SESSION_CLOSED)
        return;
    /* Unread input would turn the close into a reset. */
    discard(session, DISCARD_CHUNKS);
    end(session);
}

static void linger(CvdClientSession *session, gint64 now_us)
{
    if (session->deadline == 0)
        session->deadline = now_us + session->service->timeout_us;
    set_state(session, CVD_SESSION_LINGERING);
    shutdown(session->fd, SHUT_WR);
}

/* The client has said something wrong. Only after an answer is there something to be lost. */
static void reject(CvdClientSession *session, const char *reason, gint64 now_us)
{
    log_peer(session, now_us, NULL, "broke the protocol: %s; closing its connection", reason);
    if (session->parser.expects == VSOC_WIRE_EXPECTS_VERSION)
        cvd_client_session_close(session);
    else
        linger(session, now_us);
}

static SendResult send_rest(CvdClientSession *session, const void *message, gsize size,
                            const int *fds, guint n_fds, gsize *n_sent)
{
    gssize n = cvd_socket_send(session->fd, message, size, fds, n_fds);

    *n_sent = n > 0 ? (gsize)n : 0;
    if (*n_sent == size)
        return SEND_DONE;
    if (n >= 0 || errno == EAGAIN) {
        session->wants = CVD_SESSION_WANTS_OUTPUT;
        return SEND_WAIT;
    }
    if (errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM) {
        session->wants = CVD_SESSION_WANTS_RETRY;
        return SEND_WAIT;
    }
    g_debug("client connection %d: %s", session->fd, g_strerror(errno));
    return SEND_DEAD;
}

/* Sends what is left of one message and goes to @next when all of it went. */
static gboolean send_message(CvdClientSession *session, const char *message, gsize size,
                             const int *fds, guint n_fds, CvdSessionState next)
{
    gsize n_sent;

    if (session->sent > 0)
        n_fds = 0;
    switch (
        send_rest(session, message + session->sent, size - session->sent, fds, n_fds, &n_sent)) {
    case SEND_DONE:
        set_state(session, next);
        return TRUE;
    case SEND_WAIT:
        session->sent = (guint16)(session->sent + n_sent);
        return FALSE;
    case SEND_DEAD:
        cvd_client_session_close(session);
        return FALSE;
    }
    g_assert_not_reached();
}

static gboolean send_offsets(CvdClientSession *session, const CvdLayoutRegion *region)
{
    char text[2 * VSOC_WIRE_NUMBER_SIZE + 1];
    gsize size = vsoc_wire_format_number(text, region->begin);

    size += vsoc_wire_format_number(text + size, region->end);
    return send_message(session, text, size, NULL, 0, CVD_SESSION_SENDING_GUEST_TO_HOST);
}

static gboolean pass_fds(CvdClientSession *session, const int *fds, guint n_fds,
                         CvdSessionState next)
{
    static const char zeros[VSOC_WIRE_PASS_SIZE];

    return send_message(session, zeros, sizeof zeros, fds, n_fds, next);
}

/* @dummy: (out): closed by the caller. Nobody is at its other end: whoever may only read can
 * neither ring nor steal a wake-up. Returns: what the client gets for @doorbell; −1 for now */
static int choose(CvdClientSession *session, int doorbell, int *dummy)
{
    if (session->access != CVD_ACCESS_READ_ONLY)
        return doorbell;
    *dummy = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (*dummy < 0)
        session->wants = CVD_SESSION_WANTS_RETRY;
    return *dummy;
}

static gboolean pass_doorbell(CvdClientSession *session, int doorbell, CvdSessionState next)
{
    cvd_autofd dummy = -1;
    int fd = choose(session, doorbell, &dummy);

    return fd >= 0 && pass_fds(session, &fd, 1, next);
}

static int get_window(const CvdClientSession *session)
{
    return session->access == CVD_ACCESS_READ_ONLY ? session->service->served.read_only_window_fd
                                                   : session->service->served.window_fd;
}

/* @peer: what a client may see of the layout is looked up with it, got once for each piece */
static gboolean get_peer(const CvdClientSession *session, CvdPeer *peer)
{
    return cvd_access_rules_get_peer(session->service->served.access, session->fd, peer);
}

static CvdAccess check_access(const CvdClientSession *session, const CvdPeer *peer, guint region)
{
    const CvdServed *served = &session->service->served;

    return cvd_access_rules_check(served->access, peer, served->layout->regions[region].name);
}

static guint count_regions(const CvdClientSession *session, const CvdPeer *peer)
{
    guint n = 0;

    for (guint i = 0; i < session->service->served.layout->n_regions; i++)
        n += check_access(session, peer, i) != CVD_ACCESS_NONE;
    return n;
}

/* Item 0 of a listing is the number of regions, item i + 1 is region i, nothing if it is hidden. */
static gsize format_item(const CvdClientSession *session, const CvdPeer *peer, guint item,
                         char out[VSOC_WIRE_ENTRY_SIZE + 1])
{
    if (item == 0)
        return vsoc_wire_format_number(out, count_regions(session, peer));
    if (check_access(session, peer, item - 1) == CVD_ACCESS_NONE)
        return 0;
    const CvdLayoutRegion *region = &session->service->served.layout->regions[item - 1];
    return vsoc_wire_format_entry(out, region->begin, region->end, region->name);
}

static void advance_list(CvdClientSession *session, const CvdPeer *peer, gsize n_sent)
{
    char item[VSOC_WIRE_ENTRY_SIZE + 1];

    n_sent += session->sent;
    for (;;) {
        gsize size = format_item(session, peer, session->list_item, item);
        if (n_sent < size)
            break;
        n_sent -= size;
        session->list_item++;
        if (session->list_item > session->service->served.layout->n_regions)
            break;
    }
    session->sent = (guint16)n_sent;
}

static void finish_request(CvdClientSession *session)
{
    set_state(session, CVD_SESSION_IDLE);
    session->deadline = 0;
}

/* One piece a run: a long listing holds up nobody else. */
static gboolean send_list_piece(CvdClientSession *session)
{
    const CvdLayout *layout = session->service->served.layout;
    g_auto(CvdPeer) peer = {0};
    char piece[CHUNK_SIZE];
    gsize size = 0, n_sent;

    if (!get_peer(session, &peer)) {
        cvd_client_session_close(session);
        return FALSE;
    }
    for (guint i = session->list_item;
         i <= layout->n_regions && size + VSOC_WIRE_ENTRY_SIZE < sizeof piece; i++)
        size += format_item(session, &peer, i, piece + size);

    SendResult result =
        send_rest(session, piece + session->sent, size - session->sent, NULL, 0, &n_sent);
    if (result == SEND_DEAD) {
        cvd_client_session_close(session);
        return FALSE;
    }
    advance_list(session, &peer, n_sent);
    if (session->list_item > layout->n_regions) {
        finish_request(session);
        return TRUE;
    }
    if (result == SEND_DONE)
        session->wants = CVD_SESSION_WANTS_OUTPUT;
    return FALSE;
}

/* The owner may do anything in the callback, even close the session. */
static void attached(CvdClientSession *session)
{
    session->given = session->region;
    finish_request(session);
    session->service->attached(session->service->owner, session,
                               session->service->served.layout->regions[session->region].name);
}

/* Whoever may only read is no receiver, and in nobody's way. */
static gboolean claim(CvdClientSession *session)
{
    const CvdClientService *service = session->service;
    guint region = (guint)session->region;

    return session->access != CVD_ACCESS_READ_WRITE ||
           !service->served.layout->regions[region].is_exclusive ||
           service->claim(service->owner, session, region);
}

/* To a client that knows nothing of exclusive regions it is an unknown one. */
static void refuse(CvdClientSession *session, gint64 now_us)
{
    const CvdClientService *service = session->service;

    if (session->dialect == CVD_DIALECT_LEGACY) {
        linger(session, now_us);
        return;
    }
    g_autofree char *holder = service->describe_holder(service->owner, (guint)session->region);
    gsize size = vsoc_wire_format_number(session->refusal, VSOC_WIRE_UNKNOWN);
    g_snprintf(session->refusal + size, sizeof session->refusal - size, VSOC_WIRE_IN_USE "%s",
               holder);
    set_state(session, CVD_SESSION_SENDING_IN_USE);
}

/* Returns: what becomes of @access for one that only wants to look */
static CvdAccess observe(const CvdClientSession *session, CvdAccess access)
{
    gboolean is_possible = session->service->served.read_only_window_fd >= 0;

    return access != CVD_ACCESS_NONE && is_possible ? CVD_ACCESS_READ_ONLY : CVD_ACCESS_NONE;
}

static void look_up(CvdClientSession *session, const struct vsoc_wire_name *name, gint64 now_us)
{
    gboolean is_legacy = session->dialect == CVD_DIALECT_LEGACY;
    g_auto(CvdPeer) peer = {0};

    session->region =
        (gint16)cvd_layout_find(session->service->served.layout, name->bytes, name->length);
    session->access = session->region >= 0 && get_peer(session, &peer)
                          ? (guint8)check_access(session, &peer, (guint)session->region)
                          : CVD_ACCESS_NONE;
    session->observes = name->observes;
    if (session->observes)
        session->access = (guint8)observe(session, session->access);
    if (session->access != CVD_ACCESS_NONE) {
        gboolean is_ours = claim(session); /* in which the owner may close us */
        if (session->state == CVD_SESSION_CLOSED)
            return;
        if (!is_ours)
            refuse(session, now_us);
        else
            set_state(session,
                      is_legacy ? CVD_SESSION_SENDING_LEGACY_ANSWER : CVD_SESSION_SENDING_OFFSETS);
        return;
    }

    g_autofree char *shown = cvd_escape_bytes(name->bytes, name->length);
    log_peer(session, now_us, shown, "asked for region \"%s\", which %s", shown,
             session->region < 0 ? "there is not" : "it may not have");
    if (is_legacy)
        linger(session, now_us);
    else
        set_state(session, CVD_SESSION_SENDING_UNKNOWN);
}

/* Who may have nothing learns nothing, not even that there is something. */
static void start_list(CvdClientSession *session, gint64 now_us)
{
    g_auto(CvdPeer) peer = {0};

    if (get_peer(session, &peer) && count_regions(session, &peer) > 0) {
        set_state(session, CVD_SESSION_SENDING_LIST);
        return;
    }
    log_peer(session, now_us, NULL, "asked for the regions, of which it may have none");
    set_state(session, CVD_SESSION_SENDING_UNKNOWN);
}

static void reject_malformed(CvdClientSession *session, gint64 now_us)
{
    const struct vsoc_wire_parser *parser = &session->parser;
    gsize wrong;
    const char *wanted = vsoc_wire_get_wanted(parser, &wrong);
    g_autofree char *got = cvd_escape_bytes(parser->bytes + wrong, parser->n_bytes - wrong);
    g_autofree char *reason = g_strdup_printf("expected %s, got \"%s\"", wanted, got);

    reject(session, reason, now_us);
}

static gboolean handle_event(CvdClientSession *session, enum vsoc_wire_event event,
                             const struct vsoc_wire_name *name, gint64 now_us)
{
    switch (event) {
    case VSOC_WIRE_MORE:
        session->wants = CVD_SESSION_WANTS_INPUT;
        return FALSE;
    case VSOC_WIRE_VERSION:
        set_state(session, CVD_SESSION_SENDING_VERSION);
        return TRUE;
    case VSOC_WIRE_LIST:
        start_list(session, now_us);
        return TRUE;
    case VSOC_WIRE_REGION:
        look_up(session, name, now_us);
        return TRUE;
    case VSOC_WIRE_BAD_LENGTH:
        if (session->dialect == CVD_DIALECT_LEGACY)
            reject(session, "a region name has 1 to 15 bytes", now_us);
        else
            set_state(session, CVD_SESSION_SENDING_UNKNOWN);
        return TRUE;
    case VSOC_WIRE_MALFORMED:
        reject_malformed(session, now_us);
        return TRUE;
    }
    g_assert_not_reached();
}

static gboolean read_request(CvdClientSession *session, gint64 now_us)
{
    struct vsoc_wire_name name;
    enum vsoc_wire_event event = vsoc_wire_next(&session->parser, &name);

    return handle_event(session, event, &name, now_us);
}

static gboolean wait_for_request(CvdClientSession *session, gint64 now_us)
{
    if (!vsoc_wire_has_begun(&session->parser)) {
        session->wants = CVD_SESSION_WANTS_INPUT;
        return FALSE;
    }
    session->deadline = now_us + session->service->timeout_us;
    set_state(session, CVD_SESSION_READING);
    return TRUE;
}

static gboolean send_version(CvdClientSession *session)
{
    const char *reply = session->service->served.version_reply;

    return send_message(session, reply, strlen(reply), NULL, 0, CVD_SESSION_READING);
}

static gboolean send_unknown(CvdClientSession *session, gint64 now_us)
{
    char text[VSOC_WIRE_NUMBER_SIZE + 1];
    gsize size = vsoc_wire_format_number(text, VSOC_WIRE_UNKNOWN);

    if (!send_message(session, text, size, NULL, 0, CVD_SESSION_LINGERING))
        return FALSE;
    linger(session, now_us);
    return TRUE;
}

static gboolean send_in_use(CvdClientSession *session, gint64 now_us)
{
    if (!send_message(session, session->refusal, strlen(session->refusal), NULL, 0,
                      CVD_SESSION_LINGERING))
        return FALSE;
    linger(session, now_us);
    return TRUE;
}

static gboolean send_legacy_hello(CvdClientSession *session)
{
    const guint32 version = 0;

    return send_message(session, (const char *)&version, sizeof version, NULL, 0,
                        CVD_SESSION_READING);
}

static gboolean send_window(CvdClientSession *session)
{
    int fd = get_window(session);
    CvdSessionState next = session->observes ? CVD_SESSION_SENDING_HOLDER : CVD_SESSION_IDLE;

    if (!pass_fds(session, &fd, 1, next))
        return FALSE;
    if (next == CVD_SESSION_IDLE)
        attached(session);
    return TRUE;
}

static gboolean send_holder(CvdClientSession *session, const CvdLayoutRegion *region)
{
    const CvdClientService *service = session->service;
    enum vsoc_wire_sharing sharing = VSOC_WIRE_SHARED;
    char text[2 * VSOC_WIRE_NUMBER_SIZE + 1];
    int pid = 0;

    if (region->is_exclusive)
        sharing = service->is_held(service->owner, (guint)session->region, &pid) ? VSOC_WIRE_TAKEN
                                                                                 : VSOC_WIRE_FREE;
    gsize size = vsoc_wire_format_number(text, sharing);
    size += vsoc_wire_format_number(text + size, (guint32)pid);
    if (!send_message(session, text, size, NULL, 0, CVD_SESSION_IDLE))
        return FALSE;
    attached(session);
    return TRUE;
}

static gboolean send_legacy_answer(CvdClientSession *session, guint region)
{
    const CvdDoorbells *doorbells = session->service->served.doorbells;
    cvd_autofd first = -1;
    cvd_autofd second = -1;
    int fds[] = {
        choose(session, cvd_doorbells_get_guest_to_host(doorbells, region), &first),
        choose(session, cvd_doorbells_get_host_to_guest(doorbells, region), &second),
        get_window(session),
    };

    if (fds[0] < 0 || fds[1] < 0 || !pass_fds(session, fds, G_N_ELEMENTS(fds), CVD_SESSION_IDLE))
        return FALSE;
    attached(session);
    return TRUE;
}

/* Does what is due; returns whether there is more to do now. */
static gboolean step(CvdClientSession *session, gint64 now_us)
{
    const CvdClientService *service = session->service;
    guint region = (guint)session->region;

    switch ((CvdSessionState)session->state) {
    case CVD_SESSION_READING:
        return read_request(session, now_us);
    case CVD_SESSION_IDLE:
        return wait_for_request(session, now_us);
    case CVD_SESSION_SENDING_VERSION:
        return send_version(session);
    case CVD_SESSION_SENDING_LIST:
        return send_list_piece(session);
    case CVD_SESSION_SENDING_UNKNOWN:
        return send_unknown(session, now_us);
    case CVD_SESSION_SENDING_IN_USE:
        return send_in_use(session, now_us);
    case CVD_SESSION_SENDING_OFFSETS:
        return send_offsets(session, &service->served.layout->regions[region]);
    case CVD_SESSION_SENDING_GUEST_TO_HOST:
        return pass_doorbell(session,
                             cvd_doorbells_get_guest_to_host(service->served.doorbells, region),
                             CVD_SESSION_SENDING_HOST_TO_GUEST);
    case CVD_SESSION_SENDING_HOST_TO_GUEST:
        return pass_doorbell(session,
                             cvd_doorbells_get_host_to_guest(service->served.doorbells, region),
                             CVD_SESSION_SENDING_WINDOW);
    case CVD_SESSION_SENDING_WINDOW:
        return send_window(session);
    case CVD_SESSION_SENDING_HOLDER:
        return send_holder(session, &service->served.layout->regions[region]);
    case CVD_SESSION_SENDING_LEGACY_HELLO:
        return send_legacy_hello(session);
    case CVD_SESSION_SENDING_LEGACY_ANSWER:
        return send_legacy_answer(session, region);
    case CVD_SESSION_LINGERING:
        session->wants = CVD_SESSION_WANTS_INPUT;
        return FALSE;
    case CVD_SESSION_CLOSED:
        return FALSE;
    }
    g_assert_not_reached();
}

static void receive_input(CvdClientSession *session)
{
    gsize room;
    char *bytes = vsoc_wire_get_room(&session->parser, &room);
    gssize n = cvd_socket_receive(session->fd, bytes, room, NULL, 0);

    if (n > 0)
        vsoc_wire_add(&session->parser, (gsize)n);
    else if (n == 0 || errno != EAGAIN)
        end(session); /* there is nothing left to read */
}

static gboolean is_reading(const CvdClientSession *session)
{
    return session->state == CVD_SESSION_READING || session->state == CVD_SESSION_IDLE;
}

void cvd_client_session_init(CvdClientSession *session, CvdClientService *service, int fd,
                             CvdDialect dialect, gint64 now_us)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;

    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    *session = (CvdClientSession){
        .service = service,
        .deadline = now_us + service->timeout_us,
        .fd = fd,
        .pid = peer.pid,
        .uid = peer.uid,
        .region = -1,
        .given = -1,
        .dialect = (guint8)dialect & 0xf,
    };
    switch (dialect) {
    case CVD_DIALECT_NONE:
        g_assert_not_reached();
    case CVD_DIALECT_TEXT:
        session->state = CVD_SESSION_READING;
        session->wants = CVD_SESSION_WANTS_INPUT;
        vsoc_wire_init(&session->parser, VSOC_WIRE_EXPECTS_VERSION);
        break;
    case CVD_DIALECT_LEGACY:
        session->state = CVD_SESSION_SENDING_LEGACY_HELLO;
        session->wants = CVD_SESSION_WANTS_OUTPUT;
        vsoc_wire_init(&session->parser, VSOC_WIRE_EXPECTS_LEGACY_LENGTH);
        break;
    }
}

void cvd_client_session_init_attached(CvdClientSession *session, CvdClientService *service, int fd,
                                      guint region, CvdAccess access, uid_t uid)
{
    *session = (CvdClientSession){
        .service = service,
        .fd = fd,
        .pid = getpid(),
        .uid = uid,
        .region = (gint16)region,
        .given = (gint16)region,
        .dialect = CVD_DIALECT_NONE,
        .state = CVD_SESSION_IDLE,
        .wants = CVD_SESSION_WANTS_INPUT,
        .access = (guint8)access,
    };
    vsoc_wire_init(&session->parser, VSOC_WIRE_EXPECTS_NOTHING);
}

CvdSessionWants cvd_client_session_run(CvdClientSession *session, gint64 now_us)
{
    if (is_reading(session))
        receive_input(session);
    else if (session->state == CVD_SESSION_LINGERING && !discard(session, 1))
        cvd_client_session_close(session);
    while (step(session, now_us))
        ;
    return session->wants;
}

/* Who connects and waits is likely a QEMU at the wrong socket: what the VM socket would send it, a
 * version that it does not know, ends it; at the end of the stream it would read for ever. */
static void refuse_vm(const CvdClientSession *session)
{
    guint8 message[VSOC_HANDOVER_SIZE];
    gsize size = session->dialect == CVD_DIALECT_TEXT ? sizeof message : sizeof(guint32);

    vsoc_handover_encode(message, VSOC_HANDOVER_REFUSAL);
    if (session->state == CVD_SESSION_READING && vsoc_wire_is_untouched(&session->parser))
        cvd_socket_send(session->fd, message, size, NULL, 0);
}

void cvd_client_session_expire(CvdClientSession *session)
{
    g_debug("client connection %d: time limit passed while %s", session->fd,
            state_names[session->state]);
    refuse_vm(session);
    cvd_client_session_close(session);
}
