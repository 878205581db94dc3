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

/* What begins like JSON has to be JSON; anything else that is none is a string. NULL after a
 * problem. */
static JsonNode *parse_value(const CvdPlace *option, const char *value)
{
    g_autoptr(GPtrArray) duplicates = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    JsonNode *node = cvd_json_parse(value, strlen(value), duplicates, &error);
    for (guint i = 0; node && i < duplicates->len; i++)
        cvd_place_problem(option, "%s: stands twice", (char *)duplicates->pdata[i]);
    if (!node && *value && strchr("[{\"", *value))
        cvd_place_problem(option, "VALUE begins like JSON, but is none: %s", error->message);
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

/* What stands at @segment of @node, or NULL if nothing does; FALSE after a problem. */
static gboolean look_up(const CvdPlace *option, JsonNode *node, const char *segment,
                        JsonNode **child)
{
    guint64 index = 0;

    *child = NULL;
    if (!*segment) {
        cvd_place_problem(option, "PATH has an empty part; write KEY.KEY=VALUE");
        return FALSE;
    }
    if (JSON_NODE_HOLDS_OBJECT(node)) {
        *child = json_object_get_member(json_node_get_object(node), segment);
        return TRUE;
    }
    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        cvd_place_problem(option, "there is nothing to set \"%s\" in: neither an object nor a list",
                          segment);
        return FALSE;
    }
    JsonArray *array = json_node_get_array(node);
    guint length = json_array_get_length(array);
    if (!g_ascii_string_to_unsigned(segment, 10, 0, length, &index, NULL)) {
        cvd_place_problem(option,
                          "\"%s\" is no index of the list; write 0 to %u, of which %u appends",
                          segment, length, length);
        return FALSE;
    }
    if (index < length)
        *child = json_array_get_element(array, (guint)index);
    return TRUE;
}

/* Takes @child; without one nothing is left there. look_up() has approved of @segment. */
static void put(const CvdPlace *option, JsonNode *node, const char *segment, JsonNode *child)
{
    if (child)
        g_hash_table_replace(option->reader->overrides, json_node_ref(child),
                             g_strdup(option->origin));
    if (JSON_NODE_HOLDS_ARRAY(node))
        set_element(node, (guint)g_ascii_strtoull(segment, NULL, 10), child);
    else if (child)
        json_object_set_member(json_node_get_object(node), segment, child);
    else
        json_object_remove_member(json_node_get_object(node), segment);
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

static void set(const CvdPlace *option, JsonNode *node, char **segments, const char *text)
{
    g_autoptr(JsonNode) value = parse_value(option, text);
    gboolean unsets = value && JSON_NODE_HOLDS_NULL(value);
    JsonNode *child = NULL;

    for (; value && segments[1]; segments++) {
        if (!look_up(option, node, segments[0], &child) || (!child && unsets))
            return;
        if (!child) {
            child = new_container(segments[1]);
            put(option, node, segments[0], child);
        }
        node = child;
    }
    if (value && look_up(option, node, segments[0], &child))
        put(option, node, segments[0], unsets ? NULL : g_steal_pointer(&value));
}

static void apply(CvdReader *reader, const CvdTrees *trees, const char *text, gboolean is_early)
{
    /* How problems name the option: a whole object would drown what they say. */
    g_autofree char *shown = cvd_shorten(text, MAX_QUOTED);
    g_autofree char *origin = g_strdup_printf("--set %s", shown);
    const CvdPlace option = {reader, origin, reader->cwd, "", 0};
    const char *value = strchr(text, '=');
    g_autofree char *path = g_strndup(text, value ? (gsize)(value - text) : 0);
    g_auto(GStrv) segments = g_strsplit(path, ".", -1);
    gboolean is_qemu = g_strcmp0(segments[0], "qemu") == 0;
    gboolean is_in_file = is_qemu || g_strcmp0(segments[0], "layout") == 0;

    if ((!is_in_file || !segments[1]) != is_early)
        return;
    if (!*path)
        cvd_place_problem(&option, "expected PATH=VALUE, such as qemu.memory=4G");
    else if (g_strv_length(segments) > CVD_JSON_MAX_DEPTH)
        cvd_place_problem(&option, "PATH has more than %d parts", CVD_JSON_MAX_DEPTH);
    else if (is_early)
        set(&option, trees->root, segments, value + 1);
    else if (is_qemu ? trees->qemu : trees->layout)
        set(&option, is_qemu ? trees->qemu : trees->layout, segments + 1, value + 1);
}

void cvd_override(CvdReader *reader, const CvdTrees *trees, const char *const *overrides,
                  gboolean is_early)
{
    for (; overrides && *overrides; overrides++)
        apply(reader, trees, *overrides, is_early);
}
