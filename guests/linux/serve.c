/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same service as the built-in guest's (guests/builtin/main.c): signals are answered as
 * guests/builtin/signals.c has it, a bare interrupt, one that finds neither word nor table set,
 * with one ring. A region whose word is set again after it was served is looked at once more
 * without an interrupt, but after those that have one: whoever set the word rings next, most often
 * has done so by then, and that ring is not to pass for a bare one.
 *
 * A region whose answers have no room, as nobody on the host takes them, is looked at again after a
 * while, see guests/builtin/signals.c.
 *
 * Where the device cannot interrupt, every word is looked at every millisecond; a bare ring shows
 * nowhere then.
 */
#include "guests/linux/serve.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "guests/builtin/signals.h"
#include "guests/linux/say.h"
#include "guests/linux/vfio.h"

#define MAX_DROP_LINES 16
#define POLL_MS        1

static const struct cvd_agent_device *device;
static struct cvd_guest_window window;
static int interrupts[CVD_GUEST_MAX_REGIONS];
static uint64_t again[CVD_GUEST_MAX_REGIONS / 64];   /* regions to look at once more, a bit each */
static uint64_t unrung[CVD_GUEST_MAX_REGIONS / 64];  /* of those, the ones of this round */
static uint64_t stalled[CVD_GUEST_MAX_REGIONS / 64]; /* regions whose answers have no room */
static bool any_again;
static int64_t stalled_until_ms; /* 0: none is */
static bool is_held;
static uint64_t drops;
static uint32_t interrupting; /* how many regions have interrupts: the first ones */

static void ring(uint32_t region)
{
    cvd_agent_device_ring(device, region);
}

static void drop(uint32_t region, enum cvd_guest_drop why, uint32_t offset)
{
    const char *text = why == CVD_GUEST_DROP_FULL ? "table full, not sent" : "bad offset";

    if (drops++ < MAX_DROP_LINES)
        cvd_agent_say("region %u: %s 0x%08x", region, text, offset);
    if (drops == MAX_DROP_LINES)
        cvd_agent_say("no more lines about dropped signals");
}

static uint64_t bit_of(uint32_t region)
{
    return 1ull << region % 64;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void stall(uint32_t region)
{
    stalled[region / 64] |= bit_of(region);
    if (stalled_until_ms == 0)
        stalled_until_ms = now_ms() + CVD_GUEST_STALL_MS;
}

static const struct cvd_guest_hooks hooks = {ring, drop, stall};

static void look_at(uint32_t region)
{
    if (!cvd_guest_signals_waiting(&window, region))
        return;
    again[region / 64] |= bit_of(region);
    any_again = true;
}

static void serve(uint32_t region, bool echo)
{
    bool any = cvd_guest_signals_receive(&window, region, &hooks);

    if (!any && echo)
        ring(region);
    look_at(region);
}

int cvd_agent_serve_begin_round(void)
{
    if (device->vectors == 0 && !is_held)
        for (uint32_t i = 0; i < window.layout.region_count; i++)
            look_at(i);
    if (!any_again && device->vectors == 0)
        return POLL_MS;
    if (!any_again)
        return stalled_until_ms == 0 || is_held ? -1 : CVD_GUEST_STALL_MS;
    memcpy(unrung, again, sizeof unrung);
    memset(again, 0, sizeof again);
    any_again = false;
    return 0;
}

void cvd_agent_serve_rung(uint32_t region)
{
    uint64_t count;

    if (read(interrupts[region], &count, sizeof count) != sizeof count || is_held)
        return;
    unrung[region / 64] &= ~bit_of(region);
    serve(region, true);
}

static void end_stall(void)
{
    if (stalled_until_ms == 0 || is_held || now_ms() < stalled_until_ms)
        return;
    stalled_until_ms = 0;
    for (uint32_t i = 0; i < CVD_GUEST_MAX_REGIONS / 64; i++)
        unrung[i] |= stalled[i];
    memset(stalled, 0, sizeof stalled);
}

void cvd_agent_serve_end_round(void)
{
    end_stall();
    for (uint32_t i = 0; i < CVD_GUEST_MAX_REGIONS / 64; i++)
        for (; unrung[i]; unrung[i] &= unrung[i] - 1)
            serve(64 * i + (uint32_t)__builtin_ctzll(unrung[i]), false);
}

static int open_window(void)
{
    const struct vsoc_shm_layout_descriptor *l = &window.layout;
    struct cvd_guest_fault fault;

    if (cvd_guest_window_open(&window, device->window, device->window_bytes,
                              device->vectors ? device->vectors : CVD_GUEST_MAX_REGIONS, &fault)) {
        if (fault.region < 0)
            return cvd_agent_fail("bad layout: %s (found 0x%x)", fault.rule, fault.value);
        return cvd_agent_fail("bad layout: region %d: %s (found 0x%x)", fault.region, fault.rule,
                              fault.value);
    }
    cvd_agent_say("window %u bytes, layout %u.%u, %u regions", l->size, l->major_version,
                  l->minor_version, l->region_count);
    for (uint32_t i = 0; i < l->region_count; i++) {
        const struct vsoc_device_region *r = &window.regions[i];

        cvd_agent_say("region %u %s 0x%08x-0x%08x data 0x%x", i, r->device_name,
                      r->region_begin_offset, r->region_end_offset, r->offset_of_region_data);
    }
    return 0;
}

static int make_interrupts(int (*watch)(int fd, uint32_t region))
{
    for (uint32_t i = 0; i < window.layout.region_count; i++) {
        interrupts[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (interrupts[i] < 0)
            return cvd_agent_fail("region %u: eventfd: %s", i, strerror(errno));
        if (watch(interrupts[i], i))
            return -1;
    }
    return 0;
}

/* What the host did before MSI-X was enabled rang nobody, so every region gets a look. */
static void look_at_all(void)
{
    for (uint32_t i = 0; i < window.layout.region_count; i++) {
        cvd_guest_signals_open(&window, i, &hooks);
        look_at(i);
    }
}

static int enable_interrupts(int (*watch)(int fd, uint32_t region))
{
    uint32_t count = window.layout.region_count;

    if (make_interrupts(watch))
        return -1;
    int given = cvd_agent_vfio_enable_msix(device, interrupts, count);
    if (given < 0)
        return -1;
    interrupting = (uint32_t)given;
    if (interrupting < count)
        cvd_agent_say("%u regions but %d interrupts: regions from %s (%d) on have none, and answer "
                      "nothing; give the machine more processors",
                      count, given, window.regions[given].device_name, given);
    return 0;
}

int cvd_agent_serve_open(const struct cvd_agent_device *opened,
                         int (*watch)(int fd, uint32_t region))
{
    device = opened;
    if (open_window() || (device->vectors > 0 && enable_interrupts(watch)))
        return -1;
    look_at_all();
    cvd_agent_say("ready");
    return 0;
}

const struct cvd_guest_window *cvd_agent_serve_window(void)
{
    return &window;
}

void cvd_agent_serve_hold(bool holds)
{
    is_held = holds;
    if (!holds)
        look_at_all();
}

int cvd_agent_serve_lend(uint32_t region)
{
    if (region >= interrupting)
        return cvd_agent_fail("region %u has no interrupt", region);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return cvd_agent_fail("region %u: eventfd: %s", region, strerror(errno));
    if (cvd_agent_vfio_move_vector(device, region, fd)) {
        close(fd);
        return -1;
    }
    return fd;
}

void cvd_agent_serve_signal(uint32_t region, uint32_t offset)
{
    cvd_guest_signals_send(&window, region, offset, &hooks);
}

void cvd_agent_serve_ring(uint32_t region)
{
    ring(region);
}
