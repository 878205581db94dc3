/* SPDX-License-Identifier: Apache-2.0 */
#include "base/progress.h"

#include "base/terminal-size.h"

#include <string.h>
#include <unistd.h>

#define INTERVAL_US  100000
#define BAR_WIDTH    30
#define LABEL_LENGTH 36
#define OTHER_WIDTH  8 /* of a line with a bar: " [] 100%" */

char *cvd_progress_format(const char *label, guint64 done, guint64 total, guint columns)
{
    guint room = MAX(columns, 2) - 1;
    GString *line = g_string_new_len(label, (gssize)MIN(strlen(label), LABEL_LENGTH));
    if (total == 0) {
        g_string_append_printf(line, " %" G_GUINT64_FORMAT, done);
    } else {
        double part = (double)MIN(done, total) / (double)total;
        gsize width =
            MIN(room > line->len + OTHER_WIDTH ? room - line->len - OTHER_WIDTH : 0, BAR_WIDTH);
        guint filled = (guint)(part * (double)width);
        g_string_append(line, " [");
        for (guint i = 0; i < width; i++)
            g_string_append_c(line, i < filled ? '#' : '.');
        g_string_append_printf(line, "] %3u%%", (guint)(part * 100));
    }
    g_string_truncate(line, MIN(line->len, room));
    return g_string_free(line, FALSE);
}

void cvd_progress_init(CvdProgress *progress, const char *label, guint64 total)
{
    *progress = (CvdProgress){
        .label = label,
        .total = total,
        .last_us = g_get_monotonic_time(),
        .is_terminal = isatty(STDERR_FILENO),
    };
}

void cvd_progress_show(CvdProgress *progress, const char *label, guint64 done)
{
    if (!progress->is_terminal)
        return;
    g_autofree char *line = cvd_progress_format(label, done, progress->total,
                                                cvd_terminal_get_size(STDERR_FILENO).columns);
    g_printerr("\r%s\033[K", line);
    progress->last_us = g_get_monotonic_time();
    progress->is_drawn = TRUE;
}

void cvd_progress_update(CvdProgress *progress, guint64 done)
{
    if (g_get_monotonic_time() - progress->last_us >= INTERVAL_US)
        cvd_progress_show(progress, progress->label, done);
}

void cvd_progress_clear(CvdProgress *progress)
{
    if (progress->is_drawn)
        g_printerr("\r\033[K");
    progress->is_drawn = FALSE;
}
