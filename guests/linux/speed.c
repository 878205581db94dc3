/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/linux/agent.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "guests/linux/say.h"
#include "vsoc/ring.h"

#define BLOCK   (64u << 10)
#define MAX_MIB 4096u /* as nothing else is served meanwhile */

/* Written to first: else all its pages are the one that has zeros. */
static uint8_t block[BLOCK];

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* As those who take messages do it, from memory that is at hand. */
void cvd_agent_speed(const struct cvd_agent_call *call)
{
    uint32_t mib = call->number;
    uint64_t sum = 0;

    if (mib > MAX_MIB) {
        cvd_agent_say("at most %u MiB", MAX_MIB);
        return;
    }
    memset(block, 1, sizeof block);
    uint64_t begin = now_us();
    for (uint32_t i = 0; i < mib * ((1u << 20) / BLOCK); i++)
        sum = vsoc_ring_sum(sum, block, sizeof block);
    cvd_agent_say("summed %" PRIu32 " MiB in %" PRIu64 " us, to %" PRIu64, mib, now_us() - begin,
                  sum);
}
