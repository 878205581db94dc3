/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signal says "look at that word", and one for an earlier ping may still come: so a signal by
 * itself proves nothing, and a word that does not have the right number yet is waited for until the
 * time is over. Then it is looked at once more: the guest may have answered and found its signal
 * table full.
 */
#include "client/tool/pinger.h"

#include "base/error.h"

#include <time.h>

#define PAIR_SIZE 8u

guint64 cvd_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (guint64)now.tv_sec * 1000000000u + (guint64)now.tv_nsec;
}

static gboolean check_place(CvdRegion *region, guint offset, GError **error)
{
    guint data = cvd_region_get_data_offset(region), size = cvd_region_get_size(region);
    if (offset % 4 == 0 && offset >= data && size >= PAIR_SIZE && offset <= size - PAIR_SIZE)
        return TRUE;
    return cvd_fail(
        error, CVD_ERROR_INVALID,
        "region '%s' has no pair of words at offset 0x%x of its data, which is from 0x%x "
        "to 0x%x",
        cvd_region_get_name(region), offset, data, size);
}

static gboolean take_signals(CvdRegion *region, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    g_autoptr(GArray) offsets = cvd_region_wait(region, 0, NULL, &local_error);
    if (offsets || g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
        return TRUE;
    return cvd_pass_error(error, &local_error);
}

gboolean cvd_pinger_init(CvdPinger *pinger, CvdRegion *region, guint offset, GError **error)
{
    guint size = cvd_region_get_size(region);
    if (offset == 0)
        offset = size >= PAIR_SIZE ? size - PAIR_SIZE : 0;
    if (!check_place(region, offset, error))
        return FALSE;
    guint saved[2];
    if (!take_signals(region, error) || !cvd_region_allocate(region, offset, PAIR_SIZE, error))
        return FALSE;
    if (!cvd_region_load(region, offset, &saved[0], error) ||
        !cvd_region_load(region, offset + 4, &saved[1], error))
        return FALSE;
    *pinger = (CvdPinger){
        .region = region,
        .offset = offset,
        .saved = {saved[0], saved[1]},
        .value = g_random_int(),
    };
    return TRUE;
}

static gboolean send(CvdPinger *pinger, GError **error)
{
    pinger->value += 2; /* never what an earlier answer was */
    if (!cvd_region_store(pinger->region, pinger->offset + 4, pinger->value, error) ||
        !cvd_region_store(pinger->region, pinger->offset, pinger->value, error) ||
        !cvd_region_signal(pinger->region, pinger->offset, error))
        return FALSE;
    pinger->n_sent++;
    return TRUE;
}

static CvdPong look(const CvdPinger *pinger)
{
    guint answer = pinger->value;
    cvd_region_load(pinger->region, pinger->offset + 4, &answer, NULL);
    if (answer == pinger->value + 1)
        return CVD_PONG_RIGHT;
    return answer == pinger->value ? CVD_PONG_NONE : CVD_PONG_WRONG;
}

gboolean cvd_pinger_ping(CvdPinger *pinger, guint timeout_ms, GCancellable *cancellable,
                         CvdPong *pong, guint64 *rtt_ns, GError **error)
{
    guint64 start = cvd_monotonic_ns(), elapsed = 0;
    guint64 limit = (guint64)timeout_ms * 1000000;
    *pong = CVD_PONG_NONE;
    if (!send(pinger, error))
        return FALSE;
    while (elapsed < limit) {
        g_autoptr(GError) local_error = NULL;
        int left_ms = (int)((limit - elapsed + 999999) / 1000000);
        g_autoptr(GArray) offsets =
            cvd_region_wait(pinger->region, left_ms, cancellable, &local_error);
        elapsed = cvd_monotonic_ns() - start;
        if (!offsets && !g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
            return cvd_pass_error(error, &local_error);
        *pong = look(pinger);
        *rtt_ns = elapsed;
        if (*pong == CVD_PONG_RIGHT)
            break;
    }
    return TRUE;
}

void cvd_pinger_clear(CvdPinger *pinger)
{
    if (!pinger->region)
        return;
    cvd_region_store(pinger->region, pinger->offset, pinger->saved[0], NULL);
    cvd_region_store(pinger->region, pinger->offset + 4, pinger->saved[1], NULL);
    pinger->region = NULL;
}
