/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#include "vsoc/ready.h"

#define WORD_SIZE 4u

uint32_t vsoc_ready_offset(const struct vsoc_shm_layout_descriptor *layout, uint32_t first_region)
{
    uint64_t array = layout->vsoc_region_desc_offset;
    uint64_t array_end = array + (uint64_t)layout->region_count * sizeof(struct vsoc_device_region);
    uint32_t word = first_region - WORD_SIZE;

    return array < first_region && word < array_end ? 0 : word;
}

int vsoc_window_set_ready(const struct vsoc_window *window)
{
    uint32_t first = window->regions[0].region_begin_offset;
    uint32_t offset;

    for (uint32_t i = 1; i < window->layout.region_count; i++)
        if (window->regions[i].region_begin_offset < first)
            first = window->regions[i].region_begin_offset;
    offset = vsoc_ready_offset(&window->layout, first);
    if (offset == 0)
        return -1;
    __atomic_store_n((uint32_t *)(void *)(window->base + offset), VSOC_READY, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before the ring, which is no access to memory */
    return 0;
}
