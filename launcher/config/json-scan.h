/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_JSON_MAX_DUPLICATES: how many members that stand twice are told of, in one text. */
#define CVD_JSON_MAX_DUPLICATES 20
/** CVD_JSON_MAX_SYNTAX_DEPTH: of nested brackets in what is only handed on; QEMU takes 1024. */
#define CVD_JSON_MAX_SYNTAX_DEPTH 1000

/**
 * cvd_json_scan:
 * @text: (array length=size): what is to become JSON
 * @size: in bytes
 * @duplicates: (nullable) (element-type utf8): see cvd_json_parse()
 * @error: %CVD_ERROR_INVALID, with line and column
 *
 * Checks that @text is one strict JSON text (RFC 8259) in UTF-8, nested no deeper than
 * %CVD_JSON_MAX_DEPTH, with numbers that fit a gint64 (its least value excepted), a guint64 or a
 * double, and strings without U+0000. Builds nothing and does not recurse.
 */
gboolean cvd_json_scan(const char *text, gsize size, GPtrArray *duplicates, GError **error);

/**
 * cvd_json_scan_syntax:
 * @error: %CVD_ERROR_INVALID, with line and column
 *
 * As cvd_json_scan(), for a text that is not parsed here: numbers and escapes of any value,
 * brackets nested up to %CVD_JSON_MAX_SYNTAX_DEPTH.
 */
gboolean cvd_json_scan_syntax(const char *text, gsize size, GError **error);

G_END_DECLS
