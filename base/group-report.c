/* SPDX-License-Identifier: Apache-2.0 */
#include "base/group-report.h"

static double get_seconds(const CvdGroupReport *report)
{
    return (double)report->elapsed_us / G_USEC_PER_SEC;
}

char *cvd_group_report_format_progress(const CvdGroupReport *report)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%u/%u %s", report->n_done, report->n, report->done);
    if (report->n_failed > 0)
        g_string_append_printf(text, ", %u failed", report->n_failed);
    g_string_append_printf(text, ", %.1f s", get_seconds(report));
    return g_string_free(text, FALSE);
}

char *cvd_group_report_format_end(const CvdGroupReport *report)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%u of %u %s after %.1f s", report->n_done, report->n,
                           report->done, get_seconds(report));
    if (report->n_before > 0)
        g_string_append_printf(text, ", %u of them before", report->n_before);
    if (report->n_failed > 0)
        g_string_append_printf(text, "; %u failed", report->n_failed);
    return g_string_free(text, FALSE);
}
