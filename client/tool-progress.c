/* SPDX-License-Identifier: Apache-2.0 */
#include "client/tool-progress.h"

#include <unistd.h>

#define INTERVAL_US  100000
#define BAR_WIDTH    30
#define LABEL_LENGTH 36

char *cvd_progress_format(const char *label, guint64 done, guint64 total)
{
    char bar[BAR_WIDTH + 1];
    if (total == 0)
        return g_strdup_printf("%.*s %" G_GUINT64_FORMAT, LABEL_LENGTH, label, done);
    double part = (double)MIN(done, total) / (double)total;
    guint filled = (guint)(part * BAR_WIDTH);
    for (guint i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    return g_strdup_printf("%.*s [%s] %3u%%", LABEL_LENGTH, label, bar, (guint)(part * 100));
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

void cvd_progress_update(CvdProgress *progress, guint64 done)
{
    if (!progress->is_terminal || g_get_monotonic_time() - progress->last_us < INTERVAL_US)
        return;
    g_autofree char *line = cvd_progress_format(progress->label, done, progress->total);
    g_printerr("\r%s\033[K", line);
    progress->last_us = g_get_monotonic_time();
    progress->is_drawn = TRUE;
}

void cvd_progress_clear(CvdProgress *progress)
{
    if (progress->is_drawn)
        g_printerr("\r\033[K");
    progress->is_drawn = FALSE;
}
