/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/signals.h"
#include "vsoc/abi.h"

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdMapping:
 * @base: where the region is mapped; nothing else of the window is
 * @size: of the region, in bytes
 * @begin: its offset in the window, in bytes
 * @data_offset: where its data starts, in the region
 * @in: the signal table that the guest writes
 * @out: the signal table that we write
 * @is_read_only: the server lets us only read: the memory cannot be written
 *
 * A mapped region and the copy of its descriptor that was checked. The descriptor is never read
 * again, as the guest can write there.
 */
typedef struct {
    guint8 *base;
    gsize size;
    guint32 begin;
    guint32 data_offset;
    guint16 current_version;
    guint16 min_compatible_version;
    CvdSignalTableView in;
    CvdSignalTableView out;
    gboolean is_read_only;
} CvdMapping;

/**
 * cvd_mapping_check:
 * @mapping: (out caller-allocates): filled but for @base
 * @descriptor: our own copy of what the window says
 * @name: the region's name
 * @begin: what the server said: a multiple of 4096 below @end
 * @end: the same, exclusive
 * @error: %CVD_REGION_ERROR_BAD_DESCRIPTOR: what is wrong with it
 *
 * Everything of the descriptor that is used later: sections 1 and 2 of the window's specification.
 * Pure.
 */
gboolean cvd_mapping_check(CvdMapping *mapping, const struct vsoc_device_region *descriptor,
                           const char *name, guint32 begin, guint32 end, GError **error);

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
void cvd_mapping_free(CvdMapping *mapping);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdMapping, cvd_mapping_free)

G_END_DECLS
