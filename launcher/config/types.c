/* SPDX-License-Identifier: Apache-2.0 */
/* Reads JSON objects into structures by tables of keys, and prints structures as such objects. */
#include "launcher/config/types.h"

#include "base/json.h"
#include "base/nearest.h"

#include <string.h>

/* The key of an object in @keys that has a member @name, or NULL. */
static const char *find_object_with(const CvdKey *keys, const char *name)
{
    for (; keys->name; keys++)
        for (const CvdKey *member = keys->members; member && member->name; member++)
            if (strcmp(member->name, name) == 0)
                return keys->name;
    return NULL;
}

/* @place is the key's. What was probably meant is broken too: nobody is to miss it. */
static void refuse_unknown(const CvdPlace *object, const CvdPlace *place, const char *name,
                           const CvdKey *keys)
{
    const char *inside = find_object_with(keys, name);
    if (inside) {
        cvd_place_problem(place, "unknown key; did you mean \"%s.%s\"?", inside, name);
        return;
    }
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    for (; keys->name; keys++)
        g_ptr_array_add(known, (gpointer)keys->name);
    g_ptr_array_add(known, NULL);

    const char *nearest = cvd_nearest_name(name, (const char *const *)known->pdata);
    if (nearest) {
        CvdPlace meant = cvd_place_member(object, nearest, NULL);
        cvd_place_problem(place, "unknown key; did you mean \"%s\"?", nearest);
        cvd_place_mark_broken(&meant);
    } else {
        g_autofree char *all = g_strjoinv(", ", (char **)known->pdata);
        cvd_place_problem(place, "unknown key; known are %s", all);
    }
}

static gpointer slot_of(const CvdKey *key, gconstpointer target)
{
    return (char *)target + key->offset;
}

void cvd_keys_read(const CvdPlace *place, JsonNode *node, const CvdKey *keys, gpointer target)
{
    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        cvd_place_found(place, node, "an object");
        return;
    }
    JsonObjectIter iter;
    const char *name;
    JsonNode *value;
    json_object_iter_init_ordered(&iter, json_node_get_object(node));
    while (json_object_iter_next_ordered(&iter, &name, &value)) {
        CvdPlace child = cvd_place_member(place, name, value);
        const CvdKey *key = keys;
        while (key->name && strcmp(key->name, name) != 0)
            key++;
        if (key->name)
            key->type->read(&child, value, key, slot_of(key, target));
        else
            refuse_unknown(place, &child, name, keys);
    }
}

JsonNode *cvd_json_from_quoted(const char *text)
{
    g_autofree char *json = g_strdelimit(g_strdup(text), "'", '"');
    g_autoptr(GError) error = NULL;
    JsonNode *node = cvd_json_from_string(json, &error);

    g_assert_no_error(error);
    return node;
}

/* A default is a value like another, so that it keeps the same rules. */
static void store_initial(const CvdKey *key, gpointer slot)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) overrides = g_hash_table_new(NULL, NULL);
    g_autoptr(JsonNode) node = cvd_json_from_quoted(key->initial);
    g_autoptr(GStringChunk) paths = g_string_chunk_new(64);
    CvdReader reader = {.problems = problems, .overrides = overrides, .paths = paths, .cwd = "/"};
    CvdPlace place = {&reader, "default", "/", key->name, 0};

    key->type->read(&place, node, key, slot);
    g_assert_cmpuint(problems->len, ==, 0);
}

void cvd_keys_init(const CvdKey *keys, gpointer target)
{
    for (; keys->name; keys++) {
        if (keys->members)
            cvd_keys_init(keys->members, slot_of(keys, target));
        else if (keys->initial)
            store_initial(keys, slot_of(keys, target));
    }
}

JsonNode *cvd_keys_print(const CvdKey *keys, gconstpointer target)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    JsonObject *object = json_object_new();

    json_node_take_object(node, object);
    for (; keys->name; keys++) {
        JsonNode *value = keys->type->print ? keys->type->print(keys, slot_of(keys, target)) : NULL;
        if (value)
            json_object_set_member(object, keys->name, value);
    }
    return node;
}

void cvd_keys_clear(const CvdKey *keys, gpointer target)
{
    for (; keys->name; keys++) {
        if (keys->type->clear)
            keys->type->clear(keys, slot_of(keys, target));
    }
}

/* ---- Strings ---- */

void cvd_string_take(gpointer slot, char *value)
{
    g_free(*(char **)slot);
    *(char **)slot = value;
}

JsonNode *cvd_string_node(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    return json_node_init_string(json_node_alloc(), valid);
}

JsonNode *cvd_string_print(const CvdKey *key, gconstpointer slot)
{
    const char *string = *(char *const *)slot;

    return string ? cvd_string_node(string) : NULL;
}

void cvd_string_clear(const CvdKey *key, gpointer slot)
{
    cvd_string_take(slot, NULL);
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
        cvd_place_problem(place, "has %zu bytes; at most %ju are allowed", strlen(string), max);
        return NULL;
    }
    return string;
}

static void read_string(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *string = check_string(place, node, key->max, "a string that is not empty");
    if (string)
        cvd_string_take(slot, g_strdup(string));
}

static void read_name_or_path(const CvdPlace *place, JsonNode *node, const CvdKey *key,
                              gpointer slot)
{
    const char *string = check_string(place, node, key->max, "a name or a path");
    if (string)
        cvd_string_take(slot,
                        strchr(string, '/') ? cvd_place_resolve(place, string) : g_strdup(string));
}

static void read_path(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *string = check_string(place, node, key->max, "a path");
    if (string)
        cvd_string_take(slot, cvd_place_resolve(place, string));
}

void cvd_strings_take(gpointer slot, GStrvBuilder *values)
{
    g_strfreev(*(char ***)slot);
    *(char ***)slot = g_strv_builder_end(values);
}

static void read_strings(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    CvdElement element = {0};

    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        cvd_place_found(place, node, "a list of strings");
        return;
    }
    while (cvd_place_next(place, node, &element)) {
        if (cvd_node_get_string(element.node))
            g_strv_builder_add(builder, cvd_node_get_string(element.node));
        else
            cvd_place_found(&element.place, element.node, "a string");
    }
    cvd_strings_take(slot, builder);
}

JsonNode *cvd_strings_node(const char *const *strings)
{
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    JsonArray *array = json_array_new();

    json_node_take_array(node, array);
    for (; strings && *strings; strings++)
        json_array_add_element(array, cvd_string_node(*strings));
    return node;
}

JsonNode *cvd_strings_print(const CvdKey *key, gconstpointer slot)
{
    return cvd_strings_node(*(const char *const *const *)slot);
}

void cvd_strings_clear(const CvdKey *key, gpointer slot)
{
    g_clear_pointer((char ***)slot, g_strfreev);
}

const CvdType cvd_type_string = {read_string, cvd_string_print, cvd_string_clear,
                                 CVD_STRING_SCHEMA};
const CvdType cvd_type_path = {read_path, cvd_string_print, cvd_string_clear, CVD_STRING_SCHEMA};
const CvdType cvd_type_name_or_path = {read_name_or_path, cvd_string_print, cvd_string_clear,
                                       CVD_STRING_SCHEMA};
const CvdType cvd_type_strings = {read_strings, cvd_strings_print, cvd_strings_clear,
                                  "{'type': 'array', 'items': {'type': 'string'}}"};

/* ---- Numbers ---- */

static void read_boolean(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN)
        *(gboolean *)slot = json_node_get_boolean(node);
    else
        cvd_place_found(place, node, "true or false");
}

static JsonNode *print_boolean(const CvdKey *key, gconstpointer slot)
{
    return json_node_init_boolean(json_node_alloc(), *(const gboolean *)slot);
}

void cvd_found_number(const CvdPlace *place, JsonNode *node, const CvdKey *key)
{
    g_autofree char *expected = g_strdup_printf("an integer from %ju to %ju", key->min, key->max);
    cvd_place_found(place, node, expected);
}

static void read_uint(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    gint64 value = cvd_node_is_integer(node) ? json_node_get_int(node) : -1;

    if (value >= 0 && (guint64)value >= key->min && (guint64)value <= key->max)
        *(guint *)slot = (guint)value;
    else
        cvd_found_number(place, node, key);
}

static JsonNode *print_uint(const CvdKey *key, gconstpointer slot)
{
    return json_node_init_int(json_node_alloc(), *(const guint *)slot);
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
        return g_strdup_printf("%ju", bytes);
    return g_strdup_printf("%ju%c", bytes, units[unit]);
}

void cvd_found_size(const CvdPlace *place, JsonNode *node, const CvdKey *key)
{
    g_autofree char *min = cvd_format_size(key->min);
    g_autofree char *max = cvd_format_size(key->max);
    g_autofree char *expected = g_strdup_printf(
        "a size from %s to %s: an integer in bytes, or a string such as \"512M\" with K, M or G",
        min, max);
    cvd_place_found(place, node, expected);
}

static void read_size(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    gint64 number = cvd_node_is_integer(node) ? json_node_get_int(node) : -1;
    const char *string = cvd_node_get_string(node);
    guint64 bytes = (guint64)number;

    if ((string ? cvd_parse_size(string, &bytes) : number >= 0) && bytes >= key->min &&
        bytes <= key->max)
        *(guint64 *)slot = bytes;
    else
        cvd_found_size(place, node, key);
}

/* Zero stands for none. */
static JsonNode *print_size(const CvdKey *key, gconstpointer slot)
{
    guint64 bytes = *(const guint64 *)slot;

    return bytes > 0 ? json_node_init_int(json_node_alloc(), (gint64)bytes) : NULL;
}

static void read_word(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *string = cvd_node_get_string(node);
    g_autoptr(GString) expected = g_string_new(NULL);

    for (int i = 0; key->words[i]; i++) {
        if (!*key->words[i])
            continue;
        if (g_strcmp0(string, key->words[i]) == 0) {
            *(int *)slot = i;
            return;
        }
        g_string_append_printf(expected, "%s\"%s\"", expected->len > 0 ? " or " : "",
                               key->words[i]);
    }
    cvd_place_found(place, node, expected->str);
}

static JsonNode *print_word(const CvdKey *key, gconstpointer slot)
{
    return cvd_string_node(key->words[*(const int *)slot]);
}

const CvdType cvd_type_boolean = {read_boolean, print_boolean, NULL, "{'type': 'boolean'}"};
const CvdType cvd_type_uint = {read_uint, print_uint, NULL,
                               "{'type': 'integer', 'minimum': $min, 'maximum': $max}"};
const CvdType cvd_type_size = {read_size, print_size, NULL,
                               "{'anyOf': [{'type': 'integer', 'minimum': $min, 'maximum': $max},"
                               " {'type': 'string', 'pattern': '^[0-9]{1,18}[KMGkmg]?$'}]}"};
const CvdType cvd_type_word = {read_word, print_word, NULL, "{'enum': [$words]}"};

/* ---- Others ---- */

static void read_object(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    cvd_keys_read(place, node, key->members, slot);
}

static JsonNode *print_object(const CvdKey *key, gconstpointer slot)
{
    return cvd_keys_print(key->members, slot);
}

static void clear_object(const CvdKey *key, gpointer slot)
{
    cvd_keys_clear(key->members, slot);
}

/* ---- Maps ---- */

typedef struct {
    char *elements;
    guint n;
} Map;

static void clear_map(const CvdKey *key, gpointer slot)
{
    Map *map = slot;

    for (guint i = 0; i < map->n; i++)
        cvd_keys_clear(key->elements, map->elements + i * key->element_size);
    g_free(map->elements);
    *map = (Map){0};
}

/* Returns: whether it has a name, without which it cannot be used */
static gboolean read_element(const CvdPlace *place, const char *name, JsonNode *node,
                             const CvdKey *key, gpointer element)
{
    const CvdKey *keys = key->elements;
    g_autoptr(JsonNode) name_node = cvd_string_node(name);

    cvd_keys_init(keys, element);
    keys[0].type->read(place, name_node, &keys[0], slot_of(&keys[0], element));
    keys[1].type->read(place, node, &keys[1], slot_of(&keys[1], element));
    if (*(char **)element)
        return TRUE;
    cvd_keys_clear(keys, element);
    memset(element, 0, key->element_size);
    return FALSE;
}

static void read_map(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    Map *map = slot;
    JsonObjectIter iter;
    const char *name;
    JsonNode *value;

    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        cvd_place_found(place, node, "an object, in which each value has its name");
        return;
    }
    guint size = json_object_get_size(json_node_get_object(node));
    if (size > key->max) {
        cvd_place_problem(place, "has %u members; at most %ju are allowed", size, key->max);
        return;
    }
    clear_map(key, slot);
    map->elements = g_malloc0_n(MAX(size, 1), key->element_size);
    json_object_iter_init_ordered(&iter, json_node_get_object(node));
    while (json_object_iter_next_ordered(&iter, &name, &value)) {
        CvdPlace child = cvd_place_member(place, name, value);
        map->n +=
            read_element(&child, name, value, key, map->elements + map->n * key->element_size);
    }
}

static JsonNode *print_map(const CvdKey *key, gconstpointer slot)
{
    const CvdKey *value = &key->elements[1];
    const Map *map = slot;
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    JsonObject *object = json_object_new();

    json_node_take_object(node, object);
    for (guint i = 0; i < map->n; i++) {
        char *element = map->elements + i * key->element_size;
        json_object_set_member(object, *(char **)element,
                               value->type->print(value, slot_of(value, element)));
    }
    return node;
}

const CvdType cvd_type_map = {read_map, print_map, clear_map,
                              "{'type': 'object', 'maxProperties': $max}"};

/* ---- What is not stored ---- */

static void read_schema(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    if (!cvd_node_get_string(node))
        cvd_place_found(place, node, "a string, the address of a schema");
}

static void ignore(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
}

const CvdType cvd_type_object = {read_object, print_object, clear_object, "{}"};
const CvdType cvd_type_tree = {ignore, print_object, clear_object, "{}"};
const CvdType cvd_type_schema = {read_schema, NULL, NULL, "{'type': 'string'}"};
const CvdType cvd_type_ignored = {ignore, NULL, NULL, "{}"};
