/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/config.h"
#include "launcher/config/fields.h"

G_BEGIN_DECLS

/** CVD_DRAFT_UNSET: marks a number of a draft that was not given. */
#define CVD_DRAFT_UNSET (-1)

/** CVD_NAME_EXPECTED: what an instance's name is, for messages */
#define CVD_NAME_EXPECTED                                                                          \
    "1 to 32 letters, digits, '_', '.' or '-', of which the first is a letter or digit"

/**
 * CvdDraft:
 * @config: what is handed out in the end; comes first, so that cvd_config_free() frees the draft
 * @window_size: `window.size` in bytes, or 0
 * @hugepages: index of the word, or %CVD_DRAFT_UNSET; @config has the size
 * @prealloc: a gboolean, or %CVD_DRAFT_UNSET
 *
 * A configuration while it is made.
 */
typedef struct {
    CvdConfig config;
    guint64 window_size;
    int hugepages;
    int prealloc;
} CvdDraft;

/** cvd_draft_new: Returns: (transfer full): all defaults but those of QEMU */
CvdDraft *cvd_draft_new(void);

/**
 * cvd_draft_read:
 * @place: where cvd.json's object stands
 * @node: the object; its `layout` and `qemu` are left to others
 *
 * Reads cvd.json: cvd-launch(1), CONFIGURATION.
 */
void cvd_draft_read(CvdDraft *draft, const CvdPlace *place, JsonNode *node);

/** cvd_is_instance_name: Returns: whether @name keeps the rule for names of instances */
gboolean cvd_is_instance_name(const char *name);

G_END_DECLS
