/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bench/guest.h"
#include "bench/run.h"

G_BEGIN_DECLS

/** guest_measure_trips: round trips through a region, virtio-serial and vsock, in turn */
void guest_measure_trips(const Guest *guest, const BenchOptions *options);
/** guest_measure_throughput: messages through a ring, virtio-serial, and within the host, in turn
 */
void guest_measure_throughput(const Guest *guest, const BenchOptions *options);

G_END_DECLS
