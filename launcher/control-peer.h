/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/log.h"
#include "launcher/control.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/** CVD_CONTROL_MAX_UNREAD: messages that may wait for a peer to read them */
#define CVD_CONTROL_MAX_UNREAD 256
/** CVD_CONTROL_MAX_UNREAD_BYTES: of their bodies; the longest answer of QEMU has room */
#define CVD_CONTROL_MAX_UNREAD_BYTES (2 * 1024 * 1024)
/** CVD_CONTROL_AUTH_TIMEOUT_MS: how long a peer may take to authenticate */
#define CVD_CONTROL_AUTH_TIMEOUT_MS 5000

/*< private >*/
/**
 * CvdControlPeer:
 *
 * One connection to the control socket: section "D-Bus" of cvd-ctl(1).
 */
typedef struct CvdControlPeer CvdControlPeer;

/**
 * CvdControlPeerOptions:
 * @handlers: as given to cvd_control_new()
 * @user_data: for them
 * @get_constant: Returns: (transfer full): a property that does not come from the status
 * @closed: the connection has ended; the owner releases the peer
 * @owner: for @get_constant and @closed
 * @log_limit: for lines that the peer can provoke; lives as long as @owner
 */
typedef struct {
    const CvdControlHandlers *handlers;
    gpointer user_data;
    GVariant *(*get_constant)(gpointer owner, const char *property);
    void (*closed)(gpointer owner, CvdControlPeer *peer);
    gpointer owner;
    CvdLogLimit *log_limit;
} CvdControlPeerOptions;

/**
 * cvd_control_peer_new:
 * @take_fd: an accepted connection, whose credentials were checked; consumed
 * @options: copied
 */
CvdControlPeer *cvd_control_peer_new(int take_fd, const CvdControlPeerOptions *options);

/** cvd_control_peer_close: No more callback. What was queued and not flushed is lost. */
void cvd_control_peer_close(CvdControlPeer *peer);
void cvd_control_peer_unref(CvdControlPeer *peer);

/** cvd_control_peer_is_ready: Returns: whether it has authenticated */
gboolean cvd_control_peer_is_ready(const CvdControlPeer *peer);
/** cvd_control_peer_emit: sends a signal; @parameters is not consumed */
void cvd_control_peer_emit(CvdControlPeer *peer, const char *interface, const char *signal,
                           GVariant *parameters);

/**
 * cvd_control_peer_flush:
 *
 * Waits in the thread's default #GMainContext until what was queued is written. @done is called
 * once.
 */
void cvd_control_peer_flush(CvdControlPeer *peer, void (*done)(gpointer data), gpointer data);

/** cvd_control_status_to_variant: Returns: (transfer floating) (nullable): a property of @status */
GVariant *cvd_control_status_to_variant(const CvdControlStatus *status, const char *property);

G_END_DECLS
