/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/client-session.h"
#include "server/client.h"

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdClientPort:
 *
 * The client socket and the legacy one: accepts, keeps the connections and their time limits.
 */
typedef struct CvdClientPort CvdClientPort;

/**
 * CvdClientPortOptions:
 * @max_clients: connections kept at once, shared as #CvdQuota says; with that many nobody is
 *   accepted
 * @handshake_timeout_ms: from accept, or a request's first byte, to the end of the answer
 * @attached: a client has been given a region, and its process is known
 * @detached: the connection of a client that had attached has ended
 * @owner: for the callbacks, which may do anything, even free the port
 */
typedef struct {
    CvdServed served;
    guint max_clients;
    guint handshake_timeout_ms;
    void (*attached)(gpointer owner, int pid, const char *region);
    void (*detached)(gpointer owner, int pid);
    gpointer owner;
} CvdClientPortOptions;

/**
 * cvd_client_port_new:
 * @context: where the connections are served
 * @options: copied; what it points to outlives the port
 * @error: %CVD_ERROR_RESOURCES
 *
 * Returns: (transfer full) (nullable): a port that does not listen
 */
CvdClientPort *cvd_client_port_new(GMainContext *context, const CvdClientPortOptions *options,
                                   GError **error);

/**
 * cvd_client_port_free:
 *
 * Closes all connections. The listening sockets stay their owner's.
 */
void cvd_client_port_free(CvdClientPort *port);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdClientPort, cvd_client_port_free)

/**
 * cvd_client_port_listen:
 * @port: a port that listens on less than two sockets
 * @listening_fd: borrowed: a listening socket, non-blocking
 * @dialect: what is spoken there
 * @error: %CVD_ERROR_RESOURCES
 */
gboolean cvd_client_port_listen(CvdClientPort *port, int listening_fd, CvdDialect dialect,
                                GError **error);

/** cvd_client_port_open: as cvd_server_open_region(), with the region's number */
gboolean cvd_client_port_open(CvdClientPort *port, guint region, const CvdServerUser *user,
                              CvdPassedRegion *passed, GError **error);

/** cvd_client_port_set_pid: as cvd_server_set_client_pid() */
void cvd_client_port_set_pid(CvdClientPort *port, guint number, int pid);

/** cvd_client_port_stop_listening: Lets go of the listening sockets for good. */
void cvd_client_port_stop_listening(CvdClientPort *port);

/**
 * cvd_client_port_hold:
 *
 * Closes the connections of clients that have been given a region. Those that are still asking for
 * one have nothing yet that could have changed under them: they wait, as whoever connects from now
 * on, until cvd_client_port_admit(), unanswered and without a time limit. Does nothing while they
 * are held already.
 */
void cvd_client_port_hold(CvdClientPort *port);

/**
 * cvd_client_port_admit:
 *
 * Goes on with those that were held, each with the whole of its time limit before it.
 */
void cvd_client_port_admit(CvdClientPort *port);

/** cvd_client_port_is_held: Returns: whether clients are held */
gboolean cvd_client_port_is_held(const CvdClientPort *port);

/** cvd_client_port_get_n_clients: Returns: how many connections there are */
guint cvd_client_port_get_n_clients(const CvdClientPort *port);

/** cvd_client_port_foreach: as cvd_server_foreach_client() */
void cvd_client_port_foreach(const CvdClientPort *port, CvdServerClientFunc func,
                             gpointer user_data);

G_END_DECLS
