/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CvdFoundEnd: what becomes of a machine that somebody else has started */
typedef enum {
    CVD_FOUND_READY,  /* as lifecycle.ready in its configuration has it */
    CVD_FOUND_GONE,   /* its launcher has ended, so that another can be started */
    CVD_FOUND_FAILED, /* it does not come up, and says why; or it does not answer */
} CvdFoundEnd;

/** CvdFoundEnded: @failure: (nullable): why, with %CVD_FOUND_FAILED. May free what calls it. */
typedef void (*CvdFoundEnded)(CvdFoundEnd end, const char *failure, gpointer user_data);

/**
 * CvdFound:
 *
 * A machine that runs already, which is followed over its control socket until it is up or gone.
 */
typedef struct CvdFound CvdFound;

/** CVD_FOUND_ANSWER_MS: how long it may take to answer, at any time */
#define CVD_FOUND_ANSWER_MS 5000

/** cvd_found_new: @dir: the instance's directory; @ended: called once, from the default
 * #GMainContext */
CvdFound *cvd_found_new(const char *dir, CvdFoundEnded ended, gpointer user_data);

/** cvd_found_free: leaves the machine alone; @ended is not called any more */
void cvd_found_free(CvdFound *found);

G_END_DECLS
