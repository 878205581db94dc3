/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * CvdListener:
 *
 * A UNIX stream socket that listens at a path: cvd-launch(1), FILES.
 */
typedef struct CvdListener CvdListener;

/**
 * cvd_listener_path_check:
 * @path: where a socket is wanted
 * @error: %CVD_ERROR_INVALID: empty, without a file name, or too long for a socket address (more
 *   than 107 bytes); the message has both numbers
 */
gboolean cvd_listener_path_check(const char *path, GError **error);

/**
 * cvd_listener_new:
 * @path: where to listen
 * @mode: the socket's mode, which nobody finds wider
 * @lock_dir: (nullable): a directory that only this user can write to, for a lock by which servers
 *   at one path keep apart; none is needed for a path below it; %NULL: no lock
 * @error: %CVD_ERROR_BUSY: a live server listens there; %CVD_ERROR_FOREIGN: something that is not a
 *   socket is there; %CVD_ERROR_INVALID: see cvd_listener_path_check(); %CVD_ERROR_FAILED
 *
 * Binds at @path with the mode 0, listens, and sets the mode; so nobody ever sees a socket there
 * that has any permission and does not accept. A socket that refuses connections is a leftover and
 * replaced, with one log line.
 *
 * Returns: (transfer full) (nullable): the listener; its socket is non-blocking
 */
CvdListener *cvd_listener_new(const char *path, mode_t mode, const char *lock_dir, GError **error);

/**
 * cvd_listener_free:
 *
 * Closes the socket and unlinks @path if that is still the inode that was made.
 */
void cvd_listener_free(CvdListener *listener);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdListener, cvd_listener_free)

int cvd_listener_get_fd(const CvdListener *listener);

G_END_DECLS
