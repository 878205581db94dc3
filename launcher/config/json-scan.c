/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON checker in front of json-glib, which takes more than JSON (comments, assignments, leading
 * zeros), recurses, wraps large integers silently and keeps the last of two members of one name.
 *
 * One pass over the bytes with a stack of open brackets. A frame knows where it is in its container
 * (the key or the index), from which the JSON path of a duplicate is put together; the keys seen
 * so far are only kept when somebody wants to hear of duplicates.
 */
#include "launcher/config/json-scan.h"

#include "base/error.h"
#include "launcher/config/json.h"

#include <errno.h>
#include <math.h>
#include <string.h>

typedef struct {
    gboolean is_object;
    guint index;      /* of an array's current element */
    GHashTable *keys; /* an object's keys so far, decoded; NULL unless duplicates are wanted */
    const char *key;  /* the current one; owned by @keys */
} Frame;

typedef struct {
    const char *text;
    const char *end;
    const char *at;
    GPtrArray *duplicates;
    guint max_duplicates;
    gboolean is_syntax_only; /* what json-glib cannot hold is right */
    guint depth;
    Frame frames[CVD_JSON_MAX_SYNTAX_DEPTH];
} Scanner;

static gboolean fail_at(const Scanner *scanner, const char *at, GError **error, const char *format,
                        ...) G_GNUC_PRINTF(4, 5);

static gboolean fail_at(const Scanner *scanner, const char *at, GError **error, const char *format,
                        ...)
{
    guint line = 1;
    const char *line_start = scanner->text;
    for (const char *p = scanner->text; p < at; p++) {
        if (*p == '\n') {
            line++;
            line_start = p + 1;
        }
    }
    glong column = g_utf8_strlen(line_start, at - line_start) + 1;

    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, CVD_ERROR, CVD_ERROR_INVALID, "line %u, column %ld: %s", line, column, what);
    return FALSE;
}

/* What stands at a position, for "found ...". */
static char *describe(const Scanner *scanner, const char *at)
{
    if (at >= scanner->end)
        return g_strdup("the end of the text");
    gunichar c = g_utf8_get_char(at);
    /* A space that is not ASCII's looks like one that is. */
    if (!g_unichar_isprint(c) || (c != ' ' && g_unichar_isspace(c)))
        return g_strdup_printf("the character U+%04X", c);
    return g_strdup_printf("'%.*s'", (int)(g_utf8_next_char(at) - at), at);
}

static gboolean fail_expected(const Scanner *scanner, GError **error, const char *expected)
{
    g_autofree char *found = describe(scanner, scanner->at);
    return fail_at(scanner, scanner->at, error, "expected %s, found %s", expected, found);
}

static void skip_space(Scanner *scanner)
{
    while (scanner->at < scanner->end && strchr(" \t\r\n", *scanner->at) && *scanner->at)
        scanner->at++;
}

static int peek(const Scanner *scanner)
{
    return scanner->at < scanner->end ? (guchar)*scanner->at : -1;
}

static gboolean is_digit(int c)
{
    return c >= '0' && c <= '9';
}

/* The four digits of a \u escape, or −1. */
static int read_hex4(const Scanner *scanner, const char *at)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        if (at + i >= scanner->end || !g_ascii_isxdigit(at[i]))
            return -1;
        value = value * 16 + g_ascii_xdigit_value(at[i]);
    }
    return value;
}

/* At the `u`. Surrogates come in pairs: half of one is no character. */
static gboolean scan_unicode_escape(Scanner *scanner, GString *decoded, GError **error)
{
    const char *escape = scanner->at - 1;
    int unit = read_hex4(scanner, scanner->at + 1);
    if (unit < 0)
        return fail_at(scanner, escape, error, "\\u needs four hexadecimal digits");
    scanner->at += 5;
    if (scanner->is_syntax_only)
        return TRUE;
    gunichar c = (gunichar)unit;
    if (unit >= 0xd800 && unit < 0xe000) {
        int low = -1;
        if (scanner->end - scanner->at >= 6 && scanner->at[0] == '\\' && scanner->at[1] == 'u')
            low = read_hex4(scanner, scanner->at + 2);
        if (unit >= 0xdc00 || low < 0xdc00 || low >= 0xe000)
            return fail_at(scanner, escape, error, "half of a surrogate pair");
        scanner->at += 6;
        c = 0x10000 + (((gunichar)unit - 0xd800) << 10) + ((gunichar)low - 0xdc00);
    }
    if (c == 0)
        return fail_at(scanner, escape, error, "a string cannot hold U+0000 here");
    if (decoded)
        g_string_append_unichar(decoded, c);
    return TRUE;
}

static gboolean scan_escape(Scanner *scanner, GString *decoded, GError **error)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";

    scanner->at++;
    int c = peek(scanner);
    if (c == 'u')
        return scan_unicode_escape(scanner, decoded, error);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    if (!letter)
        return fail_expected(scanner, error, "one of \" \\ / b f n r t u after \\");
    if (decoded)
        g_string_append_c(decoded, meanings[letter - letters]);
    scanner->at++;
    return TRUE;
}

/* At the opening quote; @decoded gets the string if it is wanted. */
static gboolean scan_string(Scanner *scanner, GString *decoded, GError **error)
{
    const char *start = scanner->at++;
    for (;;) {
        const char *run = scanner->at;
        while (scanner->at < scanner->end && (guchar)*scanner->at >= 0x20 && *scanner->at != '"' &&
               *scanner->at != '\\')
            scanner->at++;
        if (decoded)
            g_string_append_len(decoded, run, scanner->at - run);

        int c = peek(scanner);
        if (c == '"') {
            scanner->at++;
            return TRUE;
        }
        if (c < 0)
            return fail_at(scanner, start, error, "the string that starts here has no end");
        if (c != '\\')
            return fail_at(scanner, scanner->at, error,
                           "control character U+%04X in a string; write it as an escape", c);
        if (!scan_escape(scanner, decoded, error))
            return FALSE;
    }
}

static void skip_digits(Scanner *scanner)
{
    while (is_digit(peek(scanner)))
        scanner->at++;
}

/* Text between @start and the current position is a number by its syntax; does it fit? */
static gboolean check_number(const Scanner *scanner, const char *start, gboolean is_integer,
                             GError **error)
{
    gsize length = (gsize)(scanner->at - start);
    g_autofree char *number = g_strndup(start, length);
    errno = 0;
    if (is_integer) {
        /* The least gint64 is left out: json-glib negates a positive number. */
        guint64 value = g_ascii_strtoull(*number == '-' ? number + 1 : number, NULL, 10);
        if (errno == 0 && (*number != '-' || value <= G_MAXINT64))
            return TRUE;
    } else {
        double value = g_ascii_strtod(number, NULL);
        if (isfinite(value))
            return TRUE;
    }
    return fail_at(scanner, start, error, "the number %.40s%s is out of range%s", number,
                   length > 40 ? "…" : "", is_integer ? "; integers have 64 bits" : "");
}

static gboolean scan_number(Scanner *scanner, GError **error)
{
    const char *start = scanner->at;
    gboolean is_integer = TRUE;

    if (peek(scanner) == '-')
        scanner->at++;
    if (!is_digit(peek(scanner)))
        return fail_expected(scanner, error, "a digit");
    if (peek(scanner) == '0') {
        scanner->at++;
        if (is_digit(peek(scanner)))
            return fail_at(scanner, start, error, "a number cannot start with 0");
    }
    skip_digits(scanner);
    if (peek(scanner) == '.') {
        is_integer = FALSE;
        scanner->at++;
        if (!is_digit(peek(scanner)))
            return fail_expected(scanner, error, "a digit after the decimal point");
        skip_digits(scanner);
    }
    if (peek(scanner) == 'e' || peek(scanner) == 'E') {
        is_integer = FALSE;
        scanner->at++;
        if (peek(scanner) == '+' || peek(scanner) == '-')
            scanner->at++;
        if (!is_digit(peek(scanner)))
            return fail_expected(scanner, error, "a digit of the exponent");
        skip_digits(scanner);
    }
    /* Nearly all numbers are short: those fit without a look. */
    if (scanner->is_syntax_only || (is_integer && scanner->at - start <= 18))
        return TRUE;
    return check_number(scanner, start, is_integer, error);
}

static gboolean scan_scalar(Scanner *scanner, GError **error)
{
    static const char *const words[] = {"true", "false", "null"};

    int c = peek(scanner);
    if (c == '"')
        return scan_string(scanner, NULL, error);
    if (c == '-' || is_digit(c))
        return scan_number(scanner, error);
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        gsize length = strlen(words[i]);
        if ((gsize)(scanner->end - scanner->at) >= length &&
            memcmp(scanner->at, words[i], length) == 0) {
            scanner->at += length;
            return TRUE;
        }
    }
    return fail_expected(scanner, error, "a value");
}

static void append_path(GString *path, const Frame *frame)
{
    if (!frame->is_object)
        g_string_append_printf(path, "[%u]", frame->index);
    else
        g_string_append_printf(path, "%s%s", path->len > 0 ? "." : "", frame->key);
}

/* Takes the key. Of a duplicate the path is noted, with a bound: paths can be long. Comments may
 * repeat, as they do in layout files of 2018. */
static void note_key(Scanner *scanner, char *key)
{
    static const char *const comments[] = {"comment", "__comment", NULL};
    Frame *frame = &scanner->frames[scanner->depth - 1];
    gboolean is_new = g_hash_table_replace(frame->keys, key, key);
    frame->key = key;
    if (is_new || g_strv_contains(comments, key) ||
        scanner->duplicates->len >= scanner->max_duplicates)
        return;
    GString *path = g_string_new(NULL);
    for (guint i = 0; i < scanner->depth; i++)
        append_path(path, &scanner->frames[i]);
    g_ptr_array_add(scanner->duplicates, g_string_free(path, FALSE));
}

/* A member's key and its colon. */
static gboolean scan_key(Scanner *scanner, GError **error)
{
    skip_space(scanner);
    if (peek(scanner) != '"')
        return fail_expected(scanner, error, "a member's name in double quotes");
    GString *decoded = scanner->duplicates ? g_string_new(NULL) : NULL;
    gboolean ok = scan_string(scanner, decoded, error);
    if (decoded && ok)
        note_key(scanner, g_string_free(decoded, FALSE));
    else if (decoded)
        g_string_free(decoded, TRUE);
    if (!ok)
        return FALSE;
    skip_space(scanner);
    if (peek(scanner) != ':')
        return fail_expected(scanner, error, "':'");
    scanner->at++;
    return TRUE;
}

static void pop(Scanner *scanner)
{
    Frame *frame = &scanner->frames[--scanner->depth];
    g_clear_pointer(&frame->keys, g_hash_table_unref);
}

/* At a bracket. Sets @complete if it is closed at once. */
static gboolean open_bracket(Scanner *scanner, gboolean *complete, GError **error)
{
    guint max_depth = scanner->is_syntax_only ? CVD_JSON_MAX_SYNTAX_DEPTH : CVD_JSON_MAX_DEPTH;
    if (scanner->depth == max_depth)
        return fail_at(scanner, scanner->at, error, "brackets nested deeper than %u levels",
                       max_depth);
    gboolean is_object = *scanner->at++ == '{';
    scanner->frames[scanner->depth++] = (Frame){
        .is_object = is_object,
        .keys = is_object && scanner->duplicates
                    ? g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free)
                    : NULL,
    };
    skip_space(scanner);
    *complete = peek(scanner) == (is_object ? '}' : ']');
    if (*complete) {
        scanner->at++;
        pop(scanner);
        return TRUE;
    }
    return !is_object || scan_key(scanner, error);
}

/* After a comma. */
static gboolean check_next(Scanner *scanner, GError **error)
{
    const char *comma = scanner->at - 1;

    skip_space(scanner);
    if (peek(scanner) == ']' || peek(scanner) == '}')
        return fail_at(scanner, comma, error, "a comma before '%c'; remove it", *scanner->at);
    return TRUE;
}

/* After a value: closes brackets, up to a comma or the end of everything. */
static gboolean after_value(Scanner *scanner, GError **error)
{
    while (scanner->depth > 0) {
        Frame *frame = &scanner->frames[scanner->depth - 1];
        skip_space(scanner);
        int c = peek(scanner);
        if (c == ',') {
            scanner->at++;
            frame->index++;
            return check_next(scanner, error) && (!frame->is_object || scan_key(scanner, error));
        }
        if (c != (frame->is_object ? '}' : ']'))
            return fail_expected(scanner, error, frame->is_object ? "',' or '}'" : "',' or ']'");
        scanner->at++;
        pop(scanner);
    }
    return TRUE;
}

static gboolean scan_text(Scanner *scanner, GError **error)
{
    do {
        gboolean complete = TRUE;
        skip_space(scanner);
        int c = peek(scanner);
        gboolean ok = c == '{' || c == '[' ? open_bracket(scanner, &complete, error)
                                           : scan_scalar(scanner, error);
        if (!ok || (complete && !after_value(scanner, error)))
            return FALSE;
    } while (scanner->depth > 0);

    skip_space(scanner);
    if (scanner->at < scanner->end)
        return fail_expected(scanner, error, "the end of the text");
    return TRUE;
}

static gboolean scan(Scanner *scanner, GError **error)
{
    gsize size = (gsize)(scanner->end - scanner->text);
    const char *bad = NULL;

    if (size >= 2 &&
        (memcmp(scanner->text, "\xff\xfe", 2) == 0 || memcmp(scanner->text, "\xfe\xff", 2) == 0 ||
         scanner->text[0] == '\0' || scanner->text[1] == '\0'))
        return fail_at(scanner, scanner->text, error, "UTF-16 text; save it as UTF-8");
    if (!g_utf8_validate_len(scanner->text, size, &bad))
        return fail_at(scanner, bad, error, "byte 0x%02x is not UTF-8 text", (guchar)*bad);
    skip_space(scanner);
    if (scanner->at == scanner->end) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_INVALID, "empty: expected a JSON value");
        return FALSE;
    }
    scanner->at = scanner->text;
    gboolean ok = scan_text(scanner, error);
    while (scanner->depth > 0)
        pop(scanner);
    return ok;
}

gboolean cvd_json_scan(const char *text, gsize size, GPtrArray *duplicates, GError **error)
{
    Scanner scanner = {.text = text, .end = text + size, .at = text, .duplicates = duplicates};

    if (duplicates)
        scanner.max_duplicates = duplicates->len + CVD_JSON_MAX_DUPLICATES;
    return scan(&scanner, error);
}

gboolean cvd_json_scan_syntax(const char *text, gsize size, GError **error)
{
    Scanner scanner = {.text = text, .end = text + size, .at = text, .is_syntax_only = TRUE};

    return scan(&scanner, error);
}
