/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/heartbeat.h"

#include "base/error.h"
#include "base/source.h"

struct CvdHeartbeat {
    CvdQmp *qmp;
    guint timeout_ms;
    void (*unresponsive)(gpointer user_data);
    gpointer user_data;
    GSource *timer;
    gint64 due_us;       /* when that should go off */
    gboolean is_waiting; /* for an answer */
};

static gboolean on_timer(gpointer data);

static void arm(CvdHeartbeat *heartbeat)
{
    heartbeat->due_us = g_get_monotonic_time() + 1000 * (gint64)heartbeat->timeout_ms;
    cvd_source_set_timer(&heartbeat->timer, heartbeat->due_us, on_timer, heartbeat);
}

static void on_status(JsonNode *result, const GError *error, gpointer data)
{
    CvdHeartbeat *heartbeat = data;

    heartbeat->is_waiting = FALSE;
    if (error == NULL || g_error_matches(error, CVD_ERROR, CVD_ERROR_FAILED))
        arm(heartbeat); /* an error of QEMU's is an answer, too */
}

/* Whoever was stopped and goes on finds its timers long due; QEMU was then perhaps stopped, too. */
static gboolean were_we_stopped(const CvdHeartbeat *heartbeat)
{
    return g_get_monotonic_time() > heartbeat->due_us + 500 * (gint64)heartbeat->timeout_ms;
}

static gboolean on_timer(gpointer data)
{
    CvdHeartbeat *heartbeat = data;
    gboolean is_on_time = !were_we_stopped(heartbeat);

    cvd_qmp_read_rest(heartbeat->qmp);
    if (is_on_time && cvd_qmp_is_overdue(heartbeat->qmp, heartbeat->timeout_ms)) {
        cvd_source_clear(&heartbeat->timer);
        heartbeat->unresponsive(heartbeat->user_data);
        return G_SOURCE_REMOVE;
    }
    if (!heartbeat->is_waiting) {
        heartbeat->is_waiting = TRUE;
        cvd_qmp_execute(heartbeat->qmp, "query-status", NULL, on_status, heartbeat);
    }
    arm(heartbeat);
    return G_SOURCE_REMOVE;
}

CvdHeartbeat *cvd_heartbeat_new(CvdQmp *qmp, guint timeout_ms,
                                void (*unresponsive)(gpointer user_data), gpointer user_data)
{
    CvdHeartbeat *heartbeat = g_new0(CvdHeartbeat, 1);

    heartbeat->qmp = qmp;
    heartbeat->timeout_ms = timeout_ms;
    heartbeat->unresponsive = unresponsive;
    heartbeat->user_data = user_data;
    arm(heartbeat);
    return heartbeat;
}

void cvd_heartbeat_free(CvdHeartbeat *heartbeat)
{
    cvd_source_clear(&heartbeat->timer);
    g_free(heartbeat);
}
