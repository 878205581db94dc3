/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/types.h"
#include "launcher/config/values.h"

G_BEGIN_DECLS

/** cvd_type_access: rules, which have cvd_access_rule_keys, in a CvdAccessRules * */
extern const CvdType cvd_type_access;
extern const CvdKey cvd_access_rule_keys[];

/**
 * cvd_access_check:
 * @place: where `access` stands
 * @node: (nullable): what stands there
 * @config: with its layout
 *
 * Reports regions that the layout has not, and of rules that the sockets' modes make useless.
 */
void cvd_access_check(const CvdPlace *place, JsonNode *node, const CvdConfig *config);

/**
 * cvd_regions_check:
 * @place: where @object stands
 * @object: with a list of names, `regions`, or without one
 *
 * Reports the names of regions that @layout has not.
 */
void cvd_regions_check(const CvdPlace *place, JsonNode *object, const CvdLayout *layout);

/** CVD_NO_GROUP: no group's number */
#define CVD_NO_GROUP ((gid_t)-1)

/**
 * cvd_user_find:
 * @name: of a user, or a number
 * @uid: (out): the user's id
 * @gid: (out) (nullable): the user's group; %CVD_NO_GROUP where nobody has the number
 *
 * Returns: whether there is such a user; a number always is
 */
gboolean cvd_user_find(const char *name, uid_t *uid, gid_t *gid);

/** cvd_group_find: Returns: whether there is such a group; a number always is */
gboolean cvd_group_find(const char *name, gid_t *gid);

G_END_DECLS
