/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/name.h"

#include <string.h>

gboolean cvd_is_instance_name(const char *name)
{
    static const char others[] = "_.-";

    gsize length = strlen(name);
    if (length < 1 || length > 32 || !g_ascii_isalnum(*name))
        return FALSE;
    for (; *name; name++) {
        if (!g_ascii_isalnum(*name) && !strchr(others, *name))
            return FALSE;
    }
    return TRUE;
}

static void read_name(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *name = cvd_node_get_string(node);

    if (name && cvd_is_instance_name(name))
        cvd_string_take(slot, g_strdup(name));
    else
        cvd_place_found(place, node, CVD_NAME_EXPECTED);
}

const CvdType cvd_type_name = {
    read_name, cvd_string_print, cvd_string_clear,
    "{'type': 'string', 'pattern': '^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$'}"};
