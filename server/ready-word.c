/* SPDX-License-Identifier: Apache-2.0 */
#include "server/ready-word.h"

#include "vsoc/ready.h"

guint32 cvd_layout_find_ready_word(const CvdLayout *layout)
{
    const struct vsoc_shm_layout_descriptor header = {
        .region_count = layout->n_regions,
        .vsoc_region_desc_offset = layout->region_desc_offset,
    };
    guint32 first = layout->regions[0].begin;

    for (guint i = 1; i < layout->n_regions; i++)
        first = MIN(first, layout->regions[i].begin);
    return vsoc_ready_offset(&header, first);
}
