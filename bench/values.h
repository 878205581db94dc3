/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** figure_values: Returns: (transfer full) (element-type double): an empty series */
GArray *figure_values(void);
/** figure_quantile: Returns: the @q-quantile of a series, between 0 and 1 */
double figure_quantile(GArray *values, double q);
/** figure_combine: Returns: (transfer full): round by round, @a / @b or @a - @b */
GArray *figure_combine(GArray *a, GArray *b, char operation);
/**
 * figure_histogram:
 * @values: at least 1 each, what is less counts as 1
 *
 * Returns: (transfer full) (element-type CurvePoint): how many values are at most x, and above the
 * bin below; bins are a twelfth of an octave wide, and those without values are left out
 */
GArray *figure_histogram(GArray *values);

/** now_us: Returns: the monotonic clock, in microseconds */
double now_us(void);
/** now_ms: the same in milliseconds */
double now_ms(void);

/** figure_progress: shows what is being measured, to people only; %NULL clears the line */
void figure_progress(const char *format, ...) G_GNUC_PRINTF(1, 2);

G_END_DECLS
