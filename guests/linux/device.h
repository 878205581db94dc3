/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/** The ivshmem device, whichever way it is reached. It stays open until the process ends. */
struct cvd_agent_device {
    volatile uint32_t *registers; /* BAR 0; NULL where it cannot be mapped */
    uint32_t iv_position;         /* this VM among the peers */
    uint8_t *window;              /* BAR 2 */
    uint64_t window_bytes;
    unsigned vectors;        /* how many regions can interrupt; 0: no region can */
    int vfio;                /* VFIO's descriptor, or −1 */
    uint64_t vfio_registers; /* where BAR 0 is in it */
};

/** cvd_agent_device_read_position: Returns: 0, or −1 after saying what is wrong */
int cvd_agent_device_read_position(struct cvd_agent_device *device);

/** cvd_agent_device_ring: rings the host's doorbell of @region. */
void cvd_agent_device_ring(const struct cvd_agent_device *device, uint32_t region);

/** cvd_agent_device_ring_ready: rings for the word that says that the guest is ready. */
void cvd_agent_device_ring_ready(const struct cvd_agent_device *device);
