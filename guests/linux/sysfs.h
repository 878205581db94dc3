/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guests/linux/device.h"
#include "guests/linux/pci.h"

/**
 * cvd_agent_sysfs_open:
 * @device: (out): filled in; it has no interrupts
 * @pci: what cvd_agent_pci_find() found
 *
 * Returns: 0, or −1 after saying what is wrong
 */
int cvd_agent_sysfs_open(struct cvd_agent_device *device, const struct cvd_agent_pci *pci);
