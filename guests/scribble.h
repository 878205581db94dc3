/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "vsoc/window.h"

/** CvdScribbler: what a hostile guest would write; the same again for the same seed and layout. */
typedef struct {
    const struct vsoc_window *window;
    uint64_t state;
    int spared; /* a region that is left alone, with all descriptors; −1: nothing is */
} CvdScribbler;

/** cvd_scribbler_init: for the whole window */
void cvd_scribbler_init(CvdScribbler *scribbler, const struct vsoc_window *window, uint64_t seed);

/**
 * cvd_scribbler_write:
 * @n_words: how many
 *
 * Writes words: anywhere in the window, and oftener where it hurts, in the descriptors and the
 * signal tables; any numbers, and oftener such as could pass for offsets.
 */
void cvd_scribbler_write(CvdScribbler *scribbler, uint32_t n_words);

/** cvd_scribbler_choose: Returns: a number below @n */
uint32_t cvd_scribbler_choose(CvdScribbler *scribbler, uint32_t n);

/** cvd_scribbler_choose_region: Returns: one to be rung, or −1 */
int cvd_scribbler_choose_region(CvdScribbler *scribbler);
