/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile VM writes: all over the window, nowhere else, and the same again for one seed. */
#include "guests/scribble.h"

#include <glib.h>
#include <string.h>

#define PAGE     4096
#define WORDS    (4 * PAGE / 4)
#define N_WRITES 200000

/* A window of four pages with a guard on either side: descriptors, two regions, and one free. */
typedef struct {
    guint32 before[PAGE / 4];
    guint32 words[WORDS];
    guint32 after[PAGE / 4];
} Memory;

static void set_up(struct vsoc_window *window, Memory *memory)
{
    memset(memory, 0, sizeof *memory);
    memset(window, 0, sizeof *window);
    window->base = (guint8 *)memory->words;
    window->layout = (struct vsoc_shm_layout_descriptor){
        .size = sizeof memory->words, .region_count = 2, .vsoc_region_desc_offset = 16};
    for (guint i = 0; i < 2; i++)
        window->regions[i] = (struct vsoc_device_region){
            .region_begin_offset = (i + 1) * PAGE,
            .region_end_offset = (i + 2) * PAGE,
            .offset_of_region_data = 40,
        };
}

static guint count_written(const guint32 *words, guint n)
{
    guint n_written = 0;

    for (guint i = 0; i < n; i++)
        n_written += words[i] != 0;
    return n_written;
}

static void test_everywhere_and_nowhere_else(void)
{
    g_autofree struct vsoc_window *window = g_new(struct vsoc_window, 1);
    g_autofree Memory *memory = g_new(Memory, 1);
    CvdScribbler scribbler;

    set_up(window, memory);
    cvd_scribbler_init(&scribbler, window, 1);
    cvd_scribbler_write(&scribbler, N_WRITES);
    g_assert_cmpuint(count_written(memory->before, PAGE / 4), ==, 0);
    g_assert_cmpuint(count_written(memory->after, PAGE / 4), ==, 0);
    /* A twelfth of the words written last is zero. */
    for (guint page = 0; page < 4; page++)
        g_assert_cmpuint(count_written(memory->words + page * PAGE / 4, PAGE / 4), >, PAGE / 4 / 2);
    /* The last word too is within reach: some run of that many writes has it. */
    for (guint i = 0; i < 100 && memory->words[WORDS - 1] == 0; i++)
        cvd_scribbler_write(&scribbler, N_WRITES);
    g_assert_cmpuint(memory->words[WORDS - 1], !=, 0);
}

static void test_same_again(void)
{
    g_autofree struct vsoc_window *window = g_new(struct vsoc_window, 1);
    g_autofree Memory *first = g_new(Memory, 1);
    g_autofree Memory *second = g_new(Memory, 1);
    CvdScribbler scribbler;

    set_up(window, first);
    cvd_scribbler_init(&scribbler, window, 5);
    cvd_scribbler_write(&scribbler, 1000);
    set_up(window, second);
    cvd_scribbler_init(&scribbler, window, 5);
    cvd_scribbler_write(&scribbler, 400);
    cvd_scribbler_write(&scribbler, 600);
    g_assert_cmpmem(first, sizeof *first, second, sizeof *second);
    set_up(window, second);
    cvd_scribbler_init(&scribbler, window, 6);
    cvd_scribbler_write(&scribbler, 1000);
    g_assert_cmpint(memcmp(first, second, sizeof *first), !=, 0);
}

static void test_choice(void)
{
    CvdScribbler scribbler;
    guint n_chosen[3] = {0};

    cvd_scribbler_init(&scribbler, NULL, 0);
    for (guint i = 0; i < 3000; i++)
        n_chosen[cvd_scribbler_choose(&scribbler, G_N_ELEMENTS(n_chosen))]++;
    for (guint i = 0; i < G_N_ELEMENTS(n_chosen); i++)
        g_assert_cmpuint(n_chosen[i], >, 500);
    g_assert_cmpuint(cvd_scribbler_choose(&scribbler, 1), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vm-scribble/everywhere-and-nowhere-else", test_everywhere_and_nowhere_else);
    g_test_add_func("/vm-scribble/same-again", test_same_again);
    g_test_add_func("/vm-scribble/choice", test_choice);
    return g_test_run();
}
