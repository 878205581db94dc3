/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/**
 * CvdTool:
 * @name: (nullable): of the instance, as given
 * @socket: (nullable): path of its socket, as given, or found later
 * @json: whether the output is to be JSON
 * @cancellable: triggered by SIGINT, SIGTERM and SIGHUP
 *
 * What all verbs of a program share.
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

/**
 * CvdToolProgram:
 * @name: of the program
 * @version: what --version prints after the name
 * @summary: what it is for, a sentence
 * @epilogue: what --help says below the verbs
 * @has_socket: whether there is an option --socket, in place of --name
 * @verbs: (array zero-terminated=1): what it can do
 *
 * A program whose first argument says what to do. Options that all verbs have may stand before the
 * verb or after it.
 */
typedef struct {
    const char *name;
    const char *version;
    const char *summary;
    const char *epilogue;
    gboolean has_socket;
    const CvdToolVerb *const *verbs;
} CvdToolProgram;

/**
 * cvd_tool_main:
 *
 * Returns: the exit status: 0 = done, 1 = failed, 2 = usage error
 */
int cvd_tool_main(const CvdToolProgram *program, char **argv);

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
 * Writes to stdout at once. An error of %G_IO_ERROR_BROKEN_PIPE means that its reader has gone,
 * which ends the program without a word.
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
/** cvd_tool_json_time: adds `time`, now, in UTC, as ISO 8601 with microseconds */
void cvd_tool_json_time(JsonBuilder *builder);
/** cvd_tool_json_double: the same */
void cvd_tool_json_double(JsonBuilder *builder, const char *name, double value);

/** cvd_tool_is_cancelled: Returns: whether @error says that the user has interrupted */
gboolean cvd_tool_is_cancelled(const GError *error);

G_END_DECLS
