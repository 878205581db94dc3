/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/cvd-client.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/**
 * CvdTool:
 * @name: (nullable): of the instance, as given
 * @socket: (nullable): path of its client socket: as given, or found by cvd_tool_get_socket()
 * @json: whether the output is to be JSON
 * @cancellable: triggered by SIGINT, SIGTERM and SIGHUP
 *
 * What all verbs of cvd-client share.
 *
 * An error of %G_OPTION_ERROR is one of usage (exit status 2), all others are failures (1).
 */
typedef struct {
    char *name;
    char *socket;
    gboolean json;
    GCancellable *cancellable;
} CvdTool;

/**
 * CvdToolVerb:
 * @name: as on the command line
 * @arguments: as --help shows them
 * @summary: one line for the list of verbs
 * @description: (nullable): what --help says below the options
 * @entries: (nullable): its own options
 * @min_arguments: how many there have to be
 * @max_arguments: how many there may be
 * @run: does it; @arguments are as many as allowed, %NULL at the end
 */
typedef struct {
    const char *name;
    const char *arguments;
    const char *summary;
    const char *description;
    const GOptionEntry *entries;
    guint min_arguments;
    guint max_arguments;
    gboolean (*run)(CvdTool *tool, char **arguments, GError **error);
} CvdToolVerb;

extern const CvdToolVerb cvd_tool_list, cvd_tool_info, cvd_tool_read, cvd_tool_write,
    cvd_tool_signal, cvd_tool_wait, cvd_tool_ping, cvd_tool_watch, cvd_tool_dump, cvd_tool_restore,
    cvd_tool_bench;

/** cvd_tool_get_socket: Returns: (transfer none): the path of the instance's client socket */
const char *cvd_tool_get_socket(CvdTool *tool, GError **error);

/**
 * cvd_tool_open:
 * @name: of a region
 *
 * Returns: (transfer full): the region; the error for an unknown one says which there are
 */
CvdRegion *cvd_tool_open(CvdTool *tool, const char *name, GError **error);

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

/**
 * cvd_tool_parse_number:
 * @text: decimal, or hexadecimal with `0x`
 * @what: what it is, for the message
 * @min: the least that is allowed
 * @max: the most
 * @value: (out): the number
 */
gboolean cvd_tool_parse_number(const char *text, const char *what, guint min, guint max,
                               guint *value, GError **error);

/**
 * cvd_tool_parse_seconds:
 * @text: a decimal fraction
 * @what: what it is, for the message
 * @max: the most seconds
 * @ms: (out): the time in milliseconds, rounded up
 */
gboolean cvd_tool_parse_seconds(const char *text, const char *what, guint max, guint *ms,
                                GError **error);

/**
 * cvd_tool_print:
 *
 * Writes to stdout at once. An error of %CVD_ERROR_CLOSED means that its reader has gone, which
 * ends the program without a word.
 */
gboolean cvd_tool_print(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
/** cvd_tool_put: the same for bytes */
gboolean cvd_tool_put(gconstpointer data, gsize size, GError **error);
/** cvd_tool_print_json: the same for what @builder has built, as one line */
gboolean cvd_tool_print_json(JsonBuilder *builder, GError **error);

/** cvd_tool_json_string: adds a member to the object that is being built */
void cvd_tool_json_string(JsonBuilder *builder, const char *name, const char *value);
/** cvd_tool_json_int: the same */
void cvd_tool_json_int(JsonBuilder *builder, const char *name, gint64 value);
/** cvd_tool_json_double: the same */
void cvd_tool_json_double(JsonBuilder *builder, const char *name, double value);

/** cvd_tool_is_cancelled: Returns: whether @error says that the user has interrupted */
gboolean cvd_tool_is_cancelled(const GError *error);

G_END_DECLS
