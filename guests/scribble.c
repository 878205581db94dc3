/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/scribble.h"

#include <stdbool.h>

/* SplitMix64: any seed will do, and there is no state to warm up. */
static uint64_t next(CvdScribbler *scribbler)
{
    uint64_t z = scribbler->state += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

void cvd_scribbler_init(CvdScribbler *scribbler, const struct vsoc_window *window, uint64_t seed)
{
    *scribbler = (CvdScribbler){.window = window, .state = seed, .spared = -1};
}

uint32_t cvd_scribbler_choose(CvdScribbler *scribbler, uint32_t n)
{
    return (uint32_t)((next(scribbler) >> 32) * n >> 32);
}

int cvd_scribbler_choose_region(CvdScribbler *scribbler)
{
    int region = (int)cvd_scribbler_choose(scribbler, scribbler->window->layout.region_count);

    return region == scribbler->spared ? -1 : region;
}

static uint32_t end_of_descriptors(const CvdScribbler *scribbler)
{
    const struct vsoc_shm_layout_descriptor *layout = &scribbler->window->layout;

    return layout->vsoc_region_desc_offset +
           layout->region_count * (uint32_t)sizeof(struct vsoc_device_region);
}

/* Returns: the offset of a word in the window */
static uint32_t choose_place(CvdScribbler *scribbler)
{
    const struct vsoc_shm_layout_descriptor *layout = &scribbler->window->layout;
    const struct vsoc_device_region *r;

    switch (cvd_scribbler_choose(scribbler, 4)) {
    case 0:
        return 4 * cvd_scribbler_choose(scribbler, end_of_descriptors(scribbler) / 4);
    case 1:
        r = &scribbler->window->regions[cvd_scribbler_choose(scribbler, layout->region_count)];
        return r->region_begin_offset +
               4 * cvd_scribbler_choose(scribbler, r->offset_of_region_data / 4);
    default:
        return 4 * cvd_scribbler_choose(scribbler, layout->size / 4);
    }
}

static uint32_t choose_value(CvdScribbler *scribbler)
{
    switch (cvd_scribbler_choose(scribbler, 4)) {
    case 0:
        return cvd_scribbler_choose(scribbler, 3); /* words, counts, powers */
    case 1:
        return cvd_scribbler_choose(scribbler, 1 << 14); /* offsets in a region, aligned or not */
    default:
        return (uint32_t)next(scribbler);
    }
}

static bool is_spared(const CvdScribbler *scribbler, uint32_t place)
{
    if (scribbler->spared < 0)
        return false;
    const struct vsoc_device_region *r = &scribbler->window->regions[scribbler->spared];
    return place < end_of_descriptors(scribbler) ||
           (place >= r->region_begin_offset && place < r->region_end_offset);
}

void cvd_scribbler_write(CvdScribbler *scribbler, uint32_t n_words)
{
    for (uint32_t i = 0; i < n_words; i++) {
        uint32_t place = choose_place(scribbler), value = choose_value(scribbler);
        uint32_t *word = (uint32_t *)(void *)(scribbler->window->base + place);

        if (!is_spared(scribbler, place))
            __atomic_store_n(word, value, __ATOMIC_RELAXED);
    }
}
