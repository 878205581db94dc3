/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * JSON as text: what is only handed on is not parsed, so that numbers keep their digits and no
 * depth is too deep.
 */

/** CvdJsonSpan: part of a text, without white space around it; @text is %NULL where there is none
 */
typedef struct {
    const char *text;
    gsize size;
} CvdJsonSpan;

/**
 * CvdJsonLexer:
 * @at: where the next token is looked for, and
 * @end: how far
 * @token: the last one
 * @is_in_string: it is a string without its closing quote, as @end came first
 *
 * Cuts a text into tokens, and knows nothing of their order. A text that comes in pieces is read
 * by setting @at and @end to the next piece when there are no more tokens; a string that goes on
 * there is one token more.
 */
typedef struct {
    const char *at;
    const char *end;
    CvdJsonSpan token;
    gboolean is_in_string;
    /*< private >*/
    gboolean is_escaped;
} CvdJsonLexer;

/** CVD_JSON_WORD: the kind of a token that is a number, a word, or not JSON's */
#define CVD_JSON_WORD 'a'

/** cvd_json_lex: Returns: a lexer for all of @text */
CvdJsonLexer cvd_json_lex(CvdJsonSpan text);

/**
 * cvd_json_lexer_next:
 *
 * Returns: the kind of the next token, which is its first character: one of `{}[]:,"`; or
 *   %CVD_JSON_WORD; or 0 at the end
 */
char cvd_json_lexer_next(CvdJsonLexer *lexer);

/**
 * cvd_json_next_member:
 * @members: of an object's text; at first, cvd_json_lex() of it
 * @key: (out caller-allocates): as written, with its quotes
 * @value: (out caller-allocates)
 *
 * Returns: whether there is another member, with all of its value
 */
gboolean cvd_json_next_member(CvdJsonLexer *members, CvdJsonSpan *key, CvdJsonSpan *value);

/**
 * cvd_json_find:
 * @object: the text of an object, or its beginning
 * @keys: (array zero-terminated=1): without quotes; one that is written with escapes is not found
 * @values: (out caller-allocates): for each key the value of the first member of that name
 */
void cvd_json_find(CvdJsonSpan object, const char *const *keys, CvdJsonSpan *values);

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

/** CVD_JSON_BIG_NUMBER: how a string that stands for an integer over %G_MAXINT64 begins, as
 * json-glib has none: not UTF-8, so that no string that was parsed does */
#define CVD_JSON_BIG_NUMBER "\xff"

/**
 * cvd_json_text_fix_numbers:
 * @take_text: (transfer full): what json-glib has generated
 *
 * json-glib writes 1e20 as `1e+20.0`, which is no JSON, and 0.1 with 17 digits.
 *
 * Returns: (transfer full): the text with each number that has a fraction or an exponent in its
 *   shortest form, and marked integers as the numbers that they are
 */
char *cvd_json_text_fix_numbers(char *take_text);

G_END_DECLS
