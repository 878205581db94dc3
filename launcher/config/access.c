/* SPDX-License-Identifier: Apache-2.0 */
/* `access` of cvd.json: who may have which regions. The first rule that fits counts. */
#include "launcher/config/access.h"

#include "base/nearest.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char *user;
    char *group;
    char **regions;
    CvdAccess access;
    gboolean has_mode;
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
static void read_id(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    const char *name = cvd_node_get_string(node);
    g_autofree char *number = NULL;

    if (json_node_get_value_type(node) == G_TYPE_INT64 && json_node_get_int(node) >= 0)
        name = number = g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node));
    if (name != NULL && *name)
        cvd_store_string(target, field->offset, g_strdup(name));
    else
        cvd_place_found(place, node, "a name, a number or \"*\"");
}

static void read_regions(const CvdPlace *place, JsonNode *node, const CvdField *field,
                         gpointer target)
{
    if (g_strcmp0(cvd_node_get_string(node), "*") == 0)
        return;
    if (JSON_NODE_HOLDS_ARRAY(node))
        cvd_read_strings(place, node, field, target);
    else
        cvd_place_found(place, node, "\"*\" or a list of regions' names");
}

static void read_mode(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    DraftRule *rule = target;
    const char *mode = cvd_node_get_string(node);

    rule->has_mode = TRUE;
    if (g_strcmp0(mode, "rw") == 0)
        rule->access = CVD_ACCESS_READ_WRITE;
    else if (g_strcmp0(mode, "ro") == 0)
        rule->access = CVD_ACCESS_READ_ONLY;
    else
        cvd_place_found(place, node, "\"rw\" or \"ro\"");
}

static const CvdField rule_fields[] = {
    {.key = "user", .read = read_id, .offset = G_STRUCT_OFFSET(DraftRule, user)},
    {.key = "group", .read = read_id, .offset = G_STRUCT_OFFSET(DraftRule, group)},
    {.key = "regions", .read = read_regions, .offset = G_STRUCT_OFFSET(DraftRule, regions)},
    {.key = "mode", .read = read_mode},
    {.key = NULL},
};

static void resolve(const CvdPlace *place, const DraftRule *draft, CvdAccessRule *rule)
{
    if ((draft->user == NULL) == (draft->group == NULL)) {
        cvd_place_problem(place, "needs either \"user\" or \"group\", and one of them only");
    } else if (g_strcmp0(draft->user, "*") == 0 || g_strcmp0(draft->group, "*") == 0) {
        rule->subject = CVD_SUBJECT_EVERYBODY;
    } else if (draft->user != NULL) {
        rule->subject = CVD_SUBJECT_USER;
        if (!cvd_user_find(draft->user, &rule->id, NULL))
            cvd_place_problem(place, "there is no user \"%s\"; `getent passwd` lists them",
                              draft->user);
    } else {
        rule->subject = CVD_SUBJECT_GROUP;
        if (!cvd_group_find(draft->group, &rule->id))
            cvd_place_problem(place, "there is no group \"%s\"; `getent group` lists them",
                              draft->group);
    }
    if (!draft->has_mode)
        cvd_place_problem(place, "needs \"mode\", \"rw\" or \"ro\"");
}

static void read_rule(const CvdPlace *place, JsonNode *node, GArray *rules)
{
    DraftRule draft = {0};

    cvd_fields_read(place, node, rule_fields, &draft);
    CvdAccessRule rule = {.regions = draft.regions, .access = draft.access};
    if (JSON_NODE_HOLDS_OBJECT(node))
        resolve(place, &draft, &rule);
    g_array_append_val(rules, rule);
    g_free(draft.user);
    g_free(draft.group);
}

void cvd_access_read(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        cvd_place_found(place, node, "a list of rules");
        return;
    }
    JsonArray *array = json_node_get_array(node);
    g_autoptr(GArray) rules = g_array_new(FALSE, FALSE, sizeof(CvdAccessRule));
    for (guint i = 0; i < json_array_get_length(array); i++) {
        g_autofree char *path = NULL;
        JsonNode *element = json_array_get_element(array, i);
        CvdPlace at = cvd_place_element(place, i, element, &path);
        read_rule(&at, element, rules);
    }
    CvdAccessRules **list = &G_STRUCT_MEMBER(CvdAccessRules *, target, field->offset);
    g_clear_pointer(list, cvd_access_rules_unref);
    *list = cvd_access_rules_new((const CvdAccessRule *)(gconstpointer)rules->data, rules->len);
    for (guint i = 0; i < rules->len; i++)
        g_strfreev(g_array_index(rules, CvdAccessRule, i).regions);
}

static void check_region(const CvdPlace *place, const CvdLayout *layout, const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    if (cvd_layout_find(layout, name, strlen(name)) >= 0)
        return;
    for (guint i = 0; i < layout->n_regions; i++)
        g_ptr_array_add(names, (char *)layout->regions[i].name);
    g_ptr_array_add(names, NULL);
    const char *nearest = cvd_nearest_name(name, (const char *const *)names->pdata);
    if (nearest != NULL)
        cvd_place_problem(place, "the layout has no region \"%s\"; did you mean \"%s\"?", name,
                          nearest);
    else
        cvd_place_problem(place, "the layout has no region \"%s\"", name);
}

static void check_regions(const CvdPlace *place, JsonNode *rule, const CvdLayout *layout)
{
    JsonNode *regions = JSON_NODE_HOLDS_OBJECT(rule)
                            ? json_object_get_member(json_node_get_object(rule), "regions")
                            : NULL;

    if (regions == NULL || !JSON_NODE_HOLDS_ARRAY(regions))
        return;
    JsonArray *names = json_node_get_array(regions);
    for (guint i = 0; i < json_array_get_length(names); i++) {
        const char *name = cvd_node_get_string(json_array_get_element(names, i));
        if (name != NULL)
            check_region(place, layout, name);
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
    if (node == NULL || !JSON_NODE_HOLDS_ARRAY(node))
        return;
    JsonArray *array = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(array); i++) {
        g_autofree char *path = NULL;
        JsonNode *element = json_array_get_element(array, i);
        CvdPlace at = cvd_place_element(place, i, element, &path);
        check_regions(&at, element, config->layout);
    }
    if (place->reader->problems->len == 0)
        check_reach(place, config);
}
