/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "vsoc/signals.h"

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdMapping:
 * @base: where the region is mapped; nothing else of the window is
 * @size: of the region, in bytes
 * @descriptor: the copy that was checked, and is never read again in the window, as the guest can
 *   write there
 * @is_read_only: the server lets us only read: the memory cannot be written
 */
typedef struct {
    guint8 *base;
    gsize size;
    struct vsoc_device_region descriptor;
    gboolean is_read_only;
} CvdMapping;

static inline struct vsoc_end cvd_mapping_get_end(const CvdMapping *mapping)
{
    return (struct vsoc_end){mapping->base, &mapping->descriptor, VSOC_HOST};
}

/**
 * cvd_mapping_check:
 * @layout: our own copy of the window's header, checked
 * @descriptor: our own copy of what the window says of the region
 * @name: the region's name
 * @begin: what the server said
 * @end: the same, exclusive
 * @error: %CVD_REGION_ERROR_BAD_DESCRIPTOR: what is wrong with it
 *
 * Pure: what vsoc_region_check() says, and whether it is the region that the server spoke of.
 */
gboolean cvd_mapping_check(const struct vsoc_shm_layout_descriptor *layout,
                           const struct vsoc_device_region *descriptor, const char *name,
                           guint32 begin, guint32 end, GError **error);

/**
 * cvd_mapping_read_descriptor:
 * @window: the window's descriptor, the caller's
 * @name: the region's name
 * @begin: what the server said
 * @end: the same, exclusive
 * @index: where it is to be looked for first; beyond the last: nowhere
 * @out: (out): a copy that cvd_mapping_check() has passed
 * @error: #CvdRegionError
 */
gboolean cvd_mapping_read_descriptor(int window, const char *name, guint32 begin, guint32 end,
                                     guint index, struct vsoc_device_region *out, GError **error);

/**
 * cvd_mapping_new:
 * @window: the window's descriptor, the caller's
 * @name: the region's name
 * @begin: what the server said
 * @end: what the server said, exclusive
 * @version: 0, or what the region has to be compatible with
 * @error: #CvdRegionError
 *
 * Returns: (transfer full): the region, mapped
 */
CvdMapping *cvd_mapping_new(int window, const char *name, guint32 begin, guint32 end, guint version,
                            GError **error);

/**
 * cvd_mapping_new_by_name:
 *
 * cvd_mapping_new() where no server has said where the region is. The guest could have put the name
 * elsewhere, but only within the window, which is all its own.
 */
CvdMapping *cvd_mapping_new_by_name(int window, const char *name, guint version, GError **error);
void cvd_mapping_free(CvdMapping *mapping);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdMapping, cvd_mapping_free)

G_END_DECLS
