/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/types.h"
#include "launcher/config/values.h"

G_BEGIN_DECLS

/** cvd_type_run_as: `USER` or `USER:GROUP`, names or numbers, in a CvdRunAs * */
extern const CvdType cvd_type_run_as;

void cvd_run_as_free(CvdRunAs *run_as);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdRunAs, cvd_run_as_free)

/**
 * cvd_run_as_enter:
 *
 * Gives this process the user's ids, for good. Between fork and exec: only system calls.
 *
 * Returns: 0, or −1 with `errno` set
 */
int cvd_run_as_enter(const CvdRunAs *run_as);

G_END_DECLS
