/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/origins.h"

void cvd_origins_set(JsonObject *origins, const char *prefix, const char *path, const char *origin)
{
    g_autofree char *name = g_strconcat(prefix, path, NULL);
    g_autofree char *valid = g_utf8_make_valid(origin, -1);

    json_object_set_string_member(origins, name, valid);
}

static void add_if_overridden(JsonObject *origins, const char *prefix, const CvdPlace *place,
                              const CvdPlace *child, JsonNode *node)
{
    if (child->origin != place->origin)
        cvd_origins_set(origins, prefix, child->path, child->origin);
    cvd_origins_add_overridden(origins, prefix, child, node);
}

void cvd_origins_add_overridden(JsonObject *origins, const char *prefix, const CvdPlace *place,
                                JsonNode *node)
{
    CvdElement element = {0};
    JsonObjectIter iter;
    const char *name;
    JsonNode *member;

    while (cvd_place_next(place, node, &element))
        add_if_overridden(origins, prefix, place, &element.place, element.node);
    if (!JSON_NODE_HOLDS_OBJECT(node))
        return;
    json_object_iter_init_ordered(&iter, json_node_get_object(node));
    while (json_object_iter_next_ordered(&iter, &name, &member)) {
        g_autofree char *path = NULL;
        CvdPlace child = cvd_place_member(place, name, member, &path);
        add_if_overridden(origins, prefix, place, &child, member);
    }
}

void cvd_origins_add(JsonObject *origins, const char *prefix, const CvdKey *keys,
                     const CvdPlace *place, JsonNode *node)
{
    for (; keys->name; keys++) {
        JsonNode *value = node && JSON_NODE_HOLDS_OBJECT(node)
                              ? json_object_get_member(json_node_get_object(node), keys->name)
                              : NULL;
        g_autofree char *path = NULL;
        CvdPlace child = cvd_place_member(place, keys->name, value, &path);

        if (keys->type == &cvd_type_object) {
            cvd_origins_add(origins, prefix, keys->members, &child, value);
        } else if (keys->type->print) {
            cvd_origins_set(origins, prefix, path, value ? child.origin : "default");
            if (value)
                cvd_origins_add_overridden(origins, prefix, &child, value);
        }
    }
}
