/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json-text.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/** CVD_JSON_MAX_SIZE: of a text, in bytes. json-glib needs many times that in memory. */
#define CVD_JSON_MAX_SIZE (1024 * 1024)
/** CVD_JSON_MAX_DEPTH: of nested brackets. json-glib recurses. */
#define CVD_JSON_MAX_DEPTH 64

/**
 * cvd_json_parse:
 * @text: (array length=size): what a file or a peer says; may hold anything
 * @size: in bytes
 * @duplicates: (nullable) (element-type utf8): where the JSON paths of members that stand twice in
 *   one object are appended, those named `comment` or `__comment` apart
 * @error: %CVD_ERROR_INVALID: too long, too deep, empty, not UTF-8, or not JSON, with line and
 *   column
 *
 * json-glib with a fence: it crashes on deep nesting, takes the empty text for valid and turns
 * integers beyond 64 bits into −1; the last are an error here, with their position. Integers over
 * %G_MAXINT64 become strings that cvd_json_to_string() writes as the numbers that they are; see
 * cvd_json_text_mark_numbers().
 *
 * Returns: (transfer full) (nullable): the root
 */
JsonNode *cvd_json_parse(const char *text, gsize size, GPtrArray *duplicates, GError **error);

/**
 * cvd_json_parse_leniently:
 * @span: what a peer says; @text may be %NULL
 *
 * Returns: (transfer full): the value. Of an object as a whole or a member of it that
 *   cvd_json_parse() would refuse, what can be parsed: such members are left out. Null stands for
 * any other value that cannot be.
 */
JsonNode *cvd_json_parse_leniently(CvdJsonSpan span);

/**
 * cvd_json_load:
 * @path: a file
 * @error: %CVD_ERROR_INVALID as above; %CVD_ERROR_FAILED: the file cannot be read. Either message
 *   starts with @path.
 *
 * Reads at most %CVD_JSON_MAX_SIZE + 1 bytes, and only from a regular file or a pipe. For the first
 * bytes of a FIFO it waits three seconds, and blocks: for use before a main loop runs.
 */
JsonNode *cvd_json_load(const char *path, GPtrArray *duplicates, GError **error);

/** cvd_json_builder_add_text: adds @text as the value that it is, or else as a string */
void cvd_json_builder_add_text(JsonBuilder *builder, const char *text);

/** cvd_json_to_string: Returns: (transfer full): as json_to_string(), with numbers that are JSON */
char *cvd_json_to_string(JsonNode *node, gboolean is_pretty);

G_END_DECLS
