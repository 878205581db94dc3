/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * CvdServerClient:
 * @pid: as the kernel noted it when the client connected
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

G_END_DECLS
