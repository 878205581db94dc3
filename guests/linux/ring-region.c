/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/linux/agent.h"

#include <unistd.h>

#include "guests/linux/ring-sink.h"
#include "guests/linux/say.h"
#include "guests/linux/serve.h"

/* What the process to be started is about; it has a copy. */
static struct vsoc_ring ring;
static uint32_t ring_region;
static int rung;

static void ring_host(void *data)
{
    cvd_agent_serve_ring(ring_region);
}

static int run(void)
{
    cvd_agent_ring_sink(&ring, rung, ring_host, NULL);
    cvd_agent_say("ring-sink: region %u: what the host has written there is no ring", ring_region);
    return 1;
}

/* The process gets the region's interrupts: the region is not served any more. */
void cvd_agent_ring_region(const struct cvd_agent_call *call)
{
    uint32_t region = (uint32_t)call->region;
    const struct vsoc_window *window = cvd_agent_serve_window();
    const struct vsoc_device_region *r = &window->regions[region];
    uint32_t begin = r->region_begin_offset + r->offset_of_region_data;

    begin = (begin + VSOC_RING_ALIGN - 1) / VSOC_RING_ALIGN * VSOC_RING_ALIGN;
    if (begin >= r->region_end_offset ||
        !vsoc_ring_open(&ring, window->base + begin, r->region_end_offset - begin)) {
        cvd_agent_say("ring-sink: %s has no room for a ring", r->device_name);
        return;
    }
    ring_region = region;
    rung = cvd_agent_serve_lend(region);
    if (rung < 0)
        return;
    cvd_agent_job_start("ring-sink", run);
    close(rung);
}
