/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules (docs/window.md, Rules) that a region can be asked by itself, the offsets inside it,
 * and what the window says of it. The regions' places in the window are layout-place.c's.
 *
 * All problems are reported, but a number that is wrong takes part in no further rule: each problem
 * is one that its author can mend by itself.
 */
#include "server/layout.h"

#include "base/log.h"
#include "server/layout-private.h"
#include "vsoc/window.h"

#include <string.h>

G_STATIC_ASSERT(CVD_MAX_REGION_NAME == VSOC_MAX_DEVICE_NAME);
G_STATIC_ASSERT(CVD_MAX_REGIONS == VSOC_MAX_REGIONS);
G_STATIC_ASSERT(CVD_PAGE_SIZE == VSOC_PAGE_SIZE);

char *cvd_layout_quote_name(const char *name)
{
    g_autofree char *escaped = cvd_escape_bytes(name, strlen(name));

    return g_strdup_printf("'%s'", escaped);
}

static void add_problem(CvdLayoutCheck *check, int region, const char *field, char *message)
{
    CvdLayoutProblem *problem = g_new(CvdLayoutProblem, 1);

    *problem = (CvdLayoutProblem){.region = region, .field = field, .message = message};
    g_ptr_array_add(check->problems, problem);
}

void cvd_layout_report(CvdLayoutCheck *check, const char *field, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_problem(check, -1, field, g_strdup_vprintf(format, args));
    va_end(args);
}

void cvd_layout_report_region(CvdLayoutCheck *check, guint i, const char *field, const char *format,
                              ...)
{
    const char *name = cvd_layout_check_region(check, i)->name;
    g_autofree char *quoted = name != NULL ? cvd_layout_quote_name(name) : g_strdup_printf("%u", i);
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    add_problem(check, (int)i, field, g_strdup_printf("%s (region %s)", text, quoted));
}

/* Whether @value, 0 when not given, is within 0 … @max. */
static gboolean check_range(CvdLayoutCheck *check, guint i, const char *field, gint64 value,
                            gint64 max)
{
    if (value == CVD_UNSET || (value >= 0 && value <= max))
        return TRUE;
    cvd_layout_report_region(check, i, field, "%jd is out of range; allowed is 0 to %jd", value,
                             max);
    return FALSE;
}

static guint32 number_or_zero(gint64 value)
{
    return value == CVD_UNSET ? 0 : (guint32)value;
}

static void check_name(CvdLayoutCheck *check, guint i)
{
    const char *name = cvd_layout_check_region(check, i)->name;
    const char *field = "device_name";

    if (name == NULL) {
        cvd_layout_report_region(check, i, field, "missing; give a name of 1 to %d characters",
                                 CVD_MAX_REGION_NAME);
        return;
    }
    gsize length = strlen(name);
    guint32 n_good;
    enum vsoc_name problem = vsoc_name_check(name, length, &n_good);
    if (problem == VSOC_NAME_EMPTY) {
        cvd_layout_report_region(check, i, field, "empty; give a name of 1 to %d characters",
                                 CVD_MAX_REGION_NAME);
        return;
    }
    if (problem == VSOC_NAME_CHARACTER) {
        g_autofree char *bad = cvd_escape_bytes(name + n_good, 1);
        cvd_layout_report_region(check, i, field,
                                 "has the character '%s'; allowed are A-Z a-z 0-9 _ - .", bad);
    } else if (problem == VSOC_NAME_DOTS) {
        cvd_layout_report_region(check, i, field, "'%s' cannot be a device's name; choose another",
                                 name);
    }
    if (length > CVD_MAX_REGION_NAME)
        cvd_layout_report_region(check, i, field, "has %zu characters; at most %d are allowed",
                                 length, CVD_MAX_REGION_NAME);

    guint first = GPOINTER_TO_UINT(g_hash_table_lookup(check->first_by_name, name));
    if (first != i)
        cvd_layout_report_region(
            check, i, field, "region %u has this name already; each region needs a name of its own",
            first);
    if (length <= CVD_MAX_REGION_NAME)
        memcpy(check->regions[i].name, name, length + 1);
}

static void check_versions(CvdLayoutCheck *check, guint i)
{
    const CvdRegionSpec *spec = cvd_layout_check_region(check, i);
    gboolean current_is_sound =
        check_range(check, i, "current_version", spec->current_version, G_MAXUINT16);
    gboolean min_is_sound =
        check_range(check, i, "min_compatible_version", spec->min_compatible_version, G_MAXUINT16);

    if (!current_is_sound || !min_is_sound)
        return;
    guint32 current = number_or_zero(spec->current_version);
    guint32 min = number_or_zero(spec->min_compatible_version);
    if (min > current)
        cvd_layout_report_region(check, i, "min_compatible_version",
                                 "%u is above current_version %u; at most %u is allowed", min,
                                 current, current);
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

static void check_tables(CvdLayoutCheck *check, guint i)
{
    const CvdRegionSpec *spec = cvd_layout_check_region(check, i);
    CvdLayoutRegion *region = &check->regions[i];
    gboolean to_host_is_sound = check_range(check, i, "guest_to_host_signal_table.num_nodes_lg2",
                                            spec->guest_to_host_nodes_lg2, VSOC_MAX_NODES_LG2);
    gboolean to_guest_is_sound = check_range(check, i, "host_to_guest_signal_table.num_nodes_lg2",
                                             spec->host_to_guest_nodes_lg2, VSOC_MAX_NODES_LG2);

    if (!to_host_is_sound || !to_guest_is_sound)
        return;
    guint32 offset =
        lay_out_table(&region->guest_to_host, number_or_zero(spec->guest_to_host_nodes_lg2), 0);
    region->data_offset = lay_out_table(&region->host_to_guest,
                                        number_or_zero(spec->host_to_guest_nodes_lg2), offset);
    check->checked[i].tables_are_sound = TRUE;
}

static void check_managed_by(CvdLayoutCheck *check, guint i)
{
    const CvdRegionSpec *spec = cvd_layout_check_region(check, i);
    gpointer found;

    if (spec->managed_by == NULL)
        return;
    g_autofree char *manager = cvd_layout_quote_name(spec->managed_by);
    if (!g_hash_table_lookup_extended(check->first_by_name, spec->managed_by, NULL, &found)) {
        cvd_layout_report_region(
            check, i, "managed_by",
            "there is no region %s; name another region of this layout, or leave it out", manager);
        return;
    }
    guint index = GPOINTER_TO_UINT(found);
    if (index == i || g_strcmp0(spec->name, spec->managed_by) == 0) {
        cvd_layout_report_region(
            check, i, "managed_by",
            "a region cannot manage itself; name another region, or leave it out");
        return;
    }
    if (index == 0) {
        cvd_layout_report_region(
            check, i, "managed_by",
            "region %s is the first, and index 0 means 'none'; move it further down", manager);
        return;
    }
    check->regions[i].managed_by = index;
    check->checked[i].is_managed = TRUE;
}

static CvdRegionForm find_form(CvdLayoutCheck *check, guint i)
{
    const CvdRegionSpec *spec = cvd_layout_check_region(check, i);
    gboolean has_begin = spec->begin != CVD_UNSET;
    gboolean has_end = spec->end != CVD_UNSET;

    if (spec->size != CVD_UNSET) {
        if (!has_begin && !has_end)
            return CVD_FORM_SIZE;
        cvd_layout_report_region(check, i, "region_size",
                                 "given together with %s; keep either the size or both offsets",
                                 has_begin ? "region_begin_offset" : "region_end_offset");
    } else if (has_begin && has_end) {
        return CVD_FORM_OFFSETS;
    } else if (has_begin || has_end) {
        cvd_layout_report_region(check, i, has_begin ? "region_end_offset" : "region_begin_offset",
                                 "missing; explicit offsets need both begin and end");
    } else {
        cvd_layout_report_region(check, i, "region_size", "missing; give a multiple of %d",
                                 CVD_PAGE_SIZE);
    }
    return CVD_FORM_UNKNOWN;
}

/*
 * One file uses one form. Reported once, at the first region that differs from the one before:
 * which of them are to be changed is the author's choice.
 */
static CvdRegionForm check_forms(CvdLayoutCheck *check)
{
    CvdRegionForm common = CVD_FORM_UNKNOWN;
    guint first = 0;
    gboolean is_mixed = FALSE;

    for (guint i = 0; i < check->n_regions; i++) {
        CvdRegionForm form = check->checked[i].form = find_form(check, i);
        if (form == CVD_FORM_UNKNOWN || is_mixed)
            continue;
        if (common == CVD_FORM_UNKNOWN) {
            common = form;
            first = i;
        } else if (form != common) {
            cvd_layout_report_region(
                check, i, form == CVD_FORM_SIZE ? "region_size" : "region_begin_offset",
                "region %u has %s; one file uses one form for all regions", first,
                form == CVD_FORM_SIZE ? "explicit offsets" : "region_size");
            is_mixed = TRUE;
        }
    }
    return is_mixed ? CVD_FORM_UNKNOWN : common;
}

/*
 * That a manager needs 4 bytes of data cannot be broken: the tables and words, 2^a + 2^b + 2 words
 * of 4 bytes with a and b up to 16, never end exactly at the end of a page.
 *
 * The least size that region @i can do with, in bytes and not yet a whole page; @why says why.
 */
static guint64 least_size(const CvdLayoutCheck *check, guint i, const char **why)
{
    const CvdCheckedRegion *region = &check->checked[i];
    guint64 data_offset = check->regions[i].data_offset;

    *why = "its signal tables do not fit";
    if (!region->tables_are_sound)
        return 1;
    if (region->is_managed) {
        guint64 least = cvd_round_up(data_offset, CVD_PAGE_SIZE) + CVD_PAGE_SIZE;
        if (region->size == 0 || region->size >= data_offset)
            *why = "a managed region needs a whole page of data after the page that its signal "
                   "tables end in";
        return least;
    }
    return data_offset;
}

static void check_size(CvdLayoutCheck *check, guint i)
{
    CvdCheckedRegion *region = &check->checked[i];
    gint64 size = cvd_layout_check_region(check, i)->size;
    const char *why;

    if (size < 0 || (guint64)size > CVD_MAX_WINDOW_SIZE) {
        cvd_layout_report_region(check, i, "region_size",
                                 "%jd is out of range; allowed is %d to %ju", size, CVD_PAGE_SIZE,
                                 (guint64)CVD_MAX_WINDOW_SIZE);
        return;
    }
    region->size = (guint64)size;
    guint64 least = cvd_round_up(least_size(check, i, &why), CVD_PAGE_SIZE);
    if (region->size % CVD_PAGE_SIZE != 0) {
        cvd_layout_report_region(
            check, i, "region_size", "%jd is not a multiple of %d; the next is %ju", size,
            CVD_PAGE_SIZE, MAX(cvd_round_up(region->size, CVD_PAGE_SIZE), least));
    } else if (region->size < least) {
        cvd_layout_report_region(check, i, "region_size", "%jd is too small: %s; the least is %ju",
                                 size, why, least);
    } else {
        region->extent_is_sound = TRUE;
    }
}

static gboolean check_offset(CvdLayoutCheck *check, guint i, const char *field, gint64 offset)
{
    guint64 granule = check->spec->granule;

    if (offset < 0 || (guint64)offset > CVD_MAX_WINDOW_SIZE) {
        cvd_layout_report_region(check, i, field, "%jd is out of range; allowed is 0 to %ju",
                                 offset, (guint64)CVD_MAX_WINDOW_SIZE);
        return FALSE;
    }
    if ((guint64)offset % granule == 0)
        return TRUE;
    cvd_layout_report_region(check, i, field, "%jd is not a multiple of %ju%s; the next is %ju",
                             offset, granule,
                             granule > CVD_PAGE_SIZE ? ", the size of the huge pages" : "",
                             cvd_round_up((guint64)offset, granule));
    return FALSE;
}

static void check_offsets(CvdLayoutCheck *check, guint i)
{
    const CvdRegionSpec *spec = cvd_layout_check_region(check, i);
    CvdCheckedRegion *region = &check->checked[i];
    gboolean begin_is_sound = check_offset(check, i, "region_begin_offset", spec->begin);
    gboolean end_is_sound = check_offset(check, i, "region_end_offset", spec->end);
    const char *why;

    if (!begin_is_sound || !end_is_sound)
        return;
    region->begin = (guint64)spec->begin;
    region->end = (guint64)spec->end;
    region->size = region->end > region->begin ? region->end - region->begin : 0;
    guint64 least = cvd_round_up(least_size(check, i, &why), check->spec->granule);
    if (region->size == 0)
        cvd_layout_report_region(check, i, "region_end_offset",
                                 "%jd is not above region_begin_offset %jd; the least is %ju",
                                 spec->end, spec->begin, region->begin + least);
    else if (region->size < least)
        cvd_layout_report_region(
            check, i, "region_end_offset",
            "%jd leaves %ju bytes, which are too few: %s; the least end is %ju", spec->end,
            region->size, why, region->begin + least);
    else
        region->extent_is_sound = TRUE;
}

static void check_extents(CvdLayoutCheck *check)
{
    for (guint i = 0; i < check->n_regions; i++)
        switch (check->checked[i].form) {
        case CVD_FORM_SIZE:
            check_size(check, i);
            break;
        case CVD_FORM_OFFSETS:
            check_offsets(check, i);
            break;
        case CVD_FORM_UNKNOWN:
            break;
        }
}

CvdRegionForm cvd_layout_check_regions(CvdLayoutCheck *check)
{
    for (guint i = 0; i < check->n_regions; i++) {
        const char *name = cvd_layout_check_region(check, i)->name;
        if (name != NULL && !g_hash_table_contains(check->first_by_name, name))
            g_hash_table_insert(check->first_by_name, (gpointer)name, GUINT_TO_POINTER(i));
    }
    for (guint i = 0; i < check->n_regions; i++) {
        check_name(check, i);
        check_versions(check, i);
        check_tables(check, i);
        check_managed_by(check, i);
    }

    CvdRegionForm form = check_forms(check);
    check_extents(check);
    return form;
}

static struct vsoc_signal_table_layout table_descriptor(const CvdSignalTable *table)
{
    return (struct vsoc_signal_table_layout){
        .num_nodes_lg2 = GUINT32_TO_LE(table->num_nodes_lg2),
        .futex_uaddr_table_offset = GUINT32_TO_LE(table->table_offset),
        .interrupt_signalled_offset = GUINT32_TO_LE(table->interrupt_signalled_offset),
    };
}

static struct vsoc_device_region region_descriptor(const CvdLayoutRegion *region)
{
    struct vsoc_device_region descriptor = {
        .current_version = GUINT16_TO_LE(region->current_version),
        .min_compatible_version = GUINT16_TO_LE(region->min_compatible_version),
        .region_begin_offset = GUINT32_TO_LE(region->begin),
        .region_end_offset = GUINT32_TO_LE(region->end),
        .offset_of_region_data = GUINT32_TO_LE(region->data_offset),
        .guest_to_host_signal_table = table_descriptor(&region->guest_to_host),
        .host_to_guest_signal_table = table_descriptor(&region->host_to_guest),
        .managed_by = GUINT32_TO_LE(region->managed_by),
    };
    G_STATIC_ASSERT(sizeof descriptor.device_name == CVD_MAX_REGION_NAME + 1);
    g_strlcpy(descriptor.device_name, region->name, sizeof descriptor.device_name);
    return descriptor;
}

GBytes *cvd_layout_get_descriptors(const CvdLayout *layout)
{
    gsize size =
        layout->region_desc_offset + (gsize)layout->n_regions * sizeof(struct vsoc_device_region);
    guchar *bytes = g_malloc0(size);
    struct vsoc_shm_layout_descriptor header = {
        .major_version = GUINT16_TO_LE(VSOC_LAYOUT_MAJOR_VERSION),
        .minor_version = GUINT16_TO_LE(VSOC_LAYOUT_MINOR_VERSION),
        .size = GUINT32_TO_LE(layout->window_size),
        .region_count = GUINT32_TO_LE(layout->n_regions),
        .vsoc_region_desc_offset = GUINT32_TO_LE(layout->region_desc_offset),
    };

    memcpy(bytes, &header, sizeof header);
    for (guint i = 0; i < layout->n_regions; i++) {
        struct vsoc_device_region descriptor = region_descriptor(&layout->regions[i]);
        memcpy(bytes + layout->region_desc_offset + i * sizeof descriptor, &descriptor,
               sizeof descriptor);
    }
    return g_bytes_new_take(bytes, size);
}
