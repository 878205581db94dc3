/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/layout-file.h"

G_BEGIN_DECLS

/**
 * cvd_layout_file_advise:
 * @place: where @file's object stands
 * @layout: what was computed from @file
 * @n_vcpus: of the guest
 *
 * Logs what docs/window.md, Layout files asks for: a note when the declared version is
 * not 2.0, warnings of more than 190 regions a vCPU and of names that a guest's /dev has already.
 */
void cvd_layout_file_advise(const CvdLayoutFile *file, const CvdPlace *place,
                            const CvdLayout *layout, guint n_vcpus);

G_END_DECLS
