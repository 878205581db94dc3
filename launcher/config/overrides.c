/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `--set PATH=VALUE` works on the JSON trees before they are read, so that an overridden value goes
 * through the same checks as one from a file. The new node is entered into the reader's table of
 * overrides, from which the place of a problem gets its name. A segment of PATH that is a number
 * is an index where a list stands; the length of the list appends to it. null takes away what
 * stands there, so that the default counts.
 */
#include "launcher/config/overrides.h"

#include "base/json.h"

#include <string.h>

#define MAX_QUOTED 80 /* bytes of an option that a problem repeats */

static void tell(CvdReader *reader, const char *option, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static void tell(CvdReader *reader, const char *option, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_ptr_array_add(reader->problems, g_strdup_printf("%s: %s", option, what));
}

/* What begins like JSON has to be JSON; anything else that is none is a string. NULL after a
 * problem. */
static JsonNode *parse_value(CvdReader *reader, const char *option, const char *value)
{
    g_autoptr(GPtrArray) duplicates = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    JsonNode *node = cvd_json_parse(value, strlen(value), duplicates, &error);
    for (guint i = 0; node && i < duplicates->len; i++)
        tell(reader, option, "%s: stands twice", (char *)duplicates->pdata[i]);
    if (!node && *value && strchr("[{\"", *value))
        tell(reader, option, "VALUE begins like JSON, but is none: %s", error->message);
    else if (!node)
        node = json_node_init_string(json_node_alloc(), value);
    return node;
}

/* Takes @child, or drops the element. A list of json-glib can only grow at its end, so that it is
 * made anew. */
static void set_element(JsonNode *node, guint index, JsonNode *child)
{
    JsonArray *old = json_node_get_array(node);
    guint length = json_array_get_length(old);
    JsonArray *array = json_array_sized_new(MAX(length, index + 1));
    for (guint i = 0; i < MAX(length, index + 1); i++) {
        if (i != index)
            json_array_add_element(array, json_node_ref(json_array_get_element(old, i)));
        else if (child)
            json_array_add_element(array, child);
    }
    json_node_take_array(node, array);
}

static gboolean parse_index(const char *segment, guint length, guint *index)
{
    guint64 value = 0;
    if (!g_ascii_string_to_unsigned(segment, 10, 0, length, &value, NULL))
        return FALSE;
    *index = (guint)value;
    return TRUE;
}

/* What stands at @segment of @node, or NULL if nothing does; FALSE after a problem. */
static gboolean look_up(CvdReader *reader, const char *option, JsonNode *node, const char *segment,
                        JsonNode **child)
{
    guint index = 0;

    *child = NULL;
    if (!*segment) {
        tell(reader, option, "PATH has an empty part; write KEY.KEY=VALUE");
        return FALSE;
    }
    if (JSON_NODE_HOLDS_OBJECT(node)) {
        *child = json_object_get_member(json_node_get_object(node), segment);
        return TRUE;
    }
    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        tell(reader, option, "there is nothing to set \"%s\" in: neither an object nor a list",
             segment);
        return FALSE;
    }
    JsonArray *array = json_node_get_array(node);
    if (!parse_index(segment, json_array_get_length(array), &index)) {
        tell(reader, option, "\"%s\" is no index of the list; write 0 to %u, of which %u appends",
             segment, json_array_get_length(array), json_array_get_length(array));
        return FALSE;
    }
    if (index < json_array_get_length(array))
        *child = json_array_get_element(array, index);
    return TRUE;
}

/* Takes @child; without one nothing is left there. look_up() has approved of @segment. */
static void put(JsonNode *node, const char *segment, JsonNode *child)
{
    guint index = 0;
    if (JSON_NODE_HOLDS_OBJECT(node) && child)
        json_object_set_member(json_node_get_object(node), segment, child);
    else if (JSON_NODE_HOLDS_OBJECT(node))
        json_object_remove_member(json_node_get_object(node), segment);
    else if (parse_index(segment, json_array_get_length(json_node_get_array(node)), &index))
        set_element(node, index, child);
}

static void mark(CvdReader *reader, JsonNode *node, const char *option)
{
    g_hash_table_replace(reader->overrides, json_node_ref(node), g_strdup(option));
}

/* What has to stand above @segment: the first element of something is that of a list. */
static JsonNode *new_container(const char *segment)
{
    JsonNode *node = json_node_new(strcmp(segment, "0") == 0 ? JSON_NODE_ARRAY : JSON_NODE_OBJECT);
    if (JSON_NODE_HOLDS_ARRAY(node))
        json_node_take_array(node, json_array_new());
    else
        json_node_take_object(node, json_object_new());
    return node;
}

static void apply(CvdReader *reader, const char *option, JsonNode *node, char **segments,
                  const char *text)
{
    g_autoptr(JsonNode) value = parse_value(reader, option, text);
    JsonNode *child = NULL;
    if (!value)
        return;
    gboolean unsets = JSON_NODE_HOLDS_NULL(value);
    for (; segments[1]; segments++) {
        if (!look_up(reader, option, node, segments[0], &child))
            return;
        if (!child && unsets)
            return;
        if (!child) {
            child = new_container(segments[1]);
            mark(reader, child, option);
            put(node, segments[0], child);
        }
        node = child;
    }
    if (!look_up(reader, option, node, segments[0], &child))
        return;
    if (!unsets)
        mark(reader, value, option);
    put(node, segments[0], unsets ? NULL : g_steal_pointer(&value));
}

typedef struct {
    char *option;
    char **segments;
    const char *value;
} Override;

static void override_clear(Override *override)
{
    g_free(override->option);
    g_strfreev(override->segments);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Override, override_clear)

/* How problems name the option: a whole object on the command line would drown what they say. */
static char *shorten(const char *text)
{
    gsize length = strlen(text);
    if (length <= MAX_QUOTED)
        return g_strdup_printf("--set %s", text);
    const char *end = g_utf8_find_prev_char(text, text + MAX_QUOTED + 1);
    return g_strdup_printf("--set %.*s…", (int)(end - text), text);
}

static gboolean split(Override *override, const char *text)
{
    override->option = shorten(text);
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return FALSE;
    g_autofree char *path = g_strndup(text, (gsize)(equals - text));
    override->segments = g_strsplit(path, ".", -1);
    override->value = equals + 1;
    return TRUE;
}

static gboolean names_tree(const Override *override)
{
    return strcmp(override->segments[0], "layout") == 0 ||
           strcmp(override->segments[0], "qemu") == 0;
}

void cvd_override_files(CvdReader *reader, JsonNode *root, const char *const *overrides)
{
    for (; overrides && *overrides && JSON_NODE_HOLDS_OBJECT(root); overrides++) {
        g_auto(Override) override = {0};
        if (split(&override, *overrides) && names_tree(&override) && !override.segments[1])
            apply(reader, override.option, root, override.segments, override.value);
    }
}

void cvd_override_values(CvdReader *reader, const CvdTrees *trees, const char *const *overrides)
{
    for (; overrides && *overrides; overrides++) {
        g_auto(Override) override = {0};
        if (!split(&override, *overrides)) {
            tell(reader, override.option, "expected PATH=VALUE, such as qemu.memory=4G");
            continue;
        }
        if (g_strv_length(override.segments) > CVD_JSON_MAX_DEPTH) {
            tell(reader, override.option, "PATH has more than %d parts", CVD_JSON_MAX_DEPTH);
            continue;
        }
        JsonNode *tree = trees->root;
        char **segments = override.segments;
        if (names_tree(&override)) {
            tree = strcmp(segments[0], "qemu") == 0 ? trees->qemu : trees->layout;
            segments++;
        }
        if (tree && *segments)
            apply(reader, override.option, tree, segments, override.value);
    }
}
