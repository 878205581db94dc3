/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#pragma once

#include <stdint.h>

/*
 * The PCI device that carries the window: QEMU's `ivshmem-doorbell`, see docs/guest.md.
 */

#define VSOC_PCI_VENDOR 0x1af4u
#define VSOC_PCI_DEVICE 0x1110u

/* Registers in BAR 0, of 32 bits. */
#define VSOC_REGISTER_IV_POSITION 8  /* the number that this VM has among the peers */
#define VSOC_REGISTER_DOORBELL    12 /* see vsoc_doorbell_value() */

/**
 * vsoc_doorbell_value:
 * @iv_position: what the register of that name says: 0 or 1
 *
 * Returns: what to write into the doorbell's register, to ring the host, the other peer, for
 * @region
 */
static inline uint32_t vsoc_doorbell_value(uint32_t iv_position, uint32_t region)
{
    return (1 - iv_position) << 16 | region;
}
