/* SPDX-License-Identifier: Apache-2.0 */
/* Which instances --group and --name mean. */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/group-name.h"
#include "base/nearest.h"

#include <string.h>
#include <unistd.h>

gboolean cvd_ctl_is_meant(const CvdTool *tool, const char *name)
{
    g_autofree char *group = cvd_group_name_parse(name, NULL);

    if (tool->name != NULL)
        return strcmp(name, tool->name) == 0;
    return tool->group == NULL || g_strcmp0(group, tool->group) == 0;
}

GPtrArray *cvd_ctl_list_instances(const CvdTool *tool, CvdInstances which, GError **error)
{
    GPtrArray *dirs = cvd_instance_list(which, error);

    for (guint i = dirs != NULL ? dirs->len : 0; i-- > 0;)
        if (!cvd_ctl_is_meant(tool, strrchr(dirs->pdata[i], '/') + 1))
            g_ptr_array_remove_index(dirs, i);
    return dirs;
}

static gboolean has_own(GPtrArray *dirs)
{
    for (guint i = 0; i < dirs->len; i++)
        if (cvd_ctl_get_owner(dirs->pdata[i]) == geteuid())
            return TRUE;
    return FALSE;
}

static void keep_own(GPtrArray *dirs)
{
    for (guint i = dirs->len; i-- > 0;)
        if (cvd_ctl_get_owner(dirs->pdata[i]) != geteuid())
            g_ptr_array_remove_index(dirs, i);
}

static gboolean check_one_owner(const CvdTool *tool, GPtrArray *dirs, GError **error)
{
    for (guint i = 1; i < dirs->len; i++) {
        uid_t one = cvd_ctl_get_owner(dirs->pdata[0]), other = cvd_ctl_get_owner(dirs->pdata[i]);
        g_autofree char *user = cvd_ctl_get_user(one);
        g_autofree char *other_user = cvd_ctl_get_user(other);
        if (one != other)
            return cvd_fail(error, CVD_ERROR_BUSY,
                            "users %s and %s have a group '%s' each; choose with CVD_RUNTIME_DIR",
                            user, other_user, tool->group);
    }
    return TRUE;
}

/* One that runs in one place may have left a record in another. */
static void add_others(GPtrArray *dirs, GPtrArray *failed)
{
    const guint n = dirs->len;

    for (guint i = 0; i < failed->len; i++) {
        const char *name = strrchr(failed->pdata[i], '/');
        gboolean is_new = TRUE;
        for (guint k = 0; k < n; k++)
            is_new = is_new && strcmp(name, strrchr(dirs->pdata[k], '/')) != 0;
        if (is_new)
            g_ptr_array_add(dirs, g_strdup(failed->pdata[i]));
    }
}

GPtrArray *cvd_ctl_list_group(const CvdTool *tool, guint *n_running, GError **error)
{
    g_autoptr(GPtrArray) dirs = cvd_ctl_list_instances(tool, CVD_INSTANCES_RUNNING, error);
    g_autoptr(GPtrArray) failed =
        dirs != NULL ? cvd_ctl_list_instances(tool, CVD_INSTANCES_FAILED, error) : NULL;
    if (failed == NULL)
        return NULL;

    if (has_own(dirs) || has_own(failed)) {
        keep_own(dirs);
        keep_own(failed);
    }
    *n_running = dirs->len;
    add_others(dirs, failed);
    if (dirs->len == 0)
        return cvd_ctl_fail_no_group(tool, error), NULL;
    return check_one_owner(tool, dirs, error) ? g_steal_pointer(&dirs) : NULL;
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
