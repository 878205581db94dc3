/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#include "vsoc/handover.h"

#include "vsoc/ready.h"

uint32_t vsoc_handover_count(uint32_t n_regions)
{
    return VSOC_HANDOVER_FIRST + 2 * n_regions;
}

struct vsoc_handover_message vsoc_handover_get(uint32_t index, uint32_t n_regions, uint32_t vm_id)
{
    if (index == 0)
        return (struct vsoc_handover_message){VSOC_HANDOVER_VERSION, 0, 0};
    if (index == 1)
        return (struct vsoc_handover_message){VSOC_HANDOVER_ID, 0, vm_id};
    if (index == 2)
        return (struct vsoc_handover_message){VSOC_HANDOVER_WINDOW, 0, -1};
    index -= VSOC_HANDOVER_FIRST;
    if (index < n_regions)
        return (struct vsoc_handover_message){VSOC_HANDOVER_GUEST_TO_HOST, index, 1 - vm_id};
    index -= n_regions;
    if (index < n_regions)
        return (struct vsoc_handover_message){VSOC_HANDOVER_HOST_TO_GUEST, index, vm_id};
    return (struct vsoc_handover_message){VSOC_HANDOVER_READY, 0, VSOC_READY_PEER};
}

void vsoc_handover_encode(uint8_t bytes[VSOC_HANDOVER_SIZE], int64_t value)
{
    for (int i = 0; i < VSOC_HANDOVER_SIZE; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> 8 * i);
}

int64_t vsoc_handover_decode(const uint8_t bytes[VSOC_HANDOVER_SIZE])
{
    uint64_t value = 0;

    for (int i = 0; i < VSOC_HANDOVER_SIZE; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return (int64_t)value;
}
