/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parser that makes json-glib's nodes. json-glib's own takes much that is not JSON (comments,
 * assignments, single quotes, an empty text), wraps large integers silently, keeps the last of two
 * members of one name, and recurses without a bound.
 *
 * It recurses, too, but no deeper than it is allowed to. Where in the text a value stands is known
 * from the callers' frames, from which the JSON path of a duplicate is put together.
 */
#include "base/json.h"

#include "base/error.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Of a value in its container, and so on outwards. */
typedef struct Place {
    const struct Place *parent;
    const char *key; /* NULL in an array */
    guint index;
} Place;

typedef struct {
    const char *text;
    CvdJsonLexer lexer;
    char kind; /* of the lexer's token, which is the next to be looked at */
    gboolean is_lax;
    guint depth;
    GPtrArray *duplicates;
    guint max_duplicates;
    GHashTable *lines; /* NULL: nobody asks */
    const char *line_at;
    guint line; /* at line_at */
    GError *error;
} Parser;

/* ---- What is wrong: functions that find it return NULL ---- */

static gpointer fail_at(Parser *parser, const char *at, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gpointer fail_at(Parser *parser, const char *at, const char *format, ...)
{
    guint line = 1;
    const char *line_start = parser->text;
    for (const char *p = parser->text; p < at; p++) {
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
    g_set_error(&parser->error, CVD_ERROR, CVD_ERROR_INVALID, "line %u, column %ld: %s", line,
                column, what);
    return NULL;
}

/* What stands at a position, for "found ...". */
static char *describe(const Parser *parser, const char *at)
{
    if (at >= parser->lexer.end)
        return g_strdup("the end of the text");
    gunichar c = g_utf8_get_char(at);
    /* A space that is not ASCII's looks like one that is. */
    if (!g_unichar_isprint(c) || (c != ' ' && g_unichar_isspace(c)))
        return g_strdup_printf("the character U+%04X", c);
    return g_strdup_printf("'%.*s'", (int)(g_utf8_next_char(at) - at), at);
}

static gpointer fail_expected(Parser *parser, const char *at, const char *expected)
{
    g_autofree char *found = describe(parser, at);
    return fail_at(parser, at, "expected %s, found %s", expected, found);
}

/* The token is none that may stand here; perhaps one of a language that looks like JSON. */
static gpointer fail_token(Parser *parser, const char *expected)
{
    static const struct {
        const char *start;
        const char *message;
    } others[] = {
        {"//", CVD_JSON_NO_COMMENTS},
        {"/*", CVD_JSON_NO_COMMENTS},
        {"#", CVD_JSON_NO_COMMENTS},
        {"'", "single quotes; JSON's strings stand in double quotes"},
    };
    const char *at = parser->lexer.token.text;

    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        if (g_str_has_prefix(at, others[i].start))
            return fail_at(parser, at, "%s", others[i].message);
    return fail_expected(parser, at, expected);
}

/* ---- Strings ---- */

/* The four digits of a \u escape, or −1. */
static int read_hex4(const char *at)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        if (!g_ascii_isxdigit(at[i]))
            return -1;
        value = value * 16 + g_ascii_xdigit_value(at[i]);
    }
    return value;
}

/* Returns: behind the escape. Surrogates come in pairs: half of one is no character. */
static const char *decode_unicode(Parser *parser, const char *escape, GString *decoded)
{
    int high = read_hex4(escape + 2), low = -1;
    gunichar c = (gunichar)high;

    if (high < 0)
        return fail_at(parser, escape, "\\u needs four hexadecimal digits");
    if (high >= 0xd800 && high < 0xdc00 && escape[6] == '\\' && escape[7] == 'u')
        low = read_hex4(escape + 8);
    gboolean is_pair = low >= 0xdc00 && low < 0xe000;
    if (is_pair)
        c = 0x10000 + ((c - 0xd800) << 10) + ((gunichar)low - 0xdc00);
    if (c != 0 && g_unichar_validate(c))
        g_string_append_unichar(decoded, c);
    else if (!parser->is_lax)
        return fail_at(parser, escape,
                       c == 0 ? "a string cannot hold U+0000 here" : "half of a surrogate pair");
    return escape + (is_pair ? 12 : 6);
}

/* Returns: behind the escape */
static const char *decode_escape(Parser *parser, const char *escape, GString *decoded)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    char c = escape[1];

    if (c == 'u')
        return decode_unicode(parser, escape, decoded);
    const char *letter = c != '\0' ? strchr(letters, c) : NULL;
    if (letter == NULL)
        return fail_expected(parser, escape + 1, "one of \" \\ / b f n r t u after \\");
    g_string_append_c(decoded, meanings[letter - letters]);
    return escape + 2;
}

/* Returns: (transfer full): what the token stands for */
static char *decode_string(Parser *parser)
{
    CvdJsonSpan token = parser->lexer.token;
    const char *end = token.text + token.size - !parser->lexer.is_in_string;
    g_autoptr(GString) decoded = g_string_sized_new(token.size);

    for (const char *at = token.text + 1; at < end;) {
        if ((guchar)*at < 0x20)
            return fail_at(parser, at,
                           "control character U+%04X in a string; write it as an escape",
                           (guint)*at);
        if (*at != '\\')
            g_string_append_c(decoded, *at++);
        else if ((at = decode_escape(parser, at, decoded)) == NULL)
            return NULL;
    }
    if (parser->lexer.is_in_string)
        return fail_at(parser, token.text, "the string that starts here has no end");
    return g_string_free(g_steal_pointer(&decoded), FALSE);
}

static JsonNode *parse_string(Parser *parser)
{
    g_autofree char *string = decode_string(parser);
    return string != NULL ? json_node_init_string(json_node_alloc(), string) : NULL;
}

/* ---- Numbers and words ---- */

static const char *skip_digits(Parser *parser, const char *at, const char *expected)
{
    gsize n = strspn(at, "0123456789");
    return n > 0 ? at + n : fail_expected(parser, at, expected);
}

/* Returns: behind the number */
static const char *skip_number(Parser *parser, gboolean *is_integer)
{
    const char *start = parser->lexer.token.text;
    const char *at = start + (*start == '-');

    if (at[0] == '0' && g_ascii_isdigit(at[1]))
        return fail_at(parser, start, "a number cannot start with 0");
    if (at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
        return fail_at(parser, start, "a hexadecimal number; JSON's are decimal");
    at = skip_digits(parser, at, "a digit");
    *is_integer = at != NULL && *at != '.' && *at != 'e' && *at != 'E';
    if (at != NULL && *at == '.')
        at = skip_digits(parser, at + 1, "a digit after the decimal point");
    if (at != NULL && (*at == 'e' || *at == 'E'))
        at =
            skip_digits(parser, at + 1 + (at[1] == '+' || at[1] == '-'), "a digit of the exponent");
    return at;
}

/* Of unsigned integers, of which json-glib has none, a string. Returns: (nullable): what fits */
static JsonNode *new_integer(const char *text, gsize size)
{
    errno = 0;
    gint64 value = g_ascii_strtoll(text, NULL, 10);
    if (errno == 0)
        return json_node_init_int(json_node_alloc(), value);
    errno = 0;
    g_ascii_strtoull(text, NULL, 10);
    if (*text == '-' || errno != 0)
        return NULL;
    g_autofree char *digits = g_strndup(text, size);
    g_autofree char *marked = g_strconcat(CVD_JSON_BIG_NUMBER, digits, NULL);
    return json_node_init_string(json_node_alloc(), marked);
}

static JsonNode *new_double(const char *text)
{
    double value = g_ascii_strtod(text, NULL);
    return isfinite(value) ? json_node_init_double(json_node_alloc(), value) : NULL;
}

static JsonNode *parse_number(Parser *parser)
{
    const char *start = parser->lexer.token.text;
    gboolean is_integer = TRUE;
    const char *end = skip_number(parser, &is_integer);

    if (end == NULL)
        return NULL;
    parser->lexer.at = end;
    gsize size = (gsize)(end - start);
    JsonNode *node = is_integer ? new_integer(start, size) : new_double(start);
    if (node != NULL || parser->is_lax)
        return node != NULL ? node : json_node_init_null(json_node_alloc());
    return fail_at(parser, start, "the number %.*s%s is out of range%s", (int)MIN(size, 40), start,
                   size > 40 ? "…" : "", is_integer ? "; integers have 64 bits" : "");
}

static JsonNode *parse_word(Parser *parser)
{
    static const char *const words[] = {"null", "false", "true"};
    const char *start = parser->lexer.token.text;

    if (*start == '-' || g_ascii_isdigit(*start))
        return parse_number(parser);
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        if (!g_str_has_prefix(start, words[i]))
            continue;
        parser->lexer.at = start + strlen(words[i]);
        return i == 0 ? json_node_init_null(json_node_alloc())
                      : json_node_init_boolean(json_node_alloc(), i == 2);
    }
    return fail_token(parser, g_ascii_isalpha(*start) ? "a value (strings stand in double quotes)"
                                                      : "a value");
}

/* ---- Objects and arrays ---- */

static void advance(Parser *parser)
{
    parser->kind = cvd_json_lexer_next(&parser->lexer);
}

static void append_path(GString *path, const Place *place)
{
    if (place->parent != NULL)
        append_path(path, place->parent);
    if (place->key == NULL)
        g_string_append_printf(path, "[%u]", place->index);
    else
        g_string_append_printf(path, "%s%s", path->len > 0 ? "." : "", place->key);
}

/* Of the token, which is behind all that came before it. */
static guint note_line(Parser *parser)
{
    const char *at = parser->lexer.token.text;

    for (; parser->line_at < at; parser->line_at++)
        parser->line += *parser->line_at == '\n';
    return parser->line;
}

/* With a bound, as paths can be long. Comments may repeat, as they do in layout files of 2018. */
static void note_duplicate(Parser *parser, const Place *place)
{
    static const char *const comments[] = {"comment", "__comment", NULL};

    if (parser->duplicates == NULL || parser->duplicates->len >= parser->max_duplicates ||
        g_strv_contains(comments, place->key))
        return;
    g_autoptr(GString) path = g_string_new(NULL);
    append_path(path, place);
    g_ptr_array_add(parser->duplicates,
                    parser->lines != NULL
                        ? g_strdup_printf("line %u: %s", note_line(parser), path->str)
                        : g_strdup(path->str));
}

/* Behind a bracket, or an element. Returns: whether there is another; if not, perhaps an error */
static gboolean find_next(Parser *parser, guint n_before, char close)
{
    const char *comma = parser->lexer.token.text;

    if (parser->kind == close)
        return FALSE;
    if (n_before == 0)
        return TRUE;
    if (parser->kind != ',') {
        fail_token(parser, close == '}' ? "',' or '}'" : "',' or ']'");
        return FALSE;
    }
    advance(parser);
    if (parser->kind == ']' || parser->kind == '}')
        fail_at(parser, comma, "a comma before '%c'; remove it", parser->kind);
    return parser->error == NULL;
}

static JsonNode *parse_value(Parser *parser, const Place *place);

static JsonNode *parse_array(Parser *parser, const Place *parent)
{
    g_autoptr(JsonArray) array = json_array_new();
    Place place = {.parent = parent};

    for (; find_next(parser, place.index, ']'); place.index++) {
        JsonNode *element = parse_value(parser, &place);
        if (element == NULL)
            return NULL;
        json_array_add_element(array, element);
    }
    return json_node_init_array(json_node_alloc(), array);
}

/* A member's name and its colon. Returns: (transfer full): the name */
static char *parse_key(Parser *parser)
{
    CvdJsonSpan token = parser->lexer.token;

    if (parser->kind == CVD_JSON_WORD && (g_ascii_isalpha(*token.text) || *token.text == '_'))
        return fail_at(parser, token.text, "%.*s stands without quotes; write \"%.*s\"",
                       (int)MIN(token.size, 40), token.text, (int)MIN(token.size, 40), token.text);
    if (parser->kind != '"')
        return fail_token(parser, "a member's name in double quotes");
    g_autofree char *key = decode_string(parser);
    if (key == NULL)
        return NULL;
    advance(parser);
    if (parser->kind != ':')
        return fail_token(parser, "':'");
    advance(parser);
    return g_steal_pointer(&key);
}

static JsonNode *parse_object(Parser *parser, const Place *parent)
{
    g_autoptr(JsonObject) object = json_object_new();
    Place place = {.parent = parent};

    for (; find_next(parser, place.index, '}'); place.index++) {
        g_autofree char *key = parse_key(parser);
        if (key == NULL)
            return NULL;
        place.key = key;
        if (json_object_has_member(object, key))
            note_duplicate(parser, &place);
        JsonNode *value = parse_value(parser, &place);
        if (value == NULL)
            return NULL;
        json_object_set_member(object, key, value);
    }
    return json_node_init_object(json_node_alloc(), object);
}

static JsonNode *parse_container(Parser *parser, const Place *place)
{
    guint max_depth = parser->is_lax ? CVD_JSON_MAX_SYNTAX_DEPTH : CVD_JSON_MAX_DEPTH;
    gboolean is_object = parser->kind == '{';

    if (parser->depth == max_depth)
        return fail_at(parser, parser->lexer.token.text, "brackets nested deeper than %u levels",
                       max_depth);
    parser->depth++;
    advance(parser);
    JsonNode *node = is_object ? parse_object(parser, place) : parse_array(parser, place);
    parser->depth--;
    return node;
}

/* Returns: (transfer full): the value at the token; goes on to the token behind it */
static JsonNode *parse_value(Parser *parser, const Place *place)
{
    gboolean is_container = parser->kind == '{' || parser->kind == '[';
    guint line = parser->lines != NULL ? note_line(parser) : 0;
    g_autoptr(JsonNode) node = is_container          ? parse_container(parser, place)
                               : parser->kind == '"' ? parse_string(parser)
                                                     : parse_word(parser);

    if (parser->error != NULL)
        return NULL;
    if (parser->lines != NULL)
        g_hash_table_insert(parser->lines, json_node_ref(node), GUINT_TO_POINTER(line));
    advance(parser);
    return g_steal_pointer(&node);
}

/* ---- Texts ---- */

static void check_encoding(Parser *parser, gsize size)
{
    const char *text = parser->text;
    const char *bad;

    if (size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0 ||
                      text[0] == '\0' || text[1] == '\0'))
        fail_at(parser, text, "UTF-16 text; save it as UTF-8");
    else if (!g_utf8_validate_len(text, size, &bad))
        fail_at(parser, bad, "byte 0x%02x is not UTF-8 text", (guchar)*bad);
}

/* @text ends with a NUL behind its @size bytes. */
static JsonNode *parse_text(Parser *parser, gsize size, GError **error)
{
    g_autoptr(JsonNode) root = NULL;

    parser->lexer = cvd_json_lex((CvdJsonSpan){parser->text, size});
    check_encoding(parser, size);
    if (parser->error == NULL) {
        advance(parser);
        if (parser->kind == '\0')
            g_set_error(&parser->error, CVD_ERROR, CVD_ERROR_INVALID,
                        "empty: expected a JSON value");
        else
            root = parse_value(parser, NULL);
    }
    if (parser->error == NULL && parser->kind != '\0')
        fail_token(parser, "the end of the text");
    if (parser->error == NULL)
        return g_steal_pointer(&root);
    g_propagate_error(error, parser->error);
    return NULL;
}

GHashTable *cvd_json_lines_new(void)
{
    return g_hash_table_new_full(NULL, NULL, (GDestroyNotify)json_node_unref, NULL);
}

JsonNode *cvd_json_parse(const char *text, gsize size, GPtrArray *duplicates, GError **error)
{
    return cvd_json_parse_lines(text, size, duplicates, NULL, error);
}

JsonNode *cvd_json_parse_lines(const char *text, gsize size, GPtrArray *duplicates,
                               GHashTable *lines, GError **error)
{
    if (size > CVD_JSON_MAX_SIZE) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_INVALID, "longer than %d bytes, the limit",
                    CVD_JSON_MAX_SIZE);
        return NULL;
    }
    g_autofree char *copy = g_malloc(size + 1);
    memcpy(copy, size > 0 ? text : "", size);
    copy[size] = '\0';
    Parser parser = {
        .text = copy, .duplicates = duplicates, .lines = lines, .line_at = copy, .line = 1};
    if (duplicates != NULL)
        parser.max_duplicates = duplicates->len + CVD_JSON_MAX_DUPLICATES;
    return parse_text(&parser, size, error);
}

JsonNode *cvd_json_from_string(const char *text, GError **error)
{
    Parser parser = {.text = text, .is_lax = TRUE};

    return parse_text(&parser, strlen(text), error);
}

JsonNode *cvd_json_parse_leniently(CvdJsonSpan span)
{
    JsonNode *node = cvd_json_parse(span.text, span.size, NULL, NULL);
    CvdJsonSpan key, value;

    if (node != NULL)
        return node;
    if (span.size == 0 || *span.text != '{')
        return json_node_new(JSON_NODE_NULL);
    JsonObject *object = json_object_new();
    CvdJsonLexer members = cvd_json_lex(span);
    while (cvd_json_next_member(&members, &key, &value)) {
        g_autoptr(JsonNode) name = cvd_json_parse(key.text, key.size, NULL, NULL);
        JsonNode *member = cvd_json_parse(value.text, value.size, NULL, NULL);
        if (member != NULL && name != NULL && json_node_get_value_type(name) == G_TYPE_STRING)
            json_object_set_member(object, json_node_get_string(name), g_steal_pointer(&member));
        g_clear_pointer(&member, json_node_unref);
    }
    node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}

const char *cvd_json_get_text(JsonObject *object, const char *member)
{
    JsonNode *node = object != NULL ? json_object_get_member(object, member) : NULL;
    gboolean is_text = node != NULL && json_node_get_value_type(node) == G_TYPE_STRING;

    return is_text ? json_node_get_string(node) : NULL;
}

/* ---- Output ---- */

char *cvd_json_to_string(JsonNode *node, gboolean is_pretty)
{
    return cvd_json_text_fix_numbers(json_to_string(node, is_pretty));
}
