/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: a program in a Linux guest that stands at the other end of the window, as the built-in
 * guest does without a kernel. It reaches the device through VFIO, and is meant to be read: the
 * device in sysfs (pci.c), its memory and interrupts (vfio.c), and what to do when one comes
 * (serve.c, and vsoc/). Kernel headers and libc are all that it needs.
 *
 *   cvd-agent: window 2097152 bytes, layout 2.0, 5 regions
 *   cvd-agent: region 0 hwcomposer 0x00001000-0x00005000 data 0x28
 *   cvd-agent: ready
 *
 * It obeys what is typed on stdin (commands.c; `help` lists it) and the power button. With
 * --leave-bus-master it leaves that bit of the device as it was before; with --poll it does without
 * VFIO and without interrupts (sysfs.c).
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "guests/linux/agent.h"
#include "guests/linux/device.h"
#include "guests/linux/pci.h"
#include "guests/linux/say.h"
#include "guests/linux/serve.h"
#include "guests/linux/sysfs.h"
#include "guests/linux/vfio.h"

#define EXIT_USAGE 2
#define MAX_EVENTS 64

/* Of an epoll event; below are the regions' indices. */
#define ID_CONSOLE VSOC_MAX_REGIONS
#define ID_BUTTON  (VSOC_MAX_REGIONS + 1)
#define ID_JOBS    (VSOC_MAX_REGIONS + 2)

static int epoll_fd;
static int jobs_fd;

static int watch(int fd, uint32_t id)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = id};

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return cvd_agent_fail("epoll_ctl: %s", strerror(errno));
    return 0;
}

static int watch_jobs(void)
{
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    jobs_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return jobs_fd < 0 ? cvd_agent_fail("signalfd: %s", strerror(errno)) : watch(jobs_fd, ID_JOBS);
}

/* None is needed: stdin may be closed, or a file, which cannot be watched. */
static void watch_people(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = ID_CONSOLE};

    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    cvd_agent_button_open(watch, ID_BUTTON);
}

static void power_off(void)
{
    if (!cvd_agent_button_pressed())
        return;
    cvd_agent_say("power button, powering off");
    sync();
    if (reboot(RB_POWER_OFF) < 0)
        cvd_agent_say("power off: %s", strerror(errno));
}

static void reap_jobs(void)
{
    struct signalfd_siginfo info;

    while (read(jobs_fd, &info, sizeof info) == sizeof info)
        ;
    cvd_agent_job_reap();
}

static void dispatch(uint32_t id)
{
    switch (id) {
    case ID_CONSOLE:
        if (cvd_agent_console_read(cvd_agent_obey))
            epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        break;
    case ID_BUTTON:
        power_off();
        break;
    case ID_JOBS:
        reap_jobs();
        break;
    default:
        cvd_agent_serve_rung(id);
        break;
    }
}

static int run(void)
{
    struct epoll_event events[MAX_EVENTS];

    for (;;) {
        int n = epoll_wait(epoll_fd, events, MAX_EVENTS, cvd_agent_serve_begin_round());

        if (n < 0 && errno != EINTR)
            return cvd_agent_fail("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++)
            dispatch(events[i].data.u32);
        cvd_agent_serve_end_round();
    }
}

static int open_device(struct cvd_agent_device *device, bool polls, bool leaves_bus_master)
{
    struct cvd_agent_pci pci;

    if (cvd_agent_pci_find(&pci))
        return -1;
    if (polls ? cvd_agent_sysfs_open(device, &pci)
              : cvd_agent_vfio_open(device, &pci, !leaves_bus_master))
        return -1;
    return cvd_agent_device_read_position(device);
}

int main(int argc, char **argv)
{
    static struct cvd_agent_device device;
    bool polls = argc == 2 && strcmp(argv[1], "--poll") == 0;
    bool leaves = argc == 2 && strcmp(argv[1], "--leave-bus-master") == 0;

    if (argc > 1 && !polls && !leaves) {
        fprintf(stderr, "usage: cvd-agent [--poll | --leave-bus-master]\n");
        return EXIT_USAGE;
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || watch_jobs() || open_device(&device, polls, leaves) ||
        cvd_agent_serve_open(&device, watch))
        return EXIT_FAILURE;
    watch_people();
    return run() ? EXIT_FAILURE : EXIT_SUCCESS;
}
