/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/options.h"

G_BEGIN_DECLS

/**
 * cvd_foreground_split:
 * @options: with @detach or @console
 * @name: the instance's
 * @kept: (array length=n_kept): descriptors that the machine's process has, too
 * @exit_status: (out): of this process
 *
 * Makes a second process for the machine (launcher/background.h). In this one it waits, with
 * `--detach` until the start is complete, with `--console` until the machine ends or the user
 * detaches, and shows the console meanwhile. Must be called while there is one thread, and no
 * #GMainContext in use. May end the process by a signal that it was sent.
 *
 * Returns: %TRUE in the process that is to be the machine's; %FALSE in the other, when all is done
 */
gboolean cvd_foreground_split(const CvdOptions *options, const char *name, const int *kept,
                              guint n_kept, int *exit_status);

/**
 * cvd_foreground_check_terminal:
 * @error: %CVD_ERROR_INVALID
 *
 * Returns: whether there is a terminal to show a console on
 */
gboolean cvd_foreground_check_terminal(GError **error);

G_END_DECLS
