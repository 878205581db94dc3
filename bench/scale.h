/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bench/fleet.h"
#include "bench/run.h"

G_BEGIN_DECLS

/** scale_measure_many: many machines of one snapshot, side by side */
void scale_measure_many(Fleet *fleet, const BenchOptions *options);

G_END_DECLS
