/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * PCI configuration space through ports 0xcf8 and 0xcfc. A function's address is its bus, slot and
 * function number as these ports take them.
 */
typedef uint32_t CvdGuestPciAddress;

#define PCI_COMMAND            0x04
#define PCI_COMMAND_MEMORY     0x0002u
#define PCI_COMMAND_BUS_MASTER 0x0004u
#define PCI_COMMAND_NO_INTX    0x0400u
#define PCI_CAPABILITY_MSIX    0x11

/** A memory BAR; @size is 0 where there is none, @address where it was given no place. */
struct cvd_guest_bar {
    uint64_t address;
    uint64_t size;
};

uint32_t cvd_guest_pci_read(CvdGuestPciAddress function, unsigned offset);
void cvd_guest_pci_write(CvdGuestPciAddress function, unsigned offset, uint32_t value);
void cvd_guest_pci_write8(CvdGuestPciAddress function, unsigned offset, uint8_t value);

/**
 * cvd_guest_pci_find:
 * @id: device ID in the upper, vendor ID in the lower half
 * @found: (out): the first such function
 */
bool cvd_guest_pci_find(uint32_t id, CvdGuestPciAddress *found);

/** cvd_guest_pci_capability: Returns: the offset of capability @id, or 0 */
unsigned cvd_guest_pci_capability(CvdGuestPciAddress function, uint8_t id);

/** cvd_guest_pci_bar: finds out where BAR @index is and how large; it is off for a moment. */
struct cvd_guest_bar cvd_guest_pci_bar(CvdGuestPciAddress function, unsigned index);

/** cvd_guest_pci_command: sets bits in the command register, leaving the others as they are. */
void cvd_guest_pci_command(CvdGuestPciAddress function, uint32_t bits);
