/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/processors.h"

#include <string.h>

/* Of the first digits of @text, which is moved beyond them. */
static gboolean parse_number(const char **text, guint *number)
{
    *number = 0;
    if (!g_ascii_isdigit(**text))
        return FALSE;
    for (; g_ascii_isdigit(**text); (*text)++) {
        *number = *number * 10 + (guint)(**text - '0');
        if (*number >= CVD_MAX_PROCESSORS)
            return FALSE;
    }
    return TRUE;
}

gboolean cvd_processors_parse(const char *list, CvdProcessors *processors)
{
    guint first, last;

    while (parse_number(&list, &first)) {
        last = first;
        if (*list == '-') {
            list++;
            if (!parse_number(&list, &last) || last < first)
                return FALSE;
        }
        for (guint i = first; i <= last; i++)
            CPU_SET_S(i, sizeof *processors, processors->sets);
        if (*list == '\0')
            return TRUE;
        if (*list++ != ',')
            return FALSE;
    }
    return FALSE;
}

static gboolean has(const CvdProcessors *processors, guint i)
{
    return i < CVD_MAX_PROCESSORS && CPU_ISSET_S(i, sizeof *processors, processors->sets);
}

char *cvd_processors_format(const CvdProcessors *processors)
{
    GString *list = g_string_new(NULL);

    for (guint i = 0; i < CVD_MAX_PROCESSORS; i++) {
        guint first = i;
        if (!has(processors, i))
            continue;
        while (has(processors, i + 1))
            i++;
        g_string_append_printf(list, "%s%u", list->len > 0 ? "," : "", first);
        if (i > first)
            g_string_append_printf(list, "-%u", i);
    }
    return g_string_free(list->len > 0 ? list : g_string_append(list, "none"), FALSE);
}

int cvd_processors_find_other(const CvdProcessors *processors, const CvdProcessors *among)
{
    for (guint i = 0; i < CVD_MAX_PROCESSORS; i++)
        if (has(processors, i) && !has(among, i))
            return (int)i;
    return -1;
}

void cvd_processors_add(CvdProcessors *processors, const CvdProcessors *others)
{
    CPU_OR_S(sizeof *processors, processors->sets, processors->sets, others->sets);
}

int cvd_processors_get_allowed(CvdProcessors *processors)
{
    memset(processors, 0, sizeof *processors);
    return sched_getaffinity(0, sizeof *processors, processors->sets);
}

int cvd_processors_set_allowed(pid_t thread, const CvdProcessors *processors)
{
    return sched_setaffinity(thread, sizeof *processors, processors->sets);
}
