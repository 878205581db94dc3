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
 * cvd_override_files:
 * @overrides: (array zero-terminated=1) (nullable): `PATH=VALUE` strings
 *
 * Applies those whose PATH is `layout` or `qemu`: they say what is loaded, so they come before the
 * files are, and before all that go into these.
 */
void cvd_override_files(CvdReader *reader, JsonNode *root, const char *const *overrides);

/**
 * cvd_override_values:
 * @trees: what the overrides go into; one that goes into a missing tree is left out, as the reason
 *   for that is a problem already
 *
 * Applies the others, in order. VALUE is JSON, or a string when it neither parses nor begins like
 * JSON; null removes what stands at PATH. Objects on the way are made where there are none; whether
 * the keys are known is found out when the trees are read.
 */
void cvd_override_values(CvdReader *reader, const CvdTrees *trees, const char *const *overrides);

G_END_DECLS
