/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * The other ways by which host and guest exchange bytes, for those who want to compare. Each goes
 * on in a process of its own until it is stopped.
 */

/** cvd_agent_virtio_echo: sends back what comes through the virtio serial port @name. */
void cvd_agent_virtio_echo(const char *name);

/**
 * cvd_agent_virtio_sink: takes blocks from the virtio serial port @name: 8 bytes that have the
 * block's size in the machine's order, then that many; the size is sent back once they are there.
 */
void cvd_agent_virtio_sink(const char *name);

/** cvd_agent_vsock_echo: sends back what comes on connections to @port, one at a time. */
void cvd_agent_vsock_echo(uint32_t port);
