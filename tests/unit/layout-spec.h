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
