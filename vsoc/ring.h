/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** VSOC_RING_MAX_SHARE: a message with its header may take that part of the ring, 1 / 2 */
#define VSOC_RING_MAX_SHARE 2u
/** VSOC_RING_ALIGN: where a ring may begin */
#define VSOC_RING_ALIGN 64u

/**
 * One end of a ring of messages in shared memory, with one writer and one reader. Neither trusts
 * the other: what stands in the memory is read once and then checked, and each keeps its own index
 * to itself.
 */
struct vsoc_ring {
    uint8_t *shared;
    uint32_t capacity; /* in bytes, a power of two */
    uint32_t mine;     /* this end's index: how far it has written or read, modulo 2³² */
    uint32_t theirs;   /* the other end's, as it was when last looked at */
};

/** A message where it lies, in two pieces if it goes over the ring's end. It may change at any
 * time, the other end being as it may. */
struct vsoc_ring_message {
    const uint8_t *pieces[2];
    uint32_t sizes[2];
    uint32_t length;
    uint32_t tag;
};

/** What comes before the bytes of a message. */
struct vsoc_ring_header {
    uint32_t length;
    uint32_t tag; /* vsoc_ring_sum_tag() of the bytes' sum */
};

/** What the reader has to say at the end of a series. */
struct vsoc_ring_account {
    uint64_t messages;
    uint64_t wrong; /* of those, the ones whose tag is not that of their bytes */
};

enum vsoc_ring_result {
    VSOC_RING_DONE,
    VSOC_RING_NOT_YET, /* no room, or nothing there */
    VSOC_RING_BROKEN,  /* the other end has written what cannot be */
};

/**
 * vsoc_ring_open:
 * @ring: (out): filled in, with both indices 0
 * @place: shared memory, aligned to %VSOC_RING_ALIGN
 * @size: how much of it, the same at both ends
 *
 * Returns: whether there is room for a ring
 */
bool vsoc_ring_open(struct vsoc_ring *ring, void *place, size_t size);

/** vsoc_ring_clear: empties a new ring, before the other end opens it. */
void vsoc_ring_clear(struct vsoc_ring *ring);

/**
 * vsoc_ring_put:
 * @length: of a message; its header and it are at most half of the ring, which the caller sees to
 * @tag: goes with the message
 *
 * The writer's: copies a message into the ring, if there is room.
 */
enum vsoc_ring_result vsoc_ring_put(struct vsoc_ring *ring, const void *bytes, uint32_t length,
                                    uint32_t tag);
/** vsoc_ring_flushed: the writer's: whether the reader has released everything */
enum vsoc_ring_result vsoc_ring_flushed(struct vsoc_ring *ring);

/** vsoc_ring_get: the reader's: @message: (out): the next one, there until it is released */
enum vsoc_ring_result vsoc_ring_get(struct vsoc_ring *ring, struct vsoc_ring_message *message);
/** vsoc_ring_release: the reader's: gives the room of the message back. */
void vsoc_ring_release(struct vsoc_ring *ring, const struct vsoc_ring_message *message);

/** vsoc_ring_await_room: the writer is about to sleep: it has to look once more, then sleeps
 * until it is rung. */
void vsoc_ring_await_room(struct vsoc_ring *ring);
/** vsoc_ring_await_message: the same for the reader */
void vsoc_ring_await_message(struct vsoc_ring *ring);

/** vsoc_ring_must_wake_reader: after a put; Returns: whether the reader is to be rung */
bool vsoc_ring_must_wake_reader(struct vsoc_ring *ring);
/** vsoc_ring_must_wake_writer: after a release; Returns: whether the writer is to be rung,
 * which it is only once half of the ring is free */
bool vsoc_ring_must_wake_writer(struct vsoc_ring *ring);

/** vsoc_ring_set_account: the reader's, before it releases the end of a series */
void vsoc_ring_set_account(struct vsoc_ring *ring, const struct vsoc_ring_account *account);
/** vsoc_ring_get_account: the writer's, once all is flushed */
struct vsoc_ring_account vsoc_ring_get_account(const struct vsoc_ring *ring);

/** vsoc_ring_sum: Returns: @sum plus all little-endian words of 64 bits of @bytes; only the last
 * may be in part there */
uint64_t vsoc_ring_sum(uint64_t sum, const void *bytes, size_t size);
/** vsoc_ring_sum_tag: Returns: the tag that a message of that sum has */
uint32_t vsoc_ring_sum_tag(uint64_t sum);

/** vsoc_ring_account_add_bytes: counts a message that lies in one piece; without bytes, it is none
 */
void vsoc_ring_account_add_bytes(struct vsoc_ring_account *account,
                                 const struct vsoc_ring_header *header, const void *bytes);
/** vsoc_ring_account_add: the same for one in a ring */
void vsoc_ring_account_add(struct vsoc_ring_account *account,
                           const struct vsoc_ring_message *message);
