/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * locate_programs:
 *
 * Sets the environment variables by which the programs under test are found, where they are not
 * set, to those of the build directory that this program is in. To be called before any thread.
 *
 * Returns: %FALSE after telling what is missing
 */
gboolean locate_programs(void);

/**
 * locate_linux_guest:
 *
 * Makes the Linux guest with scripts/linux-guest if it is not there or older than its agent.
 */
void locate_linux_guest(void);

G_END_DECLS
