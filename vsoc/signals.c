/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A sender puts the offset into a slot, then sets the word; a receiver clears the word, then looks
 * at the slots. So whichever comes first, either the receiver finds the offset or the sender finds
 * the word clear and rings. The fences are for the sender that finds its offset in a slot already:
 * that takes no write to the slot, so nothing else would order its data before the receiver's look
 * at them. All accesses are sequentially consistent, and each value is read once, then checked.
 *
 * Nobody but a receiver writes to a slot that is not 0. So a round trip is answered with its slot
 * still taken: where the answer has no room, the request is put back there, and nothing is lost.
 */
#include "vsoc/signals.h"

#define ROUND_TRIP  0x1u
#define OFFSET_MASK (~0x3u)

static const struct vsoc_signal_table_layout *out_of(const struct vsoc_end *end)
{
    return end->side == VSOC_GUEST ? &end->region->guest_to_host_signal_table
                                   : &end->region->host_to_guest_signal_table;
}

static const struct vsoc_signal_table_layout *in_of(const struct vsoc_end *end)
{
    return end->side == VSOC_GUEST ? &end->region->host_to_guest_signal_table
                                   : &end->region->guest_to_host_signal_table;
}

static uint32_t *slots_of(const struct vsoc_end *end, const struct vsoc_signal_table_layout *table)
{
    return (uint32_t *)(void *)(end->base + table->futex_uaddr_table_offset);
}

static uint32_t *word_of(const struct vsoc_end *end, const struct vsoc_signal_table_layout *table)
{
    return (uint32_t *)(void *)(end->base + table->interrupt_signalled_offset);
}

static uint32_t look(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static uint32_t exchange(uint32_t *word, uint32_t value)
{
    return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}

/* A slot that has @offset already serves as well as a free one. */
static bool put(uint32_t *slots, uint32_t n_slots, uint32_t offset)
{
    uint32_t first = offset / 4;

    for (uint32_t i = 0; i < n_slots; i++) {
        uint32_t found = 0;

        if (__atomic_compare_exchange_n(&slots[(first + i) & (n_slots - 1)], &found, offset, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
            found == offset)
            return true;
    }
    return false;
}

enum vsoc_send vsoc_signals_send(const struct vsoc_end *end, uint32_t offset)
{
    const struct vsoc_signal_table_layout *out = out_of(end);

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!put(slots_of(end, out), 1u << out->num_nodes_lg2, offset))
        return VSOC_SEND_FULL;
    return exchange(word_of(end, out), 1) == 0 ? VSOC_SEND_RING : VSOC_SEND_DONE;
}

bool vsoc_signals_has_room(const struct vsoc_end *end, uint32_t offset)
{
    const struct vsoc_signal_table_layout *out = out_of(end);
    const uint32_t *slots = slots_of(end, out);

    for (uint32_t i = 0; i < 1u << out->num_nodes_lg2; i++) {
        uint32_t found = look(&slots[i]);

        if (found == 0 || found == offset)
            return true;
    }
    return false;
}

bool vsoc_signals_are_waiting(const struct vsoc_end *end)
{
    return look(word_of(end, in_of(end))) != 0;
}

bool vsoc_signals_must_ring(const struct vsoc_end *end)
{
    return look(word_of(end, out_of(end))) != 0;
}

/*
 * A plain signal of the same offset takes the request's place before the answer goes: whoever asks
 * once more from then on finds another slot, and is answered by itself.
 */
static unsigned answer_round_trip(const struct vsoc_end *end, uint32_t *slot, uint32_t value)
{
    exchange(slot, value & OFFSET_MASK);
    switch (vsoc_signals_send(end, value & OFFSET_MASK)) {
    case VSOC_SEND_RING:
        return VSOC_RECEIVED | VSOC_MUST_RING;
    case VSOC_SEND_DONE:
        return VSOC_RECEIVED;
    case VSOC_SEND_FULL:
        break;
    }
    exchange(slot, value);
    return VSOC_STALLED;
}

static unsigned receive_slot(const struct vsoc_end *end, uint32_t *slot,
                             const struct vsoc_receiver *receiver)
{
    /* Most slots are empty, and an exchange would take each one's cache line from the others. */
    uint32_t value = look(slot);
    uint32_t offset = value & OFFSET_MASK;
    unsigned result = VSOC_RECEIVED;

    if (value == 0)
        return 0;
    if (offset == 0 || offset < receiver->first || offset > receiver->last) {
        exchange(slot, 0);
        if (receiver->drop)
            receiver->drop(receiver->data, value);
        return result;
    }
    if (value & ROUND_TRIP)
        result = answer_round_trip(end, slot, value);
    if (!(result & VSOC_RECEIVED))
        return result;
    if (receiver->is_ready && !receiver->is_ready(receiver->data, offset))
        return (value & ROUND_TRIP ? result : 0) | VSOC_STALLED;
    exchange(slot, 0);
    receiver->take(receiver->data, offset);
    return result;
}

unsigned vsoc_signals_receive(const struct vsoc_end *end, const struct vsoc_receiver *receiver)
{
    const struct vsoc_signal_table_layout *in = in_of(end);
    uint32_t *slots = slots_of(end, in);
    unsigned result = exchange(word_of(end, in), 0) != 0 ? VSOC_RECEIVED : 0;

    for (uint32_t i = 0; i < 1u << in->num_nodes_lg2; i++)
        result |= receive_slot(end, &slots[i], receiver);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return result;
}
