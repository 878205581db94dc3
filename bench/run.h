/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bench/figures.h"

G_BEGIN_DECLS

/**
 * BenchOptions:
 * @n_rounds: how often each pair is measured
 * @idle_s: how long an idle launcher is watched
 * @n_handshakes: of one measurement
 * @n_round_trips: of one measurement
 * @slice_ms: how long one measurement of throughput takes
 * @n_machines: how many run side by side
 * @accel: kvm or tcg
 */
typedef struct {
    int n_rounds;
    int idle_s;
    guint n_handshakes;
    guint n_round_trips;
    guint slice_ms;
    guint n_machines;
    const char *accel;
} BenchOptions;

/**
 * BenchGroup:
 * @measure: reports its figures to those of its process, and ends that on failure
 * @is_linux: whether it needs a Linux guest
 */
typedef struct {
    const char *name;
    const char *summary;
    void (*measure)(const BenchOptions *options);
    gboolean is_linux;
} BenchGroup;

/** run_begin: keeps the signals that end a run from doing so at once; to be called first */
void run_begin(void);

/**
 * run_group:
 *
 * Measures a group in a process of its own, so that one that fails leaves the others alone, and
 * removes what that process leaves behind, however it ends.
 *
 * Returns: %FALSE when the whole run is to end
 */
gboolean run_group(Figures *figures, const BenchGroup *group, const BenchOptions *options);

G_END_DECLS
