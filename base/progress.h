/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CvdProgress: a bar on the terminal that stderr is, or nothing at all if it is none */
typedef struct {
    /*< private >*/
    const char *label;
    guint64 total;
    gint64 last_us;
    gboolean is_terminal;
    gboolean is_drawn;
} CvdProgress;

/**
 * cvd_progress_format:
 * @label: what is being done
 * @done: how far
 * @total: 0 for no end
 * @columns: of the terminal
 *
 * Returns: (transfer full): one line that leaves the last column free; its bar is shorter where
 *   there is no room
 */
char *cvd_progress_format(const char *label, guint64 done, guint64 total, guint columns);

/**
 * cvd_progress_init:
 * @label: what is being done; has to live as long
 * @total: 0 for no end
 */
void cvd_progress_init(CvdProgress *progress, const char *label, guint64 total);

/** cvd_progress_update: draws it anew, but not more often than anybody could see */
void cvd_progress_update(CvdProgress *progress, guint64 done);

/** cvd_progress_show: draws it at once, with another label */
void cvd_progress_show(CvdProgress *progress, const char *label, guint64 done);

/** cvd_progress_clear: takes it off the terminal, for something else; also for g_auto() */
void cvd_progress_clear(CvdProgress *progress);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdProgress, cvd_progress_clear)

G_END_DECLS
