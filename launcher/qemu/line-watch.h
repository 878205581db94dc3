/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_LINE_WATCH_MAX_LINE: how much of a line is looked at, in bytes */
#define CVD_LINE_WATCH_MAX_LINE 1024
/** CVD_LINE_WATCH_MAX_PATTERN: how long a pattern may be, in bytes */
#define CVD_LINE_WATCH_MAX_PATTERN 1000
/** CVD_LINE_WATCH_MAX_US, CVD_LINE_WATCH_SHARE: how much time all lines together may take: so many
 * microseconds, and one of so many that pass */
#define CVD_LINE_WATCH_MAX_US G_USEC_PER_SEC
#define CVD_LINE_WATCH_SHARE  20

/**
 * cvd_line_pattern_check:
 * @pattern: a regular expression of PCRE2, for bytes
 * @error: %CVD_ERROR_INVALID: what is wrong with it, and where; one that any line matches is, too
 *
 * Returns: whether it is fit for cvd_line_watch_new()
 */
gboolean cvd_line_pattern_check(const char *pattern, GError **error);

/**
 * CvdLineWatch:
 *
 * Looks for a line in what a guest prints. Escape sequences of terminals and control characters
 * are no part of a line, which a line feed or a carriage return ends. A line is also looked at when
 * it is not complete, as a prompt never is; `$` does not match its end then. Pure, but for the time
 * that it takes: a guest that prints what is costly to compare is not compared any more.
 */
typedef struct CvdLineWatch CvdLineWatch;

/** cvd_line_watch_new: @pattern: one that is fit; Returns: (transfer full): a watch */
CvdLineWatch *cvd_line_watch_new(const char *pattern);
void cvd_line_watch_free(CvdLineWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdLineWatch, cvd_line_watch_free)

typedef enum {
    CVD_LINE_WATCH_GOES_ON,
    CVD_LINE_WATCH_MATCHED,  /* once */
    CVD_LINE_WATCH_GIVEN_UP, /* once: it took more time than it may */
} CvdLineWatchResult;

/**
 * cvd_line_watch_take:
 * @bytes: (array length=size): what was printed next
 *
 * After a result that comes once nothing is looked at any more.
 */
CvdLineWatchResult cvd_line_watch_take(CvdLineWatch *watch, const char *bytes, gsize size);

G_END_DECLS
