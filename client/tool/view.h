/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/cvd-client.h"
#include "client/handshake.h"
#include "vsoc/abi.h"

G_BEGIN_DECLS

/**
 * CvdView:
 * @regions: (element-type CvdRegionInfo): as the server has them, which the guest cannot change
 * @window_size: in bytes
 * @socket: the connection; becomes readable when the server closes it
 * @knows_sharing: whether the server says what the next two are
 * @sharing: of the region that was asked for
 * @holder: the process that has that region; 0: none has, or it is not known
 *
 * The whole window, to be read only: neither a doorbell nor a word of it is touched, so that
 * looking changes nothing. Opening it costs two conversations, however many regions there are.
 */
typedef struct {
    GArray *regions;
    guint64 window_size;
    int socket;
    gboolean knows_sharing;
    enum vsoc_wire_sharing sharing;
    guint32 holder;
    /*< private >*/
    int window;
    CvdHandshake *listing;
    CvdHandshake *handshake;
} CvdView;

/**
 * cvd_view_open:
 * @socket_path: the client socket
 * @region: (nullable): whose sharing is of interest
 * @error: not if there is no such region
 *
 * Returns: (transfer full): the view
 */
CvdView *cvd_view_open(const char *socket_path, const char *region, GCancellable *cancellable,
                       GError **error);
void cvd_view_free(CvdView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdView, cvd_view_free)

/**
 * cvd_view_get_descriptor:
 * @index: of a region
 * @descriptor: (out caller-allocates): a copy of its descriptor
 * @error: %CVD_REGION_ERROR_BAD_DESCRIPTOR: it is not what the server says, or leads out of the
 *   region
 */
gboolean cvd_view_get_descriptor(CvdView *view, guint index, struct vsoc_device_region *descriptor,
                                 GError **error);

/**
 * cvd_view_read:
 * @offset: in the window
 * @data: (out caller-allocates) (array length=size): the bytes
 */
gboolean cvd_view_read(CvdView *view, guint64 offset, gpointer data, gsize size, GError **error);

G_END_DECLS
