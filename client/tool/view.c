/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two conversations: the listing, then any region for the window's descriptor. The doorbells that
 * come with it are closed unused. The window is read by pread(), which copies, and cannot raise
 * SIGBUS whatever becomes of the object.
 */
#include "client/tool/view.h"

#include "base/error.h"
#include "client/mapping.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void cvd_view_free(CvdView *view)
{
    g_clear_pointer(&view->listing, cvd_handshake_free);
    g_clear_pointer(&view->handshake, cvd_handshake_free);
    g_free(view);
}

gboolean cvd_view_read(CvdView *view, guint64 offset, gpointer data, gsize size, GError **error)
{
    gssize n = TEMP_FAILURE_RETRY(pread(view->window, data, size, (off_t)offset));
    if (n == (gssize)size)
        return TRUE;
    return cvd_fail(error, CVD_ERROR_FAILED,
                    "cannot read the window at 0x%" G_GINT64_MODIFIER "x: %s", offset,
                    n < 0 ? g_strerror(errno) : "it ends there");
}

static gboolean list(CvdView *view, const char *socket_path, GCancellable *cancellable,
                     GError **error)
{
    view->listing = cvd_handshake_new(socket_path, NULL, CVD_HANDSHAKE_LIMIT_MS);
    if (!cvd_handshake_run(view->listing, cancellable, error))
        return FALSE;
    view->regions = cvd_handshake_get_result(view->listing)->regions;
    if (view->regions->len > 0)
        return TRUE;
    return cvd_fail(error, CVD_ERROR_PROTOCOL,
                    "%s: the server lists no regions; a window has at least one", socket_path);
}

static gboolean get_window(CvdView *view, const char *socket_path, GCancellable *cancellable,
                           GError **error)
{
    struct stat info;
    view->handshake = cvd_handshake_new(
        socket_path, g_array_index(view->regions, CvdRegionInfo, 0).name, CVD_HANDSHAKE_LIMIT_MS);
    if (!cvd_handshake_run(view->handshake, cancellable, error))
        return FALSE;
    CvdHandshakeResult *result = cvd_handshake_get_result(view->handshake);
    view->window = result->window;
    view->socket = result->connection;
    if (fstat(view->window, &info) < 0)
        return cvd_fail(error, CVD_ERROR_FAILED, "cannot look at the window: %s",
                        g_strerror(errno));
    view->window_size = (guint64)info.st_size;
    return TRUE;
}

CvdView *cvd_view_open(const char *socket_path, GCancellable *cancellable, GError **error)
{
    g_autoptr(CvdView) view = g_new0(CvdView, 1);
    if (!list(view, socket_path, cancellable, error) ||
        !get_window(view, socket_path, cancellable, error))
        return NULL;
    return g_steal_pointer(&view);
}

gboolean cvd_view_get_descriptor(CvdView *view, guint index, struct vsoc_device_region *descriptor,
                                 GError **error)
{
    const CvdRegionInfo *info = &g_array_index(view->regions, CvdRegionInfo, index);

    return cvd_mapping_read_descriptor(view->window, info->name, info->begin, info->end, index,
                                       descriptor, error);
}
