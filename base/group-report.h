/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdGroupReport:
 * @done: what a machine is when all has gone well: `up`, `stopped`
 * @n: how many machines there are
 * @n_done: of them
 * @n_before: of those that are done, how many were so before
 * @n_failed: how many have failed
 * @elapsed_us: how long it has taken, in microseconds
 *
 * How far a group is, in the words of all programs.
 */
typedef struct {
    const char *done;
    guint n;
    guint n_done;
    guint n_before;
    guint n_failed;
    gint64 elapsed_us;
} CvdGroupReport;

/** cvd_group_report_format_progress: Returns: (transfer full): a label of #CvdProgress: `3/4 up, 1
 * failed, 1.2 s` */
char *cvd_group_report_format_progress(const CvdGroupReport *report);

/** cvd_group_report_format_end: Returns: (transfer full): a line without its end: `3 of 4 up after
 * 1.2 s, 1 of them before; 1 failed` */
char *cvd_group_report_format_end(const CvdGroupReport *report);

G_END_DECLS
