/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * cvd_notify_init:
 *
 * Takes `$NOTIFY_SOCKET` out of the environment, so that no program that this one starts sends in
 * its name. To be called before there are threads.
 */
void cvd_notify_init(void);

/**
 * cvd_notify:
 * @state: e.g. `READY=1`
 *
 * Sends @state to the service manager, if there is one: one datagram to the socket that
 * `$NOTIFY_SOCKET` names, as sd_notify(3) describes its protocol. While the manager's queue is full
 * @state waits, without blocking. libsystemd is not used, as it would more than double the
 * program's memory with the compression libraries that it needs.
 */
void cvd_notify(const char *state);
