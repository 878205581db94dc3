/* SPDX-License-Identifier: Apache-2.0 */
/* How far a group is, in words. */
#include "base/group-report.h"

static void test_words(void)
{
    static const struct {
        CvdGroupReport report;
        const char *progress;
        const char *end;
    } rows[] = {
        {{"up", 8, 8, 0, 0, 0}, "8/8 up, 0.0 s", "8 of 8 up after 0.0 s"},
        {{"stopped", 64, 3, 1, 2, 12340000},
         "3/64 stopped, 2 failed, 12.3 s",
         "3 of 64 stopped after 12.3 s, 1 of them before; 2 failed"},
        {{"ready", 4, 0, 0, 4, 3600000000},
         "0/4 ready, 4 failed, 3600.0 s",
         "0 of 4 ready after 3600.0 s; 4 failed"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *progress = cvd_group_report_format_progress(&rows[i].report);
        g_autofree char *end = cvd_group_report_format_end(&rows[i].report);
        g_assert_cmpstr(progress, ==, rows[i].progress);
        g_assert_cmpstr(end, ==, rows[i].end);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-report/words", test_words);
    return g_test_run();
}
