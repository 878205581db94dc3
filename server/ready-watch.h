/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/window.h"

G_BEGIN_DECLS

/**
 * CvdReadyWatch:
 *
 * Learns from a guest that it is ready: docs/guest.md, When your guest is ready. Costs nothing
 * while nobody rings.
 */
typedef struct CvdReadyWatch CvdReadyWatch;

/**
 * cvd_ready_watch_new:
 * @context: from where @ready is called
 * @window: borrowed; outlives the watch
 * @ready: the guest is ready; may do anything, even free the watch
 * @error: %CVD_ERROR_RESOURCES: no descriptor is left
 *
 * Returns: (transfer full) (nullable): a watch that has yet to begin
 */
CvdReadyWatch *cvd_ready_watch_new(GMainContext *context, const CvdWindow *window,
                                   void (*ready)(gpointer owner), gpointer owner, GError **error);
void cvd_ready_watch_free(CvdReadyWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdReadyWatch, cvd_ready_watch_free)

/** cvd_ready_watch_get_fd: Returns: the eventfd that the guest is to ring, borrowed */
int cvd_ready_watch_get_fd(const CvdReadyWatch *watch);

/** cvd_ready_watch_begin: there is a new guest: forgets what was rung, and reports once when it is
 * ready */
void cvd_ready_watch_begin(CvdReadyWatch *watch);

/**
 * cvd_ready_watch_has_said:
 *
 * Takes a ring that has not been looked at. A guest rings once; so after a report this is that of
 * the next guest, which was faster than its owner.
 *
 * Returns: whether there was one, and the guest's word says that it is ready
 */
gboolean cvd_ready_watch_has_said(CvdReadyWatch *watch);
/** cvd_ready_watch_end: the guest is gone: reports nothing any more */
void cvd_ready_watch_end(CvdReadyWatch *watch);

G_END_DECLS
