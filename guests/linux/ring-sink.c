/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading end of a ring as it is measured: at the agent in a guest, and between two processes
 * of the host. It sleeps only after it has looked in vain for a while, since a wake-up costs more
 * than a look; for how long it looks has a bound, since others want the processor.
 */
#include "guests/linux/ring-sink.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

int cvd_agent_ring_wait_rung(int rung)
{
    struct pollfd fd = {.fd = rung, .events = POLLIN};
    uint64_t count;

    for (;;) {
        if (poll(&fd, 1, -1) < 0 && errno != EINTR)
            return -1;
        if (read(rung, &count, sizeof count) == sizeof count)
            return 0;
        if (errno != EAGAIN && errno != EINTR)
            return -1;
    }
}

static enum vsoc_ring_result look(struct vsoc_ring *ring, struct vsoc_ring_message *message)
{
    enum vsoc_ring_result result = VSOC_RING_NOT_YET;

    for (int i = 0; i < CVD_AGENT_RING_SPINS && result == VSOC_RING_NOT_YET; i++)
        result = vsoc_ring_get(ring, message);
    return result;
}

static int wait_message(struct vsoc_ring *ring, int rung, struct vsoc_ring_message *message)
{
    for (;;) {
        enum vsoc_ring_result result = look(ring, message);

        if (result == VSOC_RING_NOT_YET) {
            vsoc_ring_await_message(ring);
            result = vsoc_ring_get(ring, message);
        }
        if (result != VSOC_RING_NOT_YET)
            return result == VSOC_RING_DONE ? 0 : -1;
        if (cvd_agent_ring_wait_rung(rung))
            return -1;
    }
}

int cvd_agent_ring_sink(struct vsoc_ring *ring, int rung, void (*ring_writer)(void *data),
                        void *data)
{
    struct vsoc_ring_account account = {0};
    struct vsoc_ring_message message;

    while (!wait_message(ring, rung, &message)) {
        vsoc_ring_account_add(&account, &message);
        if (message.length == 0) {
            vsoc_ring_set_account(ring, &account);
            account = (struct vsoc_ring_account){0};
        }
        vsoc_ring_release(ring, &message);
        if (vsoc_ring_must_wake_writer(ring))
            ring_writer(data);
    }
    return -1;
}
