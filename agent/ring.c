/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consumer of a ring buffer with one producer. Both positions count all bytes ever, modulo
 * 2³², so that full and empty differ. Who is about to sleep sets its word `waits`, looks once more,
 * and is rung by the other side, which takes the word back to 0.
 */
#include "agent/ring.h"

#include <stddef.h>

#include "agent/job.h"
#include "agent/say.h"
#include "agent/serve.h"

#define LINE       64u /* of the cache, that neither side disturbs the other */
#define MIN_SIZE   4096u
#define LARGEST    (1u << 30)
#define MAX_A_TURN 65536u
#define MAX_TURNS  64

/* What each side writes; the other one only takes `waits` back. */
struct side {
    uint32_t position;
    uint32_t waits;
    uint64_t sum; /* of all 32-bit words; the consumer's alone */
    uint8_t rest[LINE - 16];
};

_Static_assert(sizeof(struct side) == LINE, "the format is an ABI");

struct ring {
    uint32_t region;
    struct side *producer;
    struct side *consumer;
    const uint32_t *words;
    uint32_t size; /* in bytes, a power of two */
    uint32_t taken;
    uint64_t sum;
};

static struct ring ring;

static int find(struct ring *found, uint32_t region)
{
    const struct cvd_guest_window *window = cvd_agent_serve_window();
    const struct vsoc_device_region *r = &window->regions[region];
    uint32_t data = (r->offset_of_region_data + LINE - 1) / LINE * LINE;
    uint32_t room = r->region_end_offset - r->region_begin_offset;
    uint8_t *start = window->base + r->region_begin_offset + data;

    room = room > data + 2 * LINE ? room - data - 2 * LINE : 0;
    if (room < MIN_SIZE)
        return cvd_agent_fail("%s: too small for a ring of %u bytes", r->device_name, MIN_SIZE);
    *found = (struct ring){.region = region, .size = LARGEST};
    while (found->size > room)
        found->size /= 2;
    found->producer = (struct side *)(void *)start;
    found->consumer = (struct side *)(void *)(start + LINE);
    found->words = (const uint32_t *)(const void *)(start + 2 * LINE);
    /* The host may have begun, but it never has more in it than fits. */
    found->taken = __atomic_load_n(&found->consumer->position, __ATOMIC_SEQ_CST);
    return 0;
}

/* Returns: how many bytes there are to be taken; −1 if the host has lost its mind */
static int64_t count(const struct ring *r)
{
    uint32_t available = __atomic_load_n(&r->producer->position, __ATOMIC_SEQ_CST) - r->taken;

    if (available > r->size || available % sizeof *r->words)
        return cvd_agent_fail("ring: %u bytes in one of %u", available, r->size);
    return available;
}

static void take(struct ring *r, uint32_t n)
{
    uint32_t mask = r->size / sizeof *r->words - 1;
    uint32_t first = r->taken / sizeof *r->words;

    if (n > MAX_A_TURN)
        n = MAX_A_TURN;
    for (uint32_t i = 0; i < n / sizeof *r->words; i++)
        r->sum += r->words[(first + i) & mask];
    r->taken += n;
    __atomic_store_n(&r->consumer->sum, r->sum, __ATOMIC_RELAXED);
    __atomic_store_n(&r->consumer->position, r->taken, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&r->producer->waits, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n(&r->producer->waits, 0, __ATOMIC_SEQ_CST))
        cvd_agent_serve_ring(r->region);
}

static int run_busy(void)
{
    int64_t n;

    while ((n = count(&ring)) >= 0)
        if (n > 0)
            take(&ring, (uint32_t)n);
    return 1;
}

/*
 * With the word set, whoever puts something in rings. A host that goes on and on is not to keep the
 * agent from everything else. Returns: whether there is more
 */
static bool drain(void)
{
    int64_t n = 0;

    __atomic_store_n(&ring.consumer->waits, 0, __ATOMIC_SEQ_CST);
    for (unsigned turn = 0; turn < MAX_TURNS && (n = count(&ring)) > 0; turn++)
        take(&ring, (uint32_t)n);
    __atomic_store_n(&ring.consumer->waits, 1, __ATOMIC_SEQ_CST);
    return n >= 0 && count(&ring) > 0;
}

void cvd_agent_ring_sink(uint32_t region, bool busy)
{
    if (find(&ring, region))
        return;
    cvd_agent_say("ring-sink: %u bytes", ring.size);
    if (busy) {
        cvd_agent_job_start("ring-sink", run_busy);
    } else {
        cvd_agent_serve_divert(region, drain);
    }
}
