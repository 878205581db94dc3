/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/log.h"
#include "server/access-private.h"
#include "server/doorbells.h"
#include "server/layout.h"
#include "vsoc/wire.h"

#include <glib.h>

G_BEGIN_DECLS

typedef struct CvdClientSession CvdClientSession;

typedef enum {
    CVD_DIALECT_TEXT,   /* docs/protocol.md, The client socket */
    CVD_DIALECT_LEGACY, /* docs/protocol.md, The binary dialect: the server sends first */
    CVD_DIALECT_NONE,   /* docs/protocol.md, Inherited regions: neither side sends anything */
} CvdDialect;

/**
 * CvdServed:
 * @layout: where offsets come from
 * @doorbells: handed out
 * @window_fd: handed out
 * @read_only_window_fd: handed out where only reading is allowed or asked for; −1: it cannot be
 * @access: who may have which region
 * @version_reply: message 2 of the client protocol
 *
 * What clients are served. Everything is borrowed and outlives them.
 */
typedef struct {
    const CvdLayout *layout;
    const CvdDoorbells *doorbells;
    int window_fd;
    int read_only_window_fd;
    const CvdAccessRules *access;
    const char *version_reply;
} CvdServed;

/**
 * CvdClientService:
 * @timeout_us: how long a request may take from its first byte to the last of its answer, in
 *   microseconds; a connection's first one begins when it is made
 * @attached: a client has been given a region
 * @claim: asks for an exclusive region; %FALSE: another has it, whom @describe_holder names
 * @describe_holder: (transfer full): who has an exclusive region
 * @is_held: whether anybody has an exclusive region; stores its process, or 0
 * @closing: called once for each session, while its descriptor is still open
 * @owner: for the callbacks
 * @log_limit: for the lines that clients provoke
 *
 * What all sessions of a server share.
 */
typedef struct {
    CvdServed served;
    gint64 timeout_us;
    void (*attached)(gpointer owner, CvdClientSession *session, const char *region);
    gboolean (*claim)(gpointer owner, CvdClientSession *session, guint region);
    char *(*describe_holder)(gpointer owner, guint region);
    gboolean (*is_held)(gpointer owner, guint region, int *pid);
    void (*closing)(gpointer owner, CvdClientSession *session);
    gpointer owner;
    CvdLogLimit log_limit;
} CvdClientService;

/*< private >*/
typedef enum {
    CVD_SESSION_READING,               /* a request is due, or has begun */
    CVD_SESSION_IDLE,                  /* answered; another request may follow; no time limit */
    CVD_SESSION_SENDING_VERSION,       /* message 2 */
    CVD_SESSION_SENDING_LIST,          /* answer to GET REGIONS, a piece at a time */
    CVD_SESSION_SENDING_UNKNOWN,       /* message 5a */
    CVD_SESSION_SENDING_IN_USE,        /* the same, and who has the region */
    CVD_SESSION_SENDING_OFFSETS,       /* messages 5b and 6 */
    CVD_SESSION_SENDING_GUEST_TO_HOST, /* message 7 */
    CVD_SESSION_SENDING_HOST_TO_GUEST, /* message 8 */
    CVD_SESSION_SENDING_WINDOW,        /* message 9 */
    CVD_SESSION_SENDING_HOLDER,        /* messages 10 and 11 */
    CVD_SESSION_SENDING_LEGACY_HELLO,  /* message 1 of the binary dialect */
    CVD_SESSION_SENDING_LEGACY_ANSWER, /* message 4 of the binary dialect */
    CVD_SESSION_LINGERING,             /* our side is shut down; discards until the client's is */
    CVD_SESSION_CLOSED,
} CvdSessionState;

/**
 * CvdSessionWants:
 * @CVD_SESSION_WANTS_NOTHING: the session is closed
 * @CVD_SESSION_WANTS_INPUT: run it when the socket is readable
 * @CVD_SESSION_WANTS_OUTPUT: run it when the socket is writable
 * @CVD_SESSION_WANTS_RETRY: run it a little later: the kernel has too many descriptors in flight
 */
typedef enum {
    CVD_SESSION_WANTS_NOTHING,
    CVD_SESSION_WANTS_INPUT,
    CVD_SESSION_WANTS_OUTPUT,
    CVD_SESSION_WANTS_RETRY,
} CvdSessionWants;

/**
 * CvdClientSession:
 *
 * One connection to the client socket or to the legacy one. Belongs into a structure of its owner,
 * who waits for the socket, keeps the time, and only reads what is here. There may be thousands:
 * keep it small.
 */
struct CvdClientSession {
    CvdClientService *service;
    gint64 deadline; /* when cvd_client_session_expire() is due, never earlier than said before; 0:
                        never */
    int fd;          /* the connection; −1 once closed */
    int pid;         /* of the client, as the kernel noted it when it connected */
    uid_t uid;       /* likewise */
    gint16 region;   /* asked for last; −1: none that there is */
    gint16 given;    /* the region that it was given last; −1: none yet */
    guint16 list_item;
    guint16 sent; /* bytes of the current message or list item */
    guint8 dialect : 4;
    guint8 observes : 4; /* `region` */
    guint8 state;
    guint8 wants;  /* a CvdSessionWants */
    guint8 access; /* to `region` */
    union {
        struct vsoc_wire_parser parser;
        char refusal[VSOC_WIRE_REFUSAL_SIZE]; /* while that is sent; nothing is parsed any more */
    };
};

/**
 * cvd_client_session_init:
 * @session: (out caller-allocates): what becomes a session
 * @service: outlives it
 * @fd: (transfer full): the connection
 * @dialect: which protocol
 * @now_us: the monotonic time, in microseconds
 *
 * Run it at once.
 */
void cvd_client_session_init(CvdClientSession *session, CvdClientService *service, int fd,
                             CvdDialect dialect, gint64 now_us);

/**
 * cvd_client_session_init_attached:
 * @session: (out caller-allocates): what becomes a session
 * @service: outlives it
 * @fd: (transfer full): our end of a pair that this process has made
 * @region: what the client has been given, without a word
 * @access: to it
 * @uid: the client's
 *
 * It has no time limit, and whatever the client sends is wrong: the kernel has noted us as its
 * peer, so the client could ask for all that we may have. Until somebody knows better, the client's
 * pid is ours.
 */
void cvd_client_session_init_attached(CvdClientSession *session, CvdClientService *service, int fd,
                                      guint region, CvdAccess access, uid_t uid);

/**
 * cvd_client_session_run:
 * @session: a session
 * @now_us: the monotonic time, in microseconds
 *
 * Goes on as far as the socket allows, with a bounded amount of work: at most one read and a few
 * messages.
 *
 * Returns: what it waits for
 */
CvdSessionWants cvd_client_session_run(CvdClientSession *session, gint64 now_us);

/** cvd_client_session_expire: Closes a session whose deadline has passed. */
void cvd_client_session_expire(CvdClientSession *session);

/** cvd_client_session_close: Closes the connection at once. Idempotent. */
void cvd_client_session_close(CvdClientSession *session);

G_END_DECLS
