/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every value is read with the place where it stands (file or option, JSON path, directory), so
 * that a problem can name it; a problem never ends the reading, so that all of them come out in one
 * go.
 */
#include "launcher/config/place.h"

#include "base/json.h"
#include "base/log.h"
#include "base/nearest.h"

#include <string.h>

char *cvd_place_describe(const CvdPlace *place)
{
    if (!*place->path)
        return g_strdup(place->origin);
    if (place->line == 0)
        return g_strdup_printf("%s: %s", place->origin, place->path);
    return g_strdup_printf("%s: line %u: %s", place->origin, place->line, place->path);
}

void cvd_problem(GPtrArray *problems, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_ptr_array_add(problems, g_strdup_vprintf(format, args));
    va_end(args);
}

void cvd_place_mark_broken(const CvdPlace *place)
{
    if (place->reader->broken)
        g_hash_table_add(place->reader->broken, g_strdup(place->path));
}

gboolean cvd_place_is_broken(const CvdPlace *place)
{
    return place->reader->broken && g_hash_table_contains(place->reader->broken, place->path);
}

void cvd_place_problem(const CvdPlace *place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *where = cvd_place_describe(place);
    cvd_problem(place->reader->problems, "%s: %s", where, what);
    cvd_place_mark_broken(place);
}

char *cvd_shorten(const char *text, gsize max)
{
    if (strlen(text) <= max)
        return g_strdup(text);
    const char *end = g_utf8_find_prev_char(text, text + max + 1);
    return g_strdup_printf("%.*s…", (int)(end - text), text);
}

static char *describe(JsonNode *node)
{
    if (JSON_NODE_HOLDS_OBJECT(node))
        return g_strdup("an object");
    if (JSON_NODE_HOLDS_ARRAY(node))
        return g_strdup("a list");
    if (!cvd_node_get_string(node))
        return cvd_json_to_string(node, FALSE);
    g_autofree char *string = cvd_shorten(cvd_node_get_string(node), CVD_PLACE_MAX_QUOTED);
    return g_strdup_printf("\"%s\"", string);
}

void cvd_place_found(const CvdPlace *place, JsonNode *node, const char *expected)
{
    g_autofree char *found = describe(node);
    cvd_place_problem(place, "found %s; expected %s", found, expected);
}

void cvd_place_no_such(const CvdPlace *place, const char *lacks, const char *name,
                       const char *const *known)
{
    g_autofree char *shown = cvd_shorten(name, CVD_PLACE_MAX_QUOTED);
    const char *nearest = cvd_nearest_name(name, known);

    if (nearest)
        cvd_place_problem(place, "%s \"%s\"; did you mean \"%s\"?", lacks, shown, nearest);
    else
        cvd_place_problem(place, "%s \"%s\"", lacks, shown);
}

static CvdPlace place_child(const CvdPlace *place, JsonNode *node, const char *path)
{
    const CvdReader *reader = place->reader;
    CvdPlace child = *place;
    const char *option = node ? g_hash_table_lookup(reader->overrides, node) : NULL;
    gpointer line = node && reader->lines ? g_hash_table_lookup(reader->lines, node) : NULL;

    child.path = path;
    if (option) {
        child.origin = option;
        child.directory = reader->cwd;
        child.line = 0;
    } else if (line && child.line > 0) {
        child.line = GPOINTER_TO_UINT(line);
    }
    return child;
}

static void append_key(GString *path, const char *key)
{
    g_autofree char *escaped = cvd_escape_bytes(key, strlen(key));

    g_string_append_printf(path, "%s%s", path->len > 0 ? "." : "", escaped);
}

CvdPlace cvd_place_member(const CvdPlace *place, const char *key, JsonNode *node)
{
    g_autoptr(GString) path = g_string_new(place->path);

    append_key(path, key);
    return place_child(place, node, g_string_chunk_insert(place->reader->paths, path->str));
}

static CvdPlace place_element(const CvdPlace *place, guint64 index, JsonNode *node)
{
    g_autofree char *path = g_strdup_printf("%s[%ju]", place->path, index);

    return place_child(place, node, g_string_chunk_insert(place->reader->paths, path));
}

gboolean cvd_place_next(const CvdPlace *place, JsonNode *node, CvdElement *element)
{
    JsonArray *array = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    guint index = element->n_seen++;

    if (array == NULL || index >= json_array_get_length(array))
        return FALSE;
    element->node = json_array_get_element(array, index);
    element->place = place_element(place, index, element->node);
    return TRUE;
}

CvdPlace cvd_place_find(const CvdPlace *place, JsonNode *node, const char *path)
{
    CvdPlace found = *place;
    g_auto(GStrv) parts = g_strsplit_set(path, ".[", -1); /* an index has its bracket still */

    for (guint i = 0; parts[i]; i++) {
        gboolean is_index = g_str_has_suffix(parts[i], "]");
        guint64 index = g_ascii_strtoull(parts[i], NULL, 10);
        JsonArray *array = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
        gboolean is_there = array && index < json_array_get_length(array);
        if (is_index)
            node = is_there ? json_array_get_element(array, (guint)index) : NULL;
        else
            node = cvd_node_get_member(node, parts[i]);
        found = is_index ? place_element(&found, index, node)
                         : cvd_place_member(&found, parts[i], node);
    }
    return found;
}

/* There may be many values, and their paths long: that of one is kept while it is visited. */
typedef struct {
    CvdVisitor visit;
    gpointer data;
    GString *path;
} Walk;

static void walk_into(const Walk *walk, const CvdPlace *place, JsonNode *node);

/* @length: of the path that it is part of */
static void visit_all(const Walk *walk, const CvdPlace *parent, gsize length, const char *key,
                      JsonNode *node)
{
    CvdPlace place = place_child(parent, node, walk->path->str);

    walk->visit(&place, key, node, walk->data);
    walk_into(walk, &place, node);
    g_string_truncate(walk->path, length);
}

static void walk_into(const Walk *walk, const CvdPlace *place, JsonNode *node)
{
    JsonArray *array = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    gsize length = walk->path->len;
    JsonObjectIter iter;
    const char *name;
    JsonNode *member;

    for (guint i = 0; array && i < json_array_get_length(array); i++) {
        g_string_append_printf(walk->path, "[%u]", i);
        visit_all(walk, place, length, NULL, json_array_get_element(array, i));
    }
    if (!JSON_NODE_HOLDS_OBJECT(node))
        return;
    json_object_iter_init_ordered(&iter, json_node_get_object(node));
    while (json_object_iter_next_ordered(&iter, &name, &member)) {
        append_key(walk->path, name);
        visit_all(walk, place, length, name, member);
    }
}

void cvd_place_walk(const CvdPlace *place, JsonNode *node, CvdVisitor visit, gpointer data)
{
    g_autoptr(GString) path = g_string_new(place->path);

    walk_into(&(Walk){visit, data, path}, place, node);
}

JsonNode *cvd_node_get_member(JsonNode *node, const char *name)
{
    return node && JSON_NODE_HOLDS_OBJECT(node)
               ? json_object_get_member(json_node_get_object(node), name)
               : NULL;
}

char *cvd_place_resolve(const CvdPlace *place, const char *path)
{
    if (g_path_is_absolute(path))
        return g_strdup(path);
    while (g_str_has_prefix(path, "./"))
        path += 2;
    return g_build_filename(place->directory, path, NULL);
}

const char *cvd_node_get_string(JsonNode *node)
{
    if (!node || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING)
        return NULL;
    const char *string = json_node_get_string(node);
    return g_str_has_prefix(string, CVD_JSON_BIG_NUMBER) ? NULL : string;
}

gboolean cvd_node_is_integer(JsonNode *node)
{
    return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_INT64;
}
