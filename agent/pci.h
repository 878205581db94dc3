/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/** CVD_AGENT_ADDRESS_SIZE: room for `0000:00:10.0` */
#define CVD_AGENT_ADDRESS_SIZE 32

/** The device in sysfs. */
struct cvd_agent_pci {
    char address[CVD_AGENT_ADDRESS_SIZE];
    uint16_t command; /* of configuration space, before any driver of ours touched it */
    unsigned group;   /* its IOMMU group */
};

/**
 * cvd_agent_pci_bind:
 * @pci: (out): filled in
 *
 * Finds the ivshmem device (PCI ID 1af4:1110), gives it to the driver vfio-pci, which must have
 * been loaded, and looks up its IOMMU group.
 *
 * Returns: 0, or −1 after saying what is wrong
 */
int cvd_agent_pci_bind(struct cvd_agent_pci *pci);
