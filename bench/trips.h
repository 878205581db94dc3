/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/cvd-client.h"

G_BEGIN_DECLS

/** trips_region: appends how long each of @n signals and answers through @region took, in us */
void trips_region(CvdRegion *region, guint n, GArray *times_us);
/** trips_stream: the same for 8 bytes that are sent and come back */
void trips_stream(int fd, guint n, GArray *times_us);

G_END_DECLS
