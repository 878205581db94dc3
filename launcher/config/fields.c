/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads JSON objects into structures by tables. Every value is read with the place where it stands
 * (file or option, JSON path, directory), so that a problem can name it; a problem never ends the
 * reading, so that all of them come out in one go.
 */
#include "launcher/config/fields.h"

#include "base/json.h"
#include "base/log.h"
#include "base/nearest.h"

#include <string.h>

#define MAX_QUOTED 40 /* bytes of a value that a problem repeats */

char *cvd_place_describe(const CvdPlace *place)
{
    return g_strdup_printf("%s%s%s", place->origin, *place->path ? ": " : "", place->path);
}

static void mark_broken(const CvdPlace *place, const char *path)
{
    if (place->reader->broken)
        g_hash_table_add(place->reader->broken, g_strdup(path));
}

void cvd_place_problem(const CvdPlace *place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *where = cvd_place_describe(place);
    g_ptr_array_add(place->reader->problems, g_strdup_printf("%s: %s", where, what));
    mark_broken(place, place->path);
}

static char *quote(const char *string)
{
    gsize length = strlen(string);
    if (length <= MAX_QUOTED)
        return g_strdup_printf("\"%s\"", string);
    const char *end = g_utf8_find_prev_char(string, string + MAX_QUOTED + 1);
    return g_strdup_printf("\"%.*s…\"", (int)(end - string), string);
}

static char *describe(JsonNode *node)
{
    if (JSON_NODE_HOLDS_OBJECT(node))
        return g_strdup("an object");
    if (JSON_NODE_HOLDS_ARRAY(node))
        return g_strdup("a list");
    const char *string = cvd_node_get_string(node);
    if (string)
        return quote(string);
    return cvd_json_to_string(node, FALSE);
}

void cvd_place_found(const CvdPlace *place, JsonNode *node, const char *expected)
{
    g_autofree char *found = describe(node);
    cvd_place_problem(place, "found %s; expected %s", found, expected);
}

void cvd_place_found_number(const CvdPlace *place, JsonNode *node, const CvdField *field)
{
    g_autofree char *expected = g_strdup_printf(
        "an integer from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, field->min, field->max);
    cvd_place_found(place, node, expected);
}

static CvdPlace place_child(const CvdPlace *place, JsonNode *node, const char *path)
{
    CvdPlace child = *place;
    child.path = path;
    const char *option = node ? g_hash_table_lookup(place->reader->overrides, node) : NULL;
    if (option) {
        child.origin = option;
        child.directory = place->reader->cwd;
    }
    return child;
}

static char *join(const CvdPlace *place, const char *path)
{
    return g_strdup_printf("%s%s%s", place->path, *place->path ? "." : "", path);
}

CvdPlace cvd_place_member(const CvdPlace *place, const char *key, JsonNode *node, char **path)
{
    g_autofree char *escaped = cvd_escape_bytes(key, strlen(key));
    *path = join(place, escaped);
    return place_child(place, node, *path);
}

CvdPlace cvd_place_element(const CvdPlace *place, guint index, JsonNode *node, char **path)
{
    *path = g_strdup_printf("%s[%u]", place->path, index);
    return place_child(place, node, *path);
}

CvdPlace cvd_place_find(const CvdPlace *place, JsonNode *node, const char *path, char **storage)
{
    CvdPlace found = *place;
    g_auto(GStrv) parts = g_strsplit_set(path, ".[", -1); /* an index has its bracket still */
    for (guint i = 0; parts[i] && node; i++) {
        guint64 index = g_ascii_strtoull(parts[i], NULL, 10);
        if (JSON_NODE_HOLDS_OBJECT(node))
            node = json_object_get_member(json_node_get_object(node), parts[i]);
        else if (JSON_NODE_HOLDS_ARRAY(node) &&
                 index < json_array_get_length(json_node_get_array(node)))
            node = json_array_get_element(json_node_get_array(node), (guint)index);
        else
            node = NULL;
        found = place_child(&found, node, place->path);
    }
    *storage = join(place, path);
    found.path = *storage;
    return found;
}

char *cvd_place_resolve(const CvdPlace *place, const char *path)
{
    if (g_path_is_absolute(path))
        return g_strdup(path);
    while (g_str_has_prefix(path, "./"))
        path += 2;
    return g_build_filename(place->directory, path, NULL);
}

/* @place is the key's. What was probably meant is broken too: nobody is to miss it. */
static void tell_unknown(const CvdPlace *object, const CvdPlace *place, const char *key,
                         const CvdField *fields)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    for (; fields->key; fields++)
        g_ptr_array_add(known, (gpointer)fields->key);
    g_ptr_array_add(known, NULL);

    const char *nearest = cvd_nearest_name(key, (const char *const *)known->pdata);
    if (nearest) {
        g_autofree char *meant = join(object, nearest);
        cvd_place_problem(place, "unknown key; did you mean \"%s\"?", nearest);
        mark_broken(place, meant);
    } else {
        g_autofree char *all = g_strjoinv(", ", (char **)known->pdata);
        cvd_place_problem(place, "unknown key; known are %s", all);
    }
}

static const CvdField *find_field(const CvdField *fields, const char *key)
{
    for (; fields->key; fields++) {
        if (strcmp(fields->key, key) == 0)
            return fields;
    }
    return NULL;
}

void cvd_fields_read(const CvdPlace *place, JsonNode *node, const CvdField *fields, gpointer target)
{
    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        cvd_place_found(place, node, "an object");
        return;
    }
    JsonObjectIter iter;
    const char *key;
    JsonNode *value;
    json_object_iter_init_ordered(&iter, json_node_get_object(node));
    while (json_object_iter_next_ordered(&iter, &key, &value)) {
        g_autofree char *path = NULL;
        CvdPlace child = cvd_place_member(place, key, value, &path);
        const CvdField *field = find_field(fields, key);
        if (field)
            field->read(&child, value, field, target);
        else
            tell_unknown(place, &child, key, fields);
    }
}

const char *cvd_node_get_string(JsonNode *node)
{
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING)
        return NULL;
    const char *string = json_node_get_string(node);
    return g_str_has_prefix(string, CVD_JSON_BIG_NUMBER) ? NULL : string;
}

void cvd_store_string(gpointer target, gsize offset, char *value)
{
    char **slot = G_STRUCT_MEMBER_P(target, offset);
    g_free(*slot);
    *slot = value;
}

static const char *check_string(const CvdPlace *place, JsonNode *node, guint64 max,
                                const char *expected)
{
    const char *string = cvd_node_get_string(node);
    if (!string || !*string) {
        cvd_place_found(place, node, expected);
        return NULL;
    }
    if (max > 0 && strlen(string) > max) {
        cvd_place_problem(place, "has %zu bytes; at most %" G_GUINT64_FORMAT " are allowed",
                          strlen(string), max);
        return NULL;
    }
    return string;
}

void cvd_read_string(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    const char *string = check_string(place, node, field->max, "a string that is not empty");
    if (string)
        cvd_store_string(target, field->offset, g_strdup(string));
}

void cvd_read_any_string(const CvdPlace *place, JsonNode *node, const CvdField *field,
                         gpointer target)
{
    if (cvd_node_get_string(node))
        cvd_store_string(target, field->offset, g_strdup(cvd_node_get_string(node)));
    else
        cvd_place_found(place, node, "a string");
}

void cvd_read_name_or_path(const CvdPlace *place, JsonNode *node, const CvdField *field,
                           gpointer target)
{
    const char *string = check_string(place, node, field->max, "a name or a path");
    if (string)
        cvd_store_string(target, field->offset,
                         strchr(string, '/') ? cvd_place_resolve(place, string) : g_strdup(string));
}

void cvd_read_path(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    const char *string = check_string(place, node, field->max, "a path");
    if (string)
        cvd_store_string(target, field->offset, cvd_place_resolve(place, string));
}

void cvd_read_boolean(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_BOOLEAN) {
        cvd_place_found(place, node, "true or false");
        return;
    }
    G_STRUCT_MEMBER(gboolean, target, field->offset) = json_node_get_boolean(node);
}

void cvd_read_uint(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    gboolean is_integer =
        JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_INT64;
    gint64 value = is_integer ? json_node_get_int(node) : -1;
    if (value < 0 || (guint64)value < field->min || (guint64)value > field->max) {
        cvd_place_found_number(place, node, field);
        return;
    }
    G_STRUCT_MEMBER(guint, target, field->offset) = (guint)value;
}

gboolean cvd_parse_size(const char *text, guint64 *bytes)
{
    static const char units[] = "KMG";

    gsize n_digits = strspn(text, "0123456789");
    const char *unit = text + n_digits;
    if (n_digits == 0 || n_digits > 18 || (*unit && unit[1]))
        return FALSE;
    guint shift = 0;
    if (*unit) {
        const char *known = strchr(units, g_ascii_toupper(*unit));
        if (!known)
            return FALSE;
        shift = 10 * (guint)(known - units + 1);
    }
    guint64 number = g_ascii_strtoull(text, NULL, 10);
    if (number > G_MAXUINT64 >> shift)
        return FALSE;
    *bytes = number << shift;
    return TRUE;
}

char *cvd_format_size(guint64 bytes)
{
    static const char units[] = "KMG";

    int unit = -1;
    while (unit < 2 && bytes > 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    if (unit < 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT, bytes);
    return g_strdup_printf("%" G_GUINT64_FORMAT "%c", bytes, units[unit]);
}

void cvd_read_size(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    guint64 bytes = 0;
    gboolean ok = FALSE;
    const char *string = cvd_node_get_string(node);
    if (string) {
        ok = cvd_parse_size(string, &bytes);
    } else if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_INT64) {
        ok = json_node_get_int(node) >= 0;
        bytes = (guint64)json_node_get_int(node);
    }
    if (!ok || bytes < field->min || bytes > field->max) {
        g_autofree char *min = cvd_format_size(field->min);
        g_autofree char *max = cvd_format_size(field->max);
        g_autofree char *expected =
            g_strdup_printf("a size from %s to %s: an integer in bytes, or a string such as "
                            "\"512M\" with K, M or G",
                            min, max);
        cvd_place_found(place, node, expected);
        return;
    }
    G_STRUCT_MEMBER(guint64, target, field->offset) = bytes;
}

void cvd_read_word(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    const char *string = cvd_node_get_string(node);
    GString *expected = g_string_new(NULL);
    gboolean found = FALSE;
    for (guint i = 0; field->words[i] && !found; i++) {
        found = g_strcmp0(string, field->words[i]) == 0;
        if (found)
            G_STRUCT_MEMBER(int, target, field->offset) = (int)i;
        g_string_append_printf(expected, "%s\"%s\"", i > 0 ? " or " : "", field->words[i]);
    }
    if (!found)
        cvd_place_found(place, node, expected->str);
    g_string_free(expected, TRUE);
}

void cvd_read_strings(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        cvd_place_found(place, node, "a list of strings");
        return;
    }
    JsonArray *array = json_node_get_array(node);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *element = json_array_get_element(array, i);
        const char *string = cvd_node_get_string(element);
        if (string) {
            g_strv_builder_add(builder, string);
        } else {
            g_autofree char *path = NULL;
            CvdPlace child = cvd_place_element(place, i, element, &path);
            cvd_place_found(&child, element, "a string");
        }
    }
    char ***slot = G_STRUCT_MEMBER_P(target, field->offset);
    g_strfreev(*slot);
    *slot = g_strv_builder_end(builder);
}

void cvd_read_object(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    cvd_fields_read(place, node, field->fields, target);
}

void cvd_read_nothing(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
}
