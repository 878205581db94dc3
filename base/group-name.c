/* SPDX-License-Identifier: Apache-2.0 */
#include "base/group-name.h"

#include <string.h>

char *cvd_group_name_format(const char *group, guint index)
{
    return g_strdup_printf("%s-%u", group, index);
}

gboolean cvd_group_index_parse(const char *text, guint min, guint max, guint *index)
{
    guint64 number;

    if ((text[0] == '0' && text[1] != '\0') ||
        !g_ascii_string_to_unsigned(text, 10, min, max, &number, NULL))
        return FALSE;
    *index = (guint)number;
    return TRUE;
}

char *cvd_group_name_parse(const char *name, guint *index)
{
    const char *dash = strrchr(name, '-');
    guint number;

    if (dash == NULL || dash == name || !cvd_group_index_parse(dash + 1, 0, CVD_MAX_INDEX, &number))
        return NULL;
    if (index != NULL)
        *index = number;
    return g_strndup(name, (gsize)(dash - name));
}

int cvd_group_name_compare(const char *one, const char *other)
{
    guint index = 0, other_index = 0;
    g_autofree char *group = cvd_group_name_parse(one, &index);
    g_autofree char *other_group = cvd_group_name_parse(other, &other_index);
    int by_group = strcmp(group != NULL ? group : one, other_group != NULL ? other_group : other);

    if (by_group != 0)
        return by_group;
    if ((group == NULL) != (other_group == NULL))
        return group == NULL ? -1 : 1;
    return (index > other_index) - (index < other_index);
}
