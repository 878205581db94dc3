/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what an author wrote to offsets in the window, by the rules (docs/window.md, Rules). Each
 * region is checked by itself, and its inside laid out. Then the regions are placed one after the
 * other, or their explicit offsets are checked against each other in order of address, which is the
 * only step that costs more than O(n).
 *
 * All problems are reported, but a number that is wrong takes part in no further rule: each problem
 * is one that its author can mend by itself. Numbers are bounded before any arithmetic, in 64 bits:
 * nothing here can overflow.
 */
#include "base/log.h"
#include "server/layout-private.h"
#include "vsoc/window.h"

#include <string.h>

G_STATIC_ASSERT(CVD_MAX_REGION_NAME == VSOC_MAX_DEVICE_NAME);
G_STATIC_ASSERT(CVD_MAX_REGIONS == VSOC_MAX_REGIONS);
G_STATIC_ASSERT(CVD_PAGE_SIZE == VSOC_PAGE_SIZE);

#define MAX_SIZE ((gint64)CVD_MAX_WINDOW_SIZE)

/* How a region says where it is. */
typedef enum {
    FORM_UNKNOWN, /* it does not, or contradicts itself */
    FORM_SIZE,
    FORM_OFFSETS,
} Form;

typedef struct Check Check;

/* What is known of a region while the rules are checked. */
typedef struct {
    const Check *check;
    const CvdRegionSpec *spec;
    guint index;
    CvdLayoutRegion *result;
    gboolean tables_are_sound;
    gboolean extent_is_sound;
    Form form;
    gint64 size;  /* as written, when the extent is sound; so are these: */
    gint64 begin; /* FORM_OFFSETS only, until placed */
    gint64 end;
} Region;

struct Check {
    const CvdLayoutSpec *spec;
    gint64 granule;
    GPtrArray *problems;
    guint n_regions;
    Region *regions;
    GHashTable *first_by_name; /* name -> the first region that has it */
};

static gint64 round_up(gint64 value, gint64 granule)
{
    return (value + granule - 1) & ~(granule - 1);
}

static gint64 round_up_to_power_of_two(gint64 value)
{
    gint64 power = CVD_PAGE_SIZE;

    while (power < value)
        power *= 2;
    return power;
}

/* ---- Problems: the functions that report one return FALSE ---- */

static char *quote(const char *name)
{
    g_autofree char *escaped = cvd_escape_bytes(name, strlen(name));

    return g_strdup_printf("'%s'", escaped);
}

static char *name_of(const Region *region)
{
    return region->spec->name != NULL ? quote(region->spec->name)
                                      : g_strdup_printf("%u", region->index);
}

static gboolean add_problem(const Check *check, int region, const char *field, char *message)
{
    CvdLayoutProblem *problem = g_new(CvdLayoutProblem, 1);

    *problem = (CvdLayoutProblem){.region = region, .field = field, .message = message};
    g_ptr_array_add(check->problems, problem);
    return FALSE;
}

static gboolean report_layout(const Check *check, const char *field, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gboolean report_layout(const Check *check, const char *field, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *message = g_strdup_vprintf(format, args);
    va_end(args);
    return add_problem(check, -1, field, message);
}

static gboolean report(const Region *region, const char *field, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gboolean report(const Region *region, const char *field, const char *format, ...)
{
    g_autofree char *name = name_of(region);
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    return add_problem(region->check, (int)region->index, field,
                       g_strdup_printf("%s (region %s)", text, name));
}

/* ---- Each region by itself ---- */

/* @number: (out): @value, or 0 when it was not given; must be within 0 … @max */
static gboolean take_number(const Region *region, const char *field, gint64 value, gint64 least,
                            gint64 max, gint64 *number)
{
    *number = value == CVD_UNSET ? 0 : value;
    return (*number >= 0 && *number <= max) ||
           report(region, field, "%jd is out of range; allowed is %jd to %jd", value, least, max);
}

static void check_name(const Region *region)
{
    const char *field = "device_name";
    const char *name = region->spec->name;
    gsize length = name != NULL ? strlen(name) : 0;
    guint32 n_good;

    if (length == 0) {
        report(region, field, "%s; give a name of 1 to %d characters",
               name != NULL ? "empty" : "missing", CVD_MAX_REGION_NAME);
        return;
    }
    enum vsoc_name problem = vsoc_name_check(name, length, &n_good);
    if (problem == VSOC_NAME_CHARACTER) {
        g_autofree char *bad = cvd_escape_bytes(name + n_good, 1);
        report(region, field, "has the character '%s'; allowed are A-Z a-z 0-9 _ - .", bad);
    } else if (problem == VSOC_NAME_DOTS) {
        report(region, field, "'%s' cannot be a device's name; choose another", name);
    }
    if (length <= CVD_MAX_REGION_NAME)
        memcpy(region->result->name, name, length + 1);
    else
        report(region, field, "has %zu characters; at most %d are allowed", length,
               CVD_MAX_REGION_NAME);
    const Region *first = g_hash_table_lookup(region->check->first_by_name, name);
    if (first != region)
        report(region, field,
               "region %u has this name already; each region needs a name of its own",
               first->index);
}

static void check_versions(const Region *region)
{
    const CvdRegionSpec *spec = region->spec;
    const char *min_field = "min_compatible_version";
    gint64 current, min;

    gboolean is_sound =
        take_number(region, "current_version", spec->current_version, 0, G_MAXUINT16, &current);
    is_sound &= take_number(region, min_field, spec->min_compatible_version, 0, G_MAXUINT16, &min);
    if (!is_sound)
        return;
    if (min > current)
        report(region, min_field, "%jd is above current_version %jd; at most %jd is allowed", min,
               current, current);
    region->result->current_version = (guint16)current;
    region->result->min_compatible_version = (guint16)min;
}

/* Puts a table and its word at @offset in the region. Returns the offset after them. */
static guint32 lay_out_table(CvdSignalTable *table, gint64 nodes_lg2, guint32 offset)
{
    guint32 word = offset + ((guint32)sizeof(guint32) << nodes_lg2);

    *table = (CvdSignalTable){.num_nodes_lg2 = (guint32)nodes_lg2,
                              .table_offset = offset,
                              .interrupt_signalled_offset = word};
    return word + (guint32)sizeof(guint32);
}

static void check_tables(Region *region)
{
    const CvdRegionSpec *spec = region->spec;
    CvdLayoutRegion *result = region->result;
    gint64 to_host, to_guest;

    gboolean is_sound = take_number(region, "guest_to_host_signal_table.num_nodes_lg2",
                                    spec->guest_to_host_nodes_lg2, 0, VSOC_MAX_NODES_LG2, &to_host);
    is_sound &= take_number(region, "host_to_guest_signal_table.num_nodes_lg2",
                            spec->host_to_guest_nodes_lg2, 0, VSOC_MAX_NODES_LG2, &to_guest);
    if (!is_sound)
        return;
    result->data_offset = lay_out_table(&result->host_to_guest, to_guest,
                                        lay_out_table(&result->guest_to_host, to_host, 0));
    region->tables_are_sound = TRUE;
}

static void check_managed_by(const Region *region)
{
    const char *field = "managed_by";
    const char *name = region->spec->managed_by;

    if (name == NULL)
        return;
    const Region *manager = g_hash_table_lookup(region->check->first_by_name, name);
    g_autofree char *quoted = quote(name);
    if (manager == NULL)
        report(region, field,
               "there is no region %s; name another region of this layout, or leave it out",
               quoted);
    else if (g_strcmp0(region->spec->name, name) == 0)
        report(region, field,
               "a region cannot manage itself; name another region, or leave it out");
    else if (manager->index == 0)
        report(region, field,
               "region %s is the first, and index 0 means 'none'; move it further down", quoted);
    else
        region->result->managed_by = manager->index;
}

static Form find_form(const Region *region)
{
    gboolean has_begin = region->spec->begin != CVD_UNSET;
    gboolean has_end = region->spec->end != CVD_UNSET;

    if (region->spec->size != CVD_UNSET) {
        if (!has_begin && !has_end)
            return FORM_SIZE;
        report(region, "region_size",
               "given together with %s; keep either the size or both offsets",
               has_begin ? "region_begin_offset" : "region_end_offset");
    } else if (has_begin && has_end) {
        return FORM_OFFSETS;
    } else if (has_begin || has_end) {
        report(region, has_begin ? "region_end_offset" : "region_begin_offset",
               "missing; explicit offsets need both begin and end");
    } else {
        report(region, "region_size", "missing; give a multiple of %d", CVD_PAGE_SIZE);
    }
    return FORM_UNKNOWN;
}

/*
 * One file uses one form. Reported once, at the first region that differs from the one before:
 * which of them are to be changed is the author's choice.
 */
static Form check_forms(const Check *check)
{
    const Region *first = NULL;
    gboolean is_mixed = FALSE;

    for (guint i = 0; i < check->n_regions; i++) {
        Region *region = &check->regions[i];
        region->form = find_form(region);
        if (region->form == FORM_UNKNOWN || is_mixed)
            continue;
        if (first == NULL)
            first = region;
        is_mixed = region->form != first->form;
        if (is_mixed)
            report(region, region->form == FORM_SIZE ? "region_size" : "region_begin_offset",
                   "region %u has %s; one file uses one form for all regions", first->index,
                   region->form == FORM_SIZE ? "explicit offsets" : "region_size");
    }
    return first == NULL || is_mixed ? FORM_UNKNOWN : first->form;
}

/*
 * That a manager needs 4 bytes of data cannot be broken: the tables and words, 2^a + 2^b + 2 words
 * of 4 bytes with a and b up to 16, never end exactly at the end of a page.
 *
 * The least size that a region can do with, in bytes and not yet a whole page; @why says why.
 */
static gint64 least_size(const Region *region, const char **why)
{
    gint64 data_offset = region->result->data_offset;

    *why = "its signal tables do not fit";
    if (!region->tables_are_sound)
        return 1;
    if (region->result->managed_by == 0)
        return data_offset;
    if (region->size == 0 || region->size >= data_offset)
        *why = "a managed region needs a whole page of data after the page that its signal tables "
               "end in";
    return round_up(data_offset, CVD_PAGE_SIZE) + CVD_PAGE_SIZE;
}

static void check_size(Region *region)
{
    const char *field = "region_size";
    const char *why;
    gint64 size;

    if (!take_number(region, field, region->spec->size, CVD_PAGE_SIZE, MAX_SIZE, &size))
        return;
    region->size = size;
    gint64 least = round_up(least_size(region, &why), CVD_PAGE_SIZE);
    if (size % CVD_PAGE_SIZE != 0)
        report(region, field, "%jd is not a multiple of %d; the next is %jd", size, CVD_PAGE_SIZE,
               MAX(round_up(size, CVD_PAGE_SIZE), least));
    else if (size < least)
        report(region, field, "%jd is too small: %s; the least is %jd", size, why, least);
    else
        region->extent_is_sound = TRUE;
}

static gboolean take_offset(const Region *region, const char *field, gint64 value, gint64 *offset)
{
    gint64 granule = region->check->granule;

    return take_number(region, field, value, 0, MAX_SIZE, offset) &&
           (value % granule == 0 ||
            report(region, field, "%jd is not a multiple of %jd%s; the next is %jd", value, granule,
                   granule > CVD_PAGE_SIZE ? ", the size of the huge pages" : "",
                   round_up(value, granule)));
}

static void check_offsets(Region *region)
{
    const char *end_field = "region_end_offset";
    const char *why;

    gboolean is_sound =
        take_offset(region, "region_begin_offset", region->spec->begin, &region->begin);
    is_sound &= take_offset(region, end_field, region->spec->end, &region->end);
    if (!is_sound)
        return;
    region->size = MAX(region->end - region->begin, 0);
    gint64 least = round_up(least_size(region, &why), region->check->granule);
    if (region->size == 0)
        report(region, end_field, "%jd is not above region_begin_offset %jd; the least is %jd",
               region->end, region->begin, region->begin + least);
    else if (region->size < least)
        report(region, end_field,
               "%jd leaves %jd bytes, which are too few: %s; the least end is %jd", region->end,
               region->size, why, region->begin + least);
    else
        region->extent_is_sound = TRUE;
}

/* Returns: the form that all regions use; %FORM_UNKNOWN after a problem with it */
static Form check_regions(const Check *check)
{
    for (guint i = 0; i < check->n_regions; i++) {
        Region *region = &check->regions[i];
        check_name(region);
        check_versions(region);
        check_tables(region);
        check_managed_by(region);
        region->result->is_exclusive = region->spec->is_exclusive;
    }
    Form form = check_forms(check);
    for (guint i = 0; i < check->n_regions; i++) {
        if (check->regions[i].form == FORM_SIZE)
            check_size(&check->regions[i]);
        else if (check->regions[i].form == FORM_OFFSETS)
            check_offsets(&check->regions[i]);
    }
    return form;
}

/* ---- The regions in the window ---- */

/* Returns: where the first region may start, or 0 after a problem. */
static gint64 check_descriptor_block(const Check *check, guint32 *desc_offset)
{
    const char *field = "vsoc_region_desc_offset";
    const gint64 least = sizeof(struct vsoc_shm_layout_descriptor);
    gint64 asked = check->spec->region_desc_offset;
    gint64 offset = asked == CVD_UNSET ? least : asked;
    gint64 array_size = (gint64)check->n_regions * (gint64)sizeof(struct vsoc_device_region);

    *desc_offset = (guint32)offset;
    if (offset < least)
        return report_layout(check, field, "%jd is inside the header; the least is %jd", offset,
                             least);
    if (offset > MAX_SIZE - array_size)
        return report_layout(check, field,
                             "%jd puts the descriptors beyond the largest window of %jd bytes; %jd "
                             "is the usual place",
                             offset, MAX_SIZE, least);
    if (offset % 4 != 0)
        return report_layout(check, field, "%jd is not a multiple of 4; the next is %jd", offset,
                             round_up(offset, 4));
    return round_up(offset + array_size, check->granule);
}

/* Regions in file order, from @cursor on. Returns where the last ends, or 0 after a problem. */
static gint64 place_in_order(const Check *check, gint64 cursor)
{
    for (guint i = 0; i < check->n_regions; i++) {
        Region *region = &check->regions[i];
        if (!region->extent_is_sound)
            return 0;
        region->begin = cursor;
        region->end = cursor = cursor + round_up(region->size, check->granule);
        if (cursor > MAX_SIZE)
            return report(region, "region_size",
                          "the region would end at %jd, beyond the largest window of %jd bytes; "
                          "make this or earlier regions smaller",
                          cursor, MAX_SIZE);
    }
    return cursor;
}

static int compare_begins(gconstpointer a, gconstpointer b)
{
    const Region *one = *(const Region *const *)a, *other = *(const Region *const *)b;

    if (one->begin != other->begin)
        return one->begin < other->begin ? -1 : 1;
    return one < other ? -1 : one > other;
}

/* The regions whose explicit extent is sound, in order of address. */
static GPtrArray *sort_by_address(const Check *check)
{
    GPtrArray *order = g_ptr_array_sized_new(check->n_regions);

    for (guint i = 0; i < check->n_regions; i++)
        if (check->regions[i].form == FORM_OFFSETS && check->regions[i].extent_is_sound)
            g_ptr_array_add(order, &check->regions[i]);
    g_ptr_array_sort(order, compare_begins);
    return order;
}

static void report_overlap(const Region *region, const Region *other)
{
    g_autofree char *name = name_of(other);

    report(region, "region_begin_offset",
           "%jd is inside region %s, which is at %jd to %jd; the next free offset after that is "
           "%jd",
           region->begin, name, other->begin, other->end, other->end);
}

/*
 * Explicit offsets against each other and the descriptor block. Each region is compared with the
 * one before it that reaches furthest. Returns where the last ends.
 */
static gint64 check_explicit_placement(const Check *check, gint64 block_end)
{
    g_autoptr(GPtrArray) order = sort_by_address(check);
    const Region *furthest = NULL;

    for (guint i = 0; i < order->len; i++) {
        const Region *region = order->pdata[i];
        if (region->begin < block_end)
            report(region, "region_begin_offset",
                   "%jd falls into the descriptors at the start of the window; the first free "
                   "offset is %jd",
                   region->begin, block_end);
        if (furthest != NULL && region->begin < furthest->end)
            report_overlap(region, furthest);
        if (furthest == NULL || region->end > furthest->end)
            furthest = region;
    }
    return furthest != NULL ? furthest->end : 0;
}

static void check_inside_window(const Check *check, gint64 size)
{
    for (guint i = 0; i < check->n_regions; i++) {
        const Region *region = &check->regions[i];
        if (region->form == FORM_OFFSETS && region->extent_is_sound && region->end > size)
            report(region, "region_end_offset",
                   "%jd leaves the window of %jd bytes; ask for a size of %jd", region->end, size,
                   round_up_to_power_of_two(region->end));
    }
}

/* Whether a wanted window size is sound; raises @asked to it. */
static gboolean check_wanted_size(const Check *check, const char *field, gint64 wanted,
                                  gint64 *asked)
{
    if (wanted == CVD_UNSET)
        return TRUE;
    if (wanted < 0 || wanted > MAX_SIZE)
        return report_layout(check, field,
                             "%jd is out of range; allowed is 0 to %jd, the largest window", wanted,
                             MAX_SIZE);
    *asked = MAX(*asked, wanted);
    return TRUE;
}

static void check_counts(const Check *check)
{
    guint n = check->n_regions;
    gint64 declared = check->spec->region_count;

    if (n == 0)
        report_layout(check, "vsoc_device_regions", "there are no regions; give at least one");
    if (n > CVD_MAX_REGIONS)
        report_layout(check, "vsoc_device_regions",
                      "there are %u regions; at most %d are allowed, one MSI-X vector each", n,
                      CVD_MAX_REGIONS);
    if (declared != CVD_UNSET && declared != (gint64)n)
        report_layout(check, "region_count", "%jd is not the number of regions; there are %u",
                      declared, n);
}

/* Checks everything. What it returns is a layout only if there was no problem. */
static CvdLayout check_layout(const Check *check)
{
    const CvdLayoutSpec *spec = check->spec;
    CvdLayout layout = {.granule = spec->granule, .n_regions = check->n_regions};
    gint64 asked = MAX(CVD_PAGE_SIZE, check->granule);
    gint64 reach = 0;

    check_counts(check);
    Form form = check_regions(check);
    gint64 block_end = check_descriptor_block(check, &layout.region_desc_offset);
    gboolean size_is_sound = check_wanted_size(check, "size", spec->declared_size, &asked) &
                             check_wanted_size(check, "window.size", spec->min_window_size, &asked);

    if (form == FORM_SIZE && block_end != 0)
        reach = place_in_order(check, block_end);
    if (form == FORM_OFFSETS) {
        reach = check_explicit_placement(check, block_end);
        /* They leave the window only when their author said how large it is. */
        if (size_is_sound && spec->declared_size != CVD_UNSET)
            check_inside_window(check, round_up_to_power_of_two(asked));
    }
    layout.window_size = (guint32)round_up_to_power_of_two(MAX(asked, reach));
    return layout;
}

CvdLayout *cvd_layout_new(const CvdLayoutSpec *spec, GPtrArray *problems)
{
    guint64 granule = spec->granule;
    g_assert(granule >= CVD_PAGE_SIZE && granule <= CVD_MAX_WINDOW_SIZE);
    g_assert((granule & (granule - 1)) == 0);

    guint n_before = problems->len;
    guint n_regions = spec->regions->len;
    g_autofree Region *regions = g_new0(Region, n_regions);
    g_autofree CvdLayoutRegion *results = g_new0(CvdLayoutRegion, n_regions);
    g_autoptr(GHashTable) first_by_name = g_hash_table_new(g_str_hash, g_str_equal);
    const Check check = {spec, (gint64)granule, problems, n_regions, regions, first_by_name};

    for (guint i = 0; i < n_regions; i++) {
        CvdRegionSpec *region = &g_array_index(spec->regions, CvdRegionSpec, i);
        regions[i] = (Region){.check = &check, .spec = region, .index = i, .result = &results[i]};
        if (region->name != NULL && !g_hash_table_contains(first_by_name, region->name))
            g_hash_table_insert(first_by_name, region->name, &regions[i]);
    }
    CvdLayout header = check_layout(&check);
    if (problems->len > n_before)
        return NULL;
    for (guint i = 0; i < n_regions; i++) {
        results[i].begin = (guint32)regions[i].begin;
        results[i].end = (guint32)regions[i].end;
    }
    return cvd_layout_assemble(&header, results);
}
