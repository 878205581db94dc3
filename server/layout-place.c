/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what an author wrote to offsets in the window. The regions, checked one by one, are placed
 * one after the other, or their explicit offsets are checked against each other in order of
 * address, which is the only step that costs more than O(n).
 *
 * Numbers are bounded before any arithmetic, in 64 bits: nothing here can overflow.
 */
#include "server/layout.h"

#include "server/layout-private.h"
#include "vsoc/abi.h"

static guint64 round_up_to_power_of_two(guint64 value)
{
    guint64 power = CVD_PAGE_SIZE;

    while (power < value)
        power *= 2;
    return power;
}

/* Returns: where the first region may start, or 0 after a problem. */
static guint64 check_descriptor_block(CvdLayoutCheck *check, guint32 *desc_offset)
{
    const char *field = "vsoc_region_desc_offset";
    const gint64 least = sizeof(struct vsoc_shm_layout_descriptor);
    gint64 offset =
        check->spec->region_desc_offset == CVD_UNSET ? least : check->spec->region_desc_offset;
    guint64 array_size = (guint64)check->n_regions * sizeof(struct vsoc_device_region);

    if (offset < least) {
        cvd_layout_report(check, field, "%jd is inside the header; the least is %jd", offset,
                          least);
        return 0;
    }
    if ((guint64)offset > CVD_MAX_WINDOW_SIZE - MIN(array_size, CVD_MAX_WINDOW_SIZE)) {
        cvd_layout_report(check, field,
                          "%jd puts the descriptors beyond the largest window of %ju bytes; %jd is "
                          "the usual place",
                          offset, (guint64)CVD_MAX_WINDOW_SIZE, least);
        return 0;
    }
    if (offset % 4 != 0) {
        cvd_layout_report(check, field, "%jd is not a multiple of 4; the next is %ju", offset,
                          cvd_round_up((guint64)offset, 4));
        return 0;
    }
    *desc_offset = (guint32)offset;
    return cvd_round_up((guint64)offset + array_size, check->spec->granule);
}

/* Regions in file order, from @cursor on. Returns where the last ends, or 0 after a problem. */
static guint64 place_in_order(CvdLayoutCheck *check, guint64 cursor)
{
    for (guint i = 0; i < check->n_regions; i++) {
        CvdCheckedRegion *region = &check->checked[i];
        if (!region->extent_is_sound)
            return 0;
        region->begin = cursor;
        region->end = cursor + cvd_round_up(region->size, check->spec->granule);
        cursor = region->end;
        if (cursor > CVD_MAX_WINDOW_SIZE) {
            cvd_layout_report_region(check, i, "region_size",
                                     "the region would end at %ju, beyond the largest window of "
                                     "%ju bytes; make this or earlier regions smaller",
                                     cursor, (guint64)CVD_MAX_WINDOW_SIZE);
            return 0;
        }
    }
    return cursor;
}

static int compare_begins(gconstpointer a, gconstpointer b, gpointer data)
{
    const CvdCheckedRegion *checked = data;
    guint i = *(const guint *)a;
    guint k = *(const guint *)b;

    if (checked[i].begin != checked[k].begin)
        return checked[i].begin < checked[k].begin ? -1 : 1;
    return (i > k) - (i < k);
}

/* The indices of the regions whose extent is sound, in order of address. */
static GArray *sort_by_address(CvdLayoutCheck *check)
{
    GArray *order = g_array_sized_new(FALSE, FALSE, sizeof(guint), check->n_regions);

    for (guint i = 0; i < check->n_regions; i++)
        if (check->checked[i].form == CVD_FORM_OFFSETS && check->checked[i].extent_is_sound)
            g_array_append_val(order, i);
    g_array_sort_with_data(order, compare_begins, check->checked);
    return order;
}

static void report_overlap(CvdLayoutCheck *check, guint i, guint other)
{
    const CvdCheckedRegion *checked = check->checked;
    const char *name = cvd_layout_check_region(check, other)->name;
    g_autofree char *quoted =
        name != NULL ? cvd_layout_quote_name(name) : g_strdup_printf("%u", other);

    cvd_layout_report_region(
        check, i, "region_begin_offset",
        "%ju is inside region %s, which is at %ju to %ju; the next free offset after that is %ju",
        checked[i].begin, quoted, checked[other].begin, checked[other].end, checked[other].end);
}

/*
 * Explicit offsets against each other and the descriptor block. Each region is compared with the
 * one before it that reaches furthest. Returns where the last ends.
 */
static guint64 check_explicit_placement(CvdLayoutCheck *check, guint64 block_end)
{
    g_autoptr(GArray) order = sort_by_address(check);
    guint64 reach = 0;
    guint furthest = 0;

    for (guint k = 0; k < order->len; k++) {
        guint i = g_array_index(order, guint, k);
        const CvdCheckedRegion *region = &check->checked[i];
        if (region->begin < block_end)
            cvd_layout_report_region(check, i, "region_begin_offset",
                                     "%ju falls into the descriptors at the start of the window; "
                                     "the first free offset is %ju",
                                     region->begin, block_end);
        if (region->begin < reach)
            report_overlap(check, i, furthest);
        if (region->end > reach) {
            reach = region->end;
            furthest = i;
        }
    }
    return reach;
}

/* Explicit offsets leave the window only when their author said how large it is. */
static void check_inside_window(CvdLayoutCheck *check, guint64 asked)
{
    if (check->spec->declared_size == CVD_UNSET)
        return;
    guint64 size = round_up_to_power_of_two(asked);
    for (guint i = 0; i < check->n_regions; i++) {
        const CvdCheckedRegion *region = &check->checked[i];
        if (region->form == CVD_FORM_OFFSETS && region->extent_is_sound && region->end > size)
            cvd_layout_report_region(check, i, "region_end_offset",
                                     "%ju leaves the window of %ju bytes; ask for a size of %ju",
                                     region->end, size, round_up_to_power_of_two(region->end));
    }
}

/* Whether a wanted window size is sound; raises @asked to it. */
static gboolean check_wanted_size(CvdLayoutCheck *check, const char *field, gint64 wanted,
                                  guint64 *asked)
{
    if (wanted == CVD_UNSET)
        return TRUE;
    if (wanted < 0 || (guint64)wanted > CVD_MAX_WINDOW_SIZE) {
        cvd_layout_report(check, field,
                          "%jd is out of range; allowed is 0 to %ju, the largest window", wanted,
                          (guint64)CVD_MAX_WINDOW_SIZE);
        return FALSE;
    }
    *asked = MAX(*asked, (guint64)wanted);
    return TRUE;
}

static void check_counts(CvdLayoutCheck *check)
{
    guint n = check->n_regions;
    gint64 declared = check->spec->region_count;

    if (n == 0)
        cvd_layout_report(check, "vsoc_device_regions", "there are no regions; give at least one");
    if (n > CVD_MAX_REGIONS)
        cvd_layout_report(check, "vsoc_device_regions",
                          "there are %u regions; at most %d are allowed, one MSI-X vector each", n,
                          CVD_MAX_REGIONS);
    if (declared != CVD_UNSET && declared != (gint64)n)
        cvd_layout_report(check, "region_count", "%jd is not the number of regions; there are %u",
                          declared, n);
}

/* Checks everything. What it returns is a layout only if there was no problem. */
static CvdLayout check_layout(CvdLayoutCheck *check)
{
    CvdLayout layout = {.granule = check->spec->granule, .n_regions = check->n_regions};
    guint64 asked = MAX(CVD_PAGE_SIZE, check->spec->granule);
    guint64 reach = 0;

    check_counts(check);
    CvdRegionForm form = cvd_layout_check_regions(check);
    guint64 block_end = check_descriptor_block(check, &layout.region_desc_offset);
    gboolean size_is_sound =
        check_wanted_size(check, "size", check->spec->declared_size, &asked) &
        check_wanted_size(check, "window.size", check->spec->min_window_size, &asked);

    if (form == CVD_FORM_SIZE && block_end != 0)
        reach = place_in_order(check, block_end);
    if (form == CVD_FORM_OFFSETS) {
        reach = check_explicit_placement(check, block_end);
        if (size_is_sound)
            check_inside_window(check, asked);
    }
    layout.window_size = (guint32)round_up_to_power_of_two(MAX(asked, reach));
    return layout;
}

static void finish_regions(CvdLayoutCheck *check)
{
    for (guint i = 0; i < check->n_regions; i++) {
        check->regions[i].begin = (guint32)check->checked[i].begin;
        check->regions[i].end = (guint32)check->checked[i].end;
    }
}

CvdLayout *cvd_layout_new(const CvdLayoutSpec *spec, GPtrArray *problems)
{
    guint64 granule = spec->granule;
    g_assert(granule >= CVD_PAGE_SIZE && granule <= CVD_MAX_WINDOW_SIZE);
    g_assert((granule & (granule - 1)) == 0);

    guint n_before = problems->len;
    guint n_regions = spec->regions->len;
    g_autofree CvdCheckedRegion *checked = g_new0(CvdCheckedRegion, n_regions);
    g_autofree CvdLayoutRegion *regions = g_new0(CvdLayoutRegion, n_regions);
    g_autoptr(GHashTable) first_by_name = g_hash_table_new(g_str_hash, g_str_equal);
    CvdLayoutCheck check = {
        .spec = spec,
        .problems = problems,
        .n_regions = n_regions,
        .checked = checked,
        .regions = regions,
        .first_by_name = first_by_name,
    };

    CvdLayout header = check_layout(&check);
    if (problems->len > n_before)
        return NULL;
    finish_regions(&check);
    return cvd_layout_assemble(&header, regions);
}
