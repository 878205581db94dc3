/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bench/subjects.h"

G_BEGIN_DECLS

/** Series: (element-type double): one configuration started both ways, round by round, in ms */
typedef struct {
    GArray *launch_start, *launch_stop, *bare_start, *bare_attached, *bare_stop;
} Series;

void series_init(Series *series);
void series_clear(Series *series);

/** series_measure: once more; who goes first should change with every round */
void series_measure(Series *series, const Subject *subject, gboolean bare_first);

G_END_DECLS
