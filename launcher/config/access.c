/* SPDX-License-Identifier: Apache-2.0 */
/* `access` of cvd.json: who may have which regions. The first rule that fits counts. */
#include "launcher/config/access.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char *user;
    char *group;
    char **regions;
    int mode;
} DraftRule;

static gboolean parse_id(const char *text, guint32 *id)
{
    guint64 number;

    if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT32 - 1, &number, NULL))
        return FALSE;
    *id = (guint32)number;
    return TRUE;
}

gboolean cvd_user_find(const char *name, uid_t *uid, gid_t *gid)
{
    gboolean is_number = parse_id(name, uid);
    const struct passwd *entry = is_number ? getpwuid(*uid) : getpwnam(name);

    if (entry != NULL)
        *uid = entry->pw_uid;
    if (gid != NULL)
        *gid = entry != NULL ? entry->pw_gid : CVD_NO_GROUP;
    return is_number || entry != NULL;
}

gboolean cvd_group_find(const char *name, gid_t *gid)
{
    const struct group *entry;

    if (parse_id(name, gid))
        return TRUE;
    entry = getgrnam(name);
    if (entry != NULL)
        *gid = entry->gr_gid;
    return entry != NULL;
}

/* A name, or a number as such or as a string. */
static void read_id(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *name = cvd_node_get_string(node);
    g_autofree char *number = NULL;

    if (cvd_node_is_integer(node) && json_node_get_int(node) >= 0)
        name = number = g_strdup_printf("%jd", json_node_get_int(node));
    if (name != NULL && *name)
        cvd_string_take(slot, g_strdup(name));
    else
        cvd_place_found(place, node, "a name, a number or \"*\"");
}

static void read_regions(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    if (g_strcmp0(cvd_node_get_string(node), "*") == 0)
        return;
    if (JSON_NODE_HOLDS_ARRAY(node))
        cvd_type_strings.read(place, node, key, slot);
    else
        cvd_place_found(place, node, "\"*\" or a list of regions' names");
}

/* clang-format off */
static const CvdType type_id = {read_id, NULL, NULL,
    "{'anyOf': [" CVD_STRING_SCHEMA ","
    " {'type': 'integer', 'minimum': 0, 'maximum': 4294967294}]}"};
static const CvdType type_regions = {read_regions, NULL, NULL,
    "{'anyOf': [{'const': '*'}, {'type': 'array', 'items': " CVD_STRING_SCHEMA "}]}"};
/* clang-format on */

enum {
    MODE_RW,
    MODE_RO,
};
static const char *const mode_words[] = {"rw", "ro", NULL};

#define AT(member) G_STRUCT_OFFSET(DraftRule, member)

const CvdKey cvd_access_rule_keys[] = {
    CVD_KEY("user", "0.1", type_id, AT(user), NULL,
            "Name or number of a user, or * for everybody."),
    CVD_KEY("group", "0.1", type_id, AT(group), NULL,
            "Name or number of a group, or * for everybody."),
    CVD_KEY("regions", "0.1", type_regions, AT(regions), "'*'", "Names of regions, or * for all."),
    CVD_KEY("mode", "0.1", cvd_type_word, AT(mode), NULL,
            "rw gives the window and the doorbells. ro gives the window for reading only, and "
            "doorbells that do nothing.",
            .words = mode_words),
    CVD_KEYS_END,
};

/* @node: the rule's, in which also stands what was refused already */
static void resolve(const CvdPlace *place, JsonNode *node, const DraftRule *draft,
                    CvdAccessRule *rule)
{
    gboolean has_user = cvd_node_get_member(node, "user") != NULL;

    if (has_user == (cvd_node_get_member(node, "group") != NULL)) {
        cvd_place_problem(place, "needs either \"user\" or \"group\", and one of them only");
    } else if (g_strcmp0(draft->user, "*") == 0 || g_strcmp0(draft->group, "*") == 0) {
        rule->subject = CVD_SUBJECT_EVERYBODY;
    } else if (draft->user != NULL) {
        rule->subject = CVD_SUBJECT_USER;
        if (!cvd_user_find(draft->user, &rule->id, NULL))
            cvd_place_problem(place, "there is no user \"%s\"; `getent passwd` lists them",
                              draft->user);
    } else if (draft->group != NULL) {
        rule->subject = CVD_SUBJECT_GROUP;
        if (!cvd_group_find(draft->group, &rule->id))
            cvd_place_problem(place, "there is no group \"%s\"; `getent group` lists them",
                              draft->group);
    }
    if (!cvd_node_get_member(node, "mode"))
        cvd_place_problem(place, "needs \"mode\", \"rw\" or \"ro\"");
}

static void read_rule(const CvdPlace *place, JsonNode *node, GArray *rules)
{
    DraftRule draft = {0};

    cvd_keys_read(place, node, cvd_access_rule_keys, &draft);
    CvdAccessRule rule = {
        .regions = draft.regions,
        .access = draft.mode == MODE_RO ? CVD_ACCESS_READ_ONLY : CVD_ACCESS_READ_WRITE,
    };
    if (JSON_NODE_HOLDS_OBJECT(node))
        resolve(place, node, &draft, &rule);
    g_array_append_val(rules, rule);
    g_free(draft.user);
    g_free(draft.group);
}

static void read_access(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    g_autoptr(GArray) rules = g_array_new(FALSE, FALSE, sizeof(CvdAccessRule));
    CvdAccessRules **list = slot;
    CvdElement element = {0};

    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        cvd_place_found(place, node, "a list of rules");
        return;
    }
    while (cvd_place_next(place, node, &element))
        read_rule(&element.place, element.node, rules);
    g_clear_pointer(list, cvd_access_rules_unref);
    *list = cvd_access_rules_new((const CvdAccessRule *)(gconstpointer)rules->data, rules->len);
    for (guint i = 0; i < rules->len; i++)
        g_strfreev(g_array_index(rules, CvdAccessRule, i).regions);
}

static JsonNode *print_rule(const CvdAccessRule *rule)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    JsonObject *object = json_object_new();

    json_node_take_object(node, object);
    if (rule->subject == CVD_SUBJECT_EVERYBODY)
        json_object_set_string_member(object, "user", "*");
    else
        json_object_set_int_member(object, rule->subject == CVD_SUBJECT_USER ? "user" : "group",
                                   rule->id);
    if (rule->regions)
        json_object_set_member(object, "regions",
                               cvd_strings_node((const char *const *)rule->regions));
    json_object_set_string_member(
        object, "mode", mode_words[rule->access == CVD_ACCESS_READ_ONLY ? MODE_RO : MODE_RW]);
    return node;
}

static JsonNode *print_access(const CvdKey *key, gconstpointer slot)
{
    const CvdAccessRules *access = *(CvdAccessRules *const *)slot;
    guint n_rules;

    if (!access)
        return NULL;
    const CvdAccessRule *rules = cvd_access_rules_get(access, &n_rules);
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(node, json_array_sized_new(n_rules));
    for (guint i = 0; i < n_rules; i++)
        json_array_add_element(json_node_get_array(node), print_rule(&rules[i]));
    return node;
}

static void clear_access(const CvdKey *key, gpointer slot)
{
    g_clear_pointer((CvdAccessRules **)slot, cvd_access_rules_unref);
}

const CvdType cvd_type_access = {read_access, print_access, clear_access,
                                 "{'type': 'array', 'items': {'required': ['mode'],"
                                 " 'oneOf': [{'required': ['user']}, {'required': ['group']}]}}"};

static void check_region(const CvdPlace *place, const CvdLayout *layout, const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    if (cvd_layout_find(layout, name, strlen(name)) >= 0)
        return;
    for (guint i = 0; i < layout->n_regions; i++)
        g_ptr_array_add(names, (char *)layout->regions[i].name);
    g_ptr_array_add(names, NULL);
    cvd_place_no_such(place, "the layout has no region", name, (const char *const *)names->pdata);
}

void cvd_regions_check(const CvdPlace *place, JsonNode *object, const CvdLayout *layout)
{
    JsonNode *regions = cvd_node_get_member(object, "regions");
    CvdPlace list = cvd_place_member(place, "regions", regions);
    CvdElement element = {0};

    while (regions && cvd_place_next(&list, regions, &element)) {
        const char *name = cvd_node_get_string(element.node);
        if (name != NULL)
            check_region(&element.place, layout, name);
    }
}

/* Another user needs a way to the socket, and its permission. */
static void check_reach(const CvdPlace *place, const CvdConfig *config)
{
    gboolean is_open = (config->socket_mode & 0066) != 0 && config->client_socket != NULL;

    if (!is_open && cvd_access_rules_is_for_others(config->access, geteuid())) {
        g_autofree char *where = cvd_place_describe(place);
        g_warning("%s: other users cannot reach the client socket; put it where they can, with "
                  "sockets.client, and let them in with sockets.mode, such as \"0666\"",
                  where);
    }
}

void cvd_access_check(const CvdPlace *place, JsonNode *node, const CvdConfig *config)
{
    CvdElement element = {0};

    while (cvd_place_next(place, node, &element))
        cvd_regions_check(&element.place, element.node, config->layout);
    if (place->reader->problems->len == 0)
        check_reach(place, config);
}
