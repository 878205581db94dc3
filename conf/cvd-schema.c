/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the JSON Schemas of the three files of a configuration into a directory, from the tables
 * of keys. Those in conf/ are made by `meson compile -C build update-schemas`; the test `schemas`
 * finds out when they are not current.
 */
#include "base/json.h"
#include "launcher/config/keys.h"
#include "launcher/config/layout-file.h"

static const struct {
    const char *file;
    const char *title;
    const CvdKey *keys;
    const char *more; /* what only shows in the whole */
} schemas[] = {
    {"cvd.schema.json", "cvd.json: one instance of cvd-launch", cvd_keys,
     "{'required': ['layout', 'qemu']}"},
    {"qemu.schema.json", "qemu.json: the VM's hardware", cvd_qemu_keys,
     "{'dependentRequired': {'append': ['kernel'], 'initrd': ['kernel']}}"},
    {"vsoc_mem.schema.json", "vsoc_mem.json: the regions of the shared-memory window",
     cvd_layout_keys, "{'required': ['vsoc_device_regions']}"},
};

/* Moves the members of @text, in which some words stand for what @key says. */
static void add_members(JsonObject *schema, const char *text, const CvdKey *key)
{
    g_autoptr(GString) expanded = g_string_new(text);
    g_autoptr(GString) words = g_string_new(NULL);
    g_autofree char *min = g_strdup_printf("%" G_GUINT64_FORMAT, key->min);
    g_autofree char *max = g_strdup_printf("%" G_GUINT64_FORMAT, key->max);
    JsonObjectIter iter;
    const char *name;
    JsonNode *member;

    for (guint i = 0; key->words && key->words[i]; i++)
        if (*key->words[i])
            g_string_append_printf(words, "%s'%s'", words->len > 0 ? ", " : "", key->words[i]);
    g_string_replace(expanded, "$words", words->str, 0);
    g_string_replace(expanded, "$word", key->words ? key->words[0] : "", 0);
    g_string_replace(expanded, "$min", min, 0);
    g_string_replace(expanded, "$max", max, 0);
    g_autoptr(JsonNode) node = cvd_json_from_quoted(expanded->str);
    json_object_iter_init_ordered(&iter, json_node_get_object(node));
    while (json_object_iter_next_ordered(&iter, &name, &member))
        json_object_set_member(schema, name, json_node_ref(member));
}

static void add_properties(JsonObject *schema, const CvdKey *keys);

static JsonObject *make_schema(const CvdKey *key);

/* @keys: what the names are, and the values */
static void add_map(JsonObject *schema, const CvdKey *keys)
{
    json_object_set_object_member(schema, "propertyNames", make_schema(&keys[0]));
    json_object_set_object_member(schema, "additionalProperties", make_schema(&keys[1]));
}

static JsonObject *make_schema(const CvdKey *key)
{
    JsonObject *schema = json_object_new();

    if (key->summary)
        json_object_set_string_member(schema, "description", key->summary);
    add_members(schema, key->type->schema, key);
    if (key->schema)
        add_members(schema, key->schema, key);
    if (key->members && key->type != &cvd_type_tree)
        add_properties(schema, key->members);
    if (key->type == &cvd_type_map)
        add_map(schema, key->elements);
    else if (key->elements)
        add_properties(json_object_has_member(schema, "items")
                           ? json_object_get_object_member(schema, "items")
                           : schema,
                       key->elements);
    if (key->initial)
        json_object_set_member(schema, "default", cvd_json_from_quoted(key->initial));
    if (key->unit)
        json_object_set_string_member(schema, "x-unit", key->unit);
    if (key->since)
        json_object_set_string_member(schema, "x-since", key->since);
    return schema;
}

static void add_properties(JsonObject *schema, const CvdKey *keys)
{
    JsonObject *properties = json_object_new();

    if (!json_object_has_member(schema, "type"))
        json_object_set_string_member(schema, "type", "object");
    json_object_set_boolean_member(schema, "additionalProperties", FALSE);
    json_object_set_object_member(schema, "properties", properties);
    for (; keys->name; keys++)
        json_object_set_object_member(properties, keys->name, make_schema(keys));
}

static gboolean write_schema(const char *directory, guint i, GError **error)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    JsonObject *schema = json_object_new();

    json_node_take_object(root, schema);
    json_object_set_string_member(schema, "$schema",
                                  "https://json-schema.org/draft/2020-12/schema");
    json_object_set_string_member(schema, "$comment", "SPDX-License-Identifier: Apache-2.0");
    json_object_set_string_member(schema, "title", schemas[i].title);
    add_members(schema, schemas[i].more, &(CvdKey){0});
    add_properties(schema, schemas[i].keys);

    g_autofree char *path = g_build_filename(directory, schemas[i].file, NULL);
    g_autofree char *json = cvd_json_to_string(root, TRUE);
    g_autofree char *text = g_strconcat(json, "\n", NULL);
    return g_file_set_contents(path, text, -1, error);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    for (guint i = 0; argc == 2 && i < G_N_ELEMENTS(schemas); i++) {
        if (!write_schema(argv[1], i, &error)) {
            g_printerr("cvd-schema: %s\n", error->message);
            return 1;
        }
    }
    return argc == 2 ? 0 : 2;
}
