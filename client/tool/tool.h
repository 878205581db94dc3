/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/tool.h"
#include "client/cvd-client.h"

G_BEGIN_DECLS

/**
 * CvdToolOptions:
 *
 * What the options of the verbs say. The table of verbs, in client/tool/main.c, says which verb has
 * which.
 */
typedef struct {
    gboolean raw;
    gboolean force;
    char *count;
    char *interval;
    char *time_limit;
    char *offset;
    char *timeout;
    char *seconds;
    char *svg;
} CvdToolOptions;

extern CvdToolOptions cvd_tool_options;

CvdToolRun cvd_tool_list, cvd_tool_info, cvd_tool_read, cvd_tool_write, cvd_tool_signal,
    cvd_tool_ring, cvd_tool_wait, cvd_tool_ping, cvd_tool_watch, cvd_tool_dump, cvd_tool_restore,
    cvd_tool_bench, cvd_tool_trace;

/** cvd_tool_get_socket: Returns: (transfer none): the path of the instance's client socket */
const char *cvd_tool_get_socket(CvdTool *tool, GError **error);

/**
 * cvd_tool_open:
 * @name: of a region
 *
 * Returns: (transfer full): the region; the error for an unknown one says which there are
 */
CvdRegion *cvd_tool_open(CvdTool *tool, const char *name, GError **error);

/** cvd_tool_open_to_read: the same, beside whoever may have the region for itself */
CvdRegion *cvd_tool_open_to_read(CvdTool *tool, const char *name, GError **error);

/**
 * cvd_tool_find_region:
 * @regions: (element-type CvdRegionInfo): those that there are
 * @name: of one of them
 * @index: (out): where it is
 * @error: %CVD_REGION_ERROR_UNKNOWN_REGION: says which there are, and which may have been meant
 */
gboolean cvd_tool_find_region(GArray *regions, const char *name, guint *index, GError **error);

/**
 * cvd_tool_check_range:
 * @region: where
 * @offset: of the first byte, in the region
 * @size: how many
 * @error: names both and the region's size
 */
gboolean cvd_tool_check_range(CvdRegion *region, guint offset, guint64 size, GError **error);

/** cvd_tool_check_word: the same for the offset of a 32-bit word */
gboolean cvd_tool_check_word(CvdRegion *region, guint offset, GError **error);

G_END_DECLS
