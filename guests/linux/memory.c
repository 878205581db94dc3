/* SPDX-License-Identifier: Apache-2.0 */
/* A region's data as a whole, for those who want to see that both sides have the same memory. */
#include "guests/linux/agent.h"

#include <inttypes.h>
#include <stddef.h>

#include "guests/linux/say.h"
#include "guests/linux/serve.h"

#define FACTOR 0x9e3779b1u

/* The data of a region, all whole words of it. */
struct data {
    const char *name;
    volatile uint32_t *words;
    uint32_t first; /* offset of the first in the region */
    uint32_t count;
};

static struct data get_data(const struct cvd_agent_call *call)
{
    const struct vsoc_window *window = cvd_agent_serve_window();
    const struct vsoc_device_region *r = &window->regions[call->region];
    uint32_t size = r->region_end_offset - r->region_begin_offset;
    uint8_t *start = window->base + r->region_begin_offset + r->offset_of_region_data;

    return (struct data){
        .name = r->device_name,
        .words = (volatile uint32_t *)(void *)start,
        .first = r->offset_of_region_data,
        .count = (size - r->offset_of_region_data) / 4,
    };
}

static uint32_t number_at(uint32_t offset, uint32_t seed)
{
    uint32_t y = (offset + seed) * FACTOR;

    return y ^ y >> 15;
}

void cvd_agent_fill(const struct cvd_agent_call *call)
{
    struct data data = get_data(call);

    for (uint32_t i = 0; i < data.count; i++)
        data.words[i] = number_at(data.first + 4 * i, call->number);
    cvd_agent_say("fill %s: %u words", data.name, data.count);
}

void cvd_agent_check(const struct cvd_agent_call *call)
{
    struct data data = get_data(call);

    for (uint32_t i = 0; i < data.count; i++) {
        uint32_t offset = data.first + 4 * i, found = data.words[i];

        if (found != number_at(offset, call->number)) {
            cvd_agent_say("check %s: 0x%08x at 0x%x, where 0x%08x should be", data.name, found,
                          offset, number_at(offset, call->number));
            return;
        }
    }
    cvd_agent_say("check %s: %u words right", data.name, data.count);
}

void cvd_agent_checksum(const struct cvd_agent_call *call)
{
    struct data data = get_data(call);
    uint64_t sum = 0, sums = 0;

    for (uint32_t i = 0; i < data.count; i++) {
        sum += data.words[i];
        sums += sum;
    }
    cvd_agent_say("checksum %s: %016" PRIx64 " %016" PRIx64, data.name, sum, sums);
}
