/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** bench_clients: the figures of the client socket */
void bench_clients(int n_rounds);
