/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vsoc/signals.h"
#include "vsoc/window.h"

/*
 * The service that the guests of this project offer on every region. When the host signals offset
 * X, the guest reads the number at X, writes that number plus one to X + 4, and signals X + 4. It
 * answers a bare interrupt, which finds neither word nor table set, with one ring. The service
 * knows no hardware and no time: its owner waits for interrupts, and calls it.
 */

/** A line of text, as of printf(); the formats are `%u`, `%d`, `%s` and `%x`, with a width. */
typedef void vsoc_say(void *data, const char *format, ...) __attribute__((format(printf, 2, 3)));

/**
 * What a service needs of its owner; each is called with the service's @data.
 * @ring: rings the host's doorbell of @region
 * @start_timer: something was left, as there is no room for its answer: the owner is to call
 *   vsoc_service_retry() in %VSOC_RETRY_MS
 * @say: for the log
 * @fail: says why the service cannot be opened
 */
struct vsoc_service_hooks {
    void (*ring)(void *data, uint32_t region);
    void (*start_timer)(void *data);
    vsoc_say *say;
    vsoc_say *fail;
};

/** A set of regions, a bit each. */
struct vsoc_region_set {
    uint64_t bits[VSOC_MAX_REGIONS / 64];
    bool any;
};

struct vsoc_service {
    struct vsoc_window window;
    const struct vsoc_service_hooks *hooks;
    void *data;
    struct vsoc_region_set again;   /* to be looked at once more, in the next round */
    struct vsoc_region_set due;     /* in this round */
    struct vsoc_region_set stalled; /* whose answers have no room */
    uint32_t n_dropped;
};

/**
 * vsoc_service_open:
 * @service: (out): without regions on failure
 * @base: see vsoc_window_open()
 *
 * Checks the layout and says what regions there are. Nothing is served yet.
 *
 * Returns: 0, or −1 after saying what is wrong
 */
int vsoc_service_open(struct vsoc_service *service, void *base, uint64_t mapped, uint32_t vectors,
                      const struct vsoc_service_hooks *hooks, void *data);

/** vsoc_service_look_at_all: What the host did before anybody listened rang nobody, so an opener
 * rings where that is due, and every region gets a look. */
void vsoc_service_look_at_all(struct vsoc_service *service);

/** vsoc_service_look_at: has @region served in the next round if its word is set. */
void vsoc_service_look_at(struct vsoc_service *service, uint32_t region);

/**
 * vsoc_service_begin_round:
 *
 * A region whose word is set again after it was served is looked at once more without an interrupt,
 * but after those that have one: whoever set the word rings next, most often has done so by then,
 * and that ring is not to pass for a bare one. A round begins before the owner waits.
 *
 * Returns: whether there is something to do without an interrupt, so that nobody may sleep
 */
bool vsoc_service_begin_round(struct vsoc_service *service);

/**
 * vsoc_service_serve:
 * @rung: whether an interrupt came for @region
 *
 * Answers what was signalled. While nobody takes the answers, signals wait in their table.
 *
 * Returns: whether there was anything new
 */
bool vsoc_service_serve(struct vsoc_service *service, uint32_t region, bool rung);

/** vsoc_service_next: Returns: a region that is due in this round and no longer then, or −1 */
int vsoc_service_next(struct vsoc_service *service);

/** vsoc_service_end_round: serves all that are due. */
void vsoc_service_end_round(struct vsoc_service *service);

/** vsoc_service_retry: those whose answers had no room are due. */
void vsoc_service_retry(struct vsoc_service *service);

/** vsoc_service_signal: signals @offset of @region to the host; a table that is full drops it. */
void vsoc_service_signal(struct vsoc_service *service, uint32_t region, uint32_t offset);
