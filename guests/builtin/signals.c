/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of a region's signal tables, as the guest has them: it receives host-to-guest and sends
 * guest-to-host. Where tables and words are comes from the checked copy of the layout; what is in
 * them is the host's to write at any time, so every value is taken once, then checked. All accesses
 * are sequentially consistent. Knows no hardware: rings and complaints go through hooks.
 *
 * A host program that signals and does not take the answers fills their table. What has no room
 * there is not answered yet: its signal stays where it is, and the host finds its own table full in
 * the end, but nothing is lost. Only this guest puts anything into the table for the host, so room
 * that was seen stays.
 */
#include "guests/builtin/signals.h"

#define ROUND_TRIP  0x1u
#define OFFSET_MASK (~0x3u)

static uint32_t *word_at(const struct cvd_guest_window *window, uint32_t region, uint32_t offset)
{
    return (uint32_t *)(void *)(window->base + window->regions[region].region_begin_offset +
                                offset);
}

/* A slot that has @offset already serves as well as a free one. */
static bool put(uint32_t *table, uint32_t slots, uint32_t offset)
{
    uint32_t first = offset / 4;

    for (uint32_t n = 0; n < slots; n++) {
        uint32_t found = 0;

        if (__atomic_compare_exchange_n(&table[(first + n) & (slots - 1)], &found, offset, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
            found == offset)
            return true;
    }
    return false;
}

void cvd_guest_signals_send(const struct cvd_guest_window *window, uint32_t region, uint32_t offset,
                            const struct cvd_guest_hooks *hooks)
{
    const struct vsoc_signal_table_layout *t = &window->regions[region].guest_to_host_signal_table;
    uint32_t *table = word_at(window, region, t->futex_uaddr_table_offset);
    uint32_t *word = word_at(window, region, t->interrupt_signalled_offset);

    if (!put(table, 1u << t->num_nodes_lg2, offset)) {
        hooks->drop(region, CVD_GUEST_DROP_FULL, offset);
        return;
    }
    if (!__atomic_exchange_n(word, 1, __ATOMIC_SEQ_CST))
        hooks->ring(region);
}

static bool has_room(const struct cvd_guest_window *window, uint32_t region, uint32_t offset)
{
    const struct vsoc_signal_table_layout *t = &window->regions[region].guest_to_host_signal_table;
    const uint32_t *table = word_at(window, region, t->futex_uaddr_table_offset);

    for (uint32_t i = 0; i < 1u << t->num_nodes_lg2; i++) {
        uint32_t found = __atomic_load_n(&table[i], __ATOMIC_SEQ_CST);

        if (found == 0 || found == offset)
            return true;
    }
    return false;
}

/* Whether there is a word at @offset of the region's data, followed by another. */
static bool is_pair(const struct vsoc_device_region *r, uint32_t offset)
{
    uint32_t size = r->region_end_offset - r->region_begin_offset;

    return offset != 0 && offset >= r->offset_of_region_data && size >= 8 && offset <= size - 8;
}

static void answer(const struct cvd_guest_window *window, uint32_t region, uint32_t offset,
                   const struct cvd_guest_hooks *hooks)
{
    uint32_t v = __atomic_load_n(word_at(window, region, offset), __ATOMIC_SEQ_CST);

    __atomic_store_n(word_at(window, region, offset + 4), v + 1, __ATOMIC_SEQ_CST);
    cvd_guest_signals_send(window, region, offset + 4, hooks);
}

/*
 * A round trip is answered first, and a plain signal of the same offset left in its place: two
 * answers would never have room in a table of one slot.
 * Returns: whether anything was taken
 */
static bool serve_slot(const struct cvd_guest_window *window, uint32_t region, uint32_t *slot,
                       const struct cvd_guest_hooks *hooks)
{
    uint32_t value = __atomic_load_n(slot, __ATOMIC_SEQ_CST);
    uint32_t offset = value & OFFSET_MASK;

    if (!value)
        return false;
    if (!is_pair(&window->regions[region], offset)) {
        __atomic_store_n(slot, 0, __ATOMIC_SEQ_CST);
        hooks->drop(region, CVD_GUEST_DROP_OFFSET, value);
        return true;
    }
    if (value & ROUND_TRIP) {
        if (!has_room(window, region, offset)) {
            hooks->stall(region);
            return false;
        }
        __atomic_store_n(slot, offset, __ATOMIC_SEQ_CST);
        cvd_guest_signals_send(window, region, offset, hooks);
    }
    if (!has_room(window, region, offset + 4)) {
        hooks->stall(region);
        return value & ROUND_TRIP;
    }
    __atomic_exchange_n(slot, 0, __ATOMIC_SEQ_CST);
    answer(window, region, offset, hooks);
    return true;
}

bool cvd_guest_signals_receive(const struct cvd_guest_window *window, uint32_t region,
                               const struct cvd_guest_hooks *hooks)
{
    const struct vsoc_signal_table_layout *t = &window->regions[region].host_to_guest_signal_table;
    uint32_t *table = word_at(window, region, t->futex_uaddr_table_offset);
    uint32_t *word = word_at(window, region, t->interrupt_signalled_offset);
    bool any = __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) != 0;

    for (uint32_t i = 0; i < 1u << t->num_nodes_lg2; i++)
        if (serve_slot(window, region, &table[i], hooks))
            any = true;
    return any;
}

bool cvd_guest_signals_waiting(const struct cvd_guest_window *window, uint32_t region)
{
    const struct vsoc_signal_table_layout *t = &window->regions[region].host_to_guest_signal_table;

    return __atomic_load_n(word_at(window, region, t->interrupt_signalled_offset),
                           __ATOMIC_SEQ_CST) != 0;
}

void cvd_guest_signals_open(const struct cvd_guest_window *window, uint32_t region,
                            const struct cvd_guest_hooks *hooks)
{
    const struct vsoc_signal_table_layout *t = &window->regions[region].guest_to_host_signal_table;

    if (__atomic_load_n(word_at(window, region, t->interrupt_signalled_offset), __ATOMIC_SEQ_CST))
        hooks->ring(region);
    cvd_guest_signals_receive(window, region, hooks);
}
