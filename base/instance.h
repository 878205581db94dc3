/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * cvd_instance_base_path:
 *
 * Returns: (transfer full): where the instances' runtime directories are (section 3 of the
 *   launcher's specification): `$XDG_RUNTIME_DIR/cvd`, as root without that variable `/run/cvd`,
 *   else `$TMPDIR/cvd-UID`
 */
char *cvd_instance_base_path(void);

/**
 * cvd_instance_find_socket:
 * @name: (nullable): an instance's name; %NULL: the only one that runs
 * @file: the socket's name in the instance's directory, e.g. `vm.sock`
 * @error: %CVD_ERROR_INVALID: that can be no instance's name; %CVD_ERROR_CLOSED: it does not run,
 *   or none does; %CVD_ERROR_BUSY: several run, which the message names; %CVD_ERROR_FOREIGN: the
 *   directories are another user's
 *
 * An instance runs when its lock is held. That is looked up without touching the lock.
 *
 * Returns: (transfer full) (nullable): the socket's path
 */
char *cvd_instance_find_socket(const char *name, const char *file, GError **error);

G_END_DECLS
