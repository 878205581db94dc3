/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What layout.c (the containers and the window's descriptors), layout-rules.c and window.c share.
 */
#include "server/layout.h"

G_BEGIN_DECLS

/*
 * cvd_layout_assemble:
 * @header: everything but the regions; n_regions at least 1
 * @regions: (array length=header->n_regions): copied; they keep every rule
 *
 * Returns: (transfer full): the immutable layout, with its index of names
 */
CvdLayout *cvd_layout_assemble(const CvdLayout *header, const CvdLayoutRegion *regions);

/*
 * cvd_layout_get_descriptors:
 * @layout: a layout
 *
 * The bytes that the window starts with: the layout descriptor and the region descriptors, as
 * docs/window.md has them under Binary format. Pure.
 *
 * Returns: (transfer full): the bytes from offset 0 to the end of the descriptor array
 */
GBytes *cvd_layout_get_descriptors(const CvdLayout *layout);

G_END_DECLS
