/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/layout.h"

G_BEGIN_DECLS

/**
 * cvd_layout_find_ready_word:
 *
 * Returns: where the word is in the window by which the guest says that it is ready (vsoc/ready.h);
 *   0: this layout has no place for it
 */
guint32 cvd_layout_find_ready_word(const CvdLayout *layout);

G_END_DECLS
