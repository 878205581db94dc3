/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Reads the layout and checks all of it before anything is believed: header, then the array's
 * place, then each region by itself, then the regions against each other. For the last, an index of
 * the regions is sorted, by place and by name, so that only neighbours need comparing and the order
 * of the regions does not matter. Knows no hardware.
 */
#include "vsoc/window.h"

#include <stdbool.h>

#define HEADER_SIZE ((uint32_t)sizeof(struct vsoc_shm_layout_descriptor))
#define REGION_SIZE ((uint32_t)sizeof(struct vsoc_device_region))
#define MIN_MANAGER 4u

typedef int (*Compare)(const struct vsoc_device_region *a, const struct vsoc_device_region *b);

static int fail(struct vsoc_fault *fault, int region, const char *rule, uint32_t value)
{
    fault->rule = rule;
    fault->region = region;
    fault->value = value;
    return -1;
}

/* The only place that reads the layout in the window: each word once. */
static void copy_words(void *to, const uint8_t *from, uint32_t size)
{
    union {
        uint32_t word;
        uint8_t bytes[4];
    } u;

    for (uint32_t i = 0; i < size; i += 4) {
        u.word = *(const volatile uint32_t *)(const volatile void *)(from + i);
        for (uint32_t j = 0; j < 4; j++)
            ((uint8_t *)to)[i + j] = u.bytes[j];
    }
}

int vsoc_layout_check(const struct vsoc_shm_layout_descriptor *l, uint64_t mapped, uint32_t vectors,
                      struct vsoc_fault *fault)
{
    if (l->major_version != VSOC_LAYOUT_MAJOR_VERSION)
        return fail(fault, -1, "major_version is not 2", l->major_version);
    if (l->minor_version != VSOC_LAYOUT_MINOR_VERSION)
        return fail(fault, -1, "minor_version is not 0", l->minor_version);
    if (l->size != mapped)
        return fail(fault, -1, "size is not that of BAR 2", l->size);
    if (l->region_count == 0)
        return fail(fault, -1, "region_count is 0", 0);
    if (l->region_count > VSOC_MAX_REGIONS)
        return fail(fault, -1, "region_count is over 2048", l->region_count);
    if (l->region_count > vectors)
        return fail(fault, -1, "region_count is over the number of vectors", l->region_count);
    if (l->vsoc_region_desc_offset < HEADER_SIZE)
        return fail(fault, -1, "vsoc_region_desc_offset is inside the header",
                    l->vsoc_region_desc_offset);
    if (l->vsoc_region_desc_offset % 4)
        return fail(fault, -1, "vsoc_region_desc_offset is not a multiple of 4",
                    l->vsoc_region_desc_offset);
    if (l->vsoc_region_desc_offset > mapped - HEADER_SIZE ||
        mapped - l->vsoc_region_desc_offset < (uint64_t)l->region_count * REGION_SIZE)
        return fail(fault, -1, "the region descriptors leave the window",
                    l->vsoc_region_desc_offset);
    return 0;
}

static bool is_name_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

enum vsoc_name vsoc_name_check(const char *name, size_t size, uint32_t *n_good)
{
    uint32_t n = 0;

    while (n < size && is_name_character(name[n]))
        n++;
    *n_good = n;
    if (n < size && name[n])
        return VSOC_NAME_CHARACTER;
    if (n == 0)
        return VSOC_NAME_EMPTY;
    if (n > VSOC_MAX_DEVICE_NAME)
        return VSOC_NAME_TOO_LONG;
    return name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.')) ? VSOC_NAME_DOTS
                                                                    : VSOC_NAME_GOOD;
}

static int check_name(const struct vsoc_device_region *r, int i, struct vsoc_fault *fault)
{
    static const char *const rules[] = {
        [VSOC_NAME_EMPTY] = "device_name is empty",
        [VSOC_NAME_CHARACTER] = "device_name has a character that none may have",
        [VSOC_NAME_TOO_LONG] = "device_name has no end",
        [VSOC_NAME_DOTS] = "device_name is . or ..",
    };
    uint32_t n;
    enum vsoc_name name = vsoc_name_check(r->device_name, sizeof r->device_name, &n);

    if (name == VSOC_NAME_GOOD)
        return 0;
    return fail(fault, i, rules[name],
                name == VSOC_NAME_CHARACTER ? (uint8_t)r->device_name[n] : n);
}

static bool overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
    return a < b_end && b < a_end;
}

static int check_place(const struct vsoc_shm_layout_descriptor *l,
                       const struct vsoc_device_region *r, int i, struct vsoc_fault *fault)
{
    uint64_t array = l->vsoc_region_desc_offset;
    uint64_t array_end = array + (uint64_t)l->region_count * REGION_SIZE;
    uint64_t begin = r->region_begin_offset, end = r->region_end_offset;

    if (r->min_compatible_version > r->current_version)
        return fail(fault, i, "min_compatible_version is over current_version",
                    r->min_compatible_version);
    if (begin % VSOC_PAGE_SIZE)
        return fail(fault, i, "region_begin_offset is not on a page", r->region_begin_offset);
    if (end % VSOC_PAGE_SIZE)
        return fail(fault, i, "region_end_offset is not on a page", r->region_end_offset);
    if (begin >= end)
        return fail(fault, i, "region_end_offset is not behind its begin", r->region_end_offset);
    if (end > l->size)
        return fail(fault, i, "region_end_offset leaves the window", r->region_end_offset);
    if (overlap(begin, end, 0, HEADER_SIZE) || overlap(begin, end, array, array_end))
        return fail(fault, i, "region_begin_offset: the region overlaps the descriptors",
                    r->region_begin_offset);
    return 0;
}

/* One direction: its table and its word lie between the start of the region and its data. */
static int check_table(const struct vsoc_device_region *r, const struct vsoc_signal_table_layout *t,
                       int i, struct vsoc_fault *fault)
{
    uint64_t table = t->futex_uaddr_table_offset, word = t->interrupt_signalled_offset;
    uint64_t table_end;

    if (t->num_nodes_lg2 > VSOC_MAX_NODES_LG2)
        return fail(fault, i, "num_nodes_lg2 is over 16", t->num_nodes_lg2);
    table_end = table + (4ull << t->num_nodes_lg2);
    if (table % 4)
        return fail(fault, i, "futex_uaddr_table_offset is not a multiple of 4",
                    t->futex_uaddr_table_offset);
    if (word % 4)
        return fail(fault, i, "interrupt_signalled_offset is not a multiple of 4",
                    t->interrupt_signalled_offset);
    if (table_end > r->offset_of_region_data)
        return fail(fault, i, "futex_uaddr_table_offset: the table runs into the data",
                    t->futex_uaddr_table_offset);
    if (word + 4 > r->offset_of_region_data)
        return fail(fault, i, "interrupt_signalled_offset is in the data",
                    t->interrupt_signalled_offset);
    if (overlap(table, table_end, word, word + 4))
        return fail(fault, i, "interrupt_signalled_offset is inside its table",
                    t->interrupt_signalled_offset);
    return 0;
}

static int check_tables(const struct vsoc_device_region *r, int i, struct vsoc_fault *fault)
{
    const struct vsoc_signal_table_layout *g = &r->guest_to_host_signal_table;
    const struct vsoc_signal_table_layout *h = &r->host_to_guest_signal_table;
    uint64_t g_table = g->futex_uaddr_table_offset, g_word = g->interrupt_signalled_offset;
    uint64_t h_table = h->futex_uaddr_table_offset, h_word = h->interrupt_signalled_offset;
    uint64_t g_end, h_end;

    if (r->offset_of_region_data % 4)
        return fail(fault, i, "offset_of_region_data is not a multiple of 4",
                    r->offset_of_region_data);
    if (r->offset_of_region_data > r->region_end_offset - r->region_begin_offset)
        return fail(fault, i, "offset_of_region_data leaves the region", r->offset_of_region_data);
    if (check_table(r, g, i, fault) || check_table(r, h, i, fault))
        return -1;
    g_end = g_table + (4ull << g->num_nodes_lg2);
    h_end = h_table + (4ull << h->num_nodes_lg2);
    if (overlap(g_table, g_end, h_table, h_end) || overlap(g_table, g_end, h_word, h_word + 4) ||
        overlap(g_word, g_word + 4, h_table, h_end) || g_word == h_word)
        return fail(fault, i, "the two signal tables overlap", h->futex_uaddr_table_offset);
    return 0;
}

int vsoc_region_check(const struct vsoc_shm_layout_descriptor *layout,
                      const struct vsoc_device_region *region, int i, struct vsoc_fault *fault)
{
    return check_name(region, i, fault) || check_place(layout, region, i, fault) ||
                   check_tables(region, i, fault)
               ? -1
               : 0;
}

static uint32_t data_size(const struct vsoc_device_region *r, uint32_t from)
{
    uint32_t size = r->region_end_offset - r->region_begin_offset;

    return from < size ? size - from : 0;
}

/* Only for regions whose places and tables were found good. */
static int check_managed(const struct vsoc_window *w, const struct vsoc_device_region *r, int i,
                         struct vsoc_fault *fault)
{
    const struct vsoc_device_region *manager;
    uint32_t whole_pages =
        (r->offset_of_region_data + VSOC_PAGE_SIZE - 1) / VSOC_PAGE_SIZE * VSOC_PAGE_SIZE;

    if (r->managed_by == 0)
        return 0;
    if (r->managed_by >= w->layout.region_count)
        return fail(fault, i, "managed_by is no region", r->managed_by);
    if (r->managed_by == (uint32_t)i)
        return fail(fault, i, "managed_by is the region itself", r->managed_by);
    if (data_size(r, whole_pages) < VSOC_PAGE_SIZE)
        return fail(fault, i, "a managed region has no whole page of data",
                    r->offset_of_region_data);
    manager = &w->regions[r->managed_by];
    if (data_size(manager, manager->offset_of_region_data) < MIN_MANAGER)
        return fail(fault, i, "managed_by: the manager has no data", r->managed_by);
    return 0;
}

static int compare_places(const struct vsoc_device_region *a, const struct vsoc_device_region *b)
{
    return a->region_begin_offset < b->region_begin_offset
               ? -1
               : a->region_begin_offset > b->region_begin_offset;
}

static int compare_to_name(const char *device_name, const char *name)
{
    for (uint32_t i = 0; i < VSOC_DEVICE_NAME_SIZE; i++) {
        if (device_name[i] != name[i])
            return device_name[i] < name[i] ? -1 : 1;
        if (!name[i])
            return 0;
    }
    return 0;
}

static int compare_names(const struct vsoc_device_region *a, const struct vsoc_device_region *b)
{
    return compare_to_name(a->device_name, b->device_name);
}

/* One step of a heap sort: lets the element at @root sink to its place among the first @n. */
static void sink(struct vsoc_window *w, uint32_t root, uint32_t n, Compare compare)
{
    uint16_t moving = w->order[root];
    uint32_t child;

    while ((child = 2 * root + 1) < n) {
        if (child + 1 < n &&
            compare(&w->regions[w->order[child]], &w->regions[w->order[child + 1]]) < 0)
            child++;
        if (compare(&w->regions[moving], &w->regions[w->order[child]]) >= 0)
            break;
        w->order[root] = w->order[child];
        root = child;
    }
    w->order[root] = moving;
}

static void sort(struct vsoc_window *w, Compare compare)
{
    uint32_t n = w->layout.region_count;

    for (uint32_t i = 0; i < n; i++)
        w->order[i] = (uint16_t)i;
    for (uint32_t i = n / 2; i > 0; i--)
        sink(w, i - 1, n, compare);
    for (uint32_t i = n - 1; i > 0; i--) {
        uint16_t largest = w->order[0];

        w->order[0] = w->order[i];
        w->order[i] = largest;
        sink(w, 0, i, compare);
    }
}

static int check_neighbours(struct vsoc_window *w, struct vsoc_fault *fault)
{
    sort(w, compare_places);
    for (uint32_t i = 1; i < w->layout.region_count; i++) {
        const struct vsoc_device_region *r = &w->regions[w->order[i]];

        if (r->region_begin_offset < w->regions[w->order[i - 1]].region_end_offset)
            return fail(fault, w->order[i], "region_begin_offset: it overlaps another region",
                        r->region_begin_offset);
    }
    sort(w, compare_names);
    for (uint32_t i = 1; i < w->layout.region_count; i++)
        if (!compare_names(&w->regions[w->order[i - 1]], &w->regions[w->order[i]]))
            return fail(fault, w->order[i], "device_name is also that of another region",
                        w->order[i - 1]);
    return 0;
}

int vsoc_window_open(struct vsoc_window *window, void *base, uint64_t mapped, uint32_t vectors,
                     struct vsoc_fault *fault)
{
    const struct vsoc_shm_layout_descriptor *l = &window->layout;
    const uint8_t *array;

    window->base = base;
    if (mapped < VSOC_PAGE_SIZE)
        return fail(fault, -1, "BAR 2 is smaller than a page", (uint32_t)mapped);
    copy_words(&window->layout, base, HEADER_SIZE);
    if (vsoc_layout_check(l, mapped, vectors, fault))
        return -1;
    array = (const uint8_t *)base + l->vsoc_region_desc_offset;
    for (uint32_t i = 0; i < l->region_count; i++)
        copy_words(&window->regions[i], array + i * REGION_SIZE, REGION_SIZE);
    for (uint32_t i = 0; i < l->region_count; i++)
        if (vsoc_region_check(l, &window->regions[i], (int)i, fault))
            return -1;
    for (uint32_t i = 0; i < l->region_count; i++)
        if (check_managed(window, &window->regions[i], (int)i, fault))
            return -1;
    return check_neighbours(window, fault);
}

int vsoc_window_find(const struct vsoc_window *window, const char *name)
{
    for (uint32_t i = 0; i < window->layout.region_count; i++)
        if (!compare_to_name(window->regions[i].device_name, name))
            return (int)i;
    return -1;
}
