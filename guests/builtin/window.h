/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "vsoc/abi.h"

/** CVD_GUEST_MAX_REGIONS: the device has no more MSI-X vectors. */
#define CVD_GUEST_MAX_REGIONS 2048

/**
 * The layout as this guest believes it: copied out of the window word by word, then checked, and
 * never read there again, since the other side can write there at any time.
 */
struct cvd_guest_window {
    uint8_t *base;
    struct vsoc_shm_layout_descriptor layout;
    struct vsoc_device_region regions[CVD_GUEST_MAX_REGIONS];
    uint16_t order[CVD_GUEST_MAX_REGIONS]; /* for sorting */
};

/** What a layout breaks; @region is −1 where it is not about one, @value what was found. */
struct cvd_guest_fault {
    const char *rule;
    int region;
    uint32_t value;
};

/**
 * cvd_guest_window_open:
 * @window: (out): filled in, fit for use only when there is no fault
 * @base: the window, 4-aligned
 * @mapped: its size in bytes
 * @vectors: how many MSI-X vectors the device has
 * @fault: (out): the first rule that is broken
 *
 * Copies the layout and checks it by every rule of section 2 of the window's specification.
 *
 * Returns: 0, or −1 with @fault set
 */
int cvd_guest_window_open(struct cvd_guest_window *window, void *base, uint64_t mapped,
                          uint32_t vectors, struct cvd_guest_fault *fault);
