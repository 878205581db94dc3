/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's power button, through which the host asks the guest to end. Linux' ACPI button
 * driver makes an input device of it. A keyboard has such a key as well, and may come first.
 */
#include "guests/linux/agent.h"

#include <fcntl.h>
#include <linux/input.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MAX_INPUTS 32

static int buttons[MAX_INPUTS];
static unsigned n_buttons;

static bool has_power_key(int fd)
{
    uint8_t keys[KEY_CNT / 8] = {0};

    return ioctl(fd, EVIOCGBIT(EV_KEY, sizeof keys), keys) >= 0 &&
           keys[KEY_POWER / 8] & 1u << KEY_POWER % 8;
}

void cvd_agent_button_open(int (*watch)(int fd, uint32_t id), uint32_t id)
{
    for (unsigned i = 0; i < MAX_INPUTS; i++) {
        char path[32];

        snprintf(path, sizeof path, "/dev/input/event%u", i);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
            continue;
        if (has_power_key(fd) && !watch(fd, id))
            buttons[n_buttons++] = fd;
        else
            close(fd);
    }
}

static bool was_pressed(int fd)
{
    struct input_event event;
    bool pressed = false;

    while (read(fd, &event, sizeof event) == sizeof event)
        pressed |= event.type == EV_KEY && event.code == KEY_POWER && event.value == 1;
    return pressed;
}

bool cvd_agent_button_pressed(void)
{
    bool pressed = false;

    for (unsigned i = 0; i < n_buttons; i++)
        pressed |= was_pressed(buttons[i]);
    return pressed;
}
