/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * JSON as text: what is only handed on is not parsed, so that numbers keep their digits and no
 * depth is too deep.
 */

/** CVD_JSON_MAX_MEMBERS: how many members of an object a #CvdJsonFramer finds */
#define CVD_JSON_MAX_MEMBERS 16

/**
 * CvdJsonFramer:
 * @size: bytes of the object so far
 * @is_whole: its last bracket was read
 * @n_members: members that it has, up to %CVD_JSON_MAX_MEMBERS
 *
 * Finds where an object ends in a stream, and where its members stand. Knows strings and brackets
 * and nothing else. Zero-initialised is ready for an object's first byte.
 */
typedef struct {
    gsize size;
    gboolean is_whole;
    guint n_members;
    /*< private >*/
    guint64 depth;
    gboolean is_in_string;
    gboolean is_escaped;
    struct {
        gsize key, colon, end;
    } members[CVD_JSON_MAX_MEMBERS];
} CvdJsonFramer;

/** CvdJsonSpan: part of a text, without white space around it; @text is %NULL where there is none
 */
typedef struct {
    const char *text;
    gsize size;
} CvdJsonSpan;

/**
 * cvd_json_framer_feed:
 * @text: (array length=size): what follows in the stream; the first byte of an object is `{`
 *
 * Returns: how many of the bytes belong to the object: all, unless it became whole
 */
gsize cvd_json_framer_feed(CvdJsonFramer *framer, const char *text, gsize size);

/** cvd_json_framer_get_key: Returns: the key of a member, as written, with its quotes
 */
CvdJsonSpan cvd_json_framer_get_key(const CvdJsonFramer *framer, const char *object, guint i);
/** cvd_json_framer_get_value: Returns: its value */
CvdJsonSpan cvd_json_framer_get_value(const CvdJsonFramer *framer, const char *object, guint i);

/**
 * cvd_json_framer_find:
 * @object: the text of the object that was fed
 * @key: without quotes; one that is written with escapes is not found
 *
 * Returns: the value of the first member of that name
 */
CvdJsonSpan cvd_json_framer_find(const CvdJsonFramer *framer, const char *object, const char *key);

/**
 * cvd_json_text_format:
 * @text: (array length=size): JSON, or anything
 * @is_pretty: whether to break and indent lines
 *
 * Changes nothing but the white space between tokens, and writes control characters in strings, and
 * what is no UTF-8, as escapes.
 *
 * Returns: (transfer full): the text, fit for a terminal
 */
char *cvd_json_text_format(const char *text, gsize size, gboolean is_pretty);

/** CVD_JSON_BIG_NUMBER: how a string that stands for a number begins: a character that QEMU takes
 * in no string */
#define CVD_JSON_BIG_NUMBER "\xef\xb7\x90" /* U+FDD0 */

/**
 * cvd_json_text_mark_numbers:
 * @text: (array length=size): valid JSON
 *
 * json-glib has no unsigned integers.
 *
 * Returns: (transfer full): the text with integers over %G_MAXINT64 as strings that begin with
 *   %CVD_JSON_BIG_NUMBER
 */
char *cvd_json_text_mark_numbers(const char *text, gsize size);

/**
 * cvd_json_text_fix_numbers:
 * @take_text: (transfer full): what json-glib has generated
 *
 * json-glib writes 1e20 as `1e+20.0`, which is no JSON, and 0.1 with 17 digits.
 *
 * Returns: (transfer full): the text with each number that has a fraction or an exponent in its
 *   shortest form, and what cvd_json_text_mark_numbers() has marked as the numbers that they are
 */
char *cvd_json_text_fix_numbers(char *take_text);

G_END_DECLS
