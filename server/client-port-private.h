/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/client-port.h"
#include "server/holders.h"
#include "server/quota.h"

G_BEGIN_DECLS

/* What the files of the client port share: client-port.c, client-claims.c, client-open.c. */

#define CVD_MAX_LISTENERS 2
#define CVD_N_REPORTED    8

typedef struct {
    guint n_clients;              /* connections that have them */
    int last_pid;                 /* that they were given to */
    int reported[CVD_N_REPORTED]; /* pids, the last that were said to share them */
    guint n_reported;
} CvdDoorbellOwners;

typedef struct {
    CvdClientSession session; /* first: the session's callbacks are given a pointer to it */
    GList link;               /* in `connections`, then in `closed` */
    GList deadline_link;      /* in `deadlines` if `is_limited` */
    gint64 attached_us;
    CvdDoorbellOwners *doorbells; /* of the region that it was given; NULL: it has none */
    guint number;   /* of one that cvd_client_port_open() has made; 0: it has come by itself */
    guint8 watched; /* the events that epoll reports; besides, it always reports the end */
    gboolean is_limited : 1;
    guint is_announced : 1; /* as attached */
    guint is_holder : 1;    /* of exclusive regions */
} CvdConnection;

typedef struct {
    int fd;
    CvdDialect dialect;
} CvdClientListener;

typedef enum {
    LISTENING,
    LISTENING_FULL,   /* as many connections as are allowed */
    LISTENING_PAUSED, /* no descriptor was left; tried again with the next close, or a little later
                       */
    LISTENING_OVER,   /* for good */
} CvdListenState;

struct CvdClientPort {
    CvdClientPortOptions options;
    CvdClientService service;
    int epoll_fd;
    GSource *source;
    CvdClientListener listeners[CVD_MAX_LISTENERS];
    guint n_listeners;
    CvdListenState listen_state;
    gint64 paused_until;
    CvdQuota *quota;
    guint last_number;
    CvdDoorbellOwners *doorbells; /* of each region */
    CvdHolders *holders;          /* NULL: no region is exclusive */
    GQueue connections;
    GQueue deadlines;
    GQueue closed;
    int timer_fd;
    gint64 armed_for; /* when the timer goes off; 0: it is off */
    gint64 retry_at;  /* when those that want a retry get one; 0 = nobody does */
    guint n_busy;     /* calls on the stack that hold pointers to connections */
    gboolean is_held; /* no session is run */
};

/** cvd_client_port_enter: until cvd_client_port_leave() no connection is freed, nor the port */
void cvd_client_port_enter(CvdClientPort *port);
void cvd_client_port_leave(CvdClientPort *port);

/** cvd_connection_new: Returns: (transfer full): one without a session */
CvdConnection *cvd_connection_new(void);
/** cvd_connection_keep: the port has it, and watches it, from now on; its place was taken before */
void cvd_connection_keep(CvdClientPort *port, CvdConnection *connection);

/** cvd_connection_take_doorbells: it has been given a region */
void cvd_connection_take_doorbells(CvdClientPort *port, CvdConnection *connection);
void cvd_connection_release_doorbells(CvdConnection *connection);

/** cvd_connection_announce: that it has @region, to the owner, now that its process is known */
void cvd_connection_announce(CvdClientPort *port, CvdConnection *connection, const char *region);

/** cvd_connection_claim: for the #CvdClientService of a port, as are the next */
gboolean cvd_connection_claim(gpointer port, CvdClientSession *session, guint region);
char *cvd_connection_describe_holder(gpointer port, guint region);
gboolean cvd_connection_is_held(gpointer port, guint region, int *pid);

/**
 * cvd_client_port_close_ended:
 * @region: an exclusive one
 *
 * Closes the connections that have it and have come to their end, or whose process has. That may
 * not have been reported yet, or only after what comes now. To be called after
 * cvd_client_port_enter(): the owner may do anything.
 */
void cvd_client_port_close_ended(CvdClientPort *port, guint region);

G_END_DECLS
