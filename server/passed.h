/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/client-session.h"
#include "server/client.h"

G_BEGIN_DECLS

/**
 * cvd_passed_region_get_access:
 * @user: (nullable): %NULL: this process's user
 *
 * Whoever opens a region for a program lets the program have it; a rule that is for its user all
 * the same says how.
 *
 * Returns: what a program that runs as @user may do with the region of that name: never
 *   %CVD_ACCESS_NONE
 */
CvdAccess cvd_passed_region_get_access(const CvdAccessRules *rules, const CvdServerUser *user,
                                       const char *region);

/**
 * cvd_passed_region_fill:
 * @passed: (inout): gets all descriptors but the connection
 * @error: %CVD_ERROR_RESOURCES
 */
gboolean cvd_passed_region_fill(CvdPassedRegion *passed, const CvdServed *served, guint region,
                                CvdAccess access, GError **error);

G_END_DECLS
