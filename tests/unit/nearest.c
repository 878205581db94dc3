/* SPDX-License-Identifier: Apache-2.0 */
#include "base/nearest.h"

static void test_names(void)
{
    static const char *const known[] = {"name",     "layout", "qemu", "memory",
                                        "on_crash", "cpu",    NULL};
    static const struct {
        const char *name;
        const char *nearest;
    } rows[] = {
        {"nmae", "name"},         {"layuot", "layout"}, {"Memory", "memory"}, {"memroy", "memory"},
        {"on-crash", "on_crash"}, {"cpus", "cpu"},      {"zzz", NULL},        {"", NULL},
        {"unrelated", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_cmpstr(cvd_nearest_name(rows[i].name, known), ==, rows[i].nearest);

    g_autofree char *longest = g_strnfill(64, 'x');
    g_autofree char *longer = g_strnfill(65, 'x');
    const char *const both[] = {longest, longer, NULL};
    g_assert_true(cvd_nearest_name(longest, both) == longest);
    g_assert_null(cvd_nearest_name(longer, both));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nearest/names", test_names);
    return g_test_run();
}
