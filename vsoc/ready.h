/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#pragma once

#include <stdint.h>

#include "vsoc/window.h"

/*
 * How a guest says that it is ready: it sets a word of the window to %VSOC_READY, and rings the
 * doorbell of a peer that exists for this alone. Where nobody has asked, there is no such peer, and
 * the device ignores the ring. docs/guest.md, When your guest is ready.
 */

/** VSOC_READY: what the word is then. It is 0 in a new window and after a reset; other values say
 * nothing */
#define VSOC_READY 1u

/** VSOC_READY_PEER: whose vector 0 is rung */
#define VSOC_READY_PEER 2

/** VSOC_READY_DOORBELL: what to write into the doorbell's register, see vsoc/device.h */
#define VSOC_READY_DOORBELL ((uint32_t)VSOC_READY_PEER << 16)

/**
 * vsoc_ready_offset:
 * @layout: a checked header
 * @first_region: where the region begins that comes first in the window
 *
 * The word is the last one before the first region.
 *
 * Returns: where it is in the window; 0: nowhere, as the descriptors take that place
 */
uint32_t vsoc_ready_offset(const struct vsoc_shm_layout_descriptor *layout, uint32_t first_region);

/**
 * vsoc_window_set_ready:
 * @window: a window that was opened
 *
 * Says that the guest is ready; then write %VSOC_READY_DOORBELL into the doorbell's register.
 * Whoever looks after that ring sees the word. Do so once in the life of a guest: what is said
 * cannot be taken back, and a second ring passes for that of the next guest, after a reset.
 *
 * Returns: 0, or −1 if this layout has no place for the word
 */
int vsoc_window_set_ready(const struct vsoc_window *window);
