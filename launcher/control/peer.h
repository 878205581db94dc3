/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/log.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/** CVD_CONTROL_MAX_MESSAGE: the longest message that a peer may send, in bytes */
#define CVD_CONTROL_MAX_MESSAGE (1024 * 1024)
/** CVD_CONTROL_MAX_UNREAD: how many bytes may wait for a peer to read them */
#define CVD_CONTROL_MAX_UNREAD (2 * 1024 * 1024)
/** CVD_CONTROL_MAX_CALLS: calls of one peer that are carried out at once; further ones wait */
#define CVD_CONTROL_MAX_CALLS 16
/** CVD_CONTROL_AUTH_TIMEOUT_MS: how long a peer may take to authenticate */
#define CVD_CONTROL_AUTH_TIMEOUT_MS 5000

/*< private >*/
/**
 * CvdControlPeer:
 *
 * One connection to the control socket: it authenticates its peer, cuts what comes into messages of
 * D-Bus and sends messages, all in the thread's default #GMainContext.
 */
typedef struct CvdControlPeer CvdControlPeer;

/**
 * CvdControlPeerOptions:
 * @message: a message has come
 * @closed: the connection has ended; the owner releases the peer
 * @owner: for the callbacks
 * @log_limit: for lines that the peer can provoke; lives as long as @owner
 */
typedef struct {
    void (*message)(gpointer owner, CvdControlPeer *peer, GDBusMessage *message);
    void (*closed)(gpointer owner, CvdControlPeer *peer);
    gpointer owner;
    CvdLogLimit *log_limit;
} CvdControlPeerOptions;

/**
 * cvd_control_peer_new:
 * @take_fd: an accepted connection, non-blocking, whose credentials were checked; consumed
 * @options: copied
 */
CvdControlPeer *cvd_control_peer_new(int take_fd, const CvdControlPeerOptions *options);
CvdControlPeer *cvd_control_peer_ref(CvdControlPeer *peer);
void cvd_control_peer_unref(CvdControlPeer *peer);

/** cvd_control_peer_close: Ends the connection at once; no more callback. Idempotent. */
void cvd_control_peer_close(CvdControlPeer *peer);

/** cvd_control_peer_is_ready: Returns: whether it has authenticated, and not ended */
gboolean cvd_control_peer_is_ready(const CvdControlPeer *peer);

/**
 * cvd_control_peer_send:
 * @take_message: a message without a serial
 *
 * Sends it when the peer takes it. A peer that leaves more than %CVD_CONTROL_MAX_UNREAD bytes
 * unread loses its connection; nothing is sent on one that has ended.
 */
void cvd_control_peer_send(CvdControlPeer *peer, GDBusMessage *take_message);

/**
 * cvd_control_peer_begin_call:
 *
 * Notes a call that is being carried out. While there are %CVD_CONTROL_MAX_CALLS of them no further
 * message is read.
 */
void cvd_control_peer_begin_call(CvdControlPeer *peer);
void cvd_control_peer_end_call(CvdControlPeer *peer);

/**
 * cvd_control_peer_get_idle_since:
 *
 * Returns: since when nothing has come from the peer, monotonic; %G_MAXINT64 while it authenticates
 *   or a call of its is being carried out
 */
gint64 cvd_control_peer_get_idle_since(const CvdControlPeer *peer);

/** cvd_control_peer_flush: Waits until @deadline_us, monotonic, for what is queued to be written.
 */
void cvd_control_peer_flush(CvdControlPeer *peer, gint64 deadline_us);

G_END_DECLS
