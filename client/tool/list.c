/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `list` and `info`: where the regions are is the server's word; the rest is read from the
 * descriptors, where the guest can write, too, and is left out when they contradict the server.
 */
#include "base/error.h"
#include "base/process.h"
#include "client/tool/tool.h"
#include "client/tool/view.h"

#include <string.h>

typedef struct vsoc_device_region Descriptor;
typedef struct vsoc_signal_table_layout Table;

static CvdView *open_view(CvdTool *tool, const char *region, GError **error)
{
    const char *socket = cvd_tool_get_socket(tool, error);
    return socket ? cvd_view_open(socket, region, tool->cancellable, error) : NULL;
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

static GVariant *describe_table(const Table *table)
{
    return g_variant_new_parsed("{'num_nodes_lg2': <%u>, 'futex_uaddr_table_offset': <%u>,"
                                " 'interrupt_signalled_offset': <%u>}",
                                table->num_nodes_lg2, table->futex_uaddr_table_offset,
                                table->interrupt_signalled_offset);
}

/* In the words of a layout file. @descriptor: NULL for one that cannot be believed. */
static GVariant *describe_region(GArray *regions, guint index, const Descriptor *descriptor)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);
    const CvdRegionInfo *info = &g_array_index(regions, CvdRegionInfo, index);

    cvd_tool_add_json(&builder,
                      "{'device_name': <%s>, 'index': <%u>, 'region_begin_offset': <%u>,"
                      " 'region_end_offset': <%u>, 'region_size': <%u>}",
                      info->name, index, info->begin, info->end, info->end - info->begin);
    if (descriptor)
        cvd_tool_add_json(
            &builder,
            "{'offset_of_region_data': <%u>, 'current_version': <%u>,"
            " 'min_compatible_version': <%u>, 'guest_to_host_signal_table': <%@a{sv}>,"
            " 'host_to_guest_signal_table': <%@a{sv}>}",
            descriptor->offset_of_region_data, descriptor->current_version,
            descriptor->min_compatible_version,
            describe_table(&descriptor->guest_to_host_signal_table),
            describe_table(&descriptor->host_to_guest_signal_table));
    if (descriptor && descriptor->managed_by > 0 && descriptor->managed_by < regions->len)
        cvd_tool_add_json(&builder, "{'managed_by': <%s>}",
                          g_array_index(regions, CvdRegionInfo, descriptor->managed_by).name);
    return g_variant_builder_end(&builder);
}

gboolean cvd_tool_list(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdView) view = open_view(tool, NULL, error);
    if (!view)
        return FALSE;
    GArray *regions = view->regions;
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));
    g_autoptr(GString) text =
        g_string_new("NAME             BEGIN             SIZE  DATA        VERSION  COMPATIBLE\n");
    g_autoptr(GError) bad = NULL;

    for (guint i = 0; i < regions->len; i++) {
        Descriptor descriptor;
        gboolean is_good = cvd_view_get_descriptor(view, i, &descriptor, bad ? NULL : &bad);
        append_line(text, &g_array_index(regions, CvdRegionInfo, i), is_good ? &descriptor : NULL);
        g_variant_builder_add_value(&builder,
                                    describe_region(regions, i, is_good ? &descriptor : NULL));
    }
    g_autoptr(GVariant) all = g_variant_ref_sink(g_variant_builder_end(&builder));
    if (!(tool->json ? cvd_tool_print_json(error, "{'window_size': <%t>, 'regions': <%@aa{sv}>}",
                                           view->window_size, all)
                     : cvd_tool_put(text->str, text->len, error)))
        return FALSE;
    return !bad || cvd_pass_error(error, &bad);
}

static void append_table(GString *text, const char *label, const Table *table)
{
    g_string_append_printf(text, "%-16s%u slot%s at 0x%x, word at 0x%x\n", label,
                           1u << table->num_nodes_lg2, table->num_nodes_lg2 == 0 ? "" : "s",
                           table->futex_uaddr_table_offset, table->interrupt_signalled_offset);
}

static void append_sharing(GString *text, const CvdView *view)
{
    g_autofree char *name = view->holder != 0 ? cvd_process_get_name((pid_t)view->holder) : NULL;
    if (view->sharing == VSOC_WIRE_SHARED)
        return;
    g_string_append_printf(text, "%-16sone program at a time; ", "exclusive");
    if (view->sharing == VSOC_WIRE_FREE)
        g_string_append(text, "none has it\n");
    else if (view->holder == 0)
        g_string_append(text, "another has it\n");
    else
        g_string_append_printf(text, "pid %u%s%s%s has it\n", view->holder, name ? " (" : "",
                               name ? name : "", name ? ")" : "");
}

static char *describe(const CvdView *view, guint index, const Descriptor *descriptor)
{
    GArray *regions = view->regions;
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
    append_sharing(text, view);
    return g_string_free(text, FALSE);
}

static GVariant *describe_info(const CvdView *view, guint index, const Descriptor *descriptor)
{
    g_autoptr(GVariant) region =
        g_variant_ref_sink(describe_region(view->regions, index, descriptor));
    g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT(region);
    if (view->knows_sharing)
        g_variant_dict_insert(&dict, "exclusive", "b", view->sharing != VSOC_WIRE_SHARED);
    if (view->sharing == VSOC_WIRE_TAKEN)
        g_variant_dict_insert(&dict, "holder_pid", "u", view->holder);
    return g_variant_dict_end(&dict);
}

gboolean cvd_tool_info(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdView) view = open_view(tool, arguments[0], error);
    Descriptor descriptor;
    guint index;
    if (!view || !cvd_tool_find_region(view->regions, arguments[0], &index, error) ||
        !cvd_view_get_descriptor(view, index, &descriptor, error))
        return FALSE;
    if (!tool->json) {
        g_autofree char *text = describe(view, index, &descriptor);
        return cvd_tool_put(text, strlen(text), error);
    }
    return cvd_tool_print_json(error, "%@a{sv}", describe_info(view, index, &descriptor));
}
