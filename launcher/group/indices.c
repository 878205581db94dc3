/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/group/indices.h"

#include "base/error.h"
#include "base/group-name.h"

#include <string.h>

static void mark(gboolean *is_wanted, const CvdGroup *group, guint first, guint last)
{
    for (guint i = first; i <= last; i++)
        is_wanted[i - group->first] = TRUE;
}

/* `4` or `4..8` */
static gboolean parse_part(const char *part, const CvdGroup *group, gboolean *is_wanted,
                           GError **error)
{
    g_auto(GStrv) ends = g_strsplit(part, "..", 2);
    guint first, last;

    if (ends[0] == NULL || !cvd_group_index_parse(ends[0], group->first, group->last, &first) ||
        !cvd_group_index_parse(ends[1] != NULL ? ends[1] : ends[0], first, group->last, &last))
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--index: found '%s'; expected numbers from %u to %u, such as %u or %u..%u",
                        part, group->first, group->last, group->first, group->first, group->last);
    mark(is_wanted, group, first, last);
    return TRUE;
}

GArray *cvd_indices_parse(const char *text, const CvdGroup *group, GError **error)
{
    guint n = group->last - group->first + 1;
    g_autofree gboolean *is_wanted = g_new0(gboolean, n);
    g_auto(GStrv) parts = g_strsplit(text != NULL ? text : "", ",", -1);

    if (text == NULL)
        mark(is_wanted, group, group->first, group->last);
    else if (*text == '\0')
        return parse_part("", group, is_wanted, error), NULL;
    for (char **part = parts; *part != NULL; part++)
        if (!parse_part(*part, group, is_wanted, error))
            return NULL;
    GArray *indices = g_array_new(FALSE, FALSE, sizeof(guint));
    for (guint i = 0; i < n; i++) {
        guint index = group->first + i;
        if (is_wanted[i])
            g_array_append_val(indices, index);
    }
    return indices;
}
