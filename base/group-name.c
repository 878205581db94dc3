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
