/* SPDX-License-Identifier: Apache-2.0 */
#include "base/failures.h"

#include "base/group-name.h"

#include <string.h>

#define MAX_NAMED 8 /* machines in a line */

/* Each reason is the names of the machines that had it. Of which numbers in it are the machine's
 * nobody knows: it is known by both of its texts. */
struct CvdFailures {
    GPtrArray *reasons; /* in the order in which they came */
    GHashTable *by_text;
    guint n;
};

CvdFailures *cvd_failures_new(void)
{
    CvdFailures *failures = g_new0(CvdFailures, 1);

    failures->reasons = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
    failures->by_text = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return failures;
}

void cvd_failures_free(CvdFailures *failures)
{
    g_hash_table_unref(failures->by_text);
    g_ptr_array_unref(failures->reasons);
    g_free(failures);
}

/* With `#` in place of each number that is @index. */
static char *generalize(const char *text, guint index)
{
    g_autofree char *number = g_strdup_printf("%u", index);
    g_autoptr(GString) general = g_string_new(NULL);

    while (*text) {
        gsize n_other = strcspn(text, G_CSET_DIGITS);
        gsize n_digits = strspn(text + n_other, G_CSET_DIGITS);
        gboolean is_index =
            n_digits == strlen(number) && strncmp(text + n_other, number, n_digits) == 0;
        g_string_append_len(general, text, (gssize)n_other);
        g_string_append_len(general, is_index ? "#" : text + n_other,
                            is_index ? 1 : (gssize)n_digits);
        text += n_other + n_digits;
    }
    return g_string_free(g_steal_pointer(&general), FALSE);
}

/* The first stays the first, as it has been shown. */
static void insert(GPtrArray *names, const char *name)
{
    guint i = names->len;

    while (i > 1 && cvd_group_name_compare(names->pdata[i - 1], name) > 0)
        i--;
    g_ptr_array_insert(names, (int)i, g_strdup(name));
}

gboolean cvd_failures_add(CvdFailures *failures, const char *name, const char *reason)
{
    guint index;
    g_autofree char *group = cvd_group_name_parse(name, &index);
    g_autofree char *general = group != NULL ? generalize(reason, index) : g_strdup(reason);
    GPtrArray *names = g_hash_table_lookup(failures->by_text, reason);

    if (names == NULL)
        names = g_hash_table_lookup(failures->by_text, general);
    gboolean is_first = names == NULL;
    if (is_first) {
        names = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(failures->reasons, names);
        g_hash_table_insert(failures->by_text, g_strdup(reason), names);
        g_hash_table_insert(failures->by_text, g_steal_pointer(&general), names);
    }
    insert(names, name);
    failures->n++;
    return is_first;
}

guint cvd_failures_get_n(const CvdFailures *failures)
{
    return failures->n;
}

static char *format_names(const GPtrArray *names)
{
    GString *line = g_string_new("as ");
    guint n = names->len;

    g_string_append_printf(line, "%s: ", (char *)names->pdata[0]);
    for (guint i = 1; i < MIN(n, MAX_NAMED + 1); i++)
        g_string_append_printf(line, "%s%s", i > 1 ? ", " : "", (char *)names->pdata[i]);
    if (n > MAX_NAMED + 1)
        g_string_append_printf(line, " and %u more", n - MAX_NAMED - 1);
    return g_string_free(line, FALSE);
}

GPtrArray *cvd_failures_format_others(const CvdFailures *failures)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < failures->reasons->len; i++) {
        const GPtrArray *names = failures->reasons->pdata[i];
        if (names->len > 1)
            g_ptr_array_add(lines, format_names(names));
    }
    return lines;
}
