/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * The machines of a group are instances by the names GROUP-INDEX. Nothing but the names makes a
 * group.
 */

/** CVD_MAX_INDEX: the greatest number of a machine in its group */
#define CVD_MAX_INDEX 999999999

/** cvd_group_name_format: Returns: (transfer full): the name of the machine @index of @group */
char *cvd_group_name_format(const char *group, guint index);

/**
 * cvd_group_name_parse:
 * @name: an instance's
 * @index: (out) (optional): its number
 *
 * Returns: (transfer full) (nullable): the group that it is of; %NULL: its name has not that form
 */
char *cvd_group_name_parse(const char *name, guint *index);

/**
 * cvd_group_name_compare:
 *
 * Returns: as strcmp(): the order of two names, in which the machines of a group are in the order
 * of their numbers
 */
int cvd_group_name_compare(const char *one, const char *other);

/**
 * cvd_group_index_parse:
 * @text: digits, of which the first is no zero that is not the only one
 * @min: the least that is allowed
 * @max: the most
 *
 * Returns: whether it is such a number
 */
gboolean cvd_group_index_parse(const char *text, guint min, guint max, guint *index);

G_END_DECLS
