/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What the agent's parts have for each other, apart from the device and the service. */

/**
 * The arguments that were typed after a command's name. Its row in the table of commands says which
 * there are (guests/linux/commands.c); docs/guest.md says what the commands do.
 */
struct cvd_agent_call {
    int region; /* −1: none was named */
    uint32_t number;
    const char *text;
};

typedef void cvd_agent_command(const struct cvd_agent_call *call);

cvd_agent_command cvd_agent_check, cvd_agent_checksum, cvd_agent_fill, cvd_agent_job_shell,
    cvd_agent_job_stop_all, cvd_agent_ring_region, cvd_agent_scribble, cvd_agent_speed,
    cvd_agent_virtio_echo, cvd_agent_virtio_sink, cvd_agent_vsock_echo;

/** cvd_agent_obey: does what a line says. */
void cvd_agent_obey(char *line);

/**
 * cvd_agent_console_read:
 * @obey: called with each line that is complete, without its end
 *
 * Takes what was typed on stdin, which must be readable.
 *
 * Returns: 0, or −1 when no more will come
 */
int cvd_agent_console_read(void (*obey)(char *line));

/** cvd_agent_button_open: has @watch called with each descriptor that the power button, or the
 * key of that name on a keyboard, makes readable. A machine may have none. */
void cvd_agent_button_open(int (*watch)(int fd, uint32_t id), uint32_t id);

/** cvd_agent_button_pressed: Returns: whether what came from one of them is that it was pressed */
bool cvd_agent_button_pressed(void);

/**
 * cvd_agent_job_start:
 * @name: what it is called when it is told how it ended; not copied
 * @run: what to do in a process of its own; Returns: its exit status
 */
void cvd_agent_job_start(const char *name, int (*run)(void));

/** cvd_agent_job_reap: tells of all that have ended. */
void cvd_agent_job_reap(void);
