/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ivshmem-doorbell device: BAR 0 has the registers, BAR 1 the MSI-X table, BAR 2 the window.
 * QEMU drops what the host rings before MSI-X is enabled, so the caller looks at every region after
 * that.
 */
#include "guests/builtin/device.h"

#include "guests/builtin/interrupts.h"
#include "guests/builtin/io.h"
#include "vsoc/device.h"
#include "vsoc/ready.h"

#define IVSHMEM_ID      (VSOC_PCI_DEVICE << 16 | VSOC_PCI_VENDOR)
#define MIN_REGISTERS   256
#define MSIX_TABLE_SIZE 0x07ff0000u
#define MSIX_ENABLE     0x80000000u
#define MSIX_ALL_MASKED 0x40000000u
#define MSIX_TABLE_BAR  0x7u
#define MSIX_ENTRY_SIZE 16u
#define LOW_LIMIT       (1ull << 32)
#define BIG_PAGE        (1ull << 21)
#define BIG_PAGES       1024
#define BIG_PAGE_FLAGS  0x83 /* present, writable, 2 MiB */
#define WINDOW_ADDRESS  (1ull << 39)
#define MAX_WINDOW      (1ull << 31)
#define ADDRESS_SIZES   0x80000008u /* a leaf of CPUID */
#define DEFAULT_BITS    36

extern uint64_t cvd_guest_window_pdpt[512];
extern uint64_t cvd_guest_window_pds[BIG_PAGES];

/* Maps a BAR of up to 2 GiB, which is aligned to its size, at 512 GiB. */
static uint8_t *map_window(const struct cvd_guest_bar *bar)
{
    uint64_t first = bar->address & ~(BIG_PAGE - 1);

    for (unsigned i = 0; i < BIG_PAGES && first + i * BIG_PAGE < bar->address + bar->size; i++)
        cvd_guest_window_pds[i] = (first + i * BIG_PAGE) | BIG_PAGE_FLAGS;
    for (unsigned i = 0; i < BIG_PAGES / 512; i++)
        cvd_guest_window_pdpt[i] = (uintptr_t)(cvd_guest_window_pds + 512 * i) | 0x3;
    return (uint8_t *)(uintptr_t)(WINDOW_ADDRESS + (bar->address - first));
}

/* Firmware does not always know how far the processor's addresses go. */
static uint64_t highest_address(void)
{
    uint32_t bits = io_cpuid_eax(ADDRESS_SIZES) & 0xff;

    return 1ull << (bits ? bits : DEFAULT_BITS);
}

static const char *check_bars(const struct cvd_guest_bar *registers,
                              const struct cvd_guest_bar *table, uint64_t table_end,
                              const struct cvd_guest_bar *window)
{
    if (registers->size < MIN_REGISTERS || !window->size || !table->size)
        return "a BAR is missing";
    if (!registers->address || !table->address || !window->address)
        return "the firmware gave a BAR no address";
    if (registers->address + registers->size > LOW_LIMIT ||
        table->address + table->size > LOW_LIMIT)
        return "BAR 0 or 1 is above 4 GiB";
    if (table_end > table->size)
        return "the MSI-X table is larger than its BAR";
    if (window->size > MAX_WINDOW || window->address & (window->size - 1))
        return "BAR 2 is over 2 GiB or not aligned";
    if (window->address + window->size > highest_address())
        return "BAR 2 is where this processor has no addresses (see phys-bits of qemu.cpu)";
    return 0;
}

const char *cvd_guest_device_open(struct cvd_guest_device *device, bool bus_master)
{
    struct cvd_guest_bar registers, table, window;
    uint32_t head, where;
    const char *problem;

    if (!cvd_guest_pci_find(IVSHMEM_ID, &device->function))
        return "PCI device 1af4:1110 not found";
    device->msix = cvd_guest_pci_capability(device->function, PCI_CAPABILITY_MSIX);
    if (!device->msix)
        return "no MSI-X capability";
    head = cvd_guest_pci_read(device->function, device->msix);
    where = cvd_guest_pci_read(device->function, device->msix + 4);
    if ((where & MSIX_TABLE_BAR) != 1)
        return "the MSI-X table is not in BAR 1";
    device->vectors = ((head & MSIX_TABLE_SIZE) >> 16) + 1;
    registers = cvd_guest_pci_bar(device->function, 0);
    table = cvd_guest_pci_bar(device->function, 1);
    window = cvd_guest_pci_bar(device->function, 2);
    where &= ~MSIX_TABLE_BAR;
    problem = check_bars(&registers, &table, where + (uint64_t)device->vectors * MSIX_ENTRY_SIZE,
                         &window);
    if (problem)
        return problem;

    cvd_guest_pci_command(device->function, PCI_COMMAND_MEMORY | PCI_COMMAND_NO_INTX |
                                                (bus_master ? PCI_COMMAND_BUS_MASTER : 0));
    device->registers = registers.address;
    device->iv_position = io_read32(device->registers + VSOC_REGISTER_IV_POSITION);
    device->entries = table.address + where;
    device->window = map_window(&window);
    device->window_bytes = window.size;
    return 0;
}

void cvd_guest_device_enable_msix(const struct cvd_guest_device *device, unsigned count)
{
    uint32_t head = cvd_guest_pci_read(device->function, device->msix);
    uint32_t address = cvd_guest_interrupts_message();

    cvd_guest_pci_write(device->function, device->msix, head | MSIX_ENABLE | MSIX_ALL_MASKED);
    for (unsigned i = 0; i < count; i++) {
        uintptr_t entry = device->entries + i * MSIX_ENTRY_SIZE;

        io_write32(entry, address);
        io_write32(entry + 4, 0);
        io_write32(entry + 8, CVD_GUEST_VECTOR_REGION + i % CVD_GUEST_REGION_VECTORS);
        io_write32(entry + 12, 0); /* not masked */
    }
    cvd_guest_pci_write(device->function, device->msix, (head & ~MSIX_ALL_MASKED) | MSIX_ENABLE);
}

void cvd_guest_device_ring(const struct cvd_guest_device *device, uint32_t region)
{
    io_write32(device->registers + VSOC_REGISTER_DOORBELL,
               vsoc_doorbell_value(device->iv_position, region));
}

void cvd_guest_device_ring_ready(const struct cvd_guest_device *device)
{
    io_write32(device->registers + VSOC_REGISTER_DOORBELL, VSOC_READY_DOORBELL);
}
