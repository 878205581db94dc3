/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device through VFIO (the kernel's Documentation/driver-api/vfio.rst): the group goes into a
 * container with an IOMMU, and then gives a descriptor of the device, in which the BARs and
 * configuration space have a place each and the interrupts an eventfd each.
 *
 * VFIO takes the bus-master bit away when a device is opened, and a device without it sends no
 * interrupt: so it is set here, in configuration space.
 */
#include "guests/linux/vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guests/linux/say.h"

#define CONTAINER     "/dev/vfio/vfio"
#define MIN_REGISTERS 256

static int open_container(void)
{
    int container = open(CONTAINER, O_RDWR | O_CLOEXEC);

    if (container < 0)
        return cvd_agent_fail("%s: %s; load the modules vfio, vfio_iommu_type1 and vfio-pci",
                              CONTAINER, strerror(errno));
    if (ioctl(container, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
        return cvd_agent_fail("%s: another version of VFIO", CONTAINER);
    if (ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU) != 1)
        return cvd_agent_fail("%s: load the module vfio_iommu_type1", CONTAINER);
    return container;
}

static int open_group(int container, unsigned number)
{
    struct vfio_group_status status = {.argsz = sizeof status};
    char path[64];

    snprintf(path, sizeof path, "/dev/vfio/%u", number);
    int group = open(path, O_RDWR | O_CLOEXEC);
    if (group < 0)
        return cvd_agent_fail("%s: %s", path, strerror(errno));
    if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) < 0)
        return cvd_agent_fail("%s: %s", path, strerror(errno));
    if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
        return cvd_agent_fail("%s: other devices of the group are bound to other drivers", path);
    if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0)
        return cvd_agent_fail("%s: VFIO_GROUP_SET_CONTAINER: %s", path, strerror(errno));
    if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU) < 0)
        return cvd_agent_fail("%s: VFIO_SET_IOMMU: %s; without interrupt remapping load "
                              "vfio_iommu_type1 with allow_unsafe_interrupts=1",
                              path, strerror(errno));
    return group;
}

static int open_device(struct cvd_agent_device *device, const struct cvd_agent_pci *pci)
{
    unsigned number;

    if (cvd_agent_pci_bind_vfio(pci, &number))
        return -1;
    int container = open_container();
    int group = container < 0 ? -1 : open_group(container, number);
    if (group < 0)
        return -1;
    device->vfio = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, pci->address);
    if (device->vfio < 0)
        return cvd_agent_fail("%s: VFIO_GROUP_GET_DEVICE_FD: %s", pci->address, strerror(errno));
    return 0;
}

static int get_region(const struct cvd_agent_device *device, unsigned index,
                      struct vfio_region_info *info)
{
    *info = (struct vfio_region_info){.argsz = sizeof *info, .index = index};
    if (ioctl(device->vfio, VFIO_DEVICE_GET_REGION_INFO, info) < 0)
        return cvd_agent_fail("VFIO_DEVICE_GET_REGION_INFO %u: %s", index, strerror(errno));
    return 0;
}

static void *map(const struct cvd_agent_device *device, const struct vfio_region_info *info)
{
    if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP))
        return MAP_FAILED;
    return mmap(NULL, info->size, PROT_READ | PROT_WRITE, MAP_SHARED, device->vfio,
                (off_t)info->offset);
}

/* Smaller than a page, BAR 0 can only be mapped if it has its page for itself. */
static int map_registers(struct cvd_agent_device *device)
{
    struct vfio_region_info info;

    if (get_region(device, VFIO_PCI_BAR0_REGION_INDEX, &info))
        return -1;
    if (info.size < MIN_REGISTERS)
        return cvd_agent_fail("BAR 0 has %llu bytes", (unsigned long long)info.size);
    void *place = map(device, &info);
    device->vfio_registers = info.offset;
    device->registers = place == MAP_FAILED ? NULL : place;
    return 0;
}

static int map_window(struct cvd_agent_device *device)
{
    struct vfio_region_info info;

    if (get_region(device, VFIO_PCI_BAR2_REGION_INDEX, &info))
        return -1;
    void *place = map(device, &info);
    if (place == MAP_FAILED)
        return cvd_agent_fail("BAR 2 of %llu bytes cannot be mapped",
                              (unsigned long long)info.size);
    device->window = place;
    device->window_bytes = info.size;
    return 0;
}

static int set_bus_master(const struct cvd_agent_device *device, bool on)
{
    struct vfio_region_info info;
    uint16_t command;

    if (get_region(device, VFIO_PCI_CONFIG_REGION_INDEX, &info))
        return -1;
    off_t at = (off_t)info.offset + PCI_COMMAND;
    if (pread(device->vfio, &command, sizeof command, at) != sizeof command)
        return cvd_agent_fail("configuration space cannot be read: %s", strerror(errno));
    command = (uint16_t)(on ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER);
    if (pwrite(device->vfio, &command, sizeof command, at) != sizeof command)
        return cvd_agent_fail("configuration space cannot be written: %s", strerror(errno));
    return 0;
}

static int count_vectors(struct cvd_agent_device *device)
{
    struct vfio_irq_info info = {.argsz = sizeof info, .index = VFIO_PCI_MSIX_IRQ_INDEX};

    if (ioctl(device->vfio, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0)
        return cvd_agent_fail("VFIO_DEVICE_GET_IRQ_INFO: %s", strerror(errno));
    if (!(info.flags & VFIO_IRQ_INFO_EVENTFD) || info.count == 0)
        return cvd_agent_fail("the device has no MSI-X");
    device->vectors = info.count;
    return 0;
}

int cvd_agent_vfio_open(struct cvd_agent_device *device, const struct cvd_agent_pci *pci,
                        bool bus_master)
{
    bool was_on = pci->command & PCI_COMMAND_MASTER;

    if (open_device(device, pci) || map_registers(device) || map_window(device) ||
        count_vectors(device))
        return -1;
    return set_bus_master(device, bus_master || was_on);
}

/* With none, MSI-X is disabled. Returns: whether the kernel gave that many; else `errno` is set */
static bool set_eventfds(const struct cvd_agent_device *device, unsigned first, const int *eventfds,
                         unsigned count)
{
    size_t size = sizeof(struct vfio_irq_set) + count * sizeof *eventfds;
    struct vfio_irq_set *set = calloc(1, size);

    if (!set)
        return false;
    set->argsz = (uint32_t)size;
    set->flags = (count > 0 ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE) |
                 VFIO_IRQ_SET_ACTION_TRIGGER;
    set->index = VFIO_PCI_MSIX_IRQ_INDEX;
    set->start = first;
    set->count = count;
    memcpy(set->data, eventfds, count * sizeof *eventfds);
    int result = ioctl(device->vfio, VFIO_DEVICE_SET_IRQS, set);
    int error = result > 0 ? ENOSPC : errno; /* it may tell how many there would be */
    free(set);
    errno = error;
    return result == 0;
}

/* Returns: the most that the kernel gives of fewer than @count */
static unsigned find_most(const struct cvd_agent_device *device, const int *eventfds,
                          unsigned count)
{
    unsigned good = 0, bad = count;

    while (bad - good > 1) {
        unsigned tried = good + (bad - good) / 2;

        if (set_eventfds(device, 0, eventfds, tried)) {
            set_eventfds(device, 0, eventfds, 0);
            good = tried;
        } else {
            bad = tried;
        }
    }
    return good;
}

int cvd_agent_vfio_enable_msix(const struct cvd_agent_device *device, const int *eventfds,
                               unsigned count)
{
    if (set_eventfds(device, 0, eventfds, count))
        return (int)count;
    if (errno == ENOSPC) {
        count = find_most(device, eventfds, count);
        if (count > 0 && set_eventfds(device, 0, eventfds, count))
            return (int)count;
    }
    return cvd_agent_fail("MSI-X with %u vectors: %s", count, strerror(errno));
}

int cvd_agent_vfio_move_vector(const struct cvd_agent_device *device, unsigned vector, int eventfd)
{
    if (set_eventfds(device, vector, &eventfd, 1))
        return 0;
    return cvd_agent_fail("MSI-X vector %u: %s", vector, strerror(errno));
}
