/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/place.h"

G_BEGIN_DECLS

/**
 * CvdTrees:
 * @root: cvd.json; its members `layout` and `qemu` name files or are objects
 * @layout: (nullable): the layout, wherever it came from
 * @qemu: (nullable): the QEMU configuration, wherever it came from
 *
 * The JSON trees of a configuration, all borrowed.
 */
typedef struct {
    JsonNode *root;
    JsonNode *layout;
    JsonNode *qemu;
} CvdTrees;

/**
 * cvd_override:
 * @trees: what the overrides go into; one that goes into a missing tree is left out, as the reason
 *   for that is a problem already
 * @overrides: (array zero-terminated=1) (nullable): `PATH=VALUE` strings
 * @is_early: whether those are applied that change cvd.json itself, which come before the files are
 *   loaded that it names, or those that go into these
 *
 * Applies overrides in order. VALUE is JSON, or a string when it neither parses nor begins like
 * JSON; null removes what stands at PATH. Objects on the way are made where there are none; whether
 * the keys are known is found out when the trees are read.
 */
void cvd_override(CvdReader *reader, const CvdTrees *trees, const char *const *overrides,
                  gboolean is_early);

G_END_DECLS
