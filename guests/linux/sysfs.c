/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device without any driver: sysfs lets root map its BARs, as the files resource0 and
 * resource2. Nobody takes interrupts then, so the signal words have to be looked at again and
 * again; the doorbells of the host can be rung.
 */
#include "guests/linux/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guests/linux/say.h"

#define BARS          3
#define PAGE          4096u
#define MIN_REGISTERS 256

struct bar {
    uint64_t start;
    uint64_t size; /* 0: there is none */
};

/* The file has a line for each BAR: its first address, its last, flags. */
static int read_bars(const struct cvd_agent_pci *pci, struct bar bars[BARS])
{
    char path[PATH_MAX];

    cvd_agent_pci_path(pci, "resource", path);
    FILE *file = fopen(path, "re");
    if (!file)
        return cvd_agent_fail("%s: %s", path, strerror(errno));
    for (int i = 0; i < BARS; i++) {
        uint64_t first = 0, last = 0;

        if (fscanf(file, "%" SCNx64 " %" SCNx64 " %*x", &first, &last) == 2 && last > first)
            bars[i] = (struct bar){first, last - first + 1};
    }
    fclose(file);
    return 0;
}

/* Whole pages are mapped, in which a small BAR need not be at the start. */
static void *map(const struct cvd_agent_pci *pci, const char *file, const struct bar *bar)
{
    uint64_t inside = bar->start % PAGE;
    char path[PATH_MAX];

    cvd_agent_pci_path(pci, file, path);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_SYNC);
    uint8_t *place = MAP_FAILED;
    if (fd >= 0)
        place = mmap(NULL, inside + bar->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (place == MAP_FAILED) {
        cvd_agent_say("%s: %s", path, strerror(error));
        return NULL;
    }
    return place + inside;
}

int cvd_agent_sysfs_open(struct cvd_agent_device *device, const struct cvd_agent_pci *pci)
{
    struct bar bars[BARS] = {0};

    if (cvd_agent_pci_unbind(pci) || cvd_agent_pci_write(pci, "enable", "1") ||
        read_bars(pci, bars))
        return -1;
    if (bars[0].size < MIN_REGISTERS || bars[2].size == 0)
        return cvd_agent_fail("%s: a BAR is missing", pci->address);
    *device = (struct cvd_agent_device){.vfio = -1, .window_bytes = bars[2].size};
    device->registers = map(pci, "resource0", &bars[0]);
    device->window = device->registers ? map(pci, "resource2", &bars[2]) : NULL;
    return device->window ? 0 : -1;
}
