/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdFailures:
 *
 * What went wrong with machines of a group. Many fail for one reason, which is to be read once.
 */
typedef struct CvdFailures CvdFailures;

CvdFailures *cvd_failures_new(void);
void cvd_failures_free(CvdFailures *failures);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdFailures, cvd_failures_free)

/**
 * cvd_failures_add:
 * @name: of the machine
 * @reason: why; where it only differs in the machine's own number it is the same
 *
 * Returns: whether it is the first with that reason: then it is to be shown
 */
gboolean cvd_failures_add(CvdFailures *failures, const char *name, const char *reason);

/** cvd_failures_get_n: Returns: how many machines there are */
guint cvd_failures_get_n(const CvdFailures *failures);

/**
 * cvd_failures_format_others:
 *
 * Returns: (transfer full) (element-type utf8): a line for each reason that several had, about
 *   those that were not the first, in order: `as phone-1: phone-2, phone-3 and 60 more`
 */
GPtrArray *cvd_failures_format_others(const CvdFailures *failures);

G_END_DECLS
