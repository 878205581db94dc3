/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A host program that signals and does not take the answers fills their table. What has no room
 * there is not answered yet: its signal stays where it is, and the host finds its own table full in
 * the end, but nothing is lost. Only this end puts anything into the table for the host, so room
 * that was seen stays.
 */
#include "vsoc/serve.h"

#define MAX_DROP_LINES 16

/* A region while it is served. */
typedef struct {
    struct vsoc_service *service;
    struct vsoc_end end;
    uint32_t region;
} Serving;

static void add(struct vsoc_region_set *set, uint32_t region)
{
    set->bits[region / 64] |= 1ull << region % 64;
    set->any = true;
}

static void move_all(struct vsoc_region_set *to, struct vsoc_region_set *from)
{
    if (!from->any)
        return;
    for (uint32_t i = 0; i < VSOC_MAX_REGIONS / 64; i++)
        to->bits[i] |= from->bits[i];
    to->any = true;
    *from = (struct vsoc_region_set){0};
}

static struct vsoc_end end_of(struct vsoc_service *s, uint32_t region)
{
    const struct vsoc_device_region *r = &s->window.regions[region];

    return (struct vsoc_end){s->window.base + r->region_begin_offset, r, VSOC_GUEST};
}

static void dropped(struct vsoc_service *s, uint32_t region, const char *why, uint32_t value)
{
    if (s->n_dropped++ < MAX_DROP_LINES)
        s->hooks->say(s->data, "region %u: %s 0x%08x", region, why, value);
    if (s->n_dropped == MAX_DROP_LINES)
        s->hooks->say(s->data, "no more lines about dropped signals");
}

static void signal_host(Serving *serving, uint32_t offset)
{
    struct vsoc_service *s = serving->service;

    switch (vsoc_signals_send(&serving->end, offset)) {
    case VSOC_SEND_RING:
        s->hooks->ring(s->data, serving->region);
        break;
    case VSOC_SEND_DONE:
        break;
    case VSOC_SEND_FULL:
        dropped(s, serving->region, "table full, not sent", offset);
        break;
    }
}

static uint32_t *word_at(const Serving *serving, uint32_t offset)
{
    return (uint32_t *)(void *)(serving->end.base + offset);
}

static bool is_ready(void *data, uint32_t offset)
{
    Serving *serving = data;

    return vsoc_signals_has_room(&serving->end, offset + 4);
}

static void answer(void *data, uint32_t offset)
{
    Serving *serving = data;
    uint32_t value = __atomic_load_n(word_at(serving, offset), __ATOMIC_SEQ_CST);

    __atomic_store_n(word_at(serving, offset + 4), value + 1, __ATOMIC_SEQ_CST);
    signal_host(serving, offset + 4);
}

static void drop(void *data, uint32_t value)
{
    Serving *serving = data;

    dropped(serving->service, serving->region, "bad offset", value);
}

static unsigned receive(struct vsoc_service *s, uint32_t region)
{
    Serving serving = {s, end_of(s, region), region};
    const struct vsoc_device_region *r = serving.end.region;
    const struct vsoc_receiver receiver = {
        .first = r->offset_of_region_data,
        .last = r->region_end_offset - r->region_begin_offset - 8, /* a word, and its answer */
        .is_ready = is_ready,
        .take = answer,
        .drop = drop,
        .data = &serving,
    };

    return vsoc_signals_receive(&serving.end, &receiver);
}

bool vsoc_service_serve(struct vsoc_service *s, uint32_t region, bool rung)
{
    unsigned result = receive(s, region);

    s->due.bits[region / 64] &= ~(1ull << region % 64);
    if (result & VSOC_MUST_RING || (rung && !(result & VSOC_RECEIVED)))
        s->hooks->ring(s->data, region);
    if (result & VSOC_STALLED) {
        if (!s->stalled.any)
            s->hooks->start_timer(s->data);
        add(&s->stalled, region);
    }
    vsoc_service_look_at(s, region);
    return result & VSOC_RECEIVED;
}

void vsoc_service_look_at(struct vsoc_service *s, uint32_t region)
{
    struct vsoc_end end = end_of(s, region);

    if (vsoc_signals_are_waiting(&end))
        add(&s->again, region);
}

void vsoc_service_look_at_all(struct vsoc_service *s)
{
    for (uint32_t i = 0; i < s->window.layout.region_count; i++) {
        struct vsoc_end end = end_of(s, i);

        if (vsoc_signals_must_ring(&end))
            s->hooks->ring(s->data, i);
        vsoc_service_serve(s, i, false);
    }
}

bool vsoc_service_begin_round(struct vsoc_service *s)
{
    move_all(&s->due, &s->again);
    return s->due.any;
}

int vsoc_service_next(struct vsoc_service *s)
{
    if (!s->due.any)
        return -1;
    for (uint32_t i = 0; i < VSOC_MAX_REGIONS / 64; i++) {
        uint64_t bits = s->due.bits[i];

        s->due.bits[i] &= bits - 1;
        if (bits)
            return (int)(64 * i) + __builtin_ctzll(bits);
    }
    s->due.any = false;
    return -1;
}

void vsoc_service_end_round(struct vsoc_service *s)
{
    for (int region; (region = vsoc_service_next(s)) >= 0;)
        vsoc_service_serve(s, (uint32_t)region, false);
}

void vsoc_service_retry(struct vsoc_service *s)
{
    move_all(&s->due, &s->stalled);
}

void vsoc_service_signal(struct vsoc_service *s, uint32_t region, uint32_t offset)
{
    Serving serving = {s, end_of(s, region), region};

    signal_host(&serving, offset);
}

int vsoc_service_open(struct vsoc_service *s, void *base, uint64_t mapped, uint32_t vectors,
                      const struct vsoc_service_hooks *hooks, void *data)
{
    const struct vsoc_shm_layout_descriptor *l = &s->window.layout;
    struct vsoc_fault fault;

    s->hooks = hooks;
    s->data = data;
    if (vsoc_window_open(&s->window, base, mapped, vectors, &fault)) {
        if (fault.region < 0)
            hooks->fail(data, "bad layout: %s (found 0x%x)", fault.rule, fault.value);
        else
            hooks->fail(data, "bad layout: region %u: %s (found 0x%x)", (unsigned)fault.region,
                        fault.rule, fault.value);
        return -1;
    }
    hooks->say(data, "window %u bytes, layout %u.%u, %u regions", l->size, l->major_version,
               l->minor_version, l->region_count);
    for (uint32_t i = 0; i < l->region_count; i++) {
        const struct vsoc_device_region *r = &s->window.regions[i];

        hooks->say(data, "region %u %s 0x%08x-0x%08x data 0x%x", i, r->device_name,
                   r->region_begin_offset, r->region_end_offset, r->offset_of_region_data);
    }
    return 0;
}
