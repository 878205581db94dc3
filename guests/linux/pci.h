/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <limits.h>
#include <stdint.h>

/** CVD_AGENT_ADDRESS_SIZE: room for `0000:00:10.0` */
#define CVD_AGENT_ADDRESS_SIZE 32

/** The device in sysfs. */
struct cvd_agent_pci {
    char address[CVD_AGENT_ADDRESS_SIZE];
    uint16_t command; /* of configuration space, before any driver of ours touched it */
};

/**
 * cvd_agent_pci_find:
 * @pci: (out): filled in
 *
 * Finds the ivshmem device (PCI ID 1af4:1110).
 *
 * Returns: 0, or −1 after saying what is wrong
 */
int cvd_agent_pci_find(struct cvd_agent_pci *pci);

/**
 * cvd_agent_pci_bind_vfio:
 * @group: (out): the device's IOMMU group
 *
 * Gives the device to the driver vfio-pci, which must have been loaded.
 *
 * Returns: 0, or −1 after saying what is wrong
 */
int cvd_agent_pci_bind_vfio(const struct cvd_agent_pci *pci, unsigned *group);

/** cvd_agent_pci_unbind: takes the device from its driver, if it has one; Returns: 0, or −1 */
int cvd_agent_pci_unbind(const struct cvd_agent_pci *pci);

/** cvd_agent_pci_path: the path of one of the device's files in sysfs. */
void cvd_agent_pci_path(const struct cvd_agent_pci *pci, const char *file, char path[PATH_MAX]);

/** cvd_agent_pci_write: Returns: 0, or −1 after saying why @file cannot be written */
int cvd_agent_pci_write(const struct cvd_agent_pci *pci, const char *file, const char *text);
