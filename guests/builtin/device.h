/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "guests/builtin/pci.h"

/** The ivshmem device, once cvd_guest_device_open() has found it. */
struct cvd_guest_device {
    CvdGuestPciAddress function;
    unsigned msix;         /* offset of the capability */
    unsigned vectors;      /* entries of the MSI-X table */
    uintptr_t registers;   /* BAR 0 */
    uint32_t iv_position;  /* this VM among the peers */
    uintptr_t entries;     /* the MSI-X table */
    uint8_t *window;       /* BAR 2, where it is mapped */
    uint64_t window_bytes; /* its size */
};

/**
 * cvd_guest_device_open:
 * @device: (out): filled in
 * @bus_master: whether to let it send interrupts; else that bit is left as it is
 *
 * Returns: (nullable): what is wrong, or %NULL
 */
const char *cvd_guest_device_open(struct cvd_guest_device *device, bool bus_master);

/** cvd_guest_device_enable_msix: entries 0 … @count − 1 raise the vectors of their regions. */
void cvd_guest_device_enable_msix(const struct cvd_guest_device *device, unsigned count);

/** cvd_guest_device_ring: rings the host's doorbell of @region. */
void cvd_guest_device_ring(const struct cvd_guest_device *device, uint32_t region);

/** cvd_guest_device_ring_ready: rings for the word that says that the guest is ready. */
void cvd_guest_device_ring_ready(const struct cvd_guest_device *device);
