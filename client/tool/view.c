/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two conversations: the listing, then any region, observed, for the window's descriptor. The
 * window is read by pread(), which copies, and cannot raise SIGBUS whatever becomes of the object.
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

/* Servers before 0.2 know no observers, and close. */
static gboolean ask(CvdView *view, const char *socket_path, const char *region,
                    GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) problem = NULL;
    view->handshake = cvd_handshake_new(socket_path, region, CVD_HANDSHAKE_LIMIT_MS);
    cvd_handshake_observe(view->handshake);
    view->knows_sharing = cvd_handshake_run(view->handshake, cancellable, &problem);
    if (view->knows_sharing)
        return TRUE;
    if (!g_error_matches(problem, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED))
        return cvd_pass_error(error, &problem);
    cvd_handshake_free(view->handshake);
    view->handshake = cvd_handshake_new(socket_path, region, CVD_HANDSHAKE_LIMIT_MS);
    return cvd_handshake_run(view->handshake, cancellable, error);
}

static const char *choose_region(GArray *regions, const char *wanted)
{
    for (guint i = 0; wanted && i < regions->len; i++)
        if (strcmp(g_array_index(regions, CvdRegionInfo, i).name, wanted) == 0)
            return wanted;
    return g_array_index(regions, CvdRegionInfo, 0).name;
}

static gboolean get_window(CvdView *view, const char *socket_path, const char *region,
                           GCancellable *cancellable, GError **error)
{
    struct stat info;
    if (!ask(view, socket_path, choose_region(view->regions, region), cancellable, error))
        return FALSE;
    CvdHandshakeResult *result = cvd_handshake_get_result(view->handshake);
    view->window = result->window;
    view->socket = result->connection;
    view->sharing = result->sharing;
    view->holder = result->holder;
    if (fstat(view->window, &info) < 0)
        return cvd_fail(error, CVD_ERROR_FAILED, "cannot look at the window: %s",
                        g_strerror(errno));
    view->window_size = (guint64)info.st_size;
    return TRUE;
}

CvdView *cvd_view_open(const char *socket_path, const char *region, GCancellable *cancellable,
                       GError **error)
{
    g_autoptr(CvdView) view = g_new0(CvdView, 1);
    if (!list(view, socket_path, cancellable, error) ||
        !get_window(view, socket_path, region, cancellable, error))
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
