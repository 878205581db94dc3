/* SPDX-License-Identifier: Apache-2.0 */
/* Which instances are of a group, by their names. */
#include "base/group-name.h"

static void test_names(void)
{
    static const struct {
        const char *name;
        const char *group; /* NULL: of none */
        guint index;
    } rows[] = {
        {"phone-7", "phone", 7},
        {"phone-0", "phone", 0},
        {"a-b-12", "a-b", 12},
        {"cvd-1-1", "cvd-1", 1},
        {"x-999999999", "x", CVD_MAX_INDEX},
        {"x-1000000000", NULL, 0},
        {"phone", NULL, 0},
        {"phone7", NULL, 0},
        {"phone-", NULL, 0},
        {"phone-07", NULL, 0},
        {"phone-00", NULL, 0},
        {"phone--7", "phone-", 7},
        {"phone-+7", NULL, 0},
        {"phone-7a", NULL, 0},
        {"phone-0x1", NULL, 0},
        {"-7", NULL, 0},
        {"", NULL, 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint index = 0;
        g_autofree char *group = cvd_group_name_parse(rows[i].name, &index);
        g_assert_cmpstr(group, ==, rows[i].group);
        g_assert_cmpuint(index, ==, rows[i].index);
        g_autofree char *name = group != NULL ? cvd_group_name_format(group, index) : NULL;
        g_assert_cmpstr(name, ==, group != NULL ? rows[i].name : NULL);
    }
}

static void test_range(void)
{
    guint index = 5;

    g_assert_false(cvd_group_index_parse("1", 2, 4, &index));
    g_assert_false(cvd_group_index_parse("5", 2, 4, &index));
    g_assert_false(cvd_group_index_parse("", 0, 4, &index));
    g_assert_cmpuint(index, ==, 5);
    g_assert_true(cvd_group_index_parse("2", 2, 4, &index));
    g_assert_cmpuint(index, ==, 2);
    g_assert_true(cvd_group_index_parse("4", 2, 4, &index));
    g_assert_cmpuint(index, ==, 4);
}

/* Each comes before the next. */
static void test_order(void)
{
    static const char *const names[] = {"a",   "a-0",   "a-2", "a-10", "a-100", "a-02",
                                        "a-b", "a-b-1", "a.",  "b",    "b-1",   "b1"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        for (gsize k = 0; k < G_N_ELEMENTS(names); k++) {
            int order = cvd_group_name_compare(names[i], names[k]);
            g_assert_cmpint((order > 0) - (order < 0), ==, (i > k) - (i < k));
        }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-name/names", test_names);
    g_test_add_func("/group-name/range", test_range);
    g_test_add_func("/group-name/order", test_order);
    return g_test_run();
}
