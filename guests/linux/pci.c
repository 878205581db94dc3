/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device as sysfs has it. All that is done here can be done in a shell as well:
 *
 *   cd /sys/bus/pci/devices/0000:00:10.0
 *   echo vfio-pci > driver_override
 *   echo 0000:00:10.0 > /sys/bus/pci/drivers_probe
 *   readlink iommu_group
 */
#include "guests/linux/pci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guests/linux/say.h"
#include "vsoc/device.h"

#define DEVICES       "/sys/bus/pci/devices"
#define DRIVERS_PROBE "/sys/bus/pci/drivers_probe"
#define DRIVER        "vfio-pci"
#define COMMAND       4 /* the register, in configuration space */

void cvd_agent_pci_path(const struct cvd_agent_pci *pci, const char *file, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s/%s", DEVICES, pci->address, file);
}

/* Returns: how many bytes of a file were read; −1 after saying why none were */
static ssize_t read_file(const struct cvd_agent_pci *pci, const char *file, void *bytes,
                         size_t size, off_t at)
{
    char path[PATH_MAX];

    cvd_agent_pci_path(pci, file, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, bytes, size, at);
    int error = errno;
    if (fd >= 0)
        close(fd);
    return n >= 0 ? n : cvd_agent_fail("%s: %s", path, strerror(error));
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    int error = errno;

    if (fd >= 0)
        close(fd);
    return n < 0 ? cvd_agent_fail("%s: %s", path, strerror(error)) : 0;
}

int cvd_agent_pci_write(const struct cvd_agent_pci *pci, const char *file, const char *text)
{
    char path[PATH_MAX];

    cvd_agent_pci_path(pci, file, path);
    return write_file(path, text);
}

static bool has_number(const struct cvd_agent_pci *pci, const char *file, unsigned long number)
{
    char text[32] = "";

    return read_file(pci, file, text, sizeof text - 1, 0) > 0 && strtoul(text, NULL, 16) == number;
}

static bool is_device(struct cvd_agent_pci *pci, const char *name)
{
    if (name[0] == '.' || strlen(name) >= sizeof pci->address)
        return false;
    strcpy(pci->address, name);
    return has_number(pci, "vendor", VSOC_PCI_VENDOR) && has_number(pci, "device", VSOC_PCI_DEVICE);
}

int cvd_agent_pci_find(struct cvd_agent_pci *pci)
{
    DIR *devices = opendir(DEVICES);
    struct dirent *entry;

    if (!devices)
        return cvd_agent_fail("%s: %s; mount sysfs", DEVICES, strerror(errno));
    do
        entry = readdir(devices);
    while (entry && !is_device(pci, entry->d_name));
    closedir(devices);
    if (!entry)
        return cvd_agent_fail("PCI device %04x:%04x not found", VSOC_PCI_VENDOR, VSOC_PCI_DEVICE);
    if (read_file(pci, "config", &pci->command, sizeof pci->command, COMMAND) !=
        sizeof pci->command)
        return -1;
    cvd_agent_say("device %s, command register 0x%04x", pci->address, pci->command);
    return 0;
}

/* Returns: the last component of what the link points to; NULL if there is none */
static const char *read_link(const struct cvd_agent_pci *pci, const char *link,
                             char target[PATH_MAX])
{
    char path[PATH_MAX];

    cvd_agent_pci_path(pci, link, path);
    ssize_t n = readlink(path, target, PATH_MAX - 1);
    if (n < 0)
        return NULL;
    target[n] = '\0';
    const char *slash = strrchr(target, '/');
    return slash ? slash + 1 : target;
}

static int give_to_vfio(const struct cvd_agent_pci *pci)
{
    char target[PATH_MAX];
    const char *driver = read_link(pci, "driver", target);

    if (driver && strcmp(driver, DRIVER) == 0)
        return 0;
    if (driver)
        return cvd_agent_fail("%s: the driver %s has it; unbind that first", pci->address, driver);
    if (cvd_agent_pci_write(pci, "driver_override", DRIVER) ||
        write_file(DRIVERS_PROBE, pci->address))
        return -1;
    driver = read_link(pci, "driver", target);
    if (!driver || strcmp(driver, DRIVER) != 0)
        return cvd_agent_fail("%s: the driver %s did not take it; load the module", pci->address,
                              DRIVER);
    return 0;
}

int cvd_agent_pci_unbind(const struct cvd_agent_pci *pci)
{
    char target[PATH_MAX];

    return read_link(pci, "driver", target)
               ? cvd_agent_pci_write(pci, "driver/unbind", pci->address)
               : 0;
}

int cvd_agent_pci_bind_vfio(const struct cvd_agent_pci *pci, unsigned *group)
{
    char target[PATH_MAX];
    const char *number = read_link(pci, "iommu_group", target);

    if (!number)
        return cvd_agent_fail("%s: no IOMMU group; VFIO needs QEMU's device intel-iommu, and "
                              "intel_iommu=on on the kernel command line",
                              pci->address);
    *group = (unsigned)strtoul(number, NULL, 10);
    return give_to_vfio(pci);
}
