/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/builtin/pci.h"

#include "guests/builtin/io.h"

#define ADDRESS_PORT     0xcf8
#define DATA_PORT        0xcfc
#define ENABLE           0x80000000u
#define BUSES            256
#define SLOTS            32
#define FUNCTIONS        8
#define NONE             0xffffffffu
#define STATUS_HAS_LIST  0x00100000u
#define MAX_CAPABILITIES 48
#define BAR_IS_PORT      0x1u
#define BAR_TYPE_MASK    0x6u
#define BAR_TYPE_64      0x4u
#define BAR_FLAGS        0xfull

uint32_t cvd_guest_pci_read(CvdGuestPciAddress function, unsigned offset)
{
    io_out32(ADDRESS_PORT, ENABLE | function | offset);
    return io_in32(DATA_PORT);
}

void cvd_guest_pci_write(CvdGuestPciAddress function, unsigned offset, uint32_t value)
{
    io_out32(ADDRESS_PORT, ENABLE | function | offset);
    io_out32(DATA_PORT, value);
}

void cvd_guest_pci_write8(CvdGuestPciAddress function, unsigned offset, uint8_t value)
{
    io_out32(ADDRESS_PORT, ENABLE | function | (offset & ~3u));
    io_out8((uint16_t)(DATA_PORT + (offset & 3)), value);
}

static bool find_in_slot(uint32_t id, CvdGuestPciAddress slot, CvdGuestPciAddress *found)
{
    bool is_multi;

    if (cvd_guest_pci_read(slot, 0) == NONE)
        return false;
    is_multi = cvd_guest_pci_read(slot, 0x0c) & 0x00800000u;
    for (uint32_t f = 0; f < (is_multi ? FUNCTIONS : 1); f++) {
        if (cvd_guest_pci_read(slot | f << 8, 0) == id) {
            *found = slot | f << 8;
            return true;
        }
    }
    return false;
}

bool cvd_guest_pci_find(uint32_t id, CvdGuestPciAddress *found)
{
    for (uint32_t bus = 0; bus < BUSES; bus++)
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            if (find_in_slot(id, bus << 16 | slot << 11, found))
                return true;
    return false;
}

unsigned cvd_guest_pci_capability(CvdGuestPciAddress function, uint8_t id)
{
    unsigned at;

    if (!(cvd_guest_pci_read(function, PCI_COMMAND) & STATUS_HAS_LIST))
        return 0;
    at = cvd_guest_pci_read(function, 0x34) & 0xfc;
    for (unsigned n = 0; at && n < MAX_CAPABILITIES; n++) {
        uint32_t head = cvd_guest_pci_read(function, at);

        if ((head & 0xff) == id)
            return at;
        at = head >> 8 & 0xfc;
    }
    return 0;
}

/* Writes all ones, reads back which bits stuck, restores. */
static uint32_t probe(CvdGuestPciAddress function, unsigned offset)
{
    uint32_t old = cvd_guest_pci_read(function, offset);
    uint32_t mask;

    cvd_guest_pci_write(function, offset, NONE);
    mask = cvd_guest_pci_read(function, offset);
    cvd_guest_pci_write(function, offset, old);
    return mask;
}

struct cvd_guest_bar cvd_guest_pci_bar(CvdGuestPciAddress function, unsigned index)
{
    struct cvd_guest_bar bar = {0, 0};
    unsigned offset = 0x10 + 4 * index;
    uint32_t command = cvd_guest_pci_read(function, PCI_COMMAND) & 0xffff;
    uint32_t low = cvd_guest_pci_read(function, offset);
    uint64_t mask = 0xffffffff00000000ull;

    if (low & BAR_IS_PORT)
        return bar;
    cvd_guest_pci_write(function, PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
    mask |= probe(function, offset);
    bar.address = low & ~BAR_FLAGS;
    if ((low & BAR_TYPE_MASK) == BAR_TYPE_64) {
        bar.address |= (uint64_t)cvd_guest_pci_read(function, offset + 4) << 32;
        mask = (uint64_t)probe(function, offset + 4) << 32 | (uint32_t)mask;
    }
    cvd_guest_pci_write(function, PCI_COMMAND, command);
    if ((uint32_t)mask)
        bar.size = ~(mask & ~BAR_FLAGS) + 1;
    return bar;
}

void cvd_guest_pci_command(CvdGuestPciAddress function, uint32_t bits)
{
    uint32_t command = cvd_guest_pci_read(function, PCI_COMMAND) & 0xffff;

    cvd_guest_pci_write(function, PCI_COMMAND, command | bits);
}
