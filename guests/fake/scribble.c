/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/fake/scribble.h"

/* SplitMix64: any seed will do, and there is no state to warm up. */
static guint64 next(CvdScribbler *scribbler)
{
    guint64 z = scribbler->state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void cvd_scribbler_init(CvdScribbler *scribbler, const struct vsoc_window *window, guint64 seed)
{
    *scribbler = (CvdScribbler){.window = window, .state = seed};
}

guint cvd_scribbler_choose(CvdScribbler *scribbler, guint n)
{
    return (guint)((next(scribbler) >> 32) * n >> 32);
}

/* Returns: the offset of a word in the window */
static guint32 choose_place(CvdScribbler *scribbler)
{
    const struct vsoc_shm_layout_descriptor *layout = &scribbler->window->layout;
    guint32 array_end = layout->vsoc_region_desc_offset +
                        layout->region_count * (guint32)sizeof(struct vsoc_device_region);

    switch (cvd_scribbler_choose(scribbler, 4)) {
    case 0:
        return 4 * cvd_scribbler_choose(scribbler, array_end / 4);
    case 1: {
        const struct vsoc_device_region *r =
            &scribbler->window->regions[cvd_scribbler_choose(scribbler, layout->region_count)];
        return r->region_begin_offset +
               4 * cvd_scribbler_choose(scribbler, r->offset_of_region_data / 4);
    }
    default:
        return 4 * cvd_scribbler_choose(scribbler, layout->size / 4);
    }
}

static guint32 choose_value(CvdScribbler *scribbler)
{
    switch (cvd_scribbler_choose(scribbler, 4)) {
    case 0:
        return cvd_scribbler_choose(scribbler, 3); /* words, counts, powers */
    case 1:
        return cvd_scribbler_choose(scribbler, 1 << 14); /* offsets in a region, aligned or not */
    default:
        return (guint32)next(scribbler);
    }
}

void cvd_scribbler_write(CvdScribbler *scribbler, guint n_words)
{
    for (guint i = 0; i < n_words; i++) {
        guint32 place = choose_place(scribbler);
        guint32 *word = (guint32 *)(gpointer)(scribbler->window->base + place);
        __atomic_store_n(word, choose_value(scribbler), __ATOMIC_RELAXED);
    }
}
