/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdNotifySocket:
 *
 * Where one program says that it is ready, as to a service manager: sd_notify(3). In the thread's
 * default #GMainContext.
 */
typedef struct CvdNotifySocket CvdNotifySocket;

/** CVD_NOTIFY_MAX_STATUS: bytes of a status that are kept */
#define CVD_NOTIFY_MAX_STATUS 128

/** CVD_NOTIFY_MAX_MESSAGES: datagrams that are read at once; then comes a pause, as for streams */
#define CVD_NOTIFY_MAX_MESSAGES 16

/**
 * CvdNotified:
 * @is_ready: READY=1 was among what it said
 * @status: (nullable): what its STATUS= says, safe for a terminal; %NULL: it said none
 */
typedef void (*CvdNotified)(gboolean is_ready, const char *status, gpointer user_data);

/**
 * cvd_notify_socket_new:
 * @path: where it is; what is there is removed
 * @uid: who may write to it, beside us: (uid_t)-1 = nobody
 * @error: %CVD_ERROR_FAILED
 *
 * Returns: (transfer full) (nullable): a socket that takes datagrams
 */
CvdNotifySocket *cvd_notify_socket_new(const char *path, uid_t uid, CvdNotified notified,
                                       gpointer user_data, GError **error);

/** cvd_notify_socket_read_rest: reads what has come already, as the program has ended; a bounded
 * amount. @notified must not free the socket meanwhile. */
void cvd_notify_socket_read_rest(CvdNotifySocket *notify);

/**
 * cvd_notify_socket_open:
 * @error: %CVD_ERROR_FAILED
 *
 * For a program that cannot reach the directory of the socket: to who inherits this descriptor as
 * number N, /proc/self/fd/N is a path of it.
 *
 * Returns: the caller's descriptor (O_PATH), or −1
 */
int cvd_notify_socket_open(const CvdNotifySocket *notify, GError **error);

/** cvd_notify_socket_free: removes it. May be called by @notified. */
void cvd_notify_socket_free(CvdNotifySocket *notify);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdNotifySocket, cvd_notify_socket_free)

G_END_DECLS
