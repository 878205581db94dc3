/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json-text.h"

#include <string.h>

/* Deeper than this, lines are not indented further. */
#define MAX_INDENT 64
#define SPACE      " \t\r\n"

/* ---- Where objects end ---- */

static gboolean is_space(char c)
{
    return c != '\0' && strchr(SPACE, c) != NULL;
}

static void note_member(CvdJsonFramer *framer, char c)
{
    guint i = framer->n_members;

    if (c == '{') {
        framer->members[0].key = framer->size;
    } else if (i == CVD_JSON_MAX_MEMBERS) {
        return;
    } else if (c == ':') {
        framer->members[i].colon = framer->size - 1;
    } else if (framer->members[i].colon != 0) {
        framer->members[i].end = framer->size - 1;
        framer->n_members++;
        if (c == ',' && i + 1 < CVD_JSON_MAX_MEMBERS)
            framer->members[i + 1].key = framer->size;
    }
}

/* Outside of strings. */
static void take_token(CvdJsonFramer *framer, char c)
{
    switch (c) {
    case '"':
        framer->is_in_string = TRUE;
        break;
    case '{':
    case '[':
        if (++framer->depth == 1)
            note_member(framer, c);
        break;
    case '}':
    case ']':
        if (framer->depth == 1)
            note_member(framer, c);
        framer->is_whole = --framer->depth == 0;
        break;
    case ':':
    case ',':
        if (framer->depth == 1)
            note_member(framer, c);
        break;
    default:
        break;
    }
}

gsize cvd_json_framer_feed(CvdJsonFramer *framer, const char *text, gsize size)
{
    gsize n = 0;

    while (n < size && !framer->is_whole) {
        char c = text[n++];
        framer->size++;
        if (!framer->is_in_string)
            take_token(framer, c);
        else if (framer->is_escaped)
            framer->is_escaped = FALSE;
        else if (c == '\\')
            framer->is_escaped = TRUE;
        else if (c == '"')
            framer->is_in_string = FALSE;
    }
    return n;
}

static CvdJsonSpan trim(const char *text, gsize begin, gsize end)
{
    while (begin < end && is_space(text[begin]))
        begin++;
    while (begin < end && is_space(text[end - 1]))
        end--;
    return (CvdJsonSpan){.text = text + begin, .size = end - begin};
}

CvdJsonSpan cvd_json_framer_get_key(const CvdJsonFramer *framer, const char *object, guint i)
{
    return trim(object, framer->members[i].key, framer->members[i].colon);
}

CvdJsonSpan cvd_json_framer_get_value(const CvdJsonFramer *framer, const char *object, guint i)
{
    return trim(object, framer->members[i].colon + 1, framer->members[i].end);
}

CvdJsonSpan cvd_json_framer_find(const CvdJsonFramer *framer, const char *object, const char *key)
{
    gsize size = strlen(key);

    for (guint i = 0; i < framer->n_members; i++) {
        CvdJsonSpan span = cvd_json_framer_get_key(framer, object, i);
        if (span.size == size + 2 && memcmp(span.text + 1, key, size) == 0)
            return cvd_json_framer_get_value(framer, object, i);
    }
    return (CvdJsonSpan){0};
}

/* ---- What it looks like ---- */

static void break_line(GString *out, guint64 depth)
{
    g_string_append_printf(out, "\n%*s", 2 * (int)MIN(depth, MAX_INDENT), "");
}

/* Returns: where the next character is */
static const char *put_char(GString *out, const char *at)
{
    gunichar c = g_utf8_get_char(at);

    if (c < 0x20 || (c >= 0x7f && c < 0xa0))
        g_string_append_printf(out, "\\u%04x", c);
    else
        g_string_append_unichar(out, c);
    return g_utf8_next_char(at);
}

static const char *put_string(GString *out, const char *at)
{
    gboolean is_escaped = FALSE;

    at = put_char(out, at);
    while (*at != '\0' && (*at != '"' || is_escaped)) {
        is_escaped = *at == '\\' && !is_escaped;
        at = put_char(out, at);
    }
    return *at == '"' ? put_char(out, at) : at;
}

static const char *put_bracket(GString *out, const char *at, guint64 *depth)
{
    const char *next = at + 1 + strspn(at + 1, SPACE);

    if (*at == '}' || *at == ']') {
        *depth -= *depth > 0;
        break_line(out, *depth);
        g_string_append_c(out, *at);
    } else if (*next == '}' || *next == ']') {
        g_string_append_printf(out, "%c%c", *at, *next++);
    } else {
        g_string_append_c(out, *at);
        break_line(out, ++*depth);
    }
    return next;
}

char *cvd_json_text_format(const char *text, gsize size, gboolean is_pretty)
{
    g_autofree char *valid = g_utf8_make_valid(size > 0 ? text : "", (gssize)size);
    GString *out = g_string_sized_new(size);
    guint64 depth = 0;

    for (const char *at = valid; *(at += strspn(at, SPACE)) != '\0';) {
        if (*at == '"') {
            at = put_string(out, at);
        } else if (is_pretty && strchr("{}[]", *at) != NULL) {
            at = put_bracket(out, at, &depth);
        } else if (is_pretty && *at == ':') {
            g_string_append(out, " : ");
            at++;
        } else {
            at = put_char(out, at);
            if (is_pretty && at[-1] == ',')
                break_line(out, depth);
        }
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

/* How long the string, the number or the other character at @at is. */
static gsize measure_token(const char *at)
{
    const char *end = at + 1;

    if (*at == '-' || g_ascii_isdigit(*at))
        return strspn(at, "-0123456789+.eE");
    if (*at == '"')
        for (; *end++ != '"';)
            end += end[-1] == '\\';
    return (gsize)(end - at);
}

char *cvd_json_text_mark_numbers(const char *text, gsize size)
{
    g_autofree char *terminated = g_strndup(text, size);
    GString *out = g_string_sized_new(size);
    gsize n;

    for (const char *at = terminated; *at != '\0'; at += n) {
        n = measure_token(at);
        gboolean is_integer = strspn(at, "0123456789") == n;
        if (is_integer && g_ascii_strtoull(at, NULL, 10) > G_MAXINT64)
            g_string_append_printf(out, "\"" CVD_JSON_BIG_NUMBER "%.*s\"", (int)n, at);
        else
            g_string_append_len(out, at, (gssize)n);
    }
    return g_string_free(out, FALSE);
}

char *cvd_json_text_fix_numbers(char *take_text)
{
    static const char mark[] = "\"" CVD_JSON_BIG_NUMBER;
    g_autofree char *text = take_text;
    GString *out = g_string_new(NULL);
    gsize n;

    for (const char *at = text; *at != '\0'; at += n) {
        n = measure_token(at);
        if (g_str_has_prefix(at, mark))
            g_string_append_len(out, at + strlen(mark), (gssize)(n - strlen(mark) - 1));
        else if (*at != '"' && memchr(at, '.', n) != NULL)
            append_double(out, g_ascii_strtod(at, NULL));
        else
            g_string_append_len(out, at, (gssize)n);
    }
    return g_string_free(out, FALSE);
}
