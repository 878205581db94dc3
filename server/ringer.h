/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdRinger:
 *
 * Rings doorbells that peers hold, without ever blocking.
 */
typedef struct CvdRinger CvdRinger;

/** CVD_RINGER_MAX: how many rings are passed on at once */
#define CVD_RINGER_MAX 64

/**
 * cvd_ringer_new:
 * @error: %CVD_ERROR_RESOURCES: no asynchronous I/O is left, or the kernel has none
 */
CvdRinger *cvd_ringer_new(GError **error);
void cvd_ringer_free(CvdRinger *ringer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdRinger, cvd_ringer_free)

/**
 * cvd_ringer_ring:
 * @doorbell: an eventfd
 * @count: how often, at least 1; at most %CVD_RINGER_MAX of that are done
 *
 * Returns: whether it was rung; if not, `errno` is set
 */
gboolean cvd_ringer_ring(CvdRinger *ringer, int doorbell, guint64 count);

G_END_DECLS
