/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "vsoc/window.h"

#include <glib.h>

G_BEGIN_DECLS

/** CvdScribbler: what a hostile guest would write; the same again for the same seed and layout. */
typedef struct {
    /*< private >*/
    const struct vsoc_window *window;
    guint64 state;
} CvdScribbler;

void cvd_scribbler_init(CvdScribbler *scribbler, const struct vsoc_window *window, guint64 seed);

/**
 * cvd_scribbler_write:
 * @n_words: how many
 *
 * Writes words: anywhere in the window, and oftener where it hurts, in the descriptors and the
 * signal tables; any numbers, and oftener such as could pass for offsets.
 */
void cvd_scribbler_write(CvdScribbler *scribbler, guint n_words);

/** cvd_scribbler_choose: Returns: a number below @n */
guint cvd_scribbler_choose(CvdScribbler *scribbler, guint n);

G_END_DECLS
