/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/**
 * cvd_notify_init:
 *
 * Takes what a service manager has set, `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`, out
 * of the environment, so that no program that this one starts sends in its name. To be called
 * before there are threads.
 */
void cvd_notify_init(void);

/**
 * cvd_notify:
 * @key: e.g. `READY`
 * @value: e.g. `1`; of longer ones the first 512 bytes are sent, and control characters escaped
 *
 * Sends the assignment to the service manager, if there is one: a datagram to the socket that
 * `$NOTIFY_SOCKET` names, as sd_notify(3) describes its protocol. While the manager's queue is full
 * the assignment waits, without blocking; a later one for the same @key takes its place. libsystemd
 * is not used, as it would more than double the program's memory with the compression libraries
 * that it needs.
 */
void cvd_notify(const char *key, const char *value);

/**
 * cvd_notify_need_time:
 * @duration_us: how long the start or the stop that is under way may take from now on
 *
 * Has the manager wait that long; a longer limit of its own stays.
 */
void cvd_notify_need_time(gint64 duration_us);

/**
 * cvd_notify_when_ready:
 * @ready: called by cvd_notify_ready(), before anybody else is told
 *
 * For whoever else waits for the end of the start.
 */
void cvd_notify_when_ready(void (*ready)(void));

/**
 * cvd_notify_ready:
 *
 * Says that the start is complete. If the manager wants a sign of life from this process, the
 * thread's default #GMainContext gives it one from now on, twice within the manager's limit.
 */
void cvd_notify_ready(void);
