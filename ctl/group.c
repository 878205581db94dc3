/* SPDX-License-Identifier: Apache-2.0 */
/* Which instances --group means. */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/group-name.h"
#include "base/nearest.h"

#include <string.h>

gboolean cvd_ctl_is_in_group(const CvdTool *tool, const char *name)
{
    g_autofree char *group = cvd_group_name_parse(name, NULL);

    return tool->group == NULL || g_strcmp0(group, tool->group) == 0;
}

GPtrArray *cvd_ctl_list_instances(const CvdTool *tool, CvdInstances which, GError **error)
{
    GPtrArray *dirs = cvd_instance_list(which, error);

    for (guint i = dirs != NULL ? dirs->len : 0; i-- > 0;)
        if (!cvd_ctl_is_in_group(tool, strrchr(dirs->pdata[i], '/') + 1))
            g_ptr_array_remove_index(dirs, i);
    return dirs;
}

gboolean cvd_ctl_fail_no_group(const CvdTool *tool, GError **error)
{
    g_auto(GStrv) groups = cvd_instance_list_groups();
    const char *nearest = cvd_nearest_name(tool->group, (const char *const *)groups);

    if (nearest != NULL)
        return cvd_fail(error, CVD_ERROR_CLOSED,
                        "group '%s' has no machine; did you mean '%s'? cvd-up FILE starts a group",
                        tool->group, nearest);
    return cvd_fail(error, CVD_ERROR_CLOSED,
                    "group '%s' has no machine: none is called %s-N; start them with cvd-up FILE",
                    tool->group, tool->group);
}
