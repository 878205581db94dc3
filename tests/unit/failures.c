/* SPDX-License-Identifier: Apache-2.0 */
/* Failures of many machines, each reason once. */
#include "base/failures.h"

typedef struct {
    const char *name;
    const char *reason;
    gboolean is_first;
} Row;

static CvdFailures *add(const Row *rows, gsize n)
{
    CvdFailures *failures = cvd_failures_new();

    for (gsize i = 0; i < n; i++)
        g_assert_cmpint(cvd_failures_add(failures, rows[i].name, rows[i].reason), ==,
                        rows[i].is_first);
    g_assert_cmpuint(cvd_failures_get_n(failures), ==, n);
    return failures;
}

/* The number of the machine is no difference, but others are. */
static void test_reasons(void)
{
    static const Row rows[] = {
        {"p-1", "disk-1.img: not there", TRUE},
        {"p-11", "disk-11.img: not there", FALSE},
        {"p-2", "disk-2.img: not there", FALSE},
        {"p-3", "disk-2.img: not there", TRUE},
        {"p-4", "disk-44.img: not there", TRUE},
        {"p-5", "", TRUE},
        {"p-1", "status 1", TRUE},
        {"p-2", "status 1", FALSE},
        {"p-3", "status 2", TRUE},
        {"p-6", "6", TRUE},
        {"p-7", "7", FALSE},
        {"single", "1", TRUE},
        {"single", "1", FALSE},
    };
    static const char *const expected[] = {"as p-1: p-2, p-11", "as p-1: p-2", "as p-6: p-7",
                                           "as single: single"};
    g_autoptr(CvdFailures) failures = add(rows, G_N_ELEMENTS(rows));
    g_autoptr(GPtrArray) lines = cvd_failures_format_others(failures);

    g_assert_cmpuint(lines->len, ==, G_N_ELEMENTS(expected));
    for (guint i = 0; i < lines->len; i++)
        g_assert_cmpstr(lines->pdata[i], ==, expected[i]);
}

/* Of many no more are named than fit a line. */
static void test_many(void)
{
    static const struct {
        guint n;
        const char *line;
    } rows[] = {
        {1, NULL},
        {9, "as p-0: p-1, p-2, p-3, p-4, p-5, p-6, p-7, p-8"},
        {10, "as p-0: p-1, p-2, p-3, p-4, p-5, p-6, p-7, p-8 and 1 more"},
        {10000, "as p-0: p-1, p-2, p-3, p-4, p-5, p-6, p-7, p-8 and 9991 more"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(CvdFailures) failures = cvd_failures_new();
        for (guint k = 0; k < rows[i].n; k++) {
            g_autofree char *name = g_strdup_printf("p-%u", k);
            cvd_failures_add(failures, name, "no space");
        }
        g_autoptr(GPtrArray) lines = cvd_failures_format_others(failures);
        g_assert_cmpuint(lines->len, ==, rows[i].line != NULL ? 1 : 0);
        if (rows[i].line != NULL)
            g_assert_cmpstr(lines->pdata[0], ==, rows[i].line);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/failures/reasons", test_reasons);
    g_test_add_func("/failures/many", test_many);
    return g_test_run();
}
