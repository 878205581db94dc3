/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's look at a layout: a good one, then each rule of the window's
 * specification broken once, then random damage, after which whatever the guest still believes must
 * keep its signals inside the window (the sanitizers watch that).
 */
#include "vsoc/window.h"

#include <glib.h>
#include <string.h>

#include "vsoc/ready.h"
#include "vsoc/serve.h"

#include "tests/support/rows.h"

#define PAGE         4096u
#define WINDOW       65536u
#define REGIONS      4u
#define HEADER       16u
#define DESC         60u
#define VECTORS      4u
#define FUZZ_ROUNDS  4000
#define FUZZ_PATCHES 3

/* Where region @i's field is that starts @field bytes into its descriptor. */
#define AT(i, field) (HEADER + DESC * (i) + (field))

enum {
    CURRENT = 0,
    MIN = 2,
    BEGIN = 4,
    END = 8,
    DATA = 12,
    G_LG2 = 16,
    G_TABLE = 20,
    G_WORD = 24,
    H_LG2 = 28,
    H_TABLE = 32,
    H_WORD = 36,
    NAME = 40,
    MANAGED = 56,
};

static struct vsoc_service service;

static void put16(guint8 *window, guint32 at, guint16 value)
{
    memcpy(window + at, &value, sizeof value);
}

static void put32(guint8 *window, guint32 at, guint32 value)
{
    memcpy(window + at, &value, sizeof value);
}

static void put_region(guint8 *window, guint32 i, guint32 begin, guint32 end)
{
    put16(window, AT(i, CURRENT), 2);
    put16(window, AT(i, MIN), 1);
    put32(window, AT(i, BEGIN), begin);
    put32(window, AT(i, END), end);
    put32(window, AT(i, DATA), 40);
    put32(window, AT(i, G_LG2), 2);
    put32(window, AT(i, G_TABLE), 0);
    put32(window, AT(i, G_WORD), 16);
    put32(window, AT(i, H_LG2), 2);
    put32(window, AT(i, H_TABLE), 20);
    put32(window, AT(i, H_WORD), 36);
    g_snprintf((char *)window + AT(i, NAME), 16, "region-%u", i);
    put32(window, AT(i, MANAGED), 0);
}

static void put_header(guint8 *window, guint32 size, guint32 regions)
{
    put16(window, 0, 2);
    put16(window, 2, 0);
    put32(window, 4, size);
    put32(window, 8, regions);
    put32(window, 12, HEADER);
}

/* Four regions of two pages; the last is managed by the third. */
static guint8 *good_window(void)
{
    guint8 *window = g_malloc0(WINDOW);

    put_header(window, WINDOW, REGIONS);
    for (guint32 i = 0; i < REGIONS; i++)
        put_region(window, i, PAGE + 2 * PAGE * i, PAGE + 2 * PAGE * (i + 1));
    put32(window, AT(3, MANAGED), 2);
    return window;
}

static void good_layout(void)
{
    g_autofree guint8 *window = good_window();
    struct vsoc_fault fault;

    g_assert_cmpint(vsoc_window_open(&service.window, window, WINDOW, VECTORS, &fault), ==, 0);
    g_assert_cmpuint(service.window.layout.region_count, ==, REGIONS);
    g_assert_cmpuint(service.window.regions[1].region_begin_offset, ==, 3 * PAGE);
    g_assert_cmpstr(service.window.regions[3].device_name, ==, "region-3");
    g_assert_true(service.window.base == window);
}

/* What it believes is its own copy: later writes change nothing. */
static void copy_is_private(void)
{
    g_autofree guint8 *window = good_window();
    struct vsoc_fault fault;

    g_assert_cmpint(vsoc_window_open(&service.window, window, WINDOW, VECTORS, &fault), ==, 0);
    memset(window, 0xff, PAGE);
    g_assert_cmpuint(service.window.layout.size, ==, WINDOW);
    g_assert_cmpuint(service.window.regions[0].region_end_offset, ==, 3 * PAGE);
}

static void any_order(void)
{
    g_autofree guint8 *window = good_window();
    struct vsoc_fault fault;

    for (guint32 i = 0; i < REGIONS; i++) {
        guint32 place = REGIONS - 1 - i;

        put32(window, AT(i, BEGIN), PAGE + 2 * PAGE * place);
        put32(window, AT(i, END), PAGE + 2 * PAGE * (place + 1));
    }
    g_assert_cmpint(vsoc_window_open(&service.window, window, WINDOW, VECTORS, &fault), ==, 0);
}

/* The descriptors need not follow the header; neither may be inside a region. */
static void descriptors_elsewhere(void)
{
    g_autofree guint8 *window = good_window();
    guint32 array = WINDOW - PAGE;
    struct vsoc_fault fault;

    memcpy(window + array, window + HEADER, REGIONS * DESC);
    memset(window + HEADER, 0, REGIONS * DESC);
    put32(window, 12, array);
    g_assert_cmpint(vsoc_window_open(&service.window, window, WINDOW, VECTORS, &fault), ==, 0);

    put32(window, array + DESC * 3 + END, WINDOW);
    g_assert_cmpint(vsoc_window_open(&service.window, window, WINDOW, VECTORS, &fault), ==, -1);
    g_assert_cmpint(fault.region, ==, 3);
    g_assert_nonnull(strstr(fault.rule, "descriptors"));

    put32(window, array + BEGIN, 0);
    g_assert_cmpint(vsoc_window_open(&service.window, window, WINDOW, VECTORS, &fault), ==, -1);
    g_assert_cmpint(fault.region, ==, 0);
    g_assert_nonnull(strstr(fault.rule, "descriptors"));
}

/* By hand: the header has 16 bytes, each descriptor 60; the word is the last before the region. */
static void ready_word(void)
{
    static const struct {
        guint32 array, count, first, word;
    } rows[] = {
        {16, 4, 4096, 4092},       {16, 67, 4096, 4092}, /* they end at 4036 */
        {16, 68, 4096, 0},                               /* and here at 4096 */
        {16, 68, 8192, 8188},      {16, 2048, 126976, 126972},
        {4036, 1, 4096, 0},    /* its last word is that one */
        {4032, 1, 4096, 4092}, /* it ends there */
        {4092, 1, 8192, 8188},     {8132, 1, 8192, 0},
        {16384, 4, 4096, 4092}, /* behind the regions */
        {16, 4, 2097152, 2097148}, {16, 1, 0x7ffff000, 0x7fffeffc},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const struct vsoc_shm_layout_descriptor layout = {.region_count = rows[i].count,
                                                          .vsoc_region_desc_offset = rows[i].array};
        g_assert_cmpuint(vsoc_ready_offset(&layout, rows[i].first), ==, rows[i].word);
    }
}

/* The first region in the window need not be the first in the array. */
static void set_ready(void)
{
    g_autofree guint8 *window = good_window();
    g_autofree guint8 *expected = good_window();
    struct vsoc_fault fault;

    for (guint i = 0; i < 2; i++) {
        put_region(window, 3 * i, PAGE + 6 * PAGE * (1 - i), 3 * PAGE + 6 * PAGE * (1 - i));
        put_region(expected, 3 * i, PAGE + 6 * PAGE * (1 - i), 3 * PAGE + 6 * PAGE * (1 - i));
    }
    put32(expected, PAGE - 4, VSOC_READY);
    g_assert_cmpint(vsoc_window_open(&service.window, window, WINDOW, VECTORS, &fault), ==, 0);
    g_assert_cmpint(vsoc_window_set_ready(&service.window), ==, 0);
    g_assert_cmpmem(window, WINDOW, expected, WINDOW);
}

static void set_ready_without_a_place(void)
{
    g_autofree guint8 *window = g_malloc0(8 * WINDOW);
    g_autofree guint8 *before = NULL;
    struct vsoc_fault fault;

    put_header(window, 8 * WINDOW, 68);
    for (guint32 i = 0; i < 68; i++)
        put_region(window, i, PAGE + PAGE * i, PAGE + PAGE * (i + 1));
    before = g_memdup2(window, 8 * WINDOW);
    g_assert_cmpint(vsoc_window_open(&service.window, window, 8 * WINDOW, 68, &fault), ==, 0);
    g_assert_cmpint(vsoc_window_set_ready(&service.window), ==, -1);
    g_assert_cmpmem(window, 8 * WINDOW, before, 8 * WINDOW);
}

typedef struct {
    const char *name;
    struct {
        guint32 at, size, value;
    } patches[3];
    int region;
    const char *says;
} Broken;

static const Broken broken[] = {
    {"major-version", {{0, 2, 1}}, -1, "major_version"},
    {"minor-version", {{2, 2, 1}}, -1, "minor_version"},
    {"size-too-small", {{4, 4, WINDOW / 2}}, -1, "size"},
    {"size-too-large", {{4, 4, WINDOW * 2}}, -1, "size"},
    {"no-regions", {{8, 4, 0}}, -1, "region_count"},
    {"more-regions-than-vectors", {{8, 4, VECTORS + 1}}, -1, "vectors"},
    {"huge-region-count", {{8, 4, G_MAXUINT32}}, -1, "region_count"},
    {"descriptors-in-header", {{12, 4, 12}}, -1, "vsoc_region_desc_offset"},
    {"descriptors-unaligned", {{12, 4, 18}}, -1, "vsoc_region_desc_offset"},
    {"descriptors-leave-window", {{12, 4, WINDOW - REGIONS *DESC + 4}}, -1, "leave the window"},
    {"descriptors-far-away", {{12, 4, 0xfffffffc}}, -1, "leave the window"},
    {"versions-crossed", {{AT(1, MIN), 2, 3}}, 1, "min_compatible_version"},
    {"begin-unaligned", {{AT(1, BEGIN), 4, 3 * PAGE + 4}}, 1, "region_begin_offset"},
    {"end-unaligned", {{AT(1, END), 4, 5 * PAGE - 4}}, 1, "region_end_offset"},
    {"end-before-begin", {{AT(1, END), 4, 2 * PAGE}}, 1, "region_end_offset"},
    {"empty-region", {{AT(1, END), 4, 3 * PAGE}}, 1, "region_end_offset"},
    {"end-outside", {{AT(3, END), 4, WINDOW + PAGE}}, 3, "leaves the window"},
    {"end-far-outside", {{AT(3, END), 4, 0xfffff000}}, 3, "leaves the window"},
    {"on-the-descriptors", {{AT(0, BEGIN), 4, 0}}, 0, "descriptors"},
    {"overlap", {{AT(2, BEGIN), 4, 4 * PAGE}}, 2, "overlaps"},
    {"same-place", {{AT(2, BEGIN), 4, 3 * PAGE}, {AT(2, END), 4, 5 * PAGE}}, -2, "overlaps"},
    {"contained", {{AT(0, END), 4, WINDOW}}, 1, "overlaps"},
    {"data-unaligned", {{AT(1, DATA), 4, 42}}, 1, "offset_of_region_data"},
    {"data-outside", {{AT(1, DATA), 4, 2 * PAGE + 4}}, 1, "offset_of_region_data"},
    {"data-far-outside", {{AT(1, DATA), 4, 0xfffffffc}}, 1, "offset_of_region_data"},
    {"too-many-nodes", {{AT(1, G_LG2), 4, 17}}, 1, "num_nodes_lg2"},
    {"nodes-wrap", {{AT(1, H_LG2), 4, 62}}, 1, "num_nodes_lg2"},
    {"table-larger-than-region", {{AT(1, H_LG2), 4, 16}}, 1, "futex_uaddr_table_offset"},
    {"table-unaligned", {{AT(1, G_TABLE), 4, 2}}, 1, "futex_uaddr_table_offset"},
    {"table-in-data", {{AT(1, H_TABLE), 4, 28}}, 1, "futex_uaddr_table_offset"},
    {"table-wraps", {{AT(1, H_TABLE), 4, 0xfffffff8}}, 1, "futex_uaddr_table_offset"},
    {"word-unaligned", {{AT(1, G_WORD), 4, 17}}, 1, "interrupt_signalled_offset"},
    {"word-in-data", {{AT(1, H_WORD), 4, 40}}, 1, "interrupt_signalled_offset"},
    {"word-wraps", {{AT(1, H_WORD), 4, 0xfffffffc}}, 1, "interrupt_signalled_offset"},
    {"word-in-its-table", {{AT(1, G_WORD), 4, 12}}, 1, "interrupt_signalled_offset"},
    {"tables-overlap", {{AT(1, H_TABLE), 4, 12}}, 1, "overlap"},
    {"word-in-other-table", {{AT(1, H_WORD), 4, 0}}, 1, "overlap"},
    {"same-word", {{AT(1, H_WORD), 4, 16}}, 1, "overlap"},
    {"name-without-end",
     {{AT(1, NAME) + 8, 4, 0x61616161}, {AT(1, NAME) + 12, 4, 0x61616161}},
     1,
     "device_name"},
    {"name-empty", {{AT(1, NAME), 1, 0}}, 1, "device_name"},
    {"name-with-slash", {{AT(1, NAME), 1, '/'}}, 1, "device_name"},
    {"name-with-control-character", {{AT(1, NAME) + 2, 1, '\n'}}, 1, "device_name"},
    {"name-beyond-ascii", {{AT(1, NAME) + 2, 1, 0xe4}}, 1, "device_name"},
    {"name-dot", {{AT(1, NAME), 4, '.'}}, 1, "device_name"},
    {"name-dot-dot", {{AT(1, NAME), 4, '.' | '.' << 8}}, 1, "device_name"},
    {"name-twice", {{AT(2, NAME) + 7, 1, '0'}}, -2, "device_name"},
    {"manager-unknown", {{AT(3, MANAGED), 4, REGIONS}}, 3, "managed_by"},
    {"manager-far-outside", {{AT(3, MANAGED), 4, G_MAXUINT32}}, 3, "managed_by"},
    {"manager-itself", {{AT(3, MANAGED), 4, 3}}, 3, "managed_by"},
    {"managed-without-a-page", {{AT(3, DATA), 4, PAGE + 4}}, 3, "managed"},
    {"manager-without-data", {{AT(2, DATA), 4, 2 * PAGE}}, 3, "managed_by"},
};

static void patched_layout(gconstpointer data)
{
    const Broken *b = data;
    g_autofree guint8 *window = good_window();
    struct vsoc_fault fault;

    for (guint i = 0; i < G_N_ELEMENTS(b->patches); i++)
        memcpy(window + b->patches[i].at, &b->patches[i].value, b->patches[i].size);
    int result = vsoc_window_open(&service.window, window, WINDOW, VECTORS, &fault);
    g_assert_cmpint(result, ==, b->says != NULL ? -1 : 0);
    if (b->says == NULL)
        return;
    g_assert_nonnull(strstr(fault.rule, b->says));
    if (b->region == -2) /* either of the two */
        g_assert_cmpint(fault.region, >=, 0);
    else
        g_assert_cmpint(fault.region, ==, b->region);
}

/* What may look odd and is right: the borders of the rules above. */
static const Broken borders[] = {
    {"end-of-window", {{AT(3, END), 4, WINDOW}}, 0, NULL},
    {"versions-equal", {{AT(1, MIN), 2, 2}}, 0, NULL},
    {"no-data", {{AT(1, DATA), 4, 2 * PAGE}}, 0, NULL},
    {"managed-with-one-page", {{AT(3, DATA), 4, PAGE}}, 0, NULL},
    {"manager-with-one-word", {{AT(2, DATA), 4, 2 * PAGE - 4}}, 0, NULL},
    {"name-of-15", {{AT(1, NAME) + 8, 4, 0x61616161}, {AT(1, NAME) + 12, 4, 0x00616161}}, 0, NULL},
    {"one-slot", {{AT(1, H_LG2), 4, 0}}, 0, NULL},
};

static void most_regions(void)
{
    guint32 first = (HEADER + DESC * 2049 + PAGE - 1) / PAGE * PAGE;
    guint32 size = 16 * 1024 * 1024;
    g_autofree guint8 *window = g_malloc0(size);
    struct vsoc_fault fault;

    put_header(window, size, 2048);
    for (guint32 i = 0; i < 2049; i++)
        put_region(window, i, first + PAGE * (2048 - i), first + PAGE * (2049 - i));
    g_assert_cmpint(vsoc_window_open(&service.window, window, size, 2048, &fault), ==, 0);
    put32(window, 8, 2049);
    g_assert_cmpint(vsoc_window_open(&service.window, window, size, G_MAXUINT32, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.rule, "2048"));
    /* Far apart in the array, neighbours in the window. */
    put32(window, 8, 2048);
    put32(window, AT(2000, BEGIN), first + PAGE * 2048);
    put32(window, AT(2000, END), first + PAGE * 2049);
    g_assert_cmpint(vsoc_window_open(&service.window, window, size, 2048, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.rule, "overlaps"));
}

static void no_ring(void *data, guint32 region)
{
}

static void no_timer(void *data)
{
}

static void G_GNUC_PRINTF(2, 3) no_words(void *data, const char *format, ...)
{
}

static const struct vsoc_service_hooks quiet = {no_ring, no_timer, no_words, no_words};

/* Fills what is outside the layout with noise, lets the guest serve it; true if it believed. */
static gboolean serve_damaged(GRand *rand, guint8 *window, guint32 layout_size)
{
    guint8 before[HEADER + REGIONS * DESC];

    for (guint32 at = layout_size; at < WINDOW; at += 4)
        put32(window, at, g_rand_int(rand) >> g_rand_int_range(rand, 0, 32));
    memcpy(before, window, sizeof before);
    if (vsoc_service_open(&service, window, WINDOW, VECTORS, &quiet, NULL))
        return FALSE;
    vsoc_service_look_at_all(&service);
    g_assert_false(vsoc_service_begin_round(&service)); /* all words are clear */
    if (service.window.layout.vsoc_region_desc_offset == HEADER)
        g_assert_cmpmem(window, HEADER + service.window.layout.region_count * DESC, before,
                        HEADER + service.window.layout.region_count * DESC);
    return TRUE;
}

static void random_damage(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)g_test_rand_int());
    guint believed = 0, refused = 0;

    for (guint n = 0; n < FUZZ_ROUNDS; n++) {
        g_autofree guint8 *window = good_window();
        gint patches = g_rand_int_range(rand, 0, FUZZ_PATCHES + 1);

        for (gint i = 0; i < patches; i++) {
            guint32 at = 4 * (guint32)g_rand_int_range(rand, 0, (HEADER + REGIONS * DESC) / 4);
            guint32 value = g_rand_int(rand) >> g_rand_int_range(rand, 0, 32);

            put32(window, at, g_rand_boolean(rand) ? value : value & ~3u);
        }
        if (serve_damaged(rand, window, HEADER + REGIONS * DESC))
            believed++;
        else
            refused++;
    }
    g_assert_cmpuint(believed, >, 0);
    g_assert_cmpuint(refused, >, 0);
}

/* Nothing but noise behind a header that is right. */
static void random_descriptors(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)g_test_rand_int());

    for (guint n = 0; n < FUZZ_ROUNDS; n++) {
        g_autofree guint8 *window = g_malloc0(WINDOW);

        put_header(window, WINDOW, REGIONS);
        serve_damaged(rand, window, HEADER);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vsoc-window/good", good_layout);
    g_test_add_func("/vsoc-window/copy-is-private", copy_is_private);
    g_test_add_func("/vsoc-window/regions-in-any-order", any_order);
    g_test_add_func("/vsoc-window/descriptors-elsewhere", descriptors_elsewhere);
    g_test_add_func("/vsoc-window/2048-regions-and-one-more", most_regions);
    g_test_add_func("/vsoc-window/ready-word", ready_word);
    g_test_add_func("/vsoc-window/set-ready", set_ready);
    g_test_add_func("/vsoc-window/set-ready-without-a-place", set_ready_without_a_place);
    test_add_rows(g_test_add_data_func, "/vsoc-window/broken/", broken, patched_layout);
    test_add_rows(g_test_add_data_func, "/vsoc-window/border/", borders, patched_layout);
    g_test_add_func("/vsoc-window/random-damage", random_damage);
    g_test_add_func("/vsoc-window/random-descriptors", random_descriptors);
    return g_test_run();
}
