/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `signal`, `ring` and `wait`: one end of a region's signalling.
 */
#include "client/tool/tool.h"

#define MAX_WAIT_S 86400

static char *timeout_text;

static const GOptionEntry wait_entries[] = {
    {"timeout", 't', 0, G_OPTION_ARG_FILENAME, &timeout_text, "Fail after so long", "SECONDS"},
    G_OPTION_ENTRY_NULL,
};

static gboolean run_signal(CvdTool *tool, char **arguments, GError **error)
{
    guint offset;
    if (!cvd_tool_parse_number(arguments[1], "OFFSET", 0, G_MAXUINT32, &offset, error))
        return FALSE;
    g_autoptr(CvdRegion) region = cvd_tool_open(tool, arguments[0], error);
    if (!region || !cvd_tool_check_word(region, offset, error))
        return FALSE;
    if (offset == 0) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_BAD_OFFSET,
                    "offset 0 cannot be signalled: in a signal table it means none");
        return FALSE;
    }
    return cvd_region_signal(region, offset, error);
}

static gboolean run_ring(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdRegion) region = cvd_tool_open(tool, arguments[0], error);
    return region && cvd_region_interrupt(region, error);
}

static gboolean print_signals(CvdTool *tool, CvdRegion *region, GArray *offsets, GError **error)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    cvd_tool_json_string(builder, "region", cvd_region_get_name(region));
    json_builder_set_member_name(builder, "signals");
    json_builder_begin_array(builder);
    if (!tool->json && offsets->len == 0)
        return cvd_tool_print(error, "interrupt\n");
    for (guint i = 0; i < offsets->len; i++) {
        guint offset = g_array_index(offsets, guint32, i);
        g_autoptr(GBytes) word = cvd_region_read(region, offset, sizeof(guint32), error);
        if (!word)
            return FALSE;
        guint32 value = *(const guint32 *)g_bytes_get_data(word, NULL);
        if (!tool->json && !cvd_tool_print(error, "signal 0x%08x, word 0x%08x\n", offset, value))
            return FALSE;
        json_builder_begin_object(builder);
        cvd_tool_json_int(builder, "offset", offset);
        cvd_tool_json_int(builder, "word", value);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
    return tool->json ? cvd_tool_print_json(builder, error) : TRUE;
}

static gboolean run_wait(CvdTool *tool, char **arguments, GError **error)
{
    guint timeout_ms = 0;
    g_autoptr(GError) local_error = NULL;
    if (timeout_text &&
        !cvd_tool_parse_seconds(timeout_text, "--timeout", MAX_WAIT_S, &timeout_ms, error))
        return FALSE;
    g_autoptr(CvdRegion) region = cvd_tool_open(tool, arguments[0], error);
    if (!region)
        return FALSE;
    g_autoptr(GArray) offsets = cvd_region_wait(region, timeout_text ? (int)timeout_ms : -1,
                                                tool->cancellable, &local_error);
    if (offsets)
        return print_signals(tool, region, offsets, error);
    if (g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "region '%s': nothing came within %s s", cvd_region_get_name(region),
                    timeout_text);
    else
        g_propagate_error(error, g_steal_pointer(&local_error));
    return FALSE;
}

const CvdToolVerb cvd_tool_signal = {
    .name = "signal",
    .arguments = "REGION OFFSET",
    .summary = "Signal the word at OFFSET to the guest",
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run_signal,
};

const CvdToolVerb cvd_tool_ring = {
    .name = "ring",
    .arguments = "REGION",
    .summary = "Ring the guest without signalling anything",
    .description = "A plain interrupt. The built-in guest rings back, see cvd-client wait.\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_ring,
};

const CvdToolVerb cvd_tool_wait = {
    .name = "wait",
    .arguments = "REGION",
    .summary = "Wait for the guest's next signal or interrupt",
    .description = "Takes what the guest has signalled already, if anything.\n"
                   "A region has one receiver: do not use it beside a program that waits there.\n",
    .entries = wait_entries,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_wait,
};
