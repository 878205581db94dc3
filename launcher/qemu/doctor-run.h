/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_DOCTOR_MAX_OUTPUT: how much of a program's output is kept, in bytes */
#define CVD_DOCTOR_MAX_OUTPUT (1024 * 1024)

typedef enum {
    CVD_DOCTOR_SUCCEEDED, /* exit status 0 */
    CVD_DOCTOR_FAILED,    /* another one, a signal, or it could not be started */
    CVD_DOCTOR_TIMED_OUT,
} CvdDoctorEnd;

/**
 * cvd_doctor_run:
 * @argv: (array zero-terminated=1): a program, as a path, and its arguments
 * @input: (nullable): what it reads, at most PIPE_BUF bytes
 * @limit_ms: how long it may take
 * @end: (out): how it ended
 *
 * Runs a program to its end, and waits for that: for use where there is no main loop. Its process
 * group is killed then, and what has left that, so that what it started does not outlive it. It
 * dies with this process. To be called by one thread, which starts nothing else.
 *
 * Returns: (transfer full): what it and its children printed on stdout and stderr until its end,
 *   cut off at %CVD_DOCTOR_MAX_OUTPUT, without NUL bytes
 */
char *cvd_doctor_run(const char *const *argv, const char *input, guint limit_ms, CvdDoctorEnd *end);

G_END_DECLS
