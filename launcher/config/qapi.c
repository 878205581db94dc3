/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Character devices and TPMs are objects of QAPI, but QEMU's command line has only option strings
 * for them. Which option each member is, qapi-types.c says. In QAPI a member `type` says which
 * others there are, and they are in `data`; its newer types do without that, and here all can.
 */
#include "launcher/config/qapi.h"

#include "base/nearest.h"
#include "launcher/config/qapi-types.h"
#include "launcher/config/substitute.h"

#include <string.h>

static const CvdQapiMember *find_member(const CvdQapiMember *members, const char *name)
{
    for (; members->kind != CVD_QAPI_END; members++)
        if (strcmp(members->name, name) == 0)
            return members;
    return NULL;
}

static const CvdQapiVariant *find_variant(const CvdQapiUnion *choice, const char *type)
{
    for (const CvdQapiVariant *variant = choice->variants; variant->type; variant++)
        if (g_strcmp0(variant->type, type) == 0)
            return variant;
    return NULL;
}

/* Where the members of a type are: in `data`, or beside `type`. */
static JsonNode *members_of(JsonNode *node)
{
    JsonNode *data = cvd_node_get_member(node, "data");

    return data ? data : node;
}

JsonNode *cvd_qapi_get_member(JsonNode *node, const char *name)
{
    return cvd_node_get_member(members_of(node), name);
}

/* ---- Reading ---- */

static gboolean is_boolean(JsonNode *node)
{
    return JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN;
}

static void add_names(GPtrArray *names, const CvdQapiMember *members)
{
    for (; members->kind != CVD_QAPI_END; members++)
        g_ptr_array_add(names, (gpointer)members->name);
}

static gboolean refuse_member(const CvdPlace *place, const char *name, const CvdQapiUnion *choice,
                              const CvdQapiVariant *variant)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();

    add_names(known, variant->members);
    add_names(known, choice->common);
    g_ptr_array_add(known, NULL);
    const char *nearest = cvd_nearest_name(name, (const char *const *)known->pdata);
    g_autofree char *all = g_strjoinv(", ", (char **)known->pdata);
    if (nearest)
        cvd_place_problem(place, "unknown key; did you mean \"%s\"?", nearest);
    else
        cvd_place_problem(place, "unknown key; known are %s", *all ? all : "none");
    return FALSE;
}

static gboolean refuse_type(const CvdPlace *place, JsonNode *node, const CvdQapiUnion *choice)
{
    g_autoptr(GString) expected = g_string_new(NULL);
    JsonNode *type = cvd_node_get_member(node, "type");
    CvdPlace at = cvd_place_member(place, "type", type);

    for (const CvdQapiVariant *variant = choice->variants; variant->type; variant++)
        if (!variant->refusal)
            g_string_append_printf(expected, "%s\"%s\"", expected->len > 0 ? ", " : "",
                                   variant->type);
    if (choice->option)
        g_string_append_printf(expected, "; what else there is goes into \"extra_args\", as %s",
                               choice->option);
    if (type)
        cvd_place_found(&at, type, expected->str);
    else
        cvd_place_problem(place, "needs \"type\": %s", expected->str);
    return FALSE;
}

static gboolean found(const CvdPlace *place, JsonNode *node, const char *expected)
{
    cvd_place_found(place, node, expected);
    return FALSE;
}

static gboolean read_union(const CvdPlace *place, JsonNode *node, const CvdQapiUnion *choice);

/* Of a socket in the abstract name space it is no path, and without one QEMU chooses. */
static void resolve(const CvdPlace *place, JsonNode *node, JsonNode *siblings)
{
    JsonNode *abstract = cvd_node_get_member(siblings, "abstract");
    const char *path = cvd_node_get_string(node);

    if (*path == '\0' || (abstract && is_boolean(abstract) && json_node_get_boolean(abstract)))
        return;
    g_autofree char *resolved = cvd_substitute_resolve(place, path);
    json_node_set_string(node, resolved);
}

/* Whatever else QEMU has open is the launcher's. */
static gboolean is_socket(const char *text)
{
    return text && g_str_has_prefix(text, "${socket:") &&
           strchr(text, '}') == text + strlen(text) - 1;
}

/* @siblings: where @node is in */
static gboolean read_member(const CvdPlace *place, JsonNode *node, const CvdQapiMember *member,
                            JsonNode *siblings)
{
    switch (member->kind) {
    case CVD_QAPI_STRING:
        return cvd_node_get_string(node) || found(place, node, "a string");
    case CVD_QAPI_BOOLEAN:
    case CVD_QAPI_SERVER:
    case CVD_QAPI_WAIT:
        return is_boolean(node) || found(place, node, "true or false");
    case CVD_QAPI_INTEGER:
        return (cvd_node_is_integer(node) && json_node_get_int(node) >= 0) ||
               found(place, node, "an integer that is not negative");
    case CVD_QAPI_PATH:
        if (!cvd_node_get_string(node))
            return found(place, node, "a path");
        resolve(place, node, siblings);
        return TRUE;
    case CVD_QAPI_FD:
        return is_socket(cvd_node_get_string(node)) ||
               found(place, node, "\"${socket:NAME}\", of a socket of an entry of programs");
    case CVD_QAPI_UNION:
        return read_union(place, node, member->choice);
    case CVD_QAPI_END:
        break;
    }
    g_assert_not_reached();
}

/* @others: what @node has beside the members of a type */
static gboolean read_members(const CvdPlace *place, JsonNode *node, const CvdQapiUnion *choice,
                             const CvdQapiVariant *variant, const char *const *others)
{
    JsonObjectIter iter;
    const char *name;
    JsonNode *value;
    gboolean is_good = TRUE;

    json_object_iter_init_ordered(&iter, json_node_get_object(node));
    while (json_object_iter_next_ordered(&iter, &name, &value)) {
        const CvdQapiMember *member = find_member(variant->members, name);
        CvdPlace at = cvd_place_member(place, name, value);
        if (g_strv_contains(others, name))
            continue;
        if (!member)
            member = find_member(choice->common, name);
        is_good &= member ? read_member(&at, value, member, node)
                          : refuse_member(&at, name, choice, variant);
    }
    for (const CvdQapiMember *member = variant->members; member->kind != CVD_QAPI_END; member++) {
        gboolean is_there =
            !g_strv_contains(others, member->name) && cvd_node_get_member(node, member->name);
        if (!member->is_required || is_there)
            continue;
        cvd_place_problem(place, "needs \"%s\"", member->name);
        is_good = FALSE;
    }
    return is_good;
}

/* Where there is `data`, the members of the type are in it. */
static gboolean read_data(const CvdPlace *place, JsonNode *node, const CvdQapiUnion *choice,
                          const CvdQapiVariant *variant, const char *const *others)
{
    static const char *const none[] = {NULL};
    JsonNode *data = cvd_node_get_member(node, "data");
    CvdPlace at = cvd_place_member(place, "data", data);
    g_autoptr(GList) names = json_object_get_members(json_node_get_object(node));

    if (!JSON_NODE_HOLDS_OBJECT(data))
        return found(&at, data, "an object");
    for (GList *name = names; name; name = name->next) {
        CvdPlace beside = cvd_place_member(place, name->data, NULL);
        if (g_strv_contains(others, name->data) || strcmp(name->data, "data") == 0)
            continue;
        cvd_place_problem(&beside, "put it into \"data\", beside which it has no meaning");
        return FALSE;
    }
    return read_members(&at, data, choice, variant, none);
}

static gboolean read_union(const CvdPlace *place, JsonNode *node, const CvdQapiUnion *choice)
{
    static const char *const others[] = {"type", "id", NULL};
    static const char *const type_alone[] = {"type", NULL};
    const char *const *beside = choice->has_id ? others : type_alone;

    if (!JSON_NODE_HOLDS_OBJECT(node))
        return found(place, node, "an object with QEMU's own names");
    JsonNode *type = cvd_node_get_member(node, "type");
    const CvdQapiVariant *variant = find_variant(choice, cvd_node_get_string(type));
    if (!variant)
        return refuse_type(place, node, choice);
    if (variant->refusal) {
        CvdPlace at = cvd_place_member(place, "type", type);
        cvd_place_problem(&at, "%s: %s", variant->type, variant->refusal);
        return FALSE;
    }
    return cvd_node_get_member(node, "data") ? read_data(place, node, choice, variant, beside)
                                             : read_members(place, node, choice, variant, beside);
}

static gboolean read_id(const CvdPlace *place, JsonNode *node)
{
    JsonNode *id = cvd_node_get_member(node, "id");
    const char *text = cvd_node_get_string(id);
    CvdPlace at = cvd_place_member(place, "id", id);

    if (!id) {
        cvd_place_problem(place, "needs \"id\", by which others name it");
        return FALSE;
    }
    return (text && g_regex_match_simple(CVD_QAPI_ID_PATTERN, text, G_REGEX_DOLLAR_ENDONLY, 0)) ||
           found(&at, id, "letters, digits, '-', '.' and '_', of which the first is a letter");
}

/* Our own would be a second with that id. */
static gboolean check_chardev_id(const CvdPlace *place, JsonNode *node)
{
    static const char *const own[] = {"ivshmem", "qmp", "serial", NULL};
    JsonNode *id = cvd_node_get_member(node, "id");
    CvdPlace at = cvd_place_member(place, "id", id);

    if (!g_strv_contains(own, cvd_node_get_string(id)))
        return TRUE;
    cvd_place_problem(&at, "\"%s\" is the id of one of the launcher's own; choose another",
                      cvd_node_get_string(id));
    return FALSE;
}

static gboolean is_server(JsonNode *server)
{
    return !server || json_node_get_boolean(server);
}

/* @node: a back end whose members are good */
static gboolean check_connected(const CvdPlace *place, JsonNode *node)
{
    JsonNode *type = cvd_node_get_member(cvd_qapi_get_member(node, "addr"), "type");

    if (g_strcmp0(cvd_node_get_string(type), "fd") != 0 ||
        !is_server(cvd_qapi_get_member(node, "server")))
        return TRUE;
    cvd_place_problem(place,
                      "needs \"server\": false, as QEMU's end of such a socket is connected; "
                      "without it QEMU would listen");
    return FALSE;
}

gboolean cvd_qapi_read_chardev(const CvdPlace *place, JsonNode *node)
{
    static const CvdQapiMember members[] = {
        {CVD_QAPI_STRING, "id", NULL, FALSE, NULL},
        {CVD_QAPI_UNION, "backend", NULL, TRUE, &cvd_qapi_backend},
        CVD_QAPI_MEMBERS_END,
    };
    static const CvdQapiVariant entry = {NULL, members, NULL};
    static const CvdQapiUnion plain = {NULL, cvd_qapi_no_members, NULL, FALSE};
    static const char *const none[] = {NULL};

    if (!JSON_NODE_HOLDS_OBJECT(node))
        return found(place, node, "an object with \"id\" and \"backend\"");
    if (!read_members(place, node, &plain, &entry, none))
        return FALSE;
    JsonNode *inner = cvd_node_get_member(node, "backend");
    CvdPlace at = cvd_place_member(place, "backend", inner);
    return read_id(place, node) && check_chardev_id(place, node) && check_connected(&at, inner);
}

gboolean cvd_qapi_read_tpmdev(const CvdPlace *place, JsonNode *node)
{
    return read_union(place, node, &cvd_qapi_tpm) && read_id(place, node);
}

/* ---- Writing ---- */

char *cvd_qemu_escape_value(const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    return g_strjoinv(",,", parts);
}

static void add_string(GString *text, const char *option, const char *value)
{
    g_autofree char *escaped = cvd_qemu_escape_value(value);

    g_string_append_printf(text, ",%s=%s", option, escaped);
}

static void add_boolean(GString *text, const char *option, gboolean value)
{
    g_string_append_printf(text, ",%s=%s", option, value ? "on" : "off");
}

static void add_members(GString *text, JsonNode *node, const CvdQapiMember *members);

static void add_union(GString *text, JsonNode *node, const CvdQapiUnion *choice)
{
    JsonNode *type = cvd_node_get_member(node, "type");

    add_members(text, members_of(node), find_variant(choice, cvd_node_get_string(type))->members);
    add_members(text, members_of(node), choice->common);
}

/* @value: NULL: there is none; @siblings: where it is in */
static void add_member(GString *text, const CvdQapiMember *member, JsonNode *value,
                       JsonNode *siblings)
{
    JsonNode *server = cvd_node_get_member(siblings, "server");

    switch (member->kind) {
    case CVD_QAPI_STRING:
    case CVD_QAPI_PATH:
    case CVD_QAPI_FD:
        if (value)
            add_string(text, member->option, cvd_node_get_string(value));
        break;
    case CVD_QAPI_BOOLEAN:
        if (value)
            add_boolean(text, member->option, json_node_get_boolean(value));
        break;
    case CVD_QAPI_INTEGER:
        if (value)
            g_string_append_printf(text, ",%s=%jd", member->option, json_node_get_int(value));
        break;
    case CVD_QAPI_SERVER:
        add_boolean(text, member->option, is_server(value));
        break;
    case CVD_QAPI_WAIT:
        if (is_server(server))
            add_boolean(text, member->option, value && json_node_get_boolean(value));
        break;
    case CVD_QAPI_UNION:
        if (value)
            add_union(text, value, member->choice);
        break;
    case CVD_QAPI_END:
        g_assert_not_reached();
    }
}

static void add_members(GString *text, JsonNode *node, const CvdQapiMember *members)
{
    for (; members->kind != CVD_QAPI_END; members++)
        add_member(text, members, cvd_node_get_member(node, members->name), node);
}

/* @node: has the type; @entry: has the id */
static char *format(JsonNode *node, JsonNode *entry, const CvdQapiUnion *choice)
{
    g_autoptr(GString) text = g_string_new(cvd_node_get_string(cvd_node_get_member(node, "type")));

    add_string(text, "id", cvd_node_get_string(cvd_node_get_member(entry, "id")));
    add_union(text, node, choice);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

char *cvd_qapi_format_chardev(JsonNode *node)
{
    return format(cvd_node_get_member(node, "backend"), node, &cvd_qapi_backend);
}

char *cvd_qapi_format_tpmdev(JsonNode *node)
{
    return format(node, node, &cvd_qapi_tpm);
}
