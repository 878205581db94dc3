/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** CVD_AGENT_MAX_JOBS: how many may run at once */
#define CVD_AGENT_MAX_JOBS 16

/**
 * cvd_agent_job_start:
 * @name: what it is called when it is told how it ended; not copied
 * @run: what to do in a process of its own; Returns: its exit status
 */
void cvd_agent_job_start(const char *name, int (*run)(void));

/** cvd_agent_job_shell: the same for a command of /bin/sh. */
void cvd_agent_job_shell(const char *command);

/** cvd_agent_job_reap: tells of all that have ended. */
void cvd_agent_job_reap(void);

/** cvd_agent_job_stop_all: kills all that run. */
void cvd_agent_job_stop_all(void);
