/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vsoc/abi.h"

/*
 * A region's two signal tables: docs/window.md, Signals. Whoever is at the other end can
 * write every word of them at any time; where the tables are was checked before, and is not looked
 * up in the region.
 */

/** VSOC_RETRY_MS: after how long to receive again when there was no room for an answer, for nothing
 * reports that the other side has made some */
#define VSOC_RETRY_MS 10

/** Which side of the window the caller is: it says which of the two tables is the outgoing one. */
enum vsoc_side {
    VSOC_HOST,
    VSOC_GUEST,
};

/**
 * One end of a region.
 * @base: where the region is mapped, 4-aligned
 * @region: a copy of its descriptor that was checked, see vsoc/window.h; borrowed
 * @side: which end
 */
struct vsoc_end {
    uint8_t *base;
    const struct vsoc_device_region *region;
    enum vsoc_side side;
};

enum vsoc_send {
    VSOC_SEND_RING, /* signalled; the doorbell is to be rung */
    VSOC_SEND_DONE, /* signalled; somebody has rung already */
    VSOC_SEND_FULL, /* all slots are taken by other offsets */
};

/**
 * vsoc_signals_send:
 * @end: the sender's
 * @offset: of a word in the region: a multiple of 4, not 0
 *
 * Any thread may call it, several at once too.
 */
enum vsoc_send vsoc_signals_send(const struct vsoc_end *end, uint32_t offset);

/** vsoc_signals_has_room: Returns: whether @offset could be sent now */
bool vsoc_signals_has_room(const struct vsoc_end *end, uint32_t offset);

/** vsoc_signals_are_waiting: Returns: whether the other side has signalled since the last receive
 */
bool vsoc_signals_are_waiting(const struct vsoc_end *end);

/**
 * vsoc_signals_must_ring: what an opener owes: whoever set the outgoing word may have ended before
 * ringing.
 *
 * Returns: whether the doorbell is to be rung
 */
bool vsoc_signals_must_ring(const struct vsoc_end *end);

/**
 * What becomes of the signals that are received.
 * @first: the least offset that is taken; what is below, or above @last, is dropped
 * @last: the greatest: at most 4 below the region's size
 * @is_ready: (nullable): whether a signal can be taken now; else it is left in the table
 * @take: @offset was taken out of the table
 * @drop: (nullable): @value was
 * @data: for the functions
 */
struct vsoc_receiver {
    uint32_t first;
    uint32_t last;
    bool (*is_ready)(void *data, uint32_t offset);
    void (*take)(void *data, uint32_t offset);
    void (*drop)(void *data, uint32_t value);
    void *data;
};

/** What came of a round of receiving; bits. */
enum {
    VSOC_RECEIVED = 1,  /* there was anything new, in the word or in the table */
    VSOC_MUST_RING = 2, /* the outgoing doorbell is to be rung, as round trips were answered */
    VSOC_STALLED = 4,   /* something was left: receive again in %VSOC_RETRY_MS */
};

/**
 * vsoc_signals_receive:
 * @end: the receiver's; only one may receive
 *
 * One round over the incoming table. An offset that asks for a round trip is signalled back, before
 * it is taken; without room for that it is left in the table.
 */
unsigned vsoc_signals_receive(const struct vsoc_end *end, const struct vsoc_receiver *receiver);
