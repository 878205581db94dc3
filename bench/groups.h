/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bench/run.h"

G_BEGIN_DECLS

/** bench_launch: start, stop and restart, against bare QEMU */
void bench_launch(const BenchOptions *options);
/** bench_programs: start, memory and idle wake-ups with host programs, against none */
void bench_programs(const BenchOptions *options);
/** bench_memory: memory and idle wake-ups of the launcher */
void bench_memory(const BenchOptions *options);
/** bench_growth: start and memory with many regions, a large window, huge pages */
void bench_growth(const BenchOptions *options);
/** bench_handover: the hand-over to the VM, against a minimal server */
void bench_handover(const BenchOptions *options);
/** bench_clients: handshakes of host programs, against a minimal server */
void bench_clients(const BenchOptions *options);
/** bench_signals: signals between the client library and cvd-vm, against bare eventfds */
void bench_signals(const BenchOptions *options);
/** bench_trace: round trips with a doorbell trace, against the same without */
void bench_trace(const BenchOptions *options);
/** bench_guest: round trips and throughput between host and guest, against virtio-serial */
void bench_guest(const BenchOptions *options);
/** bench_guest_growth: the same with many regions, a large window, huge pages */
void bench_guest_growth(const BenchOptions *options);
/** bench_scale: machines from a snapshot against those that boot, and many of them */
void bench_scale(const BenchOptions *options);

G_END_DECLS
