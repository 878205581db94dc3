/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "vsoc/wire.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/** CVD_HANDSHAKE_LIMIT_MS: how long a server may take for all of it */
#define CVD_HANDSHAKE_LIMIT_MS 5000
/** CVD_MAX_LISTED: no window has more regions */
#define CVD_MAX_LISTED 2048

/**
 * CvdHandshake:
 *
 * One conversation with a server, as the client: docs/protocol.md, The client socket. Never
 * blocks by itself: it is driven by cvd_handshake_run() or by a source.
 */
typedef struct CvdHandshake CvdHandshake;

/** What a conversation was for. Descriptors are −1 where it gave none, or once they were taken. */
typedef struct {
    guint32 begin;
    guint32 end;
    int guest_to_host;
    int host_to_guest;
    int window;
    int connection;
    GArray *regions;                /* (element-type CvdRegionInfo) */
    enum vsoc_wire_sharing sharing; /* of one that was observed, as is this: */
    guint32 holder;                 /* the process that has it; 0: none has, or it is not known */
} CvdHandshakeResult;

typedef enum {
    CVD_HANDSHAKE_AGAIN, /* wait for what cvd_handshake_get_condition() says, then step again */
    CVD_HANDSHAKE_DONE,
    CVD_HANDSHAKE_FAILED,
} CvdHandshakeStep;

/**
 * cvd_handshake_new:
 * @socket_path: the client socket
 * @region: (nullable): the region to ask for; %NULL: the listing
 * @limit_ms: normally %CVD_HANDSHAKE_LIMIT_MS; counted from now on
 *
 * Returns: (transfer full): a conversation that has not begun
 */
CvdHandshake *cvd_handshake_new(const char *socket_path, const char *region, guint limit_ms);
void cvd_handshake_free(CvdHandshake *handshake);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdHandshake, cvd_handshake_free)

/** cvd_handshake_observe: asks only to look at the region; to be called before it begins */
void cvd_handshake_observe(CvdHandshake *handshake);

/** cvd_handshake_step: Goes on as far as it can without waiting. Errors: #CvdRegionError */
CvdHandshakeStep cvd_handshake_step(CvdHandshake *handshake, GError **error);

/**
 * cvd_handshake_run:
 * @error: #CvdRegionError; %G_IO_ERROR_CANCELLED
 *
 * Steps to the end, blocking.
 */
gboolean cvd_handshake_run(CvdHandshake *handshake, GCancellable *cancellable, GError **error);

/** CvdHandshakeFunc: @error is (nullable), borrowed */
typedef void (*CvdHandshakeFunc)(CvdHandshake *handshake, const GError *error, gpointer user_data);

/**
 * cvd_handshake_source_new:
 * @handshake: a conversation; must outlive the source
 * @cancellable: (nullable): to give up
 *
 * Returns: (transfer full): a source that steps to the end, calls its #CvdHandshakeFunc once, and
 * is gone
 */
GSource *cvd_handshake_source_new(CvdHandshake *handshake, GCancellable *cancellable);

/** cvd_handshake_get_result: Returns: (transfer none): of one that is done */
CvdHandshakeResult *cvd_handshake_get_result(CvdHandshake *handshake);

G_END_DECLS
