/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>

/**
 * cvd_agent_say:
 * @format: as for printf
 *
 * Writes "cvd-agent: ", the text and a line end to stdout, in one piece, so that neither the
 * kernel nor another process comes in between.
 */
void cvd_agent_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cvd_agent_vsay(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/** cvd_agent_fail: the same; Returns: −1, for those who have nothing to add */
int cvd_agent_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
