/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two conversations: the listing, then any region for the window's descriptor. The doorbells that
 * come with it are closed unused. The window is read by pread(), which copies, and cannot raise
 * SIGBUS whatever becomes of the object.
 */
#include "client/tool/view.h"

#include "base/error.h"
#include "client/handshake.h"
#include "client/mapping.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct CvdView {
    CvdHandshake *listing;
    CvdHandshake *handshake;
    GArray *regions;
    int window;
    int socket;
    guint64 window_size;
    struct vsoc_shm_layout_descriptor header;
    struct vsoc_device_region *descriptors;
    guint n_descriptors;
    GError *bad_header; /* why there are none */
};

void cvd_view_free(CvdView *view)
{
    g_clear_pointer(&view->listing, cvd_handshake_free);
    g_clear_pointer(&view->handshake, cvd_handshake_free);
    g_clear_error(&view->bad_header);
    g_free(view->descriptors);
    g_free(view);
}

GArray *cvd_view_get_regions(CvdView *view)
{
    return view->regions;
}

guint64 cvd_view_get_window_size(CvdView *view)
{
    return view->window_size;
}

int cvd_view_get_socket(CvdView *view)
{
    return view->socket;
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

static gboolean fail_header(GError **error, const char *what, guint value)
{
    return cvd_fail(error, CVD_ERROR_PROTOCOL,
                    "the window's descriptor is wrong: %s %u; the guest may have overwritten it, "
                    "restart the VM",
                    what, value);
}

/* There are as many as were listed, or more, where this user may not have all of them. */
static gboolean read_descriptors(CvdView *view, GError **error)
{
    struct vsoc_shm_layout_descriptor header;
    if (!cvd_view_read(view, 0, &header, sizeof header, error))
        return FALSE;
    if (header.major_version != VSOC_LAYOUT_MAJOR_VERSION)
        return fail_header(error, "layout version", header.major_version);
    view->n_descriptors = CLAMP(header.region_count, view->regions->len, VSOC_MAX_REGIONS);
    gsize size = view->n_descriptors * sizeof *view->descriptors;
    if (header.vsoc_region_desc_offset < sizeof header ||
        header.vsoc_region_desc_offset > view->window_size ||
        size > view->window_size - header.vsoc_region_desc_offset)
        return fail_header(error, "descriptors at", header.vsoc_region_desc_offset);
    view->descriptors = g_malloc0(size);
    view->header = header;
    view->header.size = (guint32)view->window_size;
    view->header.region_count = view->n_descriptors;
    return cvd_view_read(view, header.vsoc_region_desc_offset, view->descriptors, size, error);
}

/* Normally at its own index; the guest can have written anything, so what is found is checked. */
static guint find_descriptor(const CvdView *view, guint index, guint32 begin)
{
    if (view->descriptors[index].region_begin_offset == begin)
        return index;
    for (guint i = 0; i < view->n_descriptors; i++)
        if (view->descriptors[i].region_begin_offset == begin)
            return i;
    return index;
}

CvdView *cvd_view_open(const char *socket_path, GCancellable *cancellable, GError **error)
{
    g_autoptr(CvdView) view = g_new0(CvdView, 1);
    if (!list(view, socket_path, cancellable, error) ||
        !get_window(view, socket_path, cancellable, error))
        return NULL;
    read_descriptors(view, &view->bad_header);
    return g_steal_pointer(&view);
}

gboolean cvd_view_get_descriptor(CvdView *view, guint index, struct vsoc_device_region *descriptor,
                                 GError **error)
{
    const CvdRegionInfo *info = &g_array_index(view->regions, CvdRegionInfo, index);
    if (view->bad_header) {
        g_propagate_error(error, g_error_copy(view->bad_header));
        return FALSE;
    }
    *descriptor = view->descriptors[find_descriptor(view, index, info->begin)];
    return cvd_mapping_check(&view->header, descriptor, info->name, info->begin, info->end, error);
}
