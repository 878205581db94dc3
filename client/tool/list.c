/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `list` and `info`: where the regions are is the server's word; the rest is read from the
 * descriptors, where the guest can write, too, and is left out when they contradict the server.
 */
#include "client/tool/tool.h"
#include "client/tool/view.h"

#include <string.h>

typedef struct vsoc_device_region Descriptor;
typedef struct vsoc_signal_table_layout Table;

static CvdView *open_view(CvdTool *tool, GError **error)
{
    const char *socket = cvd_tool_get_socket(tool, error);
    return socket ? cvd_view_open(socket, tool->cancellable, error) : NULL;
}

static void append_line(GString *text, const CvdRegionInfo *info, const Descriptor *descriptor)
{
    g_string_append_printf(text, "%-15s  0x%08x  %10u", info->name, info->begin,
                           info->end - info->begin);
    if (descriptor)
        g_string_append_printf(text, "  0x%-8x  %7u  %10u\n", descriptor->offset_of_region_data,
                               descriptor->current_version, descriptor->min_compatible_version);
    else
        g_string_append_printf(text, "  %-10s  %7s  %10s\n", "?", "?", "?");
}

static void build_table(JsonBuilder *builder, const char *name, const Table *table)
{
    json_builder_set_member_name(builder, name);
    json_builder_begin_object(builder);
    cvd_tool_json_int(builder, "num_nodes_lg2", table->num_nodes_lg2);
    cvd_tool_json_int(builder, "futex_uaddr_table_offset", table->futex_uaddr_table_offset);
    cvd_tool_json_int(builder, "interrupt_signalled_offset", table->interrupt_signalled_offset);
    json_builder_end_object(builder);
}

/* In the words of a layout file. @descriptor: NULL for one that cannot be believed. */
static void build_region(JsonBuilder *builder, GArray *regions, guint index,
                         const Descriptor *descriptor)
{
    const CvdRegionInfo *info = &g_array_index(regions, CvdRegionInfo, index);
    json_builder_begin_object(builder);
    cvd_tool_json_string(builder, "device_name", info->name);
    cvd_tool_json_int(builder, "index", index);
    cvd_tool_json_int(builder, "region_begin_offset", info->begin);
    cvd_tool_json_int(builder, "region_end_offset", info->end);
    cvd_tool_json_int(builder, "region_size", info->end - info->begin);
    if (descriptor) {
        cvd_tool_json_int(builder, "offset_of_region_data", descriptor->offset_of_region_data);
        cvd_tool_json_int(builder, "current_version", descriptor->current_version);
        cvd_tool_json_int(builder, "min_compatible_version", descriptor->min_compatible_version);
        build_table(builder, "guest_to_host_signal_table", &descriptor->guest_to_host_signal_table);
        build_table(builder, "host_to_guest_signal_table", &descriptor->host_to_guest_signal_table);
        if (descriptor->managed_by > 0 && descriptor->managed_by < regions->len)
            cvd_tool_json_string(
                builder, "managed_by",
                g_array_index(regions, CvdRegionInfo, descriptor->managed_by).name);
    }
    json_builder_end_object(builder);
}

static gboolean run_list(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdView) view = open_view(tool, error);
    if (!view)
        return FALSE;
    GArray *regions = cvd_view_get_regions(view);
    g_autoptr(JsonBuilder) builder = json_builder_new();
    g_autoptr(GString) text =
        g_string_new("NAME             BEGIN             SIZE  DATA        VERSION  COMPATIBLE\n");
    g_autoptr(GError) bad = NULL;

    json_builder_begin_object(builder);
    cvd_tool_json_int(builder, "window_size", (gint64)cvd_view_get_window_size(view));
    json_builder_set_member_name(builder, "regions");
    json_builder_begin_array(builder);
    for (guint i = 0; i < regions->len; i++) {
        Descriptor descriptor;
        gboolean is_good = cvd_view_get_descriptor(view, i, &descriptor, bad ? NULL : &bad);
        append_line(text, &g_array_index(regions, CvdRegionInfo, i), is_good ? &descriptor : NULL);
        build_region(builder, regions, i, is_good ? &descriptor : NULL);
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
    if (!(tool->json ? cvd_tool_print_json(builder, error)
                     : cvd_tool_put(text->str, text->len, error)))
        return FALSE;
    if (!bad)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&bad));
    return FALSE;
}

static void append_table(GString *text, const char *label, const Table *table)
{
    g_string_append_printf(text, "%-16s%u slots at 0x%x, word at 0x%x\n", label,
                           1u << table->num_nodes_lg2, table->futex_uaddr_table_offset,
                           table->interrupt_signalled_offset);
}

static char *describe(GArray *regions, guint index, const Descriptor *descriptor)
{
    const CvdRegionInfo *info = &g_array_index(regions, CvdRegionInfo, index);
    guint size = info->end - info->begin;
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "%-16s%s\n", "name", info->name);
    g_string_append_printf(text, "%-16s%u of %u\n", "index", index, regions->len);
    g_string_append_printf(text, "%-16s0x%08x to 0x%08x\n", "in the window", info->begin,
                           info->end);
    g_string_append_printf(text, "%-16s%u bytes\n", "size", size);
    g_string_append_printf(text, "%-16s%u bytes at 0x%x\n", "data",
                           size - descriptor->offset_of_region_data,
                           descriptor->offset_of_region_data);
    g_string_append_printf(text, "%-16s%u, compatible with %u and later\n", "version",
                           descriptor->current_version, descriptor->min_compatible_version);
    append_table(text, "guest to host", &descriptor->guest_to_host_signal_table);
    append_table(text, "host to guest", &descriptor->host_to_guest_signal_table);
    if (descriptor->managed_by > 0 && descriptor->managed_by < regions->len)
        g_string_append_printf(text, "%-16s%s\n", "managed by",
                               g_array_index(regions, CvdRegionInfo, descriptor->managed_by).name);
    return g_string_free(text, FALSE);
}

static gboolean run_info(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdView) view = open_view(tool, error);
    Descriptor descriptor;
    guint index;
    if (!view || !cvd_tool_find_region(cvd_view_get_regions(view), arguments[0], &index, error) ||
        !cvd_view_get_descriptor(view, index, &descriptor, error))
        return FALSE;
    if (!tool->json) {
        g_autofree char *text = describe(cvd_view_get_regions(view), index, &descriptor);
        return cvd_tool_put(text, strlen(text), error);
    }
    g_autoptr(JsonBuilder) builder = json_builder_new();
    build_region(builder, cvd_view_get_regions(view), index, &descriptor);
    return cvd_tool_print_json(builder, error);
}

const CvdToolVerb cvd_tool_list = {
    .name = "list",
    .arguments = "",
    .summary = "List the regions",
    .run = run_list,
};

const CvdToolVerb cvd_tool_info = {
    .name = "info",
    .arguments = "REGION",
    .summary = "Describe a region",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_info,
};
