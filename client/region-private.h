/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/handshake.h"
#include "client/mapping.h"
#include "client/region.h"

G_BEGIN_DECLS

/**
 * CvdRegionLink:
 * @window: the whole of it, for what must not touch memory that is not there
 * @is_closed: atomic: the server has closed @connection
 *
 * What one opening gave. The next one puts another in its place, so a thread that has a reference
 * goes on with the old one undisturbed.
 */
typedef struct {
    CvdMapping *mapping;
    int window;
    int guest_to_host;
    int host_to_guest;
    int connection;
    int is_closed;
} CvdRegionLink;

/** cvd_region_link_unref: also for g_autoptr(); the last one closes and unmaps all of it */
void cvd_region_link_unref(CvdRegionLink *link);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdRegionLink, cvd_region_link_unref)

/** cvd_region_link_is_closed: Returns: whether the connection has ended; looks at it */
gboolean cvd_region_link_is_closed(CvdRegionLink *link);

/*
 * What region.c and region-wait.c share. @lock guards @link, which any thread may use, against
 * cvd_region_reopen(); everything else belongs to the one thread.
 */
struct _CvdRegion {
    GObject parent_instance;

    char *socket_path;
    char *name;
    gboolean is_observer;
    guint version;
    GMainContext *context;

    GRWLock lock;
    CvdRegionLink *link; /* never NULL */

    int epoll_fd;          /* of the blocking wait; −1 until the first */
    gboolean has_received; /* since it was opened */
    gint64 retry_at;       /* when to look at what was left in the table; 0: nothing was */
    gboolean is_started;
    GSource *source;
};

/**
 * cvd_region_ref_link:
 *
 * For what may take long, and must not hold up cvd_region_reopen() by the lock.
 *
 * Returns: (transfer full): the present one
 */
CvdRegionLink *cvd_region_ref_link(CvdRegion *region);

/**
 * cvd_region_adopt:
 * @result: (inout): of a handshake, or without begin and end, which are then found by the region's
 *   name; on success its descriptors are the region's
 * @error: #CvdRegionError; the region is as it was then
 *
 * Maps the region and does an opener's duties.
 */
gboolean cvd_region_adopt(CvdRegion *region, CvdHandshakeResult *result, GError **error);

/** cvd_region_end_waiting: gives back what the blocking wait holds, before the descriptors go */
void cvd_region_end_waiting(CvdRegion *region);

/**
 * cvd_region_find_word:
 * @link: the region's, or what it was
 * @error: %CVD_REGION_ERROR_BAD_OFFSET
 *
 * Returns: (nullable): where the word at @offset is mapped
 */
guint32 *cvd_region_find_word(CvdRegion *region, const CvdRegionLink *link, guint offset,
                              GError **error);

/**
 * cvd_region_ring:
 * @doorbell: an eventfd
 * @name: the region's, for the error's message
 *
 * Others hold the doorbell, too, may make it block and fill its counter at any moment; between the
 * look whether there is room and the ring as well. So no lock may be held.
 */
gboolean cvd_region_ring(int doorbell, const char *name, GError **error);

/** cvd_region_check_writable: for what writes or receives */
gboolean cvd_region_check_writable(CvdRegion *region, const CvdRegionLink *link, GError **error);

/** cvd_region_set_closed_error: Returns: %FALSE */
gboolean cvd_region_set_closed_error(CvdRegion *region, GError **error);

/** cvd_region_resume: starts again, on the new descriptors, if it was started */
void cvd_region_resume(CvdRegion *region);

G_END_DECLS
