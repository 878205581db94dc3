/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CvdTerminalSize: in characters */
typedef struct {
    guint rows;
    guint columns;
} CvdTerminalSize;

/** cvd_terminal_get_size: Returns: that of the terminal @fd; 24 × 80 where it does not say */
CvdTerminalSize cvd_terminal_get_size(int fd);

G_END_DECLS
