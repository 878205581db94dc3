/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json-text.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/** CVD_JSON_MAX_SIZE: of a text, in bytes. Nodes need many times that in memory. */
#define CVD_JSON_MAX_SIZE (1024 * 1024)
/** CVD_JSON_MAX_DEPTH: of nested brackets */
#define CVD_JSON_MAX_DEPTH 64
/** CVD_JSON_MAX_SYNTAX_DEPTH: of nested brackets in what is only handed on; QEMU takes 1024. */
#define CVD_JSON_MAX_SYNTAX_DEPTH 1000
/** CVD_JSON_MAX_DUPLICATES: how many members that stand twice are reported, in one text. */
#define CVD_JSON_MAX_DUPLICATES 20

/** CVD_JSON_NO_COMMENTS: how the message ends where a comment stands */
#define CVD_JSON_NO_COMMENTS "a comment, which JSON does not have; remove it"

/**
 * cvd_json_parse:
 * @text: (array length=size): what a file or a peer says; may hold anything
 * @size: in bytes
 * @duplicates: (nullable) (element-type utf8): where the JSON paths of members that stand twice in
 *   one object are appended, those named `comment` or `__comment` apart
 * @error: %CVD_ERROR_INVALID: longer than %CVD_JSON_MAX_SIZE or nested deeper than
 *   %CVD_JSON_MAX_DEPTH, empty, not UTF-8, or not JSON, with line and column
 *
 * Takes one strict JSON text (RFC 8259), with numbers that fit a gint64, a guint64 or a double, and
 * strings without U+0000. Integers over %G_MAXINT64 become strings that begin with
 * %CVD_JSON_BIG_NUMBER, and cvd_json_to_string() writes them as the numbers that they are.
 *
 * Returns: (transfer full) (nullable): the root
 */
JsonNode *cvd_json_parse(const char *text, gsize size, GPtrArray *duplicates, GError **error);

/**
 * cvd_json_parse_lines:
 * @lines: (nullable) (element-type JsonNode guint): of cvd_json_lines_new(); gets the line on which
 *   each value begins, from 1 on, and keeps the values
 *
 * As cvd_json_parse(); with @lines the duplicates are `line N: PATH`.
 *
 * Returns: (transfer full) (nullable): the root
 */
JsonNode *cvd_json_parse_lines(const char *text, gsize size, GPtrArray *duplicates,
                               GHashTable *lines, GError **error);

/** cvd_json_lines_new: Returns: (transfer full): the lines of values, of any number of texts */
GHashTable *cvd_json_lines_new(void);

/**
 * cvd_json_from_string:
 * @text: what was written here, or is only handed on
 * @error: %CVD_ERROR_INVALID, with line and column
 *
 * As cvd_json_parse(), for a text of any size, nested up to %CVD_JSON_MAX_SYNTAX_DEPTH. Of numbers
 * and escapes that no #JsonNode can hold, numbers become null, and escapes are left out.
 *
 * Returns: (transfer full) (nullable): the root
 */
JsonNode *cvd_json_from_string(const char *text, GError **error);

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
 * cvd_json_get_text:
 * @object: (nullable): what a peer says
 *
 * Returns: (nullable) (transfer none): its member, if that is there and a string; of any other
 *   json-glib's own functions write a line in the log each time
 */
const char *cvd_json_get_text(JsonObject *object, const char *member);

/** cvd_json_to_string: Returns: (transfer full): as json_to_string(), with numbers that are JSON */
char *cvd_json_to_string(JsonNode *node, gboolean is_pretty);

G_END_DECLS
