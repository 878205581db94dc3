/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/layout.h"

G_BEGIN_DECLS

/** cvd_layout_to_text: Returns: (transfer full): the window as a map for people */
char *cvd_layout_to_text(const CvdLayout *layout);
/** cvd_layout_to_json: Returns: (transfer full): every number of the layout as JSON */
char *cvd_layout_to_json(const CvdLayout *layout);
/**
 * cvd_layout_to_c_header:
 *
 * Returns: (transfer full): a self-contained C header with offsets and sizes as macros and static
 *   assertions that the ABI structures match
 */
char *cvd_layout_to_c_header(const CvdLayout *layout);

/** cvd_layout_digest: Returns: (transfer full): SHA-256 of the bytes that the window starts with,
 * 64 hexadecimal digits: the same for the same window */
char *cvd_layout_digest(const CvdLayout *layout);

G_END_DECLS
