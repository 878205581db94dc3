/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent/pci.h"

/** The ivshmem device, once cvd_agent_vfio_open() has it. It stays open until the process ends. */
struct cvd_agent_vfio {
    int device;
    uint64_t registers;               /* where BAR 0 is in @device */
    volatile uint32_t *registers_map; /* BAR 0; NULL where it cannot be mapped */
    uint8_t *window;                  /* BAR 2 */
    uint64_t window_bytes;
    unsigned vectors; /* entries of the MSI-X table */
};

/**
 * cvd_agent_vfio_open:
 * @vfio: (out): filled in
 * @pci: what cvd_agent_pci_bind() found
 * @bus_master: whether to let the device send interrupts; else that bit is left as it was found
 *
 * Returns: 0, or −1 after saying what is wrong
 */
int cvd_agent_vfio_open(struct cvd_agent_vfio *vfio, const struct cvd_agent_pci *pci,
                        bool bus_master);

/**
 * cvd_agent_vfio_enable_msix:
 * @eventfds: what vector 0, 1, … is to add one to
 * @count: how many there are
 *
 * The kernel may have fewer interrupts to give.
 *
 * Returns: how many vectors it gave, or −1 after saying what is wrong
 */
int cvd_agent_vfio_enable_msix(const struct cvd_agent_vfio *vfio, const int *eventfds,
                               unsigned count);

/** cvd_agent_vfio_ring: rings the host's doorbell of @region. */
void cvd_agent_vfio_ring(const struct cvd_agent_vfio *vfio, uint32_t region);
