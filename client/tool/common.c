/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tool/tool.h"

#include "base/error.h"
#include "base/nearest.h"

#include <string.h>

/* More names than these are not for a message. */
#define MAX_NAMES 16

CvdToolOptions cvd_tool_options;

const char *cvd_tool_get_socket(CvdTool *tool, GError **error)
{
    if (!tool->socket)
        tool->socket = cvd_find_client_socket(tool->name, error);
    return tool->socket;
}

static char *suggest_region(const char *name, GArray *regions)
{
    GString *text = g_string_new(NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (guint i = 0; i < regions->len; i++)
        g_ptr_array_add(names, g_array_index(regions, CvdRegionInfo, i).name);
    g_ptr_array_add(names, NULL);
    g_autofree char *escaped = g_strescape(name, NULL);
    g_string_append_printf(text, "no region '%s'", escaped);
    const char *nearest = cvd_nearest_name(name, (const char *const *)names->pdata);
    if (nearest)
        g_string_append_printf(text, "; did you mean '%s'?", nearest);
    g_string_append(text, nearest ? " the instance has: " : "; the instance has: ");
    for (guint i = 0; i < regions->len && i < MAX_NAMES; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "",
                               (const char *)g_ptr_array_index(names, i));
    if (regions->len > MAX_NAMES)
        g_string_append_printf(text, " and %u more, see cvd-client list", regions->len - MAX_NAMES);
    return g_string_free(text, FALSE);
}

gboolean cvd_tool_find_region(GArray *regions, const char *name, guint *index, GError **error)
{
    for (*index = 0; *index < regions->len; ++*index)
        if (strcmp(g_array_index(regions, CvdRegionInfo, *index).name, name) == 0)
            return TRUE;
    g_autofree char *text = suggest_region(name, regions);
    g_set_error_literal(error, CVD_REGION_ERROR, CVD_REGION_ERROR_UNKNOWN_REGION, text);
    return FALSE;
}

/* A shell script has the region for the programs that it runs, of which each has another number
 * than LISTEN_PID; what the descriptors are is looked at in any case.
 *
 * Returns: whether it was inherited, or why it could not be opened */
static gboolean open_passed(CvdTool *tool, const char *name, CvdRegion **region, GError **error)
{
    g_autoptr(GError) problem = NULL;
    if (tool->socket || tool->name)
        return FALSE;
    g_unsetenv("LISTEN_PID");
    *region = cvd_region_open_passed(name, 0, &problem);
    if (!*region && g_error_matches(problem, CVD_REGION_ERROR, CVD_REGION_ERROR_NOT_PASSED))
        return FALSE;
    if (problem)
        g_propagate_error(error, g_steal_pointer(&problem));
    return TRUE;
}

typedef CvdRegion *Open(const char *socket_path, const char *name, guint version,
                        GCancellable *cancellable, GError **error);

/* Servers before 0.2 know no observers, and close. */
static CvdRegion *observe(const char *socket_path, const char *name, guint version,
                          GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) problem = NULL;
    CvdRegion *region = cvd_region_observe(socket_path, name, version, cancellable, &problem);
    if (!region && g_error_matches(problem, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED))
        return cvd_region_open(socket_path, name, version, cancellable, error);
    if (problem)
        g_propagate_error(error, g_steal_pointer(&problem));
    return region;
}

static CvdRegion *open_with(CvdTool *tool, Open *open, const char *name, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    CvdRegion *region = NULL;
    if (open_passed(tool, name, &region, error))
        return region;
    const char *socket = cvd_tool_get_socket(tool, error);
    if (!socket)
        return NULL;
    region = open(socket, name, 0, tool->cancellable, &local_error);
    if (region)
        return region;
    if (g_error_matches(local_error, CVD_REGION_ERROR, CVD_REGION_ERROR_IN_USE)) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_IN_USE,
                    "%s; info, read, dump and watch only look, and work meanwhile",
                    local_error->message);
        return NULL;
    }
    if (g_error_matches(local_error, CVD_REGION_ERROR, CVD_REGION_ERROR_UNKNOWN_REGION)) {
        g_autoptr(GArray) regions = cvd_list_regions(socket, tool->cancellable, NULL);
        guint index;
        if (regions && !cvd_tool_find_region(regions, name, &index, error))
            return NULL;
    }
    g_propagate_error(error, g_steal_pointer(&local_error));
    return NULL;
}

CvdRegion *cvd_tool_open(CvdTool *tool, const char *name, GError **error)
{
    return open_with(tool, cvd_region_open, name, error);
}

CvdRegion *cvd_tool_open_to_read(CvdTool *tool, const char *name, GError **error)
{
    return open_with(tool, observe, name, error);
}

gboolean cvd_tool_check_range(CvdRegion *region, guint offset, guint64 size, GError **error)
{
    guint region_size = cvd_region_get_size(region);
    if (offset <= region_size && size <= region_size - offset)
        return TRUE;
    if (offset >= region_size)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "region '%s' has %u bytes: the last offset is 0x%x, not 0x%x",
                        cvd_region_get_name(region), region_size, region_size - 1, offset);
    return cvd_fail(
        error, CVD_ERROR_INVALID,
        "region '%s' has %u bytes: from offset 0x%x on there are %u, not %" G_GUINT64_FORMAT,
        cvd_region_get_name(region), region_size, offset, region_size - offset, size);
}

gboolean cvd_tool_check_word(CvdRegion *region, guint offset, GError **error)
{
    if (offset % 4 != 0)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "offset 0x%x is not a multiple of 4; its word begins at 0x%x", offset,
                        offset - offset % 4);
    return cvd_tool_check_range(region, offset, 4, error);
}
