/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#pragma once

#include <stdint.h>

#include "vsoc/abi.h"

/**
 * The layout as its reader believes it: copied out of the window word by word, then checked, and
 * never read there again, since the other side can write there at any time.
 */
struct vsoc_window {
    uint8_t *base;
    struct vsoc_shm_layout_descriptor layout;
    struct vsoc_device_region regions[VSOC_MAX_REGIONS];
    uint16_t order[VSOC_MAX_REGIONS]; /* for sorting */
};

/** What a layout breaks; @region is −1 where it is not about one, @value what was found. */
struct vsoc_fault {
    const char *rule;
    int region;
    uint32_t value;
};

/**
 * vsoc_window_open:
 * @window: (out): filled in, fit for use only when there is no fault
 * @base: the window, 4-aligned
 * @mapped: its size in bytes
 * @vectors: how many MSI-X vectors the device has
 * @fault: (out): the first rule that is broken
 *
 * Copies the layout and checks it by every rule of docs/window.md.
 *
 * Returns: 0, or −1 with @fault set
 */
int vsoc_window_open(struct vsoc_window *window, void *base, uint64_t mapped, uint32_t vectors,
                     struct vsoc_fault *fault);

/** vsoc_window_find: Returns: the index of the region of that name, or −1 */
int vsoc_window_find(const struct vsoc_window *window, const char *name);

/**
 * vsoc_layout_check:
 * @layout: a copy of the header, all that is looked at
 * @mapped: the size of the window in bytes
 * @vectors: how many regions there may be
 *
 * For those who want one region and not all; then vsoc_region_check() for that.
 */
int vsoc_layout_check(const struct vsoc_shm_layout_descriptor *layout, uint64_t mapped,
                      uint32_t vectors, struct vsoc_fault *fault);

/**
 * vsoc_region_check:
 * @layout: a checked header
 * @region: a copy of the descriptor of region @i, all that is looked at
 *
 * The rules that a region can be asked without knowing the others: all but that no two have the
 * same name or overlap, and those about managers.
 */
int vsoc_region_check(const struct vsoc_shm_layout_descriptor *layout,
                      const struct vsoc_device_region *region, int i, struct vsoc_fault *fault);

enum vsoc_name {
    VSOC_NAME_GOOD,
    VSOC_NAME_EMPTY,
    VSOC_NAME_CHARACTER, /* one that no name may have */
    VSOC_NAME_TOO_LONG,
    VSOC_NAME_DOTS, /* `.` or `..` */
};

/**
 * vsoc_name_check:
 * @name: any bytes, @size of them or up to a NUL
 * @n_good: (out): how many come before the first that no name may have
 *
 * Returns: what is wrong with @name as that of a region, first of all
 */
enum vsoc_name vsoc_name_check(const char *name, size_t size, uint32_t *n_good);
