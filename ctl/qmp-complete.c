/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be typed, from two replies of QEMU's: query-commands, and query-qmp-schema (QEMU's
 * docs/devel/qapi-code-gen), whose entries are commands and types that refer to each other by name.
 * QEMU may be compromised: what it names is looked at, and references need not lead anywhere, or
 * may lead in a circle.
 */
#include "ctl/qmp.h"

#include "base/json.h"
#include "base/nearest.h"

#include <string.h>

#define MAX_NAME  64
#define MAX_DEPTH 8 /* of types in each other */

struct CvdCtlQmpNames {
    char **commands;     /* sorted; NULL before they are known */
    JsonNode *schema;    /* NULL before it is known */
    GHashTable *entries; /* of its JsonObject, by their names */
};

CvdCtlQmpNames *cvd_ctl_qmp_names_new(void)
{
    CvdCtlQmpNames *names = g_new0(CvdCtlQmpNames, 1);

    names->entries = g_hash_table_new(g_str_hash, g_str_equal);
    return names;
}

void cvd_ctl_qmp_names_free(CvdCtlQmpNames *names)
{
    g_hash_table_unref(names->entries);
    g_clear_pointer(&names->schema, json_node_unref);
    g_strfreev(names->commands);
    g_free(names);
}

/* ---- What QEMU says ---- */

/* Of what is shown, and put into the line. */
static gboolean is_name(const char *text)
{
    gsize size = strlen(text);

    return size > 0 && size <= MAX_NAME &&
           strspn(text, "-._" G_CSET_A_2_Z G_CSET_a_2_z "0123456789") == size;
}

static const char *get_string(JsonObject *object, const char *member)
{
    const char *text = cvd_json_get_text(object, member);

    return text != NULL ? text : "";
}

/* Returns: (nullable) (transfer none): the objects in the array that is a member */
static JsonArray *get_array(JsonObject *object, const char *member)
{
    JsonNode *node = json_object_get_member(object, member);

    return node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static guint count(JsonArray *array)
{
    return array != NULL ? json_array_get_length(array) : 0;
}

/* Returns: (nullable) (transfer none) */
static JsonObject *get_object(JsonArray *array, guint i)
{
    JsonNode *node = json_array_get_element(array, i);

    return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static JsonNode *parse_array(const char *reply, gsize size)
{
    JsonNode *node = cvd_json_parse(reply, size, NULL, NULL);

    if (node != NULL && !JSON_NODE_HOLDS_ARRAY(node))
        g_clear_pointer(&node, json_node_unref);
    return node;
}

static int compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void cvd_ctl_qmp_names_set_commands(CvdCtlQmpNames *names, const char *reply, gsize size)
{
    g_autoptr(JsonNode) node = parse_array(reply, size);
    g_autoptr(GPtrArray) commands = g_ptr_array_new();
    JsonArray *array = node != NULL ? json_node_get_array(node) : NULL;

    for (guint i = 0; i < count(array); i++) {
        JsonObject *command = get_object(array, i);
        if (command != NULL && is_name(get_string(command, "name")))
            g_ptr_array_add(commands, g_strdup(get_string(command, "name")));
    }
    g_ptr_array_sort(commands, compare);
    g_ptr_array_add(commands, NULL);
    g_strfreev(names->commands);
    names->commands = (char **)g_ptr_array_steal(commands, NULL);
}

void cvd_ctl_qmp_names_set_schema(CvdCtlQmpNames *names, const char *reply, gsize size)
{
    g_hash_table_remove_all(names->entries);
    g_clear_pointer(&names->schema, json_node_unref);
    names->schema = parse_array(reply, size);
    JsonArray *array = names->schema != NULL ? json_node_get_array(names->schema) : NULL;
    for (guint i = 0; i < count(array); i++) {
        JsonObject *entry = get_object(array, i);
        if (entry != NULL)
            g_hash_table_insert(names->entries, (char *)get_string(entry, "name"), entry);
    }
}

gboolean cvd_ctl_qmp_names_are_known(const CvdCtlQmpNames *names)
{
    return names->commands != NULL;
}

const char *cvd_ctl_qmp_names_nearest(const CvdCtlQmpNames *names, const char *command)
{
    if (names->commands == NULL || g_strv_contains((const char *const *)names->commands, command))
        return NULL;
    return cvd_nearest_name(command, (const char *const *)names->commands);
}

/* ---- What a type has ---- */

typedef struct {
    const CvdCtlQmpNames *names;
    char **words;       /* of the line */
    const char *prefix; /* of the keys at hand: `file.` */
    GPtrArray *members; /* of JsonObject */
} Search;

/* Returns: (nullable): what the line says that the key is */
static const char *find_value(const Search *search, const char *key)
{
    g_autofree char *begin = g_strdup_printf("%s%s=", search->prefix, key);

    for (char **word = search->words; *word != NULL; word++)
        if (g_str_has_prefix(*word, begin))
            return *word + strlen(begin);
    return NULL;
}

static void add_members(Search *search, const char *type, guint depth);

/* Which further members there are may depend on the value of one. */
static void add_variant(Search *search, JsonObject *entry, guint depth)
{
    JsonArray *variants = get_array(entry, "variants");
    const char *value = find_value(search, get_string(entry, "tag"));

    for (guint i = 0; value != NULL && i < count(variants); i++) {
        JsonObject *variant = get_object(variants, i);
        if (variant != NULL && strcmp(get_string(variant, "case"), value) == 0)
            add_members(search, get_string(variant, "type"), depth);
    }
}

/* Of types that may stand for each other the objects are of interest. */
static void add_members(Search *search, const char *type, guint depth)
{
    JsonObject *entry = g_hash_table_lookup(search->names->entries, type);
    JsonArray *members = entry != NULL ? get_array(entry, "members") : NULL;
    const char *kind = entry != NULL ? get_string(entry, "meta-type") : "";

    for (guint i = 0; depth < MAX_DEPTH && i < count(members); i++) {
        JsonObject *member = get_object(members, i);
        if (member != NULL && strcmp(kind, "alternate") == 0)
            add_members(search, get_string(member, "type"), depth + 1);
        else if (member != NULL && strcmp(kind, "object") == 0)
            g_ptr_array_add(search->members, member);
    }
    if (depth < MAX_DEPTH && strcmp(kind, "object") == 0)
        add_variant(search, entry, depth + 1);
}

/* Returns: (nullable): the type of that one among the members */
static const char *find_type(const Search *search, const char *name)
{
    for (guint i = 0; i < search->members->len; i++) {
        JsonObject *member = g_ptr_array_index(search->members, i);
        if (strcmp(get_string(member, "name"), name) == 0)
            return get_string(member, "type");
    }
    return NULL;
}

/* Those of the object that a key with dots leads into. Returns: whether there is one */
static gboolean search_members(Search *search, const char *command, const char *prefix)
{
    JsonObject *entry = g_hash_table_lookup(search->names->entries, command);
    g_auto(GStrv) parts = g_strsplit(prefix, ".", -1); /* the last is empty */
    const char *type = entry != NULL ? get_string(entry, "arg-type") : NULL;
    g_autoptr(GString) so_far = g_string_new(NULL);

    for (char **part = parts; type != NULL; part++) {
        search->prefix = so_far->str;
        g_ptr_array_set_size(search->members, 0);
        add_members(search, type, 0);
        if (*part == NULL || part[1] == NULL)
            break;
        type = find_type(search, *part);
        g_string_append_printf(so_far, "%s.", *part);
    }
    search->prefix = prefix;
    return type != NULL;
}

/* ---- What can follow ---- */

static void add_if_begun(GPtrArray *found, const char *begun, char *take_word)
{
    if (g_str_has_prefix(take_word, begun))
        g_ptr_array_add(found, take_word);
    else
        g_free(take_word);
}

static void add_keys(Search *search, const char *begun, GPtrArray *found)
{
    for (guint i = 0; i < search->members->len; i++) {
        const char *name = get_string(g_ptr_array_index(search->members, i), "name");
        if (is_name(name) && find_value(search, name) == NULL)
            add_if_begun(found, begun, g_strdup_printf("%s%s=", search->prefix, name));
    }
}

static void add_values(Search *search, const char *begun, const char *key, GPtrArray *found)
{
    const char *type = find_type(search, key);
    JsonObject *entry = type != NULL ? g_hash_table_lookup(search->names->entries, type) : NULL;
    JsonArray *values = entry != NULL ? get_array(entry, "values") : NULL;

    if (entry != NULL && strcmp(get_string(entry, "json-type"), "boolean") == 0) {
        add_if_begun(found, begun, g_strdup_printf("%s%s=true ", search->prefix, key));
        add_if_begun(found, begun, g_strdup_printf("%s%s=false ", search->prefix, key));
    }
    for (guint i = 0; i < count(values); i++) {
        JsonNode *node = json_array_get_element(values, i);
        gboolean is_text = json_node_get_value_type(node) == G_TYPE_STRING;
        const char *value = is_text ? json_node_get_string(node) : "";
        if (is_name(value))
            add_if_begun(found, begun, g_strdup_printf("%s%s=%s ", search->prefix, key, value));
    }
}

static void add_arguments(const CvdCtlQmpNames *names, char **words, const char *begun,
                          GPtrArray *found)
{
    g_autoptr(GPtrArray) members = g_ptr_array_new();
    Search search = {.names = names, .words = words, .members = members};
    gsize n_key = strcspn(begun, "=");
    g_autofree char *key = g_strndup(begun, n_key);
    char *last_dot = strrchr(key, '.');
    g_autofree char *prefix = g_strndup(key, last_dot != NULL ? (gsize)(last_dot + 1 - key) : 0);

    if (!search_members(&search, words[0], prefix))
        return;
    if (begun[n_key] == '=')
        add_values(&search, begun, key + strlen(prefix), found);
    else
        add_keys(&search, begun, found);
}

GPtrArray *cvd_ctl_qmp_complete(const CvdCtlQmpNames *names, const char *line, gsize *n_begun)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    const char *space = strrchr(line, ' ');
    const char *begun = space != NULL ? space + 1 : line;
    g_autofree char *before = g_strstrip(g_strndup(line, (gsize)(begun - line)));
    g_auto(GStrv) words = g_strsplit(before, " ", -1);

    if (*before != '\0')
        add_arguments(names, words, begun, found);
    else
        for (char **command = names->commands; command != NULL && *command != NULL; command++)
            add_if_begun(found, begun, g_strconcat(*command, " ", NULL));
    g_ptr_array_sort(found, compare);
    for (guint i = found->len; i-- > 1;)
        if (strcmp(g_ptr_array_index(found, i), g_ptr_array_index(found, i - 1)) == 0)
            g_ptr_array_remove_index(found, i);
    *n_begun = strlen(begun);
    return found;
}
