/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/layout.h"

/** test_add_region: Returns: the region, whose other fields are not set */
static inline CvdRegionSpec *test_add_region(CvdLayoutSpec *spec, const char *name, gint64 size)
{
    CvdRegionSpec *region = cvd_layout_spec_add_region(spec);

    region->name = g_strdup(name);
    region->size = size;
    return region;
}

/** test_add_whole_region: Returns: the same, with versions and tables */
static inline CvdRegionSpec *test_add_whole_region(CvdLayoutSpec *spec, const char *name,
                                                   gint64 size, gint64 current_version,
                                                   gint64 min_version, gint64 guest_to_host_lg2,
                                                   gint64 host_to_guest_lg2)
{
    CvdRegionSpec *region = test_add_region(spec, name, size);

    region->current_version = current_version;
    region->min_compatible_version = min_version;
    region->guest_to_host_nodes_lg2 = guest_to_host_lg2;
    region->host_to_guest_nodes_lg2 = host_to_guest_lg2;
    return region;
}

/** test_compute_layout: Returns: (nullable): %NULL if there are problems, which are printed */
static inline CvdLayout *test_compute_layout(const CvdLayoutSpec *spec)
{
    g_autoptr(GPtrArray) problems =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);
    CvdLayout *layout = cvd_layout_new(spec, problems);

    for (guint i = 0; i < problems->len; i++)
        g_test_message("%s", ((CvdLayoutProblem *)problems->pdata[i])->message);
    g_assert_true((layout == NULL) == (problems->len > 0));
    return layout;
}
