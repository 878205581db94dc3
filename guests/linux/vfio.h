/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "guests/linux/device.h"
#include "guests/linux/pci.h"

/**
 * cvd_agent_vfio_open:
 * @device: (out): filled in
 * @pci: what cvd_agent_pci_find() found; it is given to vfio-pci
 * @bus_master: whether to let the device send interrupts; else that bit is left as it was found
 *
 * Returns: 0, or −1 after saying what is wrong
 */
int cvd_agent_vfio_open(struct cvd_agent_device *device, const struct cvd_agent_pci *pci,
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
int cvd_agent_vfio_enable_msix(const struct cvd_agent_device *device, const int *eventfds,
                               unsigned count);

/**
 * cvd_agent_vfio_move_vector: has @vector, which must be enabled, add one to another eventfd.
 *
 * Returns: 0, or −1 after saying what is wrong
 */
int cvd_agent_vfio_move_vector(const struct cvd_agent_device *device, unsigned vector, int eventfd);
