/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * The other ways by which host and guest exchange bytes, for those who want to compare. Each goes
 * on in a process of its own until it is stopped.
 */

/** cvd_agent_virtio_echo: sends back what comes through the virtio serial port @name. */
void cvd_agent_virtio_echo(const char *name);

/** CVD_AGENT_STREAM_MAX: how many bytes a message of a stream may have */
#define CVD_AGENT_STREAM_MAX (1u << 20)

/**
 * cvd_agent_virtio_sink: takes messages from the virtio serial port @name, as from a ring: each is
 * a struct vsoc_ring_header and its bytes. After one without bytes it sends back a struct
 * vsoc_ring_account.
 */
void cvd_agent_virtio_sink(const char *name);

/** cvd_agent_vsock_echo: sends back what comes on connections to @port, one at a time. */
void cvd_agent_vsock_echo(uint32_t port);
