/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `signal`, `ring` and `wait`: one end of a region's signalling.
 */
#include "base/error.h"
#include "client/tool/tool.h"

#define MAX_WAIT_S 86400

gboolean cvd_tool_signal(CvdTool *tool, char **arguments, GError **error)
{
    guint offset;
    if (!cvd_tool_parse_number(arguments[1], "OFFSET", 0, G_MAXUINT32, &offset, error))
        return FALSE;
    g_autoptr(CvdRegion) region = cvd_tool_open(tool, arguments[0], error);
    if (!region || !cvd_tool_check_word(region, offset, error))
        return FALSE;
    if (offset == 0)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "offset 0 cannot be signalled: in a signal table it means none");
    return cvd_region_signal(region, offset, error);
}

gboolean cvd_tool_ring(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdRegion) region = cvd_tool_open(tool, arguments[0], error);
    return region && cvd_region_interrupt(region, error);
}

static gboolean print_signals(CvdTool *tool, CvdRegion *region, GArray *offsets, GError **error)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));
    for (guint i = 0; i < offsets->len; i++) {
        guint offset = g_array_index(offsets, guint32, i), word;
        if (!cvd_region_load(region, offset, &word, error) ||
            (!tool->json && !cvd_tool_print(error, "signal 0x%08x, word 0x%08x\n", offset, word)))
            return FALSE;
        g_variant_builder_add_parsed(&builder, "{'offset': <%u>, 'word': <%u>}", offset, word);
    }
    g_autoptr(GVariant) signals = g_variant_ref_sink(g_variant_builder_end(&builder));
    if (tool->json)
        return cvd_tool_print_json(error, "{'region': <%s>, 'signals': <%@aa{sv}>}",
                                   cvd_region_get_name(region), signals);
    return offsets->len > 0 || cvd_tool_print(error, "interrupt\n");
}

gboolean cvd_tool_wait(CvdTool *tool, char **arguments, GError **error)
{
    guint timeout_ms = 0;
    g_autoptr(GError) local_error = NULL;
    if (!cvd_tool_parse_seconds(cvd_tool_options.timeout, "--timeout", MAX_WAIT_S, &timeout_ms,
                                error))
        return FALSE;
    g_autoptr(CvdRegion) region = cvd_tool_open(tool, arguments[0], error);
    if (!region)
        return FALSE;
    g_autoptr(GArray) offsets = cvd_region_wait(
        region, cvd_tool_options.timeout ? (int)timeout_ms : -1, tool->cancellable, &local_error);
    if (offsets)
        return print_signals(tool, region, offsets, error);
    if (g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
        return cvd_fail(error, CVD_ERROR_TIMED_OUT, "region '%s': nothing came within %s s",
                        cvd_region_get_name(region), cvd_tool_options.timeout);
    return cvd_pass_error(error, &local_error);
}
