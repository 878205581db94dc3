/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tool/stats.h"

static void test_none(void)
{
    g_autoptr(CvdStats) stats = cvd_stats_new();
    g_assert_cmpuint(stats->count, ==, 0);
    g_assert_cmpuint(stats->min, ==, 0);
    g_assert_cmpuint(stats->max, ==, 0);
    g_assert_cmpfloat(cvd_stats_get_mean(stats), ==, 0);
    g_assert_cmpuint(cvd_stats_get_percentile(stats, 50), ==, 0);
}

/* One value is every percentile of itself, at the borders of all buckets. */
static void test_one(void)
{
    for (guint bit = 0; bit < 64; bit++) {
        for (int by = -1; by <= 1; by++) {
            g_autoptr(CvdStats) stats = cvd_stats_new();
            guint64 value = (G_GUINT64_CONSTANT(1) << bit) + (guint64)by;
            cvd_stats_add(stats, value);
            g_assert_cmpuint(stats->min, ==, value);
            g_assert_cmpuint(stats->max, ==, value);
            g_assert_cmpuint(cvd_stats_get_percentile(stats, 0), ==, value);
            g_assert_cmpuint(cvd_stats_get_percentile(stats, 50), ==, value);
            g_assert_cmpuint(cvd_stats_get_percentile(stats, 100), ==, value);
        }
    }
}

/* 1 to 100, in no order: the n-th percentile is n. */
static void test_hundred(void)
{
    g_autoptr(CvdStats) stats = cvd_stats_new();
    for (guint i = 0; i < 100; i++)
        cvd_stats_add(stats, i * 37 % 100 + 1);
    g_assert_cmpuint(stats->count, ==, 100);
    g_assert_cmpfloat(cvd_stats_get_mean(stats), ==, 50.5);
    for (guint i = 1; i <= 100; i++)
        g_assert_cmpuint(cvd_stats_get_percentile(stats, i), ==, i);
}

/* Nearest rank: of three values the first is up to a third. */
static void test_nearest_rank(void)
{
    g_autoptr(CvdStats) stats = cvd_stats_new();
    cvd_stats_add(stats, 30);
    cvd_stats_add(stats, 10);
    cvd_stats_add(stats, 20);
    g_assert_cmpuint(cvd_stats_get_percentile(stats, 33), ==, 10);
    g_assert_cmpuint(cvd_stats_get_percentile(stats, 34), ==, 20);
    g_assert_cmpuint(cvd_stats_get_percentile(stats, 66), ==, 20);
    g_assert_cmpuint(cvd_stats_get_percentile(stats, 67), ==, 30);
}

/* Large values: right to a thousandth. */
static void test_precision(void)
{
    g_autoptr(CvdStats) stats = cvd_stats_new();
    const guint64 n = 100000, step = 7919;
    for (guint64 i = 1; i <= n; i++)
        cvd_stats_add(stats, i * step);
    for (guint percent = 1; percent <= 99; percent++) {
        double exact = (double)(n * percent / 100 * step);
        double found = (double)cvd_stats_get_percentile(stats, percent);
        g_assert_cmpfloat_with_epsilon(found / exact, 1, 0.001);
    }
    g_assert_cmpuint(stats->max, ==, n * step);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tool-stats/none", test_none);
    g_test_add_func("/tool-stats/one", test_one);
    g_test_add_func("/tool-stats/hundred", test_hundred);
    g_test_add_func("/tool-stats/nearest-rank", test_nearest_rank);
    g_test_add_func("/tool-stats/precision", test_precision);
    return g_test_run();
}
