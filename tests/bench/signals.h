/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** bench_signals: the figures of signalling through a region */
void bench_signals(int n_rounds);
