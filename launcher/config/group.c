/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration of many machines is made into that of one before anything else of it is read: so
 * no key, and nothing that uses one, knows of groups.
 */
#include "launcher/config/group.h"

#include "base/group-name.h"
#include "launcher/config/name.h"

#include <string.h>

#define INDEX    "${index}"
#define SUFFIX   "-" INDEX
#define MAX_NAME 32 /* bytes: cvd_is_instance_name() */

#define EXPECTED                                                                                   \
    "how many machines, from 1 to " G_STRINGIFY(                                                   \
        CVD_MAX_INSTANCES) ", or the first and the last of at most so many, such as \"1..64\""

/* ---- instances ---- */

static gboolean parse_range(const char *text, guint *first, guint *last)
{
    g_auto(GStrv) ends = g_strsplit(text, "..", 2);

    return ends[0] && ends[1] && cvd_group_index_parse(ends[0], 0, CVD_MAX_INDEX, first) &&
           cvd_group_index_parse(ends[1], *first,
                                 MIN(*first + CVD_MAX_INSTANCES - 1, CVD_MAX_INDEX), last);
}

static gboolean read_instances(const CvdPlace *place, JsonNode *node, CvdGroup *group)
{
    const char *text = cvd_node_get_string(node);
    gint64 n = cvd_node_is_integer(node) ? json_node_get_int(node) : 0;

    if (text && parse_range(text, &group->first, &group->last))
        return TRUE;
    if (n < 1 || n > CVD_MAX_INSTANCES) {
        cvd_place_found(place, node, EXPECTED);
        return FALSE;
    }
    group->first = 1;
    group->last = (guint)n;
    return TRUE;
}

/* ---- name ---- */

static gboolean check_length(const CvdPlace *place, const char *name, guint last)
{
    g_autofree char *longest = cvd_group_name_format(name, last);

    if (strlen(longest) <= MAX_NAME)
        return TRUE;
    cvd_place_problem(place,
                      "%s, the longest name of the group, has %zu bytes; at most %d are allowed",
                      longest, strlen(longest), MAX_NAME);
    return FALSE;
}

/* NULL after a problem. */
static char *check_name(const CvdPlace *place, const char *text, guint last)
{
    g_autofree char *name = g_str_has_suffix(text, SUFFIX)
                                ? g_strndup(text, strlen(text) - strlen(SUFFIX))
                                : g_strdup(text);

    if (cvd_is_instance_name(name))
        return check_length(place, name, last) ? g_steal_pointer(&name) : NULL;
    g_autofree char *shown = cvd_shorten(text, CVD_PLACE_MAX_QUOTED);
    cvd_place_problem(place,
                      "found \"%s\"; expected NAME or NAME" SUFFIX ", as the machines of a group "
                      "are called NAME-1, NAME-2 and so on; NAME is " CVD_NAME_EXPECTED,
                      shown);
    return NULL;
}

/* What is no string is refused where names are read. */
static void read_name(const CvdPlace *root_place, JsonNode *root, const CvdGroupChoice *choice,
                      CvdGroup *group)
{
    const CvdPlace option = {root_place->reader, "--name", root_place->directory, "", 0};
    JsonNode *node = cvd_node_get_member(root, "name");
    CvdPlace place = cvd_place_member(root_place, "name", node);
    const char *text = cvd_node_get_string(node);

    if (choice->name)
        group->name = check_name(&option, choice->name, group->last);
    else if (text)
        group->name = check_name(&place, text, group->last);
    else if (!node)
        group->name = g_strdup(CVD_GROUP_NAME);
    if (!text)
        return;
    if (group->name)
        json_node_set_string(node, group->name);
    else
        json_object_remove_member(json_node_get_object(root), "name"); /* one problem is enough */
}

/* ---- Which machine ---- */

/* The first, after a problem, so that no others follow from it. */
static void choose(const CvdPlace *place, const CvdGroupChoice *choice, CvdGroup *group)
{
    guint n = group->last - group->first + 1;

    group->index = group->first;
    if (!choice->index && !choice->may_choose)
        cvd_problem(place->reader->problems,
                    "%s is a group of %u (%u..%u): say which with --index N, or start all with "
                    "cvd-up",
                    place->origin, n, group->first, group->last);
    else if (choice->index &&
             !cvd_group_index_parse(choice->index, group->first, group->last, &group->index))
        cvd_problem(place->reader->problems, "--index %s: %s is a group of %u (%u..%u)",
                    choice->index, place->origin, n, group->first, group->last);
}

/* One that has what only a group can. */
static void check_single(const CvdPlace *root_place, JsonNode *root, const CvdGroupChoice *choice)
{
    JsonNode *node = cvd_node_get_member(root, "name");
    CvdPlace place = cvd_place_member(root_place, "name", node);
    const char *name = cvd_node_get_string(node);

    if (choice->index)
        cvd_problem(root_place->reader->problems,
                    "--index %s: %s has no \"instances\", so it is one machine; name the "
                    "configuration of a group with --config, or leave --index out",
                    choice->index, root_place->origin);
    if (!name || !strstr(name, INDEX))
        return;
    cvd_place_problem(&place, "\"" INDEX "\" is for a group; add \"instances\", or leave it out");
    json_object_remove_member(json_node_get_object(root), "name");
}

gboolean cvd_group_read(const CvdPlace *place, JsonNode *root, const CvdGroupChoice *choice,
                        CvdGroup *group)
{
    JsonNode *node = cvd_node_get_member(root, "instances");
    CvdPlace instances = cvd_place_member(place, "instances", node);

    if (!node) {
        check_single(place, root, choice);
        return FALSE;
    }
    gboolean is_good = read_instances(&instances, node, group);
    read_name(place, root, choice, group);
    if (is_good)
        choose(place, choice, group);
    return TRUE;
}

/* ---- Strings ---- */

static char *expand(const char *text, guint index)
{
    g_autoptr(GString) expanded = g_string_new(NULL);

    while (*text) {
        gsize length = g_str_has_prefix(text, "$$") ? 2 : 1;
        if (g_str_has_prefix(text, INDEX)) {
            g_string_append_printf(expanded, "%u", index);
            length = strlen(INDEX);
        } else {
            g_string_append_len(expanded, text, (gssize)length);
        }
        text += length;
    }
    return g_string_free(g_steal_pointer(&expanded), FALSE);
}

static void expand_node(const CvdPlace *place, const char *key, JsonNode *node, gpointer data)
{
    const char *text = cvd_node_get_string(node);

    if (!text || !strstr(text, INDEX))
        return;
    g_autofree char *expanded = expand(text, *(const guint *)data);
    json_node_set_string(node, expanded);
}

void cvd_group_expand(const CvdPlace *place, JsonNode *node, guint index)
{
    if (node)
        cvd_place_walk(place, node, expand_node, &index);
}
