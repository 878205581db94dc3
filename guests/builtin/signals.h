/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "guests/builtin/window.h"

/** What was wrong with a signal that was dropped. */
enum cvd_guest_drop {
    CVD_GUEST_DROP_OFFSET, /* received: not that of a pair of words in the region's data */
    CVD_GUEST_DROP_FULL,   /* to be sent: no slot of the table is free */
};

/** CVD_GUEST_STALL_MS: after how long to look again whether there is room for an answer */
#define CVD_GUEST_STALL_MS 10

/**
 * What signals need of the rest; called while a region is served. @stall: a signal was left in the
 * table, as there is no room for its answer: receive again in %CVD_GUEST_STALL_MS, for nothing
 * tells when the host makes room.
 */
struct cvd_guest_hooks {
    void (*ring)(uint32_t region);
    void (*drop)(uint32_t region, enum cvd_guest_drop why, uint32_t offset);
    void (*stall)(uint32_t region);
};

/**
 * cvd_guest_signals_receive:
 * @window: an opened window
 * @region: index of the region to serve
 * @hooks: see there
 *
 * Receives what the host signalled (section 5 of the protocols' specification) and answers it: for
 * each offset X, adds one to the word at X, puts that at X + 4, and signals X + 4 back. An offset
 * that asks for a round trip is signalled back itself as well, before X + 4.
 *
 * Only what can be answered is taken: while nobody takes the answers, signals wait in their table.
 *
 * Returns: whether there was anything new, in the word or in the table
 */
bool cvd_guest_signals_receive(const struct cvd_guest_window *window, uint32_t region,
                               const struct cvd_guest_hooks *hooks);

/**
 * cvd_guest_signals_send:
 * @offset: of the word that the host is to look at; in the region's data, a multiple of 4
 *
 * Signals @offset to the host. A table that is full drops it.
 */
void cvd_guest_signals_send(const struct cvd_guest_window *window, uint32_t region, uint32_t offset,
                            const struct cvd_guest_hooks *hooks);

/** cvd_guest_signals_waiting: Returns: whether the host has signalled since the last receive */
bool cvd_guest_signals_waiting(const struct cvd_guest_window *window, uint32_t region);

/**
 * cvd_guest_signals_open: what an opener owes: rings where the outgoing word is set, as the one who
 * set it may have ended before ringing; then receives.
 */
void cvd_guest_signals_open(const struct cvd_guest_window *window, uint32_t region,
                            const struct cvd_guest_hooks *hooks);
