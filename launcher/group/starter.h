/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_STARTER_MAX_LINE: what is kept of a line that it says, in bytes */
#define CVD_STARTER_MAX_LINE 1024

/**
 * CvdStarter:
 *
 * A `cvd-launch --detach`, which ends when its machine is ready, or has failed. It is a process in
 * a session of its own, which goes on without this one.
 */
typedef struct CvdStarter CvdStarter;

/**
 * CvdStarterEnded:
 * @failure: (nullable): the last error that it said, or how it ended; %NULL: the machine is ready
 * @is_refused: whether the configuration or the usage was wrong, by the exit status
 *
 * May free the starter.
 */
typedef void (*CvdStarterEnded)(const char *failure, gboolean is_refused, gpointer user_data);

/**
 * cvd_starter_new:
 * @argv: (array zero-terminated=1): the program, a path or a name to look up in PATH, and its
 *   arguments
 * @error: it cannot be started
 *
 * Reads all that it says, and keeps of that a line or two.
 */
CvdStarter *cvd_starter_new(const char *const *argv, CvdStarterEnded ended, gpointer user_data,
                            GError **error);

/** cvd_starter_stop: gives the start up; it ends when the machine has */
void cvd_starter_stop(CvdStarter *starter);

/** cvd_starter_free: leaves the process alone */
void cvd_starter_free(CvdStarter *starter);

/** cvd_starter_find_launcher: Returns: (transfer full): the cvd-launch beside this program, or the
 * name, to be looked up in PATH */
char *cvd_starter_find_launcher(void);

G_END_DECLS
