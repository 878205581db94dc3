/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service of vsoc/serve.h, where each region's interrupts come by an eventfd. Where the device
 * cannot interrupt, every word is looked at every millisecond; a bare ring shows nowhere then.
 */
#include "guests/linux/serve.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "guests/linux/say.h"
#include "guests/linux/vfio.h"
#include "vsoc/ready.h"
#include "vsoc/serve.h"

#define POLL_MS 1

static const struct cvd_agent_device *device;
static struct vsoc_service service;
static int interrupts[VSOC_MAX_REGIONS];
static int64_t retry_at_ms; /* where something is stalled */
static bool is_held;
static uint32_t interrupting; /* how many regions have interrupts: the first ones */

static void ring(void *data, uint32_t region)
{
    cvd_agent_device_ring(device, region);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void start_timer(void *data)
{
    retry_at_ms = now_ms() + VSOC_RETRY_MS;
}

static void __attribute__((format(printf, 2, 3))) say(void *data, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cvd_agent_vsay(format, args);
    va_end(args);
}

static const struct vsoc_service_hooks hooks = {ring, start_timer, say, say};

int cvd_agent_serve_begin_round(void)
{
    if (device->vectors == 0 && !is_held)
        for (uint32_t i = 0; i < service.window.layout.region_count; i++)
            vsoc_service_look_at(&service, i);
    if (vsoc_service_begin_round(&service))
        return 0;
    if (device->vectors == 0)
        return POLL_MS;
    return service.stalled.any && !is_held ? VSOC_RETRY_MS : -1;
}

void cvd_agent_serve_rung(uint32_t region)
{
    uint64_t count;

    if (read(interrupts[region], &count, sizeof count) == sizeof count && !is_held)
        vsoc_service_serve(&service, region, true);
}

void cvd_agent_serve_end_round(void)
{
    if (service.stalled.any && !is_held && now_ms() >= retry_at_ms)
        vsoc_service_retry(&service);
    vsoc_service_end_round(&service);
}

static int make_interrupts(int (*watch)(int fd, uint32_t region))
{
    for (uint32_t i = 0; i < service.window.layout.region_count; i++) {
        interrupts[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (interrupts[i] < 0)
            return cvd_agent_fail("region %u: eventfd: %s", i, strerror(errno));
        if (watch(interrupts[i], i))
            return -1;
    }
    return 0;
}

static int enable_interrupts(int (*watch)(int fd, uint32_t region))
{
    uint32_t count = service.window.layout.region_count;

    if (make_interrupts(watch))
        return -1;
    int given = cvd_agent_vfio_enable_msix(device, interrupts, count);
    if (given < 0)
        return -1;
    interrupting = (uint32_t)given;
    if (interrupting < count)
        cvd_agent_say("%u regions but %d interrupts: regions from %s (%d) on have none, and answer "
                      "nothing; give the machine more processors",
                      count, given, service.window.regions[given].device_name, given);
    return 0;
}

int cvd_agent_serve_open(const struct cvd_agent_device *opened,
                         int (*watch)(int fd, uint32_t region))
{
    device = opened;
    if (vsoc_service_open(&service, device->window, device->window_bytes,
                          device->vectors ? device->vectors : VSOC_MAX_REGIONS, &hooks, NULL) ||
        (device->vectors > 0 && enable_interrupts(watch)))
        return -1;
    vsoc_service_look_at_all(&service);
    cvd_agent_say("ready");
    if (vsoc_window_set_ready(&service.window) == 0)
        cvd_agent_device_ring_ready(device);
    return 0;
}

const struct vsoc_window *cvd_agent_serve_window(void)
{
    return &service.window;
}

void cvd_agent_serve_hold(bool holds)
{
    is_held = holds;
    if (!holds)
        vsoc_service_look_at_all(&service);
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
    vsoc_service_signal(&service, region, offset);
}

void cvd_agent_serve_ring(uint32_t region)
{
    ring(NULL, region);
}
