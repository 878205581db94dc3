/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/types.h"

G_BEGIN_DECLS

/**
 * cvd_origins_add:
 * @origins: (inout): members are added, named by the path of a value, as `qemu.memory`
 * @prefix: of the paths of this tree
 * @keys: that an object at @place may have
 * @node: (nullable): that object
 *
 * Adds for each key where its value comes from: `default`, a file, or an option; and what options
 * have put into the lists and objects that are values.
 */
void cvd_origins_add(JsonObject *origins, const char *prefix, const CvdKey *keys,
                     const CvdPlace *place, JsonNode *node);

/** cvd_origins_set: Notes that the value at @path, with @prefix before it, is from @origin. */
void cvd_origins_set(JsonObject *origins, const char *prefix, const char *path, const char *origin);

/** cvd_origins_add_overridden: Adds what options have put into @node, a value at @place. */
void cvd_origins_add_overridden(JsonObject *origins, const char *prefix, const CvdPlace *place,
                                JsonNode *node);

G_END_DECLS
