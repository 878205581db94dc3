/* SPDX-License-Identifier: Apache-2.0 */
/* Which machines of a group `cvd-up --index` means. */
#include "launcher/group/indices.h"

#include <string.h>

static const CvdGroup group = {.name = (char *)"g", .index = 3, .first = 3, .last = 12};

static char *format(GArray *indices)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < indices->len; i++)
        g_string_append_printf(text, "%s%u", i > 0 ? " " : "", g_array_index(indices, guint, i));
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void test_good(void)
{
    static const struct {
        const char *text;
        const char *indices;
    } rows[] = {
        {NULL, "3 4 5 6 7 8 9 10 11 12"},
        {"3", "3"},
        {"12,3", "3 12"},
        {"4..6", "4 5 6"},
        {"4..4", "4"},
        {"3..12", "3 4 5 6 7 8 9 10 11 12"},
        {"5..7,6..8,7", "5 6 7 8"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GArray) indices = cvd_indices_parse(rows[i].text, &group, &error);
        g_assert_no_error(error);
        g_autofree char *found = format(indices);
        g_assert_cmpstr(found, ==, rows[i].indices);
    }
}

static void test_bad(void)
{
    static const struct {
        const char *text;
        const char *part;
    } rows[] = {
        {"", ""},
        {"2", "2"},
        {"13", "13"},
        {"3,", ""},
        {",3", ""},
        {"3..13", "3..13"},
        {"5..4", "5..4"},
        {"3..", "3.."},
        {"..4", "..4"},
        {"3-4", "3-4"},
        {"03", "03"},
        {"3 4", "3 4"},
        {"x", "x"},
        {"3..4..5", "3..4..5"},
        {"4,99999999999", "99999999999"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *expected = g_strdup_printf(
            "--index: found '%s'; expected numbers from 3 to 12, such as 3 or 3..12", rows[i].part);
        g_assert_null(cvd_indices_parse(rows[i].text, &group, &error));
        g_assert_nonnull(error);
        g_assert_cmpstr(error->message, ==, expected);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-indices/good", test_good);
    g_test_add_func("/group-indices/bad", test_bad);
    return g_test_run();
}
