/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/origins.h"

void cvd_origins_set(JsonObject *origins, const char *prefix, const char *path, const char *origin)
{
    g_autofree char *name = g_strconcat(prefix, path, NULL);
    g_autofree char *valid = g_utf8_make_valid(origin, -1);

    json_object_set_string_member(origins, name, valid);
}

typedef struct {
    JsonObject *origins;
    const char *prefix;
} Target;

static void add_if_overridden(const CvdPlace *place, const char *key, JsonNode *node, gpointer data)
{
    Target *target = data;

    if (g_hash_table_contains(place->reader->overrides, node))
        cvd_origins_set(target->origins, target->prefix, place->path, place->origin);
}

void cvd_origins_add_overridden(JsonObject *origins, const char *prefix, const CvdPlace *place,
                                JsonNode *node)
{
    cvd_place_walk(place, node, add_if_overridden, &(Target){origins, prefix});
}

void cvd_origins_add(JsonObject *origins, const char *prefix, const CvdKey *keys,
                     const CvdPlace *place, JsonNode *node)
{
    for (; keys->name; keys++) {
        JsonNode *value = cvd_node_get_member(node, keys->name);
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
