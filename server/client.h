/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/passed.h"

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * CvdServerClient:
 * @pid: as the kernel noted it when the client connected; of a region that was passed, what
 *   cvd_server_set_client_pid() said, and before that this process
 * @uid: likewise
 * @region: the region that it was given last on this connection
 * @since_us: when that was, monotonic time in microseconds
 * @is_read_only: it has no doorbell
 * @is_shared: others have this region's doorbells as well as this client: a signal of the guest
 *   wakes all of them, but the first one takes it from the signal table
 *
 * A client connection. What a client does with its doorbells is its own affair: whether it waits
 * for signals, nobody can see.
 */
typedef struct {
    int pid;
    uid_t uid;
    const char *region;
    gint64 since_us;
    gboolean is_read_only;
    gboolean is_shared;
} CvdServerClient;

/**
 * CvdServerClientFunc:
 * @client: a client
 * @user_data: as given with the function
 *
 * Is given one client. It must not use the server.
 */
typedef void (*CvdServerClientFunc)(const CvdServerClient *client, gpointer user_data);

/**
 * CvdServerUser:
 * @uid: the user
 * @gids: (array length=n_gids) (nullable): all groups
 * @n_gids: how many
 *
 * Whom a program runs as.
 */
typedef struct {
    uid_t uid;
    const gid_t *gids;
    guint n_gids;
} CvdServerUser;

/**
 * CvdPassedRegion:
 * @client: the connection's number, for cvd_server_set_client_pid(); 0: there is none
 * @fds: (array fixed-size=4): window, host-to-guest doorbell, guest-to-host doorbell, connection:
 *   see #CvdPassedFd. All are close-on-exec.
 *
 * A region for a program to inherit, open already.
 */
typedef struct {
    guint client;
    int fds[CVD_PASSED_N_FDS];
} CvdPassedRegion;

/** CVD_PASSED_REGION_INIT: (skip): a #CvdPassedRegion that has nothing */
#define CVD_PASSED_REGION_INIT                                                                     \
    {                                                                                              \
        .fds = { -1, -1, -1, -1 }                                                                  \
    }

/**
 * cvd_passed_region_clear:
 * @passed: (inout): what cvd_server_open_region() gave; nothing afterwards
 *
 * Closes the descriptors, when the program has inherited them or will not be started. Without a
 * program that has them the client is gone then.
 */
void cvd_passed_region_clear(CvdPassedRegion *passed);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdPassedRegion, cvd_passed_region_clear)

/**
 * cvd_passed_region_get_names:
 * @region: the region's name
 *
 * Returns: (transfer full): the names of the descriptors in their order, separated by colons, as
 *   `LISTEN_FDNAMES` has them (sd_listen_fds(3))
 */
char *cvd_passed_region_get_names(const char *region);

G_END_DECLS
