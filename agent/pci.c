/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device as sysfs has it. All that is done here can be done in a shell as well:
 *
 *   cd /sys/bus/pci/devices/0000:00:10.0
 *   echo vfio-pci > driver_override
 *   echo 0000:00:10.0 > /sys/bus/pci/drivers_probe
 *   readlink iommu_group
 */
#include "agent/pci.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/say.h"

#define DEVICES       "/sys/bus/pci/devices"
#define DRIVERS_PROBE "/sys/bus/pci/drivers_probe"
#define DRIVER        "vfio-pci"
#define VENDOR_ID     0x1af4u
#define DEVICE_ID     0x1110u
#define COMMAND       4 /* the register, in configuration space */

static void make_path(char path[PATH_MAX], const char *address, const char *file)
{
    snprintf(path, PATH_MAX, "%s/%s/%s", DEVICES, address, file);
}

/* Returns: the hexadecimal number that an attribute has, or −1 */
static long read_number(const char *address, const char *file)
{
    char path[PATH_MAX], text[32] = "";

    make_path(path, address, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? strtol(text, NULL, 16) : -1;
}

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    int error = errno;

    if (fd >= 0)
        close(fd);
    return n < 0 ? cvd_agent_fail("%s: %s", path, strerror(error)) : 0;
}

/* Returns: the last component of what the link points to; NULL if there is none */
static const char *read_link(const char *address, const char *link, char target[PATH_MAX])
{
    char path[PATH_MAX];

    make_path(path, address, link);
    ssize_t n = readlink(path, target, PATH_MAX - 1);
    if (n < 0)
        return NULL;
    target[n] = '\0';
    const char *slash = strrchr(target, '/');
    return slash ? slash + 1 : target;
}

static bool is_ours(const char *address)
{
    return strlen(address) < CVD_AGENT_ADDRESS_SIZE &&
           read_number(address, "vendor") == VENDOR_ID &&
           read_number(address, "device") == DEVICE_ID;
}

static int find(struct cvd_agent_pci *pci)
{
    DIR *devices = opendir(DEVICES);
    bool found = false;

    if (!devices)
        return cvd_agent_fail("%s: %s; mount sysfs", DEVICES, strerror(errno));
    for (struct dirent *entry; !found && (entry = readdir(devices));)
        if (is_ours(entry->d_name)) {
            strcpy(pci->address, entry->d_name);
            found = true;
        }
    closedir(devices);
    return found ? 0 : cvd_agent_fail("PCI device %04x:%04x not found", VENDOR_ID, DEVICE_ID);
}

static int read_command(struct cvd_agent_pci *pci)
{
    char path[PATH_MAX];

    make_path(path, pci->address, "config");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, &pci->command, sizeof pci->command, COMMAND);
    int error = errno;
    if (fd >= 0)
        close(fd);
    return n == sizeof pci->command ? 0 : cvd_agent_fail("%s: %s", path, strerror(error));
}

static int give_to_vfio(const struct cvd_agent_pci *pci)
{
    char path[PATH_MAX], target[PATH_MAX];
    const char *driver = read_link(pci->address, "driver", target);

    if (driver && strcmp(driver, DRIVER) == 0)
        return 0;
    if (driver)
        return cvd_agent_fail("%s: the driver %s has it; unbind that first", pci->address, driver);
    make_path(path, pci->address, "driver_override");
    if (write_text(path, DRIVER) || write_text(DRIVERS_PROBE, pci->address))
        return -1;
    driver = read_link(pci->address, "driver", target);
    if (!driver || strcmp(driver, DRIVER) != 0)
        return cvd_agent_fail("%s: the driver %s did not take it; load the module", pci->address,
                              DRIVER);
    return 0;
}

static int find_group(struct cvd_agent_pci *pci)
{
    char target[PATH_MAX];
    const char *group = read_link(pci->address, "iommu_group", target);

    if (!group)
        return cvd_agent_fail("%s: no IOMMU group; VFIO needs QEMU's `-device intel-iommu` and "
                              "`intel_iommu=on` on the kernel command line",
                              pci->address);
    pci->group = (unsigned)strtoul(group, NULL, 10);
    return 0;
}

int cvd_agent_pci_bind(struct cvd_agent_pci *pci)
{
    if (find(pci) || read_command(pci) || find_group(pci))
        return -1;
    cvd_agent_say("device %s in IOMMU group %u, command register 0x%04x", pci->address, pci->group,
                  pci->command);
    return give_to_vfio(pci);
}
