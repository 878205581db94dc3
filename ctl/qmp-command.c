/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/qmp.h"

#include "base/json.h"

#include <string.h>

/* ---- Words of a line ---- */

typedef struct {
    GStrvBuilder *words;
    GString *word; /* NULL between words */
    guint depth;   /* of open brackets */
} Splitter;

static void add(Splitter *splitter, const char *text, gsize size)
{
    if (splitter->word == NULL)
        splitter->word = g_string_new(NULL);
    g_string_append_len(splitter->word, text, (gssize)size);
}

static void end_word(Splitter *splitter)
{
    if (splitter->word == NULL)
        return;
    g_strv_builder_add(splitter->words, splitter->word->str);
    g_string_free(g_steal_pointer(&splitter->word), TRUE);
}

/* Returns: (nullable): behind the closing quote */
static const char *skip_string(const char *at)
{
    for (at++; *at != '\0' && *at != '"'; at++)
        if (*at == '\\' && at[1] != '\0')
            at++;
    return *at == '"' ? at + 1 : NULL;
}

static void add_character(Splitter *splitter, const char *at)
{
    gboolean is_space = g_ascii_isspace(*at);

    if (is_space && splitter->depth == 0) {
        end_word(splitter);
        return;
    }
    splitter->depth += *at == '{' || *at == '[';
    splitter->depth -= (*at == '}' || *at == ']') && splitter->depth > 0;
    add(splitter, at, 1);
}

/* Returns: (nullable): what comes next; %NULL: a quote is not closed */
static const char *split_next(Splitter *splitter, const char *at)
{
    if (*at == '\'' && splitter->depth == 0) {
        const char *end = strchr(at + 1, '\'');
        if (end != NULL)
            add(splitter, at + 1, (gsize)(end - at - 1));
        return end != NULL ? end + 1 : NULL;
    }
    if (*at == '"') {
        const char *end = skip_string(at);
        if (end != NULL)
            add(splitter, at, (gsize)(end - at));
        return end;
    }
    add_character(splitter, at);
    return at + 1;
}

char **cvd_ctl_qmp_split(const char *line, GError **error)
{
    g_autoptr(GStrvBuilder) words = g_strv_builder_new();
    Splitter splitter = {.words = words};
    g_autofree char *text = g_strstrip(g_strdup(line));
    const char *at = text;

    if (*text == '{') {
        g_strv_builder_add(words, text);
        return g_strv_builder_end(words);
    }
    while (at != NULL && *at != '\0')
        at = split_next(&splitter, at);
    gboolean is_open = at == NULL || splitter.depth > 0;
    end_word(&splitter);
    if (!is_open)
        return g_strv_builder_end(words);
    cvd_tool_fail_usage(error, "a %s is not closed", at == NULL ? "quote" : "bracket");
    return NULL;
}

gboolean cvd_ctl_qmp_is_empty(const char *line)
{
    while (g_ascii_isspace(*line))
        line++;
    return *line == '\0' || *line == '#';
}

/* ---- Arguments ---- */

/* Where what is wrong stands is said of what was typed, not of the command that it is put into. */
static gboolean check_object(const char *text, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(JsonNode) node = cvd_json_from_string(text, &reason);

    if (node == NULL)
        return cvd_tool_fail_usage(error, "the arguments: %s", reason->message);
    return JSON_NODE_HOLDS_OBJECT(node) ||
           cvd_tool_fail_usage(
               error, "'%s': expected the arguments as a JSON object, such as '{\"id\": 1}'", text);
}

/* What looks like JSON is meant as such. */
static JsonNode *parse_value(const char *word, const char *text, GError **error)
{
    g_autoptr(GError) reason = NULL;
    JsonNode *value = cvd_json_parse(text, strlen(text), NULL, &reason);

    if (value != NULL)
        return value;
    if (*text != '\0' && strchr("{[\"", *text) != NULL) {
        cvd_tool_fail_usage(error, "'%s': the value: %s", word, reason->message);
        return NULL;
    }
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    return json_node_init_string(json_node_alloc(), valid);
}

/* Returns: (nullable): the object that is the member @key of @object, made if there is none */
static JsonObject *enter_object(JsonObject *object, const char *key)
{
    JsonNode *node = json_object_get_member(object, key);

    if (node == NULL) {
        json_object_set_object_member(object, key, json_object_new());
        node = json_object_get_member(object, key);
    }
    return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static gboolean set_member(JsonObject *object, const char *word, char **keys, JsonNode *take_value,
                           GError **error)
{
    g_autoptr(JsonNode) value = take_value;

    for (; keys[1] != NULL && object != NULL && **keys != '\0'; keys++)
        object = enter_object(object, *keys);
    if (**keys == '\0')
        return cvd_tool_fail_usage(error, "'%s': a key is empty", word);
    if (object == NULL || json_object_has_member(object, *keys))
        return cvd_tool_fail_usage(error, "'%s': this argument is there already", word);
    json_object_set_member(object, *keys, g_steal_pointer(&value));
    return TRUE;
}

static gboolean add_argument(JsonObject *object, const char *word, GError **error)
{
    const char *border = strchr(word, '=');

    if (border == NULL)
        return cvd_tool_fail_usage(
            error,
            "'%s': expected KEY=VALUE, or all arguments as a JSON object, such as '{\"id\": 1}'",
            word);
    g_autofree char *valid = g_utf8_make_valid(word, border - word);
    g_auto(GStrv) keys = g_strsplit(*valid != '\0' ? valid : ".", ".", -1);
    JsonNode *value = parse_value(word, border + 1, error);
    return value != NULL && set_member(object, word, keys, value, error);
}

/* Returns: (transfer full) (nullable): an object as JSON text */
static char *compose_arguments(char *const *words, GError **error)
{
    gboolean is_json = strchr("{[\"", **words) != NULL;

    if (**words != '\0' && is_json && words[1] == NULL)
        return check_object(*words, error) ? g_strdup(*words) : NULL;
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(root, json_object_new());
    for (; *words != NULL; words++)
        if (!add_argument(json_node_get_object(root), *words, error))
            return NULL;
    return cvd_json_to_string(root, FALSE);
}

char *cvd_ctl_qmp_compose(char *const *words, GError **error)
{
    if (words[0][0] == '{' && words[1] == NULL)
        return g_strdup(words[0]);
    if (words[0][0] == '{') {
        cvd_tool_fail_usage(error, "a command that is JSON has its arguments inside");
        return NULL;
    }
    g_autofree char *valid = g_utf8_make_valid(words[0], -1);
    g_autofree char *text = cvd_tool_format_json("{'execute': <%s>}", valid);
    if (words[1] == NULL)
        return g_steal_pointer(&text);
    g_autofree char *arguments = compose_arguments(words + 1, error);
    if (arguments == NULL)
        return NULL;
    return g_strdup_printf("%.*s,\"arguments\":%s}", (int)strlen(text) - 1, text, arguments);
}
