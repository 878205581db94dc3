/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/place.h"
#include "launcher/config/values.h"

G_BEGIN_DECLS

/** CVD_MAX_INSTANCES: machines of one group */
#define CVD_MAX_INSTANCES 10000

/** CVD_GROUP_NAME: that of a group whose configuration has none */
#define CVD_GROUP_NAME "cvd"

/** CVD_INSTANCES_SCHEMA: of `instances` */
#define CVD_INSTANCES_SCHEMA                                                                       \
    "{'anyOf': [{'type': 'integer', 'minimum': 1,"                                                 \
    " 'maximum': " G_STRINGIFY(                                                                    \
        CVD_MAX_INSTANCES) "},"                                                                    \
                           " {'type': 'string',"                                                   \
                           " 'pattern': '^(0|[1-9][0-9]{0,8})[.][.](0|[1-9][0-9]{0,8})$'}]}"

/** CVD_GROUP_NAME_SCHEMA: of `name`, beside that of a name */
#define CVD_GROUP_NAME_SCHEMA "{'pattern': '^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}(-[$][{]index[}])?$'}"

/**
 * CvdGroupChoice:
 * @name: (nullable): `--name`, which counts in place of that of the configuration
 * @index: (nullable): `--index`
 * @may_choose: whether the first machine is meant where @index is %NULL
 *
 * Which machine of a group is meant.
 */
typedef struct {
    const char *name;
    const char *index;
    gboolean may_choose;
} CvdGroupChoice;

/**
 * cvd_group_read:
 * @place: where cvd.json stands
 * @root: what stands there; a `name` with `${index}` in it loses that
 * @group: (inout): zero; the group and the machine that is meant, without a name if there is no
 *   group, or after a problem with the name
 *
 * Reads `instances`, and checks the names of all machines. What is wrong, and a @choice that there
 * is not, becomes a problem.
 *
 * Returns: whether it is the configuration of a group: then all strings are to go through
 *   cvd_group_expand()
 */
gboolean cvd_group_read(const CvdPlace *place, JsonNode *root, const CvdGroupChoice *choice,
                        CvdGroup *group);

/**
 * cvd_group_expand:
 * @node: (nullable): what stands at @place
 *
 * Puts the number in place of each `${index}` of the strings in @node, at any depth. One after
 * another dollar stays, so that `$$` means the same as elsewhere.
 */
void cvd_group_expand(const CvdPlace *place, JsonNode *node, guint index);

G_END_DECLS
