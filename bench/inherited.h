/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bench/run.h"

G_BEGIN_DECLS

/**
 * measure_inherited:
 * @socket_path: a client socket of this machine's server
 * @n_regions: how many regions it serves, `region0` and so on
 *
 * Reports how long a program takes to open a region that it has inherited, against one that it asks
 * the server for. To be called where the client library was not used before.
 */
void measure_inherited(const char *socket_path, guint n_regions, const BenchOptions *options);

G_END_DECLS
