/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of processors, as the kernel writes them. */
#include "launcher/config/processors.h"

#include <errno.h>
#include <string.h>

typedef struct {
    const char *list;
    const char *formatted; /* NULL: it is none */
} Row;

static const Row rows[] = {
    {"0", "0"},       {"0-3,8", "0-3,8"},   {"8,1,0,2", "0-2,8"},
    {"5-5", "5"},     {"0-1,1-2", "0-2"},   {"1023-1024", "1023-1024"},
    {"007", "7"},     {"8191", "8191"},     {"8192", NULL},
    {"0-8192", NULL}, {"4294967297", NULL}, {"99999999999999999999", NULL},
    {"", NULL},       {",", NULL},          {"1,", NULL},
    {",1", NULL},     {"3-1", NULL},        {"1-", NULL},
    {"-1", NULL},     {"1-2-3", NULL},      {" 1", NULL},
    {"1 ", NULL},     {"1\n", NULL},        {"0x1", NULL},
    {"all", NULL},
};

static void test_lists(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        CvdProcessors processors = {0};
        if (cvd_processors_parse(rows[i].list, &processors) != (rows[i].formatted != NULL))
            g_error("\"%s\" is taken for the other", rows[i].list);
        if (rows[i].formatted == NULL)
            continue;
        g_autofree char *text = cvd_processors_format(&processors);
        g_assert_cmpstr(text, ==, rows[i].formatted);
    }
}

static void test_sets(void)
{
    CvdProcessors a = {0}, b = {0};
    g_autofree char *none = cvd_processors_format(&a);

    g_assert_cmpstr(none, ==, "none");
    g_assert_cmpint(cvd_processors_find_other(&a, &b), ==, -1);
    g_assert_true(cvd_processors_parse("1,4-8000", &a));
    g_assert_cmpint(cvd_processors_find_other(&a, &b), ==, 1);
    g_assert_true(cvd_processors_parse("0-7999", &b));
    g_assert_cmpint(cvd_processors_find_other(&a, &b), ==, 8000);
    g_assert_cmpint(cvd_processors_find_other(&b, &a), ==, 0);
    cvd_processors_add(&b, &a);
    g_assert_cmpint(cvd_processors_find_other(&a, &b), ==, -1);
    g_autofree char *all = cvd_processors_format(&b);
    g_assert_cmpstr(all, ==, "0-8000");
}

/* The kernel's own view of the thread. */
static char *read_allowed(void)
{
    g_autofree char *status = NULL;
    static const char key[] = "Cpus_allowed_list:\t";

    g_assert_true(g_file_get_contents("/proc/thread-self/status", &status, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(status, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (g_str_has_prefix(*line, key))
            return g_strdup(*line + strlen(key));
    g_assert_not_reached();
}

static void test_allowed(void)
{
    CvdProcessors allowed, first = {0}, none = {0};
    g_autofree char *before = read_allowed();

    g_assert_no_errno(cvd_processors_get_allowed(&allowed));
    g_autofree char *list = cvd_processors_format(&allowed);
    g_assert_cmpstr(list, ==, before);
    g_autofree char *number = g_strdup_printf("%d", cvd_processors_find_other(&allowed, &none));
    g_assert_true(cvd_processors_parse(number, &first));
    g_assert_no_errno(cvd_processors_set_allowed(0, &first));
    g_autofree char *now = read_allowed();
    g_assert_cmpstr(now, ==, number);
    g_assert_cmpint(cvd_processors_set_allowed(0, &none), ==, -1);
    g_assert_cmpint(errno, ==, EINVAL);
    g_assert_no_errno(cvd_processors_set_allowed(0, &allowed));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/processors/lists", test_lists);
    g_test_add_func("/processors/sets", test_sets);
    g_test_add_func("/processors/allowed", test_allowed);
    return g_test_run();
}
