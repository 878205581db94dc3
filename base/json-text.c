/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json-text.h"

#include <string.h>

/* Deeper than this, lines are not indented further. */
#define MAX_INDENT 64

static gboolean is_one_of(char c, const char *characters)
{
    return c != '\0' && strchr(characters, c) != NULL;
}

/* ---- Tokens ---- */

CvdJsonLexer cvd_json_lex(CvdJsonSpan text)
{
    return (CvdJsonLexer){.at = text.text, .end = text.text + text.size};
}

/* Behind the closing quote, or to the end. */
static void skip_string(CvdJsonLexer *lexer)
{
    lexer->is_in_string = TRUE;
    while (lexer->is_in_string && lexer->at < lexer->end) {
        char c = *lexer->at++;
        lexer->is_in_string = c != '"' || lexer->is_escaped;
        lexer->is_escaped = c == '\\' && !lexer->is_escaped;
    }
}

char cvd_json_lexer_next(CvdJsonLexer *lexer)
{
    while (!lexer->is_in_string && lexer->at < lexer->end && is_one_of(*lexer->at, " \t\r\n"))
        lexer->at++;
    lexer->token = (CvdJsonSpan){.text = lexer->at};
    if (lexer->at == lexer->end)
        return '\0';
    char kind = lexer->is_in_string ? '"' : *lexer->at++;
    if (kind == '"') {
        skip_string(lexer);
    } else if (!is_one_of(kind, "{}[]:,")) {
        kind = CVD_JSON_WORD;
        while (lexer->at < lexer->end && !is_one_of(*lexer->at, "{}[]:,\" \t\r\n"))
            lexer->at++;
    }
    lexer->token.size = (gsize)(lexer->at - lexer->token.text);
    return kind;
}

/* ---- Members ---- */

/* Up to what ends a key or a value. Returns: the kind of that token */
static char skip_value(CvdJsonLexer *lexer, CvdJsonSpan *value)
{
    guint64 depth = 0;
    char kind;

    *value = (CvdJsonSpan){0};
    while ((kind = cvd_json_lexer_next(lexer)) != '\0') {
        gboolean closes = is_one_of(kind, "}]");
        if (depth == 0 && (closes || kind == ':' || kind == ','))
            break;
        depth += is_one_of(kind, "{[");
        depth -= closes;
        if (value->text == NULL)
            value->text = lexer->token.text;
        value->size = (gsize)(lexer->at - value->text);
    }
    return kind;
}

gboolean cvd_json_next_member(CvdJsonLexer *members, CvdJsonSpan *key, CvdJsonSpan *value)
{
    if (members->token.text == NULL && cvd_json_lexer_next(members) != '{')
        return FALSE;
    if (skip_value(members, key) != ':')
        return FALSE;
    char end = skip_value(members, value);
    return end == ',' || end == '}';
}

void cvd_json_find(CvdJsonSpan object, const char *const *keys, CvdJsonSpan *values)
{
    CvdJsonLexer members = cvd_json_lex(object);
    CvdJsonSpan key, value;

    for (gsize i = 0; keys[i] != NULL; i++)
        values[i] = (CvdJsonSpan){0};
    while (cvd_json_next_member(&members, &key, &value))
        for (gsize i = 0; keys[i] != NULL; i++)
            if (values[i].text == NULL && key.size == strlen(keys[i]) + 2 &&
                memcmp(key.text + 1, keys[i], key.size - 2) == 0)
                values[i] = value;
}

/* ---- What it looks like ---- */

static void append_printable(GString *out, CvdJsonSpan token)
{
    for (const char *at = token.text; at < token.text + token.size; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (c < 0x20 || (c >= 0x7f && c < 0xa0))
            g_string_append_printf(out, "\\u%04x", c);
        else
            g_string_append_unichar(out, c);
    }
}

/* Line breaks are put before the token that they are seen to be needed for. */
static void break_line(GString *out, char last, char kind, guint64 *depth)
{
    gboolean opened = is_one_of(last, "{[");
    gboolean closes = is_one_of(kind, "}]");

    *depth += opened;
    *depth -= closes && *depth > 0;
    if (closes ? !opened : opened || last == ',')
        g_string_append_printf(out, "\n%*s", 2 * (int)MIN(*depth, MAX_INDENT), "");
}

char *cvd_json_text_format(const char *text, gsize size, gboolean is_pretty)
{
    g_autofree char *valid = g_utf8_make_valid(size > 0 ? text : "", (gssize)size);
    GString *out = g_string_sized_new(size);
    CvdJsonLexer lexer = cvd_json_lex((CvdJsonSpan){valid, strlen(valid)});
    guint64 depth = 0;

    for (char last = '\0', kind; (kind = cvd_json_lexer_next(&lexer)) != '\0'; last = kind) {
        if (is_pretty)
            break_line(out, last, kind, &depth);
        if (is_pretty && kind == ':')
            g_string_append(out, " : ");
        else
            append_printable(out, lexer.token);
    }
    return g_string_free(out, FALSE);
}

/* ---- Numbers ---- */

static void append_double(GString *out, double value)
{
    static const char *const formats[] = {"%.15g", "%.16g", "%.17g"};
    char text[G_ASCII_DTOSTR_BUF_SIZE];

    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_ascii_formatd(text, sizeof text, formats[i], value);
        if (g_ascii_strtod(text, NULL) == value)
            break;
    }
    g_string_append(out, text);
    if (strpbrk(text, ".e") == NULL)
        g_string_append(out, ".0");
}

char *cvd_json_text_fix_numbers(char *take_text)
{
    g_autofree char *text = take_text;
    GString *out = g_string_new(NULL);
    CvdJsonLexer lexer = cvd_json_lex((CvdJsonSpan){text, strlen(text)});
    gsize n_mark = strlen("\"" CVD_JSON_BIG_NUMBER);
    char kind;

    for (const char *last = text; (kind = cvd_json_lexer_next(&lexer)) != '\0'; last = lexer.at) {
        CvdJsonSpan token = lexer.token;
        g_string_append_len(out, last, token.text - last);
        if (kind == CVD_JSON_WORD && memchr(token.text, '.', token.size) != NULL)
            append_double(out, g_ascii_strtod(token.text, NULL));
        else if (g_str_has_prefix(token.text, "\"" CVD_JSON_BIG_NUMBER))
            g_string_append_len(out, token.text + n_mark, (gssize)(token.size - n_mark - 1));
        else
            g_string_append_len(out, token.text, (gssize)token.size);
    }
    return g_string_free(out, FALSE);
}
