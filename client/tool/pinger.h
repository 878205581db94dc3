/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/region.h"

G_BEGIN_DECLS

/** CVD_PINGER_FIRST_MS: how long the first answer may take: the guest may be booting. */
#define CVD_PINGER_FIRST_MS 10000

/**
 * CvdPinger:
 *
 * Sends a number in one word and waits for the number after it in the next one: what the built-in
 * guest does with every word that it is signalled. Both words get back what was in them. What the
 * guest had signalled before is taken, so that there is room for its answers.
 */
typedef struct {
    CvdRegion *region;
    guint offset;
    guint64 n_sent;
    /*< private >*/
    guint saved[2];
    guint32 value;
} CvdPinger;

/**
 * CvdPong:
 * @CVD_PONG_NONE: nothing came in time
 * @CVD_PONG_WRONG: the word was changed, but not to the next number
 * @CVD_PONG_RIGHT: the answer came
 */
typedef enum {
    CVD_PONG_NONE,
    CVD_PONG_WRONG,
    CVD_PONG_RIGHT,
} CvdPong;

/**
 * cvd_pinger_init:
 * @region: (transfer none): has to live as long
 * @offset: of the pair of words, in the region's data; 0 for its last 8 bytes
 * @error: %CVD_REGION_ERROR_BAD_OFFSET: there is no such pair; those of cvd_region_wait()
 */
gboolean cvd_pinger_init(CvdPinger *pinger, CvdRegion *region, guint offset, GError **error);

/**
 * cvd_pinger_ping:
 * @timeout_ms: how long the answer may take
 * @pong: (out): what came
 * @rtt_ns: (out): after how long
 * @error: the region's errors; %G_IO_ERROR_CANCELLED
 */
gboolean cvd_pinger_ping(CvdPinger *pinger, guint timeout_ms, GCancellable *cancellable,
                         CvdPong *pong, guint64 *rtt_ns, GError **error);

/** cvd_pinger_clear: puts back what was in the words; also for g_auto() */
void cvd_pinger_clear(CvdPinger *pinger);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdPinger, cvd_pinger_clear)

/** cvd_monotonic_ns: Returns: the monotonic time in nanoseconds */
guint64 cvd_monotonic_ns(void);

G_END_DECLS
