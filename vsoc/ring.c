/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A ring of messages, by which much goes through a region; used to measure how much. In the shared
 * memory there is
 *
 *     0  u32  how far the writer is            each on a cache line of its own,
 *    64  u32  how far the reader is            so that the ends disturb each other
 *   128  u32  the writer sleeps                no more than they must
 *   192  u32  the reader sleeps
 *   256  u64  messages of a series, u64 wrong ones: what the reader has counted
 *   512       the bytes, a power of two of them
 *
 * A message is its length, its tag, both u32, and its bytes, filled up to a multiple of 8, so that
 * a header never goes over the end. The indices count bytes modulo 2³².
 *
 * Who finds nothing to do sets its word, looks once more, and sleeps until it is rung; who has made
 * something to do exchanges that word with 0, and rings if it was set. Either both see what the
 * other did, or one of them does: hence the sequential consistency of those accesses.
 */
#include "vsoc/ring.h"

#define WRITTEN       0u
#define READ          64u
#define WRITER_SLEEPS 128u
#define READER_SLEEPS 192u
#define ACCOUNT       256u
#define BYTES         512u

#define ALIGN        8u
#define MIN_CAPACITY 1024u
#define MAX_CAPACITY (1u << 30)

static uint32_t *word(const struct vsoc_ring *ring, uint32_t offset)
{
    return (uint32_t *)(void *)(ring->shared + offset);
}

static uint32_t room_of(uint32_t length)
{
    return (uint32_t)sizeof(struct vsoc_ring_header) + (length + ALIGN - 1) / ALIGN * ALIGN;
}

static bool is_too_long(const struct vsoc_ring *ring, uint32_t length)
{
    return length > ring->capacity / VSOC_RING_MAX_SHARE - sizeof(struct vsoc_ring_header);
}

bool vsoc_ring_open(struct vsoc_ring *ring, void *place, size_t size)
{
    uint32_t capacity = MIN_CAPACITY;

    if (size < BYTES + MIN_CAPACITY || (uintptr_t)place % VSOC_RING_ALIGN != 0)
        return false;
    while (capacity < MAX_CAPACITY && size - BYTES >= 2 * (size_t)capacity)
        capacity *= 2;
    *ring = (struct vsoc_ring){.shared = place, .capacity = capacity};
    return true;
}

void vsoc_ring_clear(struct vsoc_ring *ring)
{
    __builtin_memset(ring->shared, 0, BYTES);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Returns: whether the reader's index can be believed: it is between what it was and ours */
static bool look_at_reader(struct vsoc_ring *ring)
{
    uint32_t read = __atomic_load_n(word(ring, READ), __ATOMIC_SEQ_CST);

    if (read % ALIGN != 0 || ring->mine - read > ring->mine - ring->theirs)
        return false;
    ring->theirs = read;
    return true;
}

/* The same for the writer's, which is at most a whole ring ahead of ours. */
static bool look_at_writer(struct vsoc_ring *ring)
{
    uint32_t written = __atomic_load_n(word(ring, WRITTEN), __ATOMIC_SEQ_CST);
    uint32_t ahead = written - ring->mine;

    if (written % ALIGN != 0 || ahead > ring->capacity || ahead < ring->theirs - ring->mine)
        return false;
    ring->theirs = written;
    return true;
}

static uint8_t *place_of(const struct vsoc_ring *ring, uint32_t index)
{
    return ring->shared + BYTES + (index & (ring->capacity - 1));
}

/* Returns: how many of @length bytes at @index come before the ring's end */
static uint32_t first_piece(const struct vsoc_ring *ring, uint32_t index, uint32_t length)
{
    uint32_t left = ring->capacity - (index & (ring->capacity - 1));

    return length < left ? length : left;
}

enum vsoc_ring_result vsoc_ring_put(struct vsoc_ring *ring, const void *bytes, uint32_t length,
                                    uint32_t tag)
{
    struct vsoc_ring_header header = {length, tag};
    uint32_t needed = room_of(length);
    uint32_t at = ring->mine + (uint32_t)sizeof header;
    uint32_t first = first_piece(ring, at, length);

    if (ring->capacity - (ring->mine - ring->theirs) < needed && !look_at_reader(ring))
        return VSOC_RING_BROKEN;
    if (ring->capacity - (ring->mine - ring->theirs) < needed)
        return VSOC_RING_NOT_YET;
    __builtin_memcpy(place_of(ring, ring->mine), &header, sizeof header);
    if (length > 0) {
        __builtin_memcpy(place_of(ring, at), bytes, first);
        __builtin_memcpy(place_of(ring, at + first), (const uint8_t *)bytes + first,
                         length - first);
    }
    ring->mine += needed;
    __atomic_store_n(word(ring, WRITTEN), ring->mine, __ATOMIC_SEQ_CST);
    return VSOC_RING_DONE;
}

enum vsoc_ring_result vsoc_ring_flushed(struct vsoc_ring *ring)
{
    if (!look_at_reader(ring))
        return VSOC_RING_BROKEN;
    return ring->theirs == ring->mine ? VSOC_RING_DONE : VSOC_RING_NOT_YET;
}

static struct vsoc_ring_header read_header(const struct vsoc_ring *ring)
{
    const uint32_t *at = (const uint32_t *)(const void *)place_of(ring, ring->mine);

    return (struct vsoc_ring_header){__atomic_load_n(&at[0], __ATOMIC_RELAXED),
                                     __atomic_load_n(&at[1], __ATOMIC_RELAXED)};
}

enum vsoc_ring_result vsoc_ring_get(struct vsoc_ring *ring, struct vsoc_ring_message *message)
{
    if (ring->theirs == ring->mine && !look_at_writer(ring))
        return VSOC_RING_BROKEN;
    if (ring->theirs == ring->mine)
        return VSOC_RING_NOT_YET;
    struct vsoc_ring_header header = read_header(ring);
    if (is_too_long(ring, header.length) || room_of(header.length) > ring->theirs - ring->mine)
        return VSOC_RING_BROKEN;
    uint32_t at = ring->mine + (uint32_t)sizeof header;
    uint32_t first = first_piece(ring, at, header.length);
    *message = (struct vsoc_ring_message){
        .pieces = {place_of(ring, at), place_of(ring, at + first)},
        .sizes = {first, header.length - first},
        .length = header.length,
        .tag = header.tag,
    };
    return VSOC_RING_DONE;
}

void vsoc_ring_release(struct vsoc_ring *ring, const struct vsoc_ring_message *message)
{
    ring->mine += room_of(message->length);
    __atomic_store_n(word(ring, READ), ring->mine, __ATOMIC_SEQ_CST);
}

void vsoc_ring_await_room(struct vsoc_ring *ring)
{
    __atomic_store_n(word(ring, WRITER_SLEEPS), 1, __ATOMIC_SEQ_CST);
}

void vsoc_ring_await_message(struct vsoc_ring *ring)
{
    __atomic_store_n(word(ring, READER_SLEEPS), 1, __ATOMIC_SEQ_CST);
}

/* Looked at first: the exchange would take the cache line from the other end every time. */
static bool take(struct vsoc_ring *ring, uint32_t offset)
{
    return __atomic_load_n(word(ring, offset), __ATOMIC_SEQ_CST) != 0 &&
           __atomic_exchange_n(word(ring, offset), 0, __ATOMIC_SEQ_CST) != 0;
}

bool vsoc_ring_must_wake_reader(struct vsoc_ring *ring)
{
    return take(ring, READER_SLEEPS);
}

/* What the writer has put since it was last looked at is no reason to leave it asleep: asleep, it
 * puts nothing. */
bool vsoc_ring_must_wake_writer(struct vsoc_ring *ring)
{
    return ring->theirs - ring->mine <= ring->capacity / 2 && take(ring, WRITER_SLEEPS);
}

void vsoc_ring_set_account(struct vsoc_ring *ring, const struct vsoc_ring_account *account)
{
    __builtin_memcpy(ring->shared + ACCOUNT, account, sizeof *account);
}

struct vsoc_ring_account vsoc_ring_get_account(const struct vsoc_ring *ring)
{
    struct vsoc_ring_account account;

    __builtin_memcpy(&account, ring->shared + ACCOUNT, sizeof account);
    return account;
}

static uint64_t load(const uint8_t *at)
{
    uint64_t value;

    __builtin_memcpy(&value, at, sizeof value);
    return value;
}

/* Where this is translated in software, a turn of a loop costs more than an addition, and one that
 * goes over a border of pages much more. */
__attribute__((noinline, aligned(256))) uint64_t vsoc_ring_sum(uint64_t sum, const void *bytes,
                                                               size_t size)
{
    const uint8_t *at = bytes;
    uint64_t last = 0;

    for (; size >= 64; size -= 64, at += 64)
        sum += load(at) + load(at + 8) + load(at + 16) + load(at + 24) + load(at + 32) +
               load(at + 40) + load(at + 48) + load(at + 56);
    for (; size >= sizeof last; size -= sizeof last, at += sizeof last)
        sum += load(at);
    __builtin_memcpy(&last, at, size);
    return sum + last;
}

uint32_t vsoc_ring_sum_tag(uint64_t sum)
{
    return (uint32_t)(sum ^ sum >> 32);
}

static void add(struct vsoc_ring_account *account, uint64_t sum, uint32_t tag)
{
    account->messages++;
    account->wrong += vsoc_ring_sum_tag(sum) != tag;
}

void vsoc_ring_account_add_bytes(struct vsoc_ring_account *account,
                                 const struct vsoc_ring_header *header, const void *bytes)
{
    if (header->length > 0)
        add(account, vsoc_ring_sum(0, bytes, header->length), header->tag);
}

void vsoc_ring_account_add(struct vsoc_ring_account *account,
                           const struct vsoc_ring_message *message)
{
    uint64_t sum = vsoc_ring_sum(0, message->pieces[0], message->sizes[0]);

    if (message->length > 0)
        add(account, vsoc_ring_sum(sum, message->pieces[1], message->sizes[1]), message->tag);
}
