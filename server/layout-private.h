/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What layout.c (the containers), layout-rules.c (each region by itself) and layout-place.c (the
 * regions in the window) share.
 */
#include "server/layout.h"

G_BEGIN_DECLS

/* How a region says where it is. */
typedef enum {
    CVD_FORM_UNKNOWN, /* it does not, or contradicts itself */
    CVD_FORM_SIZE,
    CVD_FORM_OFFSETS,
} CvdRegionForm;

/* What is known of a region while the rules are checked. */
typedef struct {
    gboolean tables_are_sound;
    gboolean extent_is_sound;
    gboolean is_managed;
    CvdRegionForm form;
    guint64 size;  /* as written, when the extent is sound; so are these: */
    guint64 begin; /* CVD_FORM_OFFSETS only, until placed */
    guint64 end;
} CvdCheckedRegion;

typedef struct {
    const CvdLayoutSpec *spec;
    GPtrArray *problems;
    guint n_regions;
    CvdCheckedRegion *checked;
    CvdLayoutRegion *regions;
    GHashTable *first_by_name; /* name -> index of the first region that has it */
} CvdLayoutCheck;

static inline const CvdRegionSpec *cvd_layout_check_region(const CvdLayoutCheck *check, guint i)
{
    return &g_array_index(check->spec->regions, CvdRegionSpec, i);
}

static inline guint64 cvd_round_up(guint64 value, guint64 granule)
{
    return (value + granule - 1) & ~(granule - 1);
}

/* Returns: (transfer full): the name in quotes, fit for a message */
char *cvd_layout_quote_name(const char *name);
/* A problem of the layout as a whole. */
void cvd_layout_report(CvdLayoutCheck *check, const char *field, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* A problem of region @i; the message ends in its name. */
void cvd_layout_report_region(CvdLayoutCheck *check, guint i, const char *field, const char *format,
                              ...) G_GNUC_PRINTF(4, 5);

/*
 * cvd_layout_check_regions:
 *
 * Checks what a region can be asked without knowing where the others are, and lays out its inside.
 *
 * Returns: the form that all regions use; %CVD_FORM_UNKNOWN after a problem with it
 */
CvdRegionForm cvd_layout_check_regions(CvdLayoutCheck *check);

/*
 * cvd_layout_assemble:
 * @header: everything but the regions; n_regions at least 1
 * @regions: (array length=header->n_regions): copied; they keep every rule
 *
 * Returns: (transfer full): the immutable layout, with its index of names
 */
CvdLayout *cvd_layout_assemble(const CvdLayout *header, const CvdLayoutRegion *regions);

/*
 * cvd_layout_get_descriptors:
 * @layout: a layout
 *
 * The bytes that the window starts with: the layout descriptor and the region descriptors, as
 * docs/window.md has them under Binary format. Pure.
 *
 * Returns: (transfer full): the bytes from offset 0 to the end of the descriptor array
 */
GBytes *cvd_layout_get_descriptors(const CvdLayout *layout);

G_END_DECLS
