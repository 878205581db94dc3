/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/linux/agent.h"

#include <time.h>

#include "guests/linux/serve.h"
#include "guests/scribble.h"

#define WORDS_A_TURN 4096
#define TURN_NS      1000000

static CvdScribbler scribbler;

/* With a pause, so that the kernel has some time for others where there is one processor. */
static int run(void)
{
    struct timespec pause = {.tv_nsec = TURN_NS};

    for (;;) {
        cvd_scribbler_write(&scribbler, WORDS_A_TURN);
        int rung = cvd_scribbler_choose_region(&scribbler);
        if (rung >= 0)
            cvd_agent_serve_ring((uint32_t)rung);
        nanosleep(&pause, NULL);
    }
    return 0;
}

void cvd_agent_scribble(const struct cvd_agent_call *call)
{
    cvd_scribbler_init(&scribbler, cvd_agent_serve_window(), 0);
    scribbler.spared = call->region;
    cvd_agent_job_start("scribble", run);
}
