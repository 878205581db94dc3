/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bench/figures.h"

G_BEGIN_DECLS

/** PLOT_HEIGHT: of one plot with its title, axes and space below */
#define PLOT_HEIGHT 330

/**
 * plot_append:
 * @svg: where to
 * @top: the plot's upper end
 * @figures: whose curves of that kind are drawn
 *
 * Returns: whether there was any
 */
gboolean plot_append(GString *svg, double top, const Figures *figures, CurveKind kind);

/** svg_text: Returns: (transfer full): an element; @class: also tells where the text is anchored */
char *svg_text(double x, double y, const char *class, const char *text);

G_END_DECLS
