/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/layout.h"

G_BEGIN_DECLS

/*
 * cvd_layout_assemble:
 * @header: everything but the regions; n_regions at least 1
 * @regions: (array length=header->n_regions): copied; they keep every rule
 *
 * Returns: (transfer full): the immutable layout, with its index of names
 */
CvdLayout *cvd_layout_assemble(const CvdLayout *header, const CvdRegion *regions);

G_END_DECLS
