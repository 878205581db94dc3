/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bench/figures.h"
#include "bench/machine.h"

G_BEGIN_DECLS

/** report_table: Returns: (transfer full): for a terminal */
char *report_table(const Figures *figures, const Machine *machine);
/** report_markdown: Returns: (transfer full): for docs/performance.md */
char *report_markdown(const Figures *figures, const Machine *machine);
/** report_json: Returns: (transfer full): one object */
char *report_json(const Figures *figures, const Machine *machine);
/** report_svg: Returns: (transfer full): a chart that needs no other file */
char *report_svg(const Figures *figures, const Machine *machine);

/** report_is_reached: Returns: whether the median is where it should be; %TRUE without a goal */
gboolean report_is_reached(const Figure *figure);
/** report_number: Returns: (transfer full): with as many digits as are worth reading */
char *report_number(double value);

G_END_DECLS
