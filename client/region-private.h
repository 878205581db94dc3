/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/mapping.h"
#include "client/region.h"

G_BEGIN_DECLS

/*
 * What region.c and region-wait.c share. @lock guards @mapping and @host_to_guest, which any thread
 * may use, against cvd_region_reopen(); everything else belongs to the one thread.
 */
struct _CvdRegion {
    GObject parent_instance;

    char *socket_path;
    char *name;
    guint version;
    GMainContext *context;

    GRWLock lock;
    CvdMapping *mapping;
    int host_to_guest;

    int guest_to_host;
    int connection;
    int epoll_fd;          /* of the blocking wait, for both; −1 until the first */
    int is_closed;         /* atomic */
    guint generation;      /* counts openings */
    gboolean has_received; /* since it was opened */
    gboolean is_started;
    GSource *source;
};

/** cvd_region_is_pending: Returns: whether there is something to receive without a ring */
gboolean cvd_region_is_pending(CvdRegion *region);

/** cvd_region_end_waiting: gives back what the blocking wait holds, before the descriptors go */
void cvd_region_end_waiting(CvdRegion *region);

/**
 * cvd_region_find_word:
 * @error: %CVD_REGION_ERROR_BAD_OFFSET
 *
 * To be called with the lock held, or in the one thread.
 *
 * Returns: (nullable): where the word at @offset is mapped
 */
guint32 *cvd_region_find_word(CvdRegion *region, guint offset, GError **error);

/** cvd_region_ring: rings @doorbell; @name is the region's, for the error's message */
gboolean cvd_region_ring(int doorbell, const char *name, GError **error);

/** cvd_region_check_writable: To be called with the lock held, or in the one thread. */
gboolean cvd_region_check_writable(CvdRegion *region, GError **error);

/** cvd_region_set_closed_error: Returns: %FALSE */
gboolean cvd_region_set_closed_error(CvdRegion *region, GError **error);

/** cvd_region_resume: starts again, on the new descriptors, if it was started */
void cvd_region_resume(CvdRegion *region);

G_END_DECLS
