/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

/**
 * CvdWindowBacking:
 * @CVD_WINDOW_MEMFD: anonymous and sealed; leaves nothing behind
 * @CVD_WINDOW_POSIX_SHM: has a name, for tools that open it by name; cannot be sealed
 *
 * What kind of memory object the window is (docs/window.md, The memory object).
 */
typedef enum {
    CVD_WINDOW_MEMFD,
    CVD_WINDOW_POSIX_SHM,
} CvdWindowBacking;

#define CVD_TYPE_WINDOW_BACKING (cvd_window_backing_get_type())
GType cvd_window_backing_get_type(void);

G_END_DECLS
