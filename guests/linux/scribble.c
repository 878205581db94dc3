/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/linux/scribble.h"

#include <stdint.h>
#include <time.h>

#include "guests/linux/job.h"
#include "guests/linux/say.h"
#include "guests/linux/serve.h"

#define WORDS_A_TURN 4096
#define TURN_NS      1000000

static int spared_region;

/* xorshift64: there is no number to be missed but 0. */
static uint64_t next(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15ull;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void scribble_once(const struct vsoc_window *window)
{
    const struct vsoc_device_region *region =
        spared_region < 0 ? NULL : &window->regions[spared_region];
    uint32_t at = (uint32_t)(next() % window->layout.size) & ~3u;
    uint32_t first = 0;

    if (region)
        first = window->layout.vsoc_region_desc_offset +
                (uint32_t)sizeof *region * window->layout.region_count;
    if (at < first ||
        (region && at >= region->region_begin_offset && at < region->region_end_offset))
        return;
    *(volatile uint32_t *)(void *)(window->base + at) = (uint32_t)next();
}

/* With a pause, so that the kernel has some time for others where there is one processor. */
static int run(void)
{
    const struct vsoc_window *window = cvd_agent_serve_window();
    struct timespec pause = {.tv_nsec = TURN_NS};

    for (;;) {
        for (unsigned i = 0; i < WORDS_A_TURN; i++)
            scribble_once(window);
        uint32_t rung = (uint32_t)(next() % window->layout.region_count);
        if ((int)rung != spared_region)
            cvd_agent_serve_ring(rung);
        nanosleep(&pause, NULL);
    }
    return 0;
}

void cvd_agent_scribble(int spared)
{
    spared_region = spared;
    cvd_agent_job_start("scribble", run);
}
