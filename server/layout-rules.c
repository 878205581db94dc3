/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what an author wrote to offsets: section 2 of the window's specification, every rule of it.
 *
 * One pass over the regions checks what a region can be asked alone and lays out its inside. Then
 * the regions are placed in the window, one after the other, or their explicit offsets are checked
 * against each other in order of address, which is the only step that costs more than O(n).
 *
 * All problems are reported, but a number that is wrong takes part in no further rule: each problem
 * is one that its author can mend by itself. Numbers are bounded before any arithmetic, in 64 bits:
 * nothing here can overflow.
 */
#include "server/layout.h"

#include "base/log.h"
#include "server/layout-private.h"
#include "server/vsoc-abi.h"

#include <string.h>

#define MAX_NODES_LG2   16
#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."

G_STATIC_ASSERT(CVD_MAX_REGION_NAME + 1 == VSOC_DEVICE_NAME_SIZE);

/* How a region says where it is. */
typedef enum {
    FORM_UNKNOWN, /* it does not, or contradicts itself */
    FORM_SIZE,
    FORM_OFFSETS,
} Form;

/* What is known of a region while the rules are checked. */
typedef struct {
    gboolean tables_are_sound;
    gboolean extent_is_sound;
    gboolean is_managed;
    Form form;
    guint64 size;  /* as written, when the extent is sound; so are these: */
    guint64 begin; /* FORM_OFFSETS only, until placed */
    guint64 end;
} Draft;

typedef struct {
    const CvdLayoutSpec *spec;
    GPtrArray *problems;
    guint n_regions;
    Draft *drafts;
    CvdRegion *regions;
    GHashTable *first_by_name; /* name -> index of the first region that has it */
} Check;

static const CvdRegionSpec *region_spec(const Check *check, guint i)
{
    return &g_array_index(check->spec->regions, CvdRegionSpec, i);
}

static guint64 round_up(guint64 value, guint64 granule)
{
    return (value + granule - 1) & ~(granule - 1);
}

static guint64 round_up_to_power_of_two(guint64 value)
{
    guint64 power = CVD_PAGE_SIZE;

    while (power < value)
        power *= 2;
    return power;
}

static char *quote_name(const char *name)
{
    g_autofree char *escaped = cvd_escape_bytes(name, strlen(name));

    return g_strdup_printf("'%s'", escaped);
}

static void add_problem(Check *check, int region, const char *field, char *message)
{
    CvdLayoutProblem *problem = g_new(CvdLayoutProblem, 1);

    *problem = (CvdLayoutProblem){.region = region, .field = field, .message = message};
    g_ptr_array_add(check->problems, problem);
}

/* A problem of the layout as a whole. */
static G_GNUC_PRINTF(3, 4) void report(Check *check, const char *field, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_problem(check, -1, field, g_strdup_vprintf(format, args));
    va_end(args);
}

/* A problem of region @i; the message ends in its name. */
static G_GNUC_PRINTF(4, 5) void report_region(Check *check, guint i, const char *field,
                                              const char *format, ...)
{
    const char *name = region_spec(check, i)->name;
    g_autofree char *quoted = name != NULL ? quote_name(name) : g_strdup_printf("%u", i);
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    add_problem(check, (int)i, field, g_strdup_printf("%s (region %s)", text, quoted));
}

/* Whether @value, 0 when not given, is within 0 … @max. */
static gboolean check_range(Check *check, guint i, const char *field, gint64 value, gint64 max)
{
    if (value == CVD_UNSET || (value >= 0 && value <= max))
        return TRUE;
    report_region(check, i, field,
                  "%" G_GINT64_FORMAT " is out of range; allowed is 0 to %" G_GINT64_FORMAT, value,
                  max);
    return FALSE;
}

static guint32 number_or_zero(gint64 value)
{
    return value == CVD_UNSET ? 0 : (guint32)value;
}

static void check_name(Check *check, guint i)
{
    const char *name = region_spec(check, i)->name;
    const char *field = "device_name";

    if (name == NULL) {
        report_region(check, i, field, "missing; give a name of 1 to %d characters",
                      CVD_MAX_REGION_NAME);
        return;
    }
    gsize length = strlen(name);
    gsize n_good = strspn(name, NAME_CHARACTERS);
    if (length == 0) {
        report_region(check, i, field, "empty; give a name of 1 to %d characters",
                      CVD_MAX_REGION_NAME);
        return;
    }
    if (n_good < length) {
        g_autofree char *bad = cvd_escape_bytes(name + n_good, 1);
        report_region(check, i, field, "has the character '%s'; allowed are A-Z a-z 0-9 _ - .",
                      bad);
    } else if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        report_region(check, i, field, "'%s' cannot be a device's name; choose another", name);
    }
    if (length > CVD_MAX_REGION_NAME)
        report_region(check, i, field, "has %" G_GSIZE_FORMAT " characters; at most %d are allowed",
                      length, CVD_MAX_REGION_NAME);

    guint first = GPOINTER_TO_UINT(g_hash_table_lookup(check->first_by_name, name));
    if (first != i)
        report_region(check, i, field,
                      "region %u has this name already; each region needs a name of its own",
                      first);
    if (length <= CVD_MAX_REGION_NAME)
        memcpy(check->regions[i].name, name, length + 1);
}

static void check_versions(Check *check, guint i)
{
    const CvdRegionSpec *spec = region_spec(check, i);
    gboolean current_is_sound =
        check_range(check, i, "current_version", spec->current_version, G_MAXUINT16);
    gboolean min_is_sound =
        check_range(check, i, "min_compatible_version", spec->min_compatible_version, G_MAXUINT16);

    if (!current_is_sound || !min_is_sound)
        return;
    guint32 current = number_or_zero(spec->current_version);
    guint32 min = number_or_zero(spec->min_compatible_version);
    if (min > current)
        report_region(check, i, "min_compatible_version",
                      "%u is above current_version %u; at most %u is allowed", min, current,
                      current);
    check->regions[i].current_version = (guint16)current;
    check->regions[i].min_compatible_version = (guint16)min;
}

/* Puts a table and its word at @offset in the region. Returns the offset after them. */
static guint32 lay_out_table(CvdSignalTable *table, guint32 nodes_lg2, guint32 offset)
{
    guint32 word = offset + ((guint32)sizeof(guint32) << nodes_lg2);

    *table = (CvdSignalTable){
        .num_nodes_lg2 = nodes_lg2, .table_offset = offset, .interrupt_signalled_offset = word};
    return word + (guint32)sizeof(guint32);
}

static void check_tables(Check *check, guint i)
{
    const CvdRegionSpec *spec = region_spec(check, i);
    CvdRegion *region = &check->regions[i];
    gboolean to_host_is_sound = check_range(check, i, "guest_to_host_signal_table.num_nodes_lg2",
                                            spec->guest_to_host_nodes_lg2, MAX_NODES_LG2);
    gboolean to_guest_is_sound = check_range(check, i, "host_to_guest_signal_table.num_nodes_lg2",
                                             spec->host_to_guest_nodes_lg2, MAX_NODES_LG2);

    if (!to_host_is_sound || !to_guest_is_sound)
        return;
    guint32 offset =
        lay_out_table(&region->guest_to_host, number_or_zero(spec->guest_to_host_nodes_lg2), 0);
    region->data_offset = lay_out_table(&region->host_to_guest,
                                        number_or_zero(spec->host_to_guest_nodes_lg2), offset);
    check->drafts[i].tables_are_sound = TRUE;
}

static void check_managed_by(Check *check, guint i)
{
    const CvdRegionSpec *spec = region_spec(check, i);
    gpointer found;

    if (spec->managed_by == NULL)
        return;
    g_autofree char *manager = quote_name(spec->managed_by);
    if (!g_hash_table_lookup_extended(check->first_by_name, spec->managed_by, NULL, &found)) {
        report_region(check, i, "managed_by",
                      "there is no region %s; name another region of this layout, or leave it out",
                      manager);
        return;
    }
    guint index = GPOINTER_TO_UINT(found);
    if (index == i || g_strcmp0(spec->name, spec->managed_by) == 0) {
        report_region(check, i, "managed_by",
                      "a region cannot manage itself; name another region, or leave it out");
        return;
    }
    if (index == 0) {
        report_region(check, i, "managed_by",
                      "region %s is the first, and index 0 means 'none'; move it further down",
                      manager);
        return;
    }
    check->regions[i].managed_by = index;
    check->drafts[i].is_managed = TRUE;
}

static Form find_form(Check *check, guint i)
{
    const CvdRegionSpec *spec = region_spec(check, i);
    gboolean has_begin = spec->begin != CVD_UNSET;
    gboolean has_end = spec->end != CVD_UNSET;

    if (spec->size != CVD_UNSET) {
        if (!has_begin && !has_end)
            return FORM_SIZE;
        report_region(check, i, "region_size",
                      "given together with %s; keep either the size or both offsets",
                      has_begin ? "region_begin_offset" : "region_end_offset");
    } else if (has_begin && has_end) {
        return FORM_OFFSETS;
    } else if (has_begin || has_end) {
        report_region(check, i, has_begin ? "region_end_offset" : "region_begin_offset",
                      "missing; explicit offsets need both begin and end");
    } else {
        report_region(check, i, "region_size", "missing; give a multiple of %d", CVD_PAGE_SIZE);
    }
    return FORM_UNKNOWN;
}

/*
 * One file uses one form. Told once, at the first region that differs from the one before: which
 * of them are to be changed is the author's choice.
 */
static Form check_forms(Check *check)
{
    Form common = FORM_UNKNOWN;
    guint first = 0;
    gboolean is_mixed = FALSE;

    for (guint i = 0; i < check->n_regions; i++) {
        Form form = check->drafts[i].form = find_form(check, i);
        if (form == FORM_UNKNOWN || is_mixed)
            continue;
        if (common == FORM_UNKNOWN) {
            common = form;
            first = i;
        } else if (form != common) {
            report_region(check, i, form == FORM_SIZE ? "region_size" : "region_begin_offset",
                          "region %u has %s; one file uses one form for all regions", first,
                          form == FORM_SIZE ? "explicit offsets" : "region_size");
            is_mixed = TRUE;
        }
    }
    return is_mixed ? FORM_UNKNOWN : common;
}

/*
 * That a manager needs 4 bytes of data cannot be broken: the tables and words, 2^a + 2^b + 2 words
 * of 4 bytes with a and b up to 16, never end exactly at the end of a page.
 *
 * The least size that region @i can do with, in bytes and not yet a whole page; @why says why.
 */
static guint64 least_size(const Check *check, guint i, const char **why)
{
    const Draft *draft = &check->drafts[i];
    guint64 data_offset = check->regions[i].data_offset;

    *why = "its signal tables do not fit";
    if (!draft->tables_are_sound)
        return 1;
    if (draft->is_managed) {
        guint64 least = round_up(data_offset, CVD_PAGE_SIZE) + CVD_PAGE_SIZE;
        if (draft->size == 0 || draft->size >= data_offset)
            *why = "a managed region needs a whole page of data after the page that its signal "
                   "tables end in";
        return least;
    }
    return data_offset;
}

static void check_size(Check *check, guint i)
{
    Draft *draft = &check->drafts[i];
    gint64 size = region_spec(check, i)->size;
    const char *why;

    if (size < 0 || (guint64)size > CVD_MAX_WINDOW_SIZE) {
        report_region(check, i, "region_size",
                      "%" G_GINT64_FORMAT " is out of range; allowed is %d to %" G_GUINT64_FORMAT,
                      size, CVD_PAGE_SIZE, (guint64)CVD_MAX_WINDOW_SIZE);
        return;
    }
    draft->size = (guint64)size;
    guint64 least = round_up(least_size(check, i, &why), CVD_PAGE_SIZE);
    if (draft->size % CVD_PAGE_SIZE != 0) {
        report_region(check, i, "region_size",
                      "%" G_GINT64_FORMAT
                      " is not a multiple of %d; the next is %" G_GUINT64_FORMAT,
                      size, CVD_PAGE_SIZE, MAX(round_up(draft->size, CVD_PAGE_SIZE), least));
    } else if (draft->size < least) {
        report_region(check, i, "region_size",
                      "%" G_GINT64_FORMAT " is too small: %s; the least is %" G_GUINT64_FORMAT,
                      size, why, least);
    } else {
        draft->extent_is_sound = TRUE;
    }
}

static gboolean check_offset(Check *check, guint i, const char *field, gint64 offset)
{
    guint64 granule = check->spec->granule;

    if (offset < 0 || (guint64)offset > CVD_MAX_WINDOW_SIZE) {
        report_region(check, i, field,
                      "%" G_GINT64_FORMAT " is out of range; allowed is 0 to %" G_GUINT64_FORMAT,
                      offset, (guint64)CVD_MAX_WINDOW_SIZE);
        return FALSE;
    }
    if ((guint64)offset % granule == 0)
        return TRUE;
    report_region(check, i, field,
                  "%" G_GINT64_FORMAT " is not a multiple of %" G_GUINT64_FORMAT
                  "%s; the next is %" G_GUINT64_FORMAT,
                  offset, granule, granule > CVD_PAGE_SIZE ? ", the size of the huge pages" : "",
                  round_up((guint64)offset, granule));
    return FALSE;
}

static void check_offsets(Check *check, guint i)
{
    const CvdRegionSpec *spec = region_spec(check, i);
    Draft *draft = &check->drafts[i];
    gboolean begin_is_sound = check_offset(check, i, "region_begin_offset", spec->begin);
    gboolean end_is_sound = check_offset(check, i, "region_end_offset", spec->end);
    const char *why;

    if (!begin_is_sound || !end_is_sound)
        return;
    draft->begin = (guint64)spec->begin;
    draft->end = (guint64)spec->end;
    draft->size = draft->end > draft->begin ? draft->end - draft->begin : 0;
    guint64 least = round_up(least_size(check, i, &why), check->spec->granule);
    if (draft->size == 0)
        report_region(check, i, "region_end_offset",
                      "%" G_GINT64_FORMAT " is not above region_begin_offset %" G_GINT64_FORMAT
                      "; the least is %" G_GUINT64_FORMAT,
                      spec->end, spec->begin, draft->begin + least);
    else if (draft->size < least)
        report_region(check, i, "region_end_offset",
                      "%" G_GINT64_FORMAT " leaves %" G_GUINT64_FORMAT
                      " bytes, which are too few: %s; the least end is %" G_GUINT64_FORMAT,
                      spec->end, draft->size, why, draft->begin + least);
    else
        draft->extent_is_sound = TRUE;
}

static void check_extents(Check *check)
{
    for (guint i = 0; i < check->n_regions; i++)
        switch (check->drafts[i].form) {
        case FORM_SIZE:
            check_size(check, i);
            break;
        case FORM_OFFSETS:
            check_offsets(check, i);
            break;
        case FORM_UNKNOWN:
            break;
        }
}

/* Returns: where the first region may start, or 0 after a problem. */
static guint64 check_descriptor_block(Check *check, guint32 *desc_offset)
{
    const char *field = "vsoc_region_desc_offset";
    const gint64 least = sizeof(struct vsoc_shm_layout_descriptor);
    gint64 offset =
        check->spec->region_desc_offset == CVD_UNSET ? least : check->spec->region_desc_offset;
    guint64 array_size = (guint64)check->n_regions * sizeof(struct vsoc_device_region);

    if (offset < least) {
        report(check, field,
               "%" G_GINT64_FORMAT " is inside the header; the least is %" G_GINT64_FORMAT, offset,
               least);
        return 0;
    }
    if ((guint64)offset > CVD_MAX_WINDOW_SIZE - MIN(array_size, CVD_MAX_WINDOW_SIZE)) {
        report(check, field,
               "%" G_GINT64_FORMAT
               " puts the descriptors beyond the largest window of %" G_GUINT64_FORMAT
               " bytes; %" G_GINT64_FORMAT " is the usual place",
               offset, (guint64)CVD_MAX_WINDOW_SIZE, least);
        return 0;
    }
    if (offset % 4 != 0) {
        report(check, field,
               "%" G_GINT64_FORMAT " is not a multiple of 4; the next is %" G_GUINT64_FORMAT,
               offset, round_up((guint64)offset, 4));
        return 0;
    }
    *desc_offset = (guint32)offset;
    return round_up((guint64)offset + array_size, check->spec->granule);
}

/* Regions in file order, from @cursor on. Returns where the last ends, or 0 after a problem. */
static guint64 place_in_order(Check *check, guint64 cursor)
{
    for (guint i = 0; i < check->n_regions; i++) {
        Draft *draft = &check->drafts[i];
        if (!draft->extent_is_sound)
            return 0;
        draft->begin = cursor;
        draft->end = cursor + round_up(draft->size, check->spec->granule);
        cursor = draft->end;
        if (cursor > CVD_MAX_WINDOW_SIZE) {
            report_region(check, i, "region_size",
                          "the region would end at %" G_GUINT64_FORMAT
                          ", beyond the largest window of %" G_GUINT64_FORMAT
                          " bytes; make this or earlier regions smaller",
                          cursor, (guint64)CVD_MAX_WINDOW_SIZE);
            return 0;
        }
    }
    return cursor;
}

static int compare_begins(gconstpointer a, gconstpointer b, gpointer data)
{
    const Draft *drafts = data;
    guint i = *(const guint *)a;
    guint k = *(const guint *)b;

    if (drafts[i].begin != drafts[k].begin)
        return drafts[i].begin < drafts[k].begin ? -1 : 1;
    return (i > k) - (i < k);
}

/* The indices of the regions whose extent is sound, in order of address. */
static GArray *sort_by_address(Check *check)
{
    GArray *order = g_array_sized_new(FALSE, FALSE, sizeof(guint), check->n_regions);

    for (guint i = 0; i < check->n_regions; i++)
        if (check->drafts[i].form == FORM_OFFSETS && check->drafts[i].extent_is_sound)
            g_array_append_val(order, i);
    g_array_sort_with_data(order, compare_begins, check->drafts);
    return order;
}

static void report_overlap(Check *check, guint i, guint other)
{
    const Draft *drafts = check->drafts;
    const char *name = region_spec(check, other)->name;
    g_autofree char *quoted = name != NULL ? quote_name(name) : g_strdup_printf("%u", other);

    report_region(
        check, i, "region_begin_offset",
        "%" G_GUINT64_FORMAT " is inside region %s, which is at %" G_GUINT64_FORMAT
        " to %" G_GUINT64_FORMAT "; the next free offset after that is %" G_GUINT64_FORMAT,
        drafts[i].begin, quoted, drafts[other].begin, drafts[other].end, drafts[other].end);
}

/*
 * Explicit offsets against each other and the descriptor block. Each region is compared with the
 * one before it that reaches furthest. Returns where the last ends.
 */
static guint64 check_explicit_placement(Check *check, guint64 block_end)
{
    g_autoptr(GArray) order = sort_by_address(check);
    guint64 reach = 0;
    guint furthest = 0;

    for (guint k = 0; k < order->len; k++) {
        guint i = g_array_index(order, guint, k);
        const Draft *draft = &check->drafts[i];
        if (draft->begin < block_end)
            report_region(check, i, "region_begin_offset",
                          "%" G_GUINT64_FORMAT
                          " falls into the descriptors at the start of the window; the first free "
                          "offset is %" G_GUINT64_FORMAT,
                          draft->begin, block_end);
        if (draft->begin < reach)
            report_overlap(check, i, furthest);
        if (draft->end > reach) {
            reach = draft->end;
            furthest = i;
        }
    }
    return reach;
}

/* Explicit offsets leave the window only when their author said how large it is. */
static void check_inside_window(Check *check, guint64 asked)
{
    if (check->spec->declared_size == CVD_UNSET)
        return;
    guint64 size = round_up_to_power_of_two(asked);
    for (guint i = 0; i < check->n_regions; i++) {
        const Draft *draft = &check->drafts[i];
        if (draft->form == FORM_OFFSETS && draft->extent_is_sound && draft->end > size)
            report_region(check, i, "region_end_offset",
                          "%" G_GUINT64_FORMAT " leaves the window of %" G_GUINT64_FORMAT
                          " bytes; ask for a size of %" G_GUINT64_FORMAT,
                          draft->end, size, round_up_to_power_of_two(draft->end));
    }
}

/* Whether a wanted window size is sound; raises @asked to it. */
static gboolean check_wanted_size(Check *check, const char *field, gint64 wanted, guint64 *asked)
{
    if (wanted == CVD_UNSET)
        return TRUE;
    if (wanted < 0 || (guint64)wanted > CVD_MAX_WINDOW_SIZE) {
        report(check, field,
               "%" G_GINT64_FORMAT " is out of range; allowed is 0 to %" G_GUINT64_FORMAT
               ", the largest window",
               wanted, (guint64)CVD_MAX_WINDOW_SIZE);
        return FALSE;
    }
    *asked = MAX(*asked, (guint64)wanted);
    return TRUE;
}

static void check_counts(Check *check)
{
    guint n = check->n_regions;
    gint64 declared = check->spec->region_count;

    if (n == 0)
        report(check, "vsoc_device_regions", "there are no regions; give at least one");
    if (n > CVD_MAX_REGIONS)
        report(check, "vsoc_device_regions",
               "there are %u regions; at most %d are allowed, one MSI-X vector each", n,
               CVD_MAX_REGIONS);
    if (declared != CVD_UNSET && declared != (gint64)n)
        report(check, "region_count",
               "%" G_GINT64_FORMAT " is not the number of regions; there are %u", declared, n);
}

static void check_regions(Check *check)
{
    for (guint i = 0; i < check->n_regions; i++) {
        const char *name = region_spec(check, i)->name;
        if (name != NULL && !g_hash_table_contains(check->first_by_name, name))
            g_hash_table_insert(check->first_by_name, (gpointer)name, GUINT_TO_POINTER(i));
    }
    for (guint i = 0; i < check->n_regions; i++) {
        check_name(check, i);
        check_versions(check, i);
        check_tables(check, i);
        check_managed_by(check, i);
    }
}

/* Checks everything. What it returns is a layout only if there was no problem. */
static CvdLayout check_layout(Check *check)
{
    CvdLayout layout = {.granule = check->spec->granule, .n_regions = check->n_regions};
    guint64 asked = MAX(CVD_PAGE_SIZE, check->spec->granule);
    guint64 reach = 0;

    check_counts(check);
    check_regions(check);
    Form form = check_forms(check);
    check_extents(check);
    guint64 block_end = check_descriptor_block(check, &layout.region_desc_offset);
    gboolean size_is_sound =
        check_wanted_size(check, "size", check->spec->declared_size, &asked) &
        check_wanted_size(check, "window.size", check->spec->min_window_size, &asked);

    if (form == FORM_SIZE && block_end != 0)
        reach = place_in_order(check, block_end);
    if (form == FORM_OFFSETS) {
        reach = check_explicit_placement(check, block_end);
        if (size_is_sound)
            check_inside_window(check, asked);
    }
    layout.window_size = (guint32)round_up_to_power_of_two(MAX(asked, reach));
    return layout;
}

static void finish_regions(Check *check)
{
    for (guint i = 0; i < check->n_regions; i++) {
        check->regions[i].begin = (guint32)check->drafts[i].begin;
        check->regions[i].end = (guint32)check->drafts[i].end;
    }
}

CvdLayout *cvd_layout_new(const CvdLayoutSpec *spec, GPtrArray *problems)
{
    guint64 granule = spec->granule;
    g_assert(granule >= CVD_PAGE_SIZE && granule <= CVD_MAX_WINDOW_SIZE);
    g_assert((granule & (granule - 1)) == 0);

    guint n_before = problems->len;
    guint n_regions = spec->regions->len;
    g_autofree Draft *drafts = g_new0(Draft, n_regions);
    g_autofree CvdRegion *regions = g_new0(CvdRegion, n_regions);
    g_autoptr(GHashTable) first_by_name = g_hash_table_new(g_str_hash, g_str_equal);
    Check check = {
        .spec = spec,
        .problems = problems,
        .n_regions = n_regions,
        .drafts = drafts,
        .regions = regions,
        .first_by_name = first_by_name,
    };

    CvdLayout header = check_layout(&check);
    if (problems->len > n_before)
        return NULL;
    finish_regions(&check);
    return cvd_layout_assemble(&header, regions);
}
