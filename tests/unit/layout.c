/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of the window, each broken once, and offsets worked out by hand from docs/window.md,
 * Rules.
 */
#include "server/layout.h"

#include "tests/support/rows.h"
#include "tests/unit/layout-spec.h"

#include <string.h>

#define GIB (G_GINT64_CONSTANT(1) << 30)
#define MIB (G_GINT64_CONSTANT(1) << 20)

static CvdRegionSpec *add_at(CvdLayoutSpec *spec, const char *name, gint64 begin, gint64 end)
{
    CvdRegionSpec *region = test_add_region(spec, name, CVD_UNSET);

    region->begin = begin;
    region->end = end;
    return region;
}

static gboolean is_accepted(const CvdLayoutSpec *spec)
{
    g_autoptr(CvdLayout) layout = test_compute_layout(spec);

    return layout != NULL;
}

/* One member of a specification, as a number. */
typedef struct {
    gsize offset;
    gint64 value;
} Set;

typedef struct {
    const char *name;
    gint64 size;
    gint64 begin;
    gint64 end;
    const char *manager;
    Set set;
} Add;

#define SPEC(field, value)                                                                         \
    {                                                                                              \
        offsetof(CvdLayoutSpec, field), value                                                      \
    }
#define REGION(name_, size_, begin_, end_, ...)                                                    \
    {                                                                                              \
        .name = name_, .size = size_, .begin = begin_, .end = end_, __VA_ARGS__                    \
    }
#define WITH(field, value)            .set = {offsetof(CvdRegionSpec, field), value}
#define SIZED(name, size)             REGION(name, size, CVD_UNSET, CVD_UNSET, .manager = NULL)
#define MANAGED(name, size, manager_) REGION(name, size, CVD_UNSET, CVD_UNSET, .manager = manager_)
#define SIZED_WITH(name, size, field, value)                                                       \
    REGION(name, size, CVD_UNSET, CVD_UNSET, WITH(field, value))
#define PLACED(name, begin, end) REGION(name, CVD_UNSET, begin, end, .manager = NULL)
#define PLACED_WITH(name, begin, end, field, value)                                                \
    REGION(name, CVD_UNSET, begin, end, WITH(field, value))

/* One way to break a rule, and what has to be said of it. */
typedef struct {
    const char *name;
    int region;
    const char *field;
    const char *found;  /* part of the message */
    const char *remedy; /* part of the message */
    Add adds[4];        /* up to one without a name and a size */
    Set set;
    void (*build)(CvdLayoutSpec *spec);
} Case;

static void build_min_above_current(CvdLayoutSpec *spec)
{
    CvdRegionSpec *region = test_add_region(spec, "misc", 4096);

    region->current_version = 3;
    region->min_compatible_version = 4;
}

static void build_too_many(CvdLayoutSpec *spec)
{
    for (int i = 0; i < 2049; i++) {
        g_autofree char *name = g_strdup_printf("r%d", i);
        test_add_region(spec, name, 4096);
    }
}

#define G2H  "guest_to_host_signal_table.num_nodes_lg2"
#define H2G  "host_to_guest_signal_table.num_nodes_lg2"
#define MISC "'misc'"

static const Case cases[] = {
    {"no-regions", -1, "vsoc_device_regions", "no regions", "at least one", .build = NULL},
    {"too-many-regions", -1, "vsoc_device_regions", "2049", "2048", .build = build_too_many},
    {"name-missing", 1, "device_name", "region 1", "1 to 15",
     .adds = {SIZED("first", 4096), SIZED(NULL, 4096)}},
    {"name-empty", 0, "device_name", "empty", "1 to 15", .adds = {SIZED("", 4096)}},
    {"name-too-long", 0, "device_name", "16 characters", "at most 15",
     .adds = {SIZED("abcdefghijklmnop", 4096)}},
    {"name-with-slash", 0, "device_name", "'/'", "A-Z a-z 0-9 _ - .", .adds = {SIZED("a/b", 4096)}},
    {"name-dot", 0, "device_name", "'.'", "another", .adds = {SIZED(".", 4096)}},
    {"name-dots", 0, "device_name", "'..'", "another", .adds = {SIZED("..", 4096)}},
    {"name-twice", 2, "device_name", "region 0", MISC,
     .adds = {SIZED("misc", 4096), SIZED("b", 4096), SIZED("misc", 4096)}},
    {"size-not-a-multiple-of-page", 0, "region_size",
     "5000 is not a multiple of 4096; the next is 8192", MISC, .adds = {SIZED("misc", 5000)}},
    /* 16384 slots are 65536 bytes; with words and the other table's one slot 65548. */
    {"size-next-holds-the-tables", 0, "region_size", "the next is 69632", MISC,
     .adds = {SIZED_WITH("misc", 5000, guest_to_host_nodes_lg2, 14)}},
    {"size-too-small-for-tables", 0, "region_size", "the least is 69632", MISC,
     .adds = {SIZED_WITH("misc", 65536, guest_to_host_nodes_lg2, 14)}},
    {"size-missing", 0, "region_size", "missing", MISC, .adds = {SIZED("misc", CVD_UNSET)}},
    {"size-zero", 0, "region_size", "0 is too small", "4096", .adds = {SIZED("misc", 0)}},
    {"size-negative", 0, "region_size", "-4096", "4096 to 2147483648",
     .adds = {SIZED("misc", -4096)}},
    {"size-huge", 0, "region_size", "9223372036854775807", "4096 to 2147483648",
     .adds = {SIZED("misc", G_MAXINT64)}},
    {"sum-over-limit", 1, "region_size", "2147487744", "2147483648",
     .adds = {SIZED("a", GIB), SIZED("b", GIB)}},
    {"nodes-17", 0, H2G, "17", "0 to 16",
     .adds = {SIZED_WITH("misc", 4096, host_to_guest_nodes_lg2, 17)}},
    {"nodes-negative", 0, G2H, "-1", "0 to 16",
     .adds = {SIZED_WITH("misc", 4096, guest_to_host_nodes_lg2, -1)}},
    {"nodes-huge", 0, G2H, "9223372036854775807", "0 to 16",
     .adds = {SIZED_WITH("misc", 4096, guest_to_host_nodes_lg2, G_MAXINT64)}},
    {"version-over-16-bits", 0, "current_version", "65536", "0 to 65535",
     .adds = {SIZED_WITH("misc", 4096, current_version, 65536)}},
    {"min-version-negative", 0, "min_compatible_version", "-1", "0 to 65535",
     .adds = {SIZED_WITH("misc", 4096, min_compatible_version, -1)}},
    {"min-version-above-current", 0, "min_compatible_version", "4 is above current_version 3",
     "at most 3", .build = build_min_above_current},
    {"manager-unknown", 0, "managed_by", "'nobody'", "another region",
     .adds = {MANAGED("a", 8192, "nobody")}},
    {"manager-itself", 1, "managed_by", "itself", MISC,
     .adds = {SIZED("a", 8192), MANAGED("misc", 8192, "misc")}},
    {"manager-first", 1, "managed_by", "'a'", "further down",
     .adds = {SIZED("a", 8192), MANAGED("misc", 8192, "a")}},
    /* Tables of 16 bytes end in the first page; the next page is the one of data that is needed. */
    {"managed-without-a-page", 2, "region_size", "whole page of data", "the least is 8192",
     .adds = {SIZED("a", 4096), SIZED("manager", 4096), MANAGED("misc", 4096, "manager")}},
    {"begin-unaligned", 0, "region_begin_offset",
     "4097 is not a multiple of 4096; the next is 8192", MISC,
     .adds = {PLACED("misc", 4097, 12288)}},
    {"end-unaligned", 0, "region_end_offset", "12287", "the next is 12288",
     .adds = {PLACED("misc", 4096, 12287)}},
    {"in-descriptor-block", 0, "region_begin_offset", "descriptors", "4096",
     .adds = {PLACED("misc", 0, 8192)}},
    {"end-not-above-begin", 0, "region_end_offset", "not above", "12288",
     .adds = {PLACED("misc", 8192, 8192)}},
    {"offsets-too-small-for-tables", 0, "region_end_offset", "too few", "the least end is 12288",
     .adds = {PLACED_WITH("misc", 4096, 8192, guest_to_host_nodes_lg2, 10)}},
    {"begin-negative", 0, "region_begin_offset", "-4096", "0 to 2147483648",
     .adds = {PLACED("misc", -4096, 8192)}},
    {"end-over-limit", 0, "region_end_offset", "2147487744", "0 to 2147483648",
     .adds = {PLACED("misc", 4096, 2 * GIB + 4096)}},
    {"overlap", 0, "region_begin_offset", "'big'", "12288",
     .adds = {PLACED("misc", 8192, 16384), PLACED("big", 4096, 12288)}},
    /* "in" lies within "big", though not beside it in order of address. */
    {"overlap-not-beside", 2, "region_begin_offset", "'big'", "65536",
     .adds = {PLACED("big", 4096, 65536), PLACED("misc", 65536, 69632),
              PLACED("in", 61440, 65536)}},
    {"leaves-declared-window", 0, "region_end_offset", "20480", "a size of 32768",
     .adds = {PLACED("misc", 4096, 20480)}, .set = SPEC(declared_size, 16384)},
    {"size-and-offsets", 0, "region_size", "together", "keep either",
     .adds = {PLACED_WITH("misc", 4096, 8192, size, 4096)}},
    {"begin-only", 0, "region_end_offset", "missing", "both",
     .adds = {PLACED("misc", 4096, CVD_UNSET)}},
    {"end-only", 0, "region_begin_offset", "missing", "both",
     .adds = {PLACED("misc", CVD_UNSET, 8192)}},
    {"forms-mixed", 1, "region_begin_offset", "region_size", "one form",
     .adds = {SIZED("a", 4096), PLACED("misc", 16384, 20480)}},
    {"descriptors-in-header", -1, "vsoc_region_desc_offset", "12", "least is 16",
     .adds = {SIZED("misc", 4096)}, .set = SPEC(region_desc_offset, 12)},
    {"descriptors-unaligned", -1, "vsoc_region_desc_offset", "18", "next is 20",
     .adds = {SIZED("misc", 4096)}, .set = SPEC(region_desc_offset, 18)},
    {"descriptors-huge", -1, "vsoc_region_desc_offset", "beyond", "16",
     .adds = {SIZED("misc", 4096)}, .set = SPEC(region_desc_offset, G_MAXINT64 - 3)},
    {"descriptors-leave-no-room", 0, "region_size", "2147487744", "2147483648",
     .adds = {SIZED("misc", 4096)}, .set = SPEC(region_desc_offset, 2 * GIB - 60)},
    {"region-count", -1, "region_count", "2", "there are 1", .adds = {SIZED("misc", 4096)},
     .set = SPEC(region_count, 2)},
    {"declared-size-negative", -1, "size", "-1", "0 to 2147483648", .adds = {SIZED("misc", 4096)},
     .set = SPEC(declared_size, -1)},
    {"declared-size-over-limit", -1, "size", "2147483649", "0 to 2147483648",
     .adds = {SIZED("misc", 4096)}, .set = SPEC(declared_size, 2 * GIB + 1)},
    {"window-size-huge", -1, "window.size", "9223372036854775807", "0 to 2147483648",
     .adds = {SIZED("misc", 4096)}, .set = SPEC(min_window_size, G_MAXINT64)},
    {"offset-inside-a-huge-page", 0, "region_begin_offset", "huge pages", "the next is 2097152",
     .adds = {PLACED("misc", 4096, 2 * MIB)}, .set = SPEC(granule, 2 * MIB)},
};

static void set_number(gpointer structure, Set set)
{
    if (set.offset != 0)
        G_STRUCT_MEMBER(gint64, structure, set.offset) = set.value;
}

static void build(CvdLayoutSpec *spec, const Case *c)
{
    if (c->build != NULL)
        c->build(spec);
    set_number(spec, c->set);
    for (const Add *add = c->adds; add->name != NULL || add->size != 0; add++) {
        CvdRegionSpec *region = add_at(spec, add->name, add->begin, add->end);
        region->size = add->size;
        region->managed_by = g_strdup(add->manager);
        set_number(region, add->set);
    }
}

/* Exactly the one problem, at the right place, with what was found, whose it is, and the remedy. */
static void test_broken_rule(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(GPtrArray) problems =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    build(spec, c);
    g_assert_null(cvd_layout_new(spec, problems));
    for (guint i = 0; i < problems->len; i++)
        g_test_message("%s", ((CvdLayoutProblem *)problems->pdata[i])->message);
    g_assert_cmpuint(problems->len, ==, 1);
    const CvdLayoutProblem *problem = problems->pdata[0];
    g_assert_cmpint(problem->region, ==, c->region);
    g_assert_cmpstr(problem->field, ==, c->field);
    g_assert_nonnull(strstr(problem->message, c->found));
    g_assert_nonnull(strstr(problem->message, c->remedy));
    if (c->region >= 0) {
        const char *name = g_array_index(spec->regions, CvdRegionSpec, c->region).name;
        g_assert_nonnull(strstr(problem->message, name != NULL ? name : "region 1"));
    }
}

static void test_all_problems_at_once(void)
{
    g_autoptr(GPtrArray) problems =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    spec->region_count = 9;
    test_add_region(spec, "a b", 5000)->current_version = -1;
    test_add_region(spec, "c", 4096)->guest_to_host_nodes_lg2 = 99;
    test_add_region(spec, "d", 4096)->managed_by = g_strdup("x");
    g_assert_null(cvd_layout_new(spec, problems));
    g_assert_cmpuint(problems->len, ==, 6);
}

/* The first region has no form, so it is the second that the third differs from. */
static void test_mixed_forms_after_none(void)
{
    g_autoptr(GPtrArray) problems =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    add_at(spec, "misc", 4096, CVD_UNSET);
    test_add_region(spec, "sized", 4096);
    add_at(spec, "placed", 16384, 20480);
    g_assert_null(cvd_layout_new(spec, problems));
    g_assert_cmpuint(problems->len, ==, 2);
    const CvdLayoutProblem *mixed = problems->pdata[1];
    g_assert_nonnull(strstr(mixed->message, "region 1 has region_size"));
}

static void test_names_are_escaped(void)
{
    g_autoptr(GPtrArray) problems =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    test_add_region(spec, "a\033[2Jb", 4096);
    g_assert_null(cvd_layout_new(spec, problems));
    g_assert_cmpuint(problems->len, ==, 1);
    const char *message = ((CvdLayoutProblem *)problems->pdata[0])->message;
    g_assert_null(strchr(message, '\033'));
    g_assert_nonnull(strstr(message, "a\\x1b[2Jb"));
}

static void test_offsets_in_file_order(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
    test_add_whole_region(spec, "hwcomposer", 16384, 3, 2, 2, 3);
    test_add_region(spec, "manager", 4096);
    test_add_region(spec, "memory", 8192)->managed_by = g_strdup("manager");

    g_autoptr(CvdLayout) layout = test_compute_layout(spec);
    g_assert_nonnull(layout);
    g_assert_cmpuint(layout->n_regions, ==, 3);
    g_assert_cmpuint(layout->region_desc_offset, ==, 16);
    /* 16 + 3 * 60 = 196, so regions start at 4096; 16384 + 4096 + 8192 more end at 32768. */
    g_assert_cmpuint(layout->window_size, ==, 32768);

    const CvdLayoutRegion *r = layout->regions;
    g_assert_cmpstr(r[0].name, ==, "hwcomposer");
    g_assert_cmpuint(r[0].current_version, ==, 3);
    g_assert_cmpuint(r[0].min_compatible_version, ==, 2);
    g_assert_cmpuint(r[0].begin, ==, 4096);
    g_assert_cmpuint(r[0].end, ==, 20480);
    /* 4 words at 0, the word at 16; 8 words at 20, the word at 52; data at 56. */
    g_assert_cmpuint(r[0].guest_to_host.num_nodes_lg2, ==, 2);
    g_assert_cmpuint(r[0].guest_to_host.table_offset, ==, 0);
    g_assert_cmpuint(r[0].guest_to_host.interrupt_signalled_offset, ==, 16);
    g_assert_cmpuint(r[0].host_to_guest.num_nodes_lg2, ==, 3);
    g_assert_cmpuint(r[0].host_to_guest.table_offset, ==, 20);
    g_assert_cmpuint(r[0].host_to_guest.interrupt_signalled_offset, ==, 52);
    g_assert_cmpuint(r[0].data_offset, ==, 56);
    g_assert_cmpuint(r[0].managed_by, ==, 0);

    g_assert_cmpuint(r[1].begin, ==, 20480);
    g_assert_cmpuint(r[1].end, ==, 24576);
    g_assert_cmpuint(r[1].current_version, ==, 0);
    g_assert_cmpuint(r[1].data_offset, ==, 16); /* 1 slot and a word, twice */
    g_assert_cmpuint(r[2].begin, ==, 24576);
    g_assert_cmpuint(r[2].end, ==, 32768);
    g_assert_cmpuint(r[2].managed_by, ==, 1);
}

static void test_explicit_offsets_in_any_order(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    spec->region_desc_offset = 48;
    spec->region_count = 3;
    spec->declared_size = 50000; /* rounded up: 65536 */
    add_at(spec, "c", 40960, 65536);
    add_at(spec, "a", 4096, 8192);
    add_at(spec, "b", 8192, 12288); /* touches a, and leaves a hole before c */

    g_autoptr(CvdLayout) layout = test_compute_layout(spec);
    g_assert_nonnull(layout);
    g_assert_cmpuint(layout->region_desc_offset, ==, 48);
    g_assert_cmpuint(layout->window_size, ==, 65536);
    g_assert_cmpstr(layout->regions[0].name, ==, "c");
    g_assert_cmpuint(layout->regions[0].begin, ==, 40960);
    g_assert_cmpuint(layout->regions[0].end, ==, 65536);
    g_assert_cmpuint(layout->regions[1].begin, ==, 4096);
    g_assert_cmpuint(layout->regions[2].end, ==, 12288);
}

static void test_window_size(void)
{
    static const struct {
        gint64 region;
        gint64 declared;
        gint64 wanted;
        guint32 window;
    } sizes[] = {
        {4096, CVD_UNSET, CVD_UNSET, 8192}, {8192, CVD_UNSET, CVD_UNSET, 16384},
        {4096, 4096, CVD_UNSET, 8192},      {4096, 8193, CVD_UNSET, 16384},
        {4096, CVD_UNSET, 0, 8192},         {4096, CVD_UNSET, 1000000, 1048576},
        {4096, 65536, 16384, 65536},        {4096, CVD_UNSET, 2147483648, 2147483648u},
        {4096, 2147483648, 1, 2147483648u}, {2147479552, CVD_UNSET, CVD_UNSET, 2147483648u},
    };

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
        test_add_region(spec, "a", sizes[i].region);
        spec->declared_size = sizes[i].declared;
        spec->min_window_size = sizes[i].wanted;
        g_autoptr(CvdLayout) layout = test_compute_layout(spec);
        g_assert_nonnull(layout);
        g_assert_cmpuint(layout->window_size, ==, sizes[i].window);
    }
}

static void test_declared_size_is_raised_by_the_wanted(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    spec->declared_size = 16384;
    add_at(spec, "misc", 4096, 20480);
    g_assert_false(is_accepted(spec));
    spec->min_window_size = 32768;
    g_assert_true(is_accepted(spec));
}

/* Each limit as it may still be; the case table above has the next number. */
static void test_largest_tables(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
    /* 2 * (65536 + 1) words are 524296 bytes: 128 pages and 8 bytes. */
    CvdRegionSpec *region = test_add_region(spec, "a", 129 * 4096);

    region->guest_to_host_nodes_lg2 = region->host_to_guest_nodes_lg2 = 16;
    g_autoptr(CvdLayout) layout = test_compute_layout(spec);
    g_assert_nonnull(layout);
    g_assert_cmpuint(layout->regions[0].data_offset, ==, 524296);
    region->size = 128 * 4096;
    g_assert_false(is_accepted(spec));
}

static void test_most_regions(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    for (int i = 0; i < 2048; i++) {
        g_autofree char *name = g_strdup_printf("region-%d", i);
        test_add_region(spec, name, 4096);
    }
    g_autoptr(CvdLayout) layout = test_compute_layout(spec);
    g_assert_nonnull(layout);
    /* 16 + 2048 * 60 = 122896: 31 pages. 2079 pages in all, so a window of 4096. */
    g_assert_cmpuint(layout->regions[0].begin, ==, 31 * 4096);
    g_assert_cmpuint(layout->regions[2047].end, ==, 2079 * 4096);
    g_assert_cmpuint(layout->window_size, ==, 16777216);
    for (int i = 0; i < 2048; i++) {
        g_autofree char *name = g_strdup_printf("region-%d", i);
        g_assert_cmpint(cvd_layout_find(layout, name, strlen(name)), ==, i);
    }
    g_assert_cmpint(cvd_layout_find(layout, "region-2048", 11), ==, -1);
}

static void test_explicit_up_to_the_limit(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    add_at(spec, "a", 4096, 2 * GIB);
    g_autoptr(CvdLayout) layout = test_compute_layout(spec);
    g_assert_nonnull(layout);
    g_assert_cmpuint(layout->window_size, ==, 2147483648u);
    g_assert_cmpuint(layout->regions[0].end, ==, 2147483648u);
}

static void test_descriptor_block_pushes_regions(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    spec->region_desc_offset = 4096 - 60; /* ends at the page's end: nothing is pushed */
    test_add_region(spec, "a", 4096);
    g_autoptr(CvdLayout) fits = test_compute_layout(spec);
    g_assert_nonnull(fits);
    g_assert_cmpuint(fits->regions[0].begin, ==, 4096);
    spec->region_desc_offset += 4;
    g_autoptr(CvdLayout) pushed = test_compute_layout(spec);
    g_assert_nonnull(pushed);
    g_assert_cmpuint(pushed->regions[0].begin, ==, 8192);
}

static void test_managed_region_at_its_least(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    test_add_region(spec, "first", 4096);
    test_add_region(spec, "manager", 4096);
    CvdRegionSpec *region = test_add_region(spec, "managed", 8192);
    region->managed_by = g_strdup("manager");
    region->guest_to_host_nodes_lg2 = 9; /* 513 words */
    region->host_to_guest_nodes_lg2 = 8; /* 257 words: 3080 bytes, in the first page */
    g_assert_true(is_accepted(spec));
    region->host_to_guest_nodes_lg2 = 9; /* 4104 bytes: the second page begun, no whole one left */
    g_assert_false(is_accepted(spec));
    region->size = 12288;
    g_assert_true(is_accepted(spec));
}

/*
 * A manager needs 4 bytes of data. No region that is whole pages and holds its tables has less: the
 * layout counts on that.
 */
static void test_manager_always_has_data(void)
{
    for (int to_host = 0; to_host <= 16; to_host++)
        for (int to_guest = 0; to_guest <= 16; to_guest++) {
            g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
            guint64 tables = (4ull << to_host) + 4 + (4ull << to_guest) + 4;
            test_add_region(spec, "first", 4096);
            CvdRegionSpec *manager =
                test_add_region(spec, "manager", (gint64)((tables + 4095) & ~4095ull));
            manager->guest_to_host_nodes_lg2 = to_host;
            manager->host_to_guest_nodes_lg2 = to_guest;
            test_add_region(spec, "managed", 8192)->managed_by = g_strdup("manager");
            g_autoptr(CvdLayout) layout = test_compute_layout(spec);
            g_assert_nonnull(layout);
            const CvdLayoutRegion *region = &layout->regions[1];
            g_assert_cmpuint(region->end - region->begin, >=, region->data_offset + 4);
        }
}

/* A manager may be managed, and may come after what it manages. */
static void test_manager_after_managed(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    test_add_region(spec, "memory", 8192)->managed_by = g_strdup("manager");
    test_add_region(spec, "middle", 8192)->managed_by = g_strdup("manager");
    test_add_region(spec, "manager", 4096);
    g_autoptr(CvdLayout) layout = test_compute_layout(spec);
    g_assert_nonnull(layout);
    g_assert_cmpuint(layout->regions[0].managed_by, ==, 2);
    g_assert_cmpuint(layout->regions[1].managed_by, ==, 2);
}

static void test_huge_pages(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    spec->granule = 2 * MIB;
    test_add_region(spec, "a", 4096);
    test_add_region(spec, "b", 2 * MIB + 4096);
    g_autoptr(CvdLayout) layout = test_compute_layout(spec);
    g_assert_nonnull(layout);
    g_assert_cmpuint(layout->granule, ==, 2 * MIB);
    g_assert_cmpuint(layout->regions[0].begin, ==, 2 * MIB);
    g_assert_cmpuint(layout->regions[0].end, ==, 4 * MIB);
    g_assert_cmpuint(layout->regions[1].end, ==, 8 * MIB);
    g_assert_cmpuint(layout->window_size, ==, 8 * MIB);

    g_autoptr(CvdLayoutSpec) at_borders = cvd_layout_spec_new();
    at_borders->granule = 2 * MIB;
    add_at(at_borders, "a", 2 * MIB, 4 * MIB);
    g_assert_true(is_accepted(at_borders));
}

static void test_find(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    test_add_region(spec, "abc", 4096);
    test_add_region(spec, "abcdefghijklmno", 4096);
    g_autoptr(CvdLayout) layout = test_compute_layout(spec);
    g_assert_nonnull(layout);
    g_assert_cmpint(cvd_layout_find(layout, "abcx", 3), ==, 0);
    g_assert_cmpint(cvd_layout_find(layout, "abcdefghijklmnop", 15), ==, 1);
    g_assert_cmpint(cvd_layout_find(layout, "abcdefghijklmnop", 16), ==, -1);
    g_assert_cmpint(cvd_layout_find(layout, "ab", 2), ==, -1);
    g_assert_cmpint(cvd_layout_find(layout, "", 0), ==, -1);
    g_assert_cmpint(cvd_layout_find(layout, "abc\0", 4), ==, -1);
    g_assert_cmpint(cvd_layout_find(layout, "abc\0\0\0", 6), ==, -1);
    g_assert_cmpint(cvd_layout_find(layout, "\0", 1), ==, -1);
}

static void test_references(void)
{
    g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();

    test_add_region(spec, "abc", 4096);
    CvdLayout *layout = test_compute_layout(spec);
    g_assert_true(cvd_layout_ref(layout) == layout);
    cvd_layout_unref(layout);
    g_assert_cmpstr(layout->regions[0].name, ==, "abc");
    cvd_layout_unref(layout);
}

/* What holds of every layout, said anew without the code under test. */
static void check_invariants(const CvdLayout *layout)
{
    guint64 block_end = layout->region_desc_offset + 60ull * layout->n_regions;

    g_assert_cmpuint(layout->window_size, >=, 4096);
    g_assert_cmpuint(layout->window_size & (layout->window_size - 1), ==, 0);
    g_assert_cmpuint(layout->region_desc_offset, >=, 16);
    g_assert_cmpuint(layout->region_desc_offset % 4, ==, 0);
    for (guint i = 0; i < layout->n_regions; i++) {
        const CvdLayoutRegion *r = &layout->regions[i];
        guint64 to_host = 4ull << r->guest_to_host.num_nodes_lg2;
        guint64 to_guest = 4ull << r->host_to_guest.num_nodes_lg2;
        g_assert_cmpuint(r->begin, >=, block_end);
        g_assert_cmpuint(r->begin % layout->granule, ==, 0);
        g_assert_cmpuint(r->end % layout->granule, ==, 0);
        g_assert_cmpuint(r->end, >, r->begin);
        g_assert_cmpuint(r->end, <=, layout->window_size);
        g_assert_cmpuint(r->data_offset, ==, to_host + 4 + to_guest + 4);
        g_assert_cmpuint(r->data_offset, <=, r->end - r->begin);
        g_assert_cmpuint(r->min_compatible_version, <=, r->current_version);
        g_assert_cmpint(cvd_layout_find(layout, r->name, strlen(r->name)), ==, (int)i);
        g_assert_cmpuint(r->managed_by, <, layout->n_regions);
        g_assert_true(r->managed_by == 0 || r->managed_by != i);
        for (guint k = 0; k < i; k++)
            g_assert_true(r->end <= layout->regions[k].begin || layout->regions[k].end <= r->begin);
    }
}

static gint64 random_number(gint64 good)
{
    static const gint64 odd[] = {-1,         0,           1,          4095,       4097,
                                 65535,      65536,       2147483647, 2147483648, 4294967296,
                                 G_MAXINT64, -G_MAXINT64, CVD_UNSET};

    if (g_test_rand_int_range(0, 40) > 0)
        return good;
    return odd[g_test_rand_int_range(0, G_N_ELEMENTS(odd))];
}

static void add_random_region(CvdLayoutSpec *spec, gboolean is_explicit)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "", "."};
    gint64 begin = 4096 * (gint64)g_test_rand_int_range(1, 64);
    CvdRegionSpec *region = cvd_layout_spec_add_region(spec);

    region->name = g_strdup(names[g_test_rand_int_range(0, 10)]);
    region->current_version = random_number(2);
    region->min_compatible_version = random_number(1);
    region->guest_to_host_nodes_lg2 = random_number(g_test_rand_int_range(0, 11));
    region->host_to_guest_nodes_lg2 = random_number(g_test_rand_int_range(0, 11));
    if (is_explicit) {
        region->begin = random_number(begin);
        region->end = random_number(begin + 4096 * (gint64)g_test_rand_int_range(3, 6));
    } else {
        region->size = random_number(4096 * (gint64)g_test_rand_int_range(3, 600));
    }
    if (g_test_rand_int_range(0, 8) == 0)
        region->managed_by = g_strdup(names[g_test_rand_int_range(0, 10)]);
}

static void test_random_specifications(void)
{
    guint n_accepted = 0;

    for (int round = 0; round < 20000; round++) {
        g_autoptr(CvdLayoutSpec) spec = cvd_layout_spec_new();
        g_autoptr(GPtrArray) problems =
            g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);
        gboolean is_explicit = g_test_rand_bit();
        for (int n = g_test_rand_int_range(0, 5); n > 0; n--)
            add_random_region(spec, is_explicit);
        spec->region_desc_offset = random_number(CVD_UNSET);
        spec->region_count = random_number(CVD_UNSET);
        spec->declared_size = random_number(CVD_UNSET);
        spec->min_window_size = random_number(CVD_UNSET);
        if (g_test_rand_int_range(0, 8) == 0)
            spec->granule = 2 * MIB;
        g_autoptr(CvdLayout) layout = cvd_layout_new(spec, problems);
        g_assert_true((layout == NULL) == (problems->len > 0));
        if (layout != NULL) {
            check_invariants(layout);
            n_accepted++;
        }
    }
    g_assert_cmpuint(n_accepted, >, 100); /* else this has tested nothing */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/layout/rule/", cases, test_broken_rule);
    g_test_add_func("/layout/all-problems-at-once", test_all_problems_at_once);
    g_test_add_func("/layout/mixed-forms-after-none", test_mixed_forms_after_none);
    g_test_add_func("/layout/names-are-escaped", test_names_are_escaped);
    g_test_add_func("/layout/offsets-in-file-order", test_offsets_in_file_order);
    g_test_add_func("/layout/explicit-offsets-in-any-order", test_explicit_offsets_in_any_order);
    g_test_add_func("/layout/window-size", test_window_size);
    g_test_add_func("/layout/declared-size-is-raised-by-the-wanted",
                    test_declared_size_is_raised_by_the_wanted);
    g_test_add_func("/layout/largest-tables", test_largest_tables);
    g_test_add_func("/layout/most-regions", test_most_regions);
    g_test_add_func("/layout/explicit-up-to-the-limit", test_explicit_up_to_the_limit);
    g_test_add_func("/layout/descriptor-block-pushes-regions",
                    test_descriptor_block_pushes_regions);
    g_test_add_func("/layout/managed-region-at-its-least", test_managed_region_at_its_least);
    g_test_add_func("/layout/manager-always-has-data", test_manager_always_has_data);
    g_test_add_func("/layout/manager-after-managed", test_manager_after_managed);
    g_test_add_func("/layout/huge-pages", test_huge_pages);
    g_test_add_func("/layout/find", test_find);
    g_test_add_func("/layout/references", test_references);
    g_test_add_func("/layout/random-specifications", test_random_specifications);
    return g_test_run();
}
