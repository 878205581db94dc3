/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** figures_begin: @as_json: print one JSON object in place of a table */
void figures_begin(gboolean as_json);
/** figures_end: ends the object */
void figures_end(void);

/** figure_progress: shows what is being measured, to people only; %NULL clears the line */
void figure_progress(const char *format, ...) G_GNUC_PRINTF(1, 2);

/** figure_values: Returns: (transfer full) (element-type double): an empty series */
GArray *figure_values(void);
/** figure_quantile: Returns: the @q-quantile of a series, between 0 and 1 */
double figure_quantile(GArray *values, double q);
/** figure_combine: Returns: (transfer full): round by round, @a / @b or @a - @b */
GArray *figure_combine(GArray *a, GArray *b, char operation);

typedef enum {
    FIGURE_PLAIN,
    FIGURE_AT_MOST,
    FIGURE_AT_LEAST,
} FigureGoal;

/**
 * figure_report:
 * @key: in JSON
 * @text: in the table
 * @values: one a round
 * @unit: of the values
 * @goal: what @target is
 *
 * Prints the median and, as spread, the quartiles.
 */
void figure_report(const char *key, const char *text, GArray *values, const char *unit,
                   FigureGoal goal, double target);

G_END_DECLS
