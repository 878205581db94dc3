/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The containers: what an author wrote (CvdLayoutSpec), what came of it (CvdLayout), and the way
 * from a name to an index. The rules are in layout-rules.c.
 *
 * A layout is one block of memory: the public part, the regions, and an open-addressed hash table
 * of 16-bit indices that is at most half full, so that a look-up costs a probe or two however many
 * regions there are, and 2048 regions cost 8 KiB.
 */
#include "server/layout.h"

#include "base/error.h"
#include "server/boxed.h"
#include "server/layout-private.h"

#include <string.h>

CVD_DEFINE_BOXED_TYPE(CvdLayout, cvd_layout, cvd_layout_ref, cvd_layout_unref)
CVD_DEFINE_BOXED_TYPE(CvdLayoutSpec, cvd_layout_spec, cvd_layout_spec_copy, cvd_layout_spec_free)

#define FREE_SLOT G_MAXUINT16

typedef struct {
    CvdLayout public;
    gatomicrefcount n_refs;
    guint slot_mask;
    guint16 *slots;
    CvdLayoutRegion regions[];
} Layout;

static void region_spec_clear(gpointer data)
{
    CvdRegionSpec *region = data;

    g_free(region->name);
    g_free(region->managed_by);
}

CvdLayoutSpec *cvd_layout_spec_new(void)
{
    CvdLayoutSpec *spec = g_new(CvdLayoutSpec, 1);

    *spec = (CvdLayoutSpec){
        .regions = g_array_new(FALSE, TRUE, sizeof(CvdRegionSpec)),
        .region_desc_offset = CVD_UNSET,
        .region_count = CVD_UNSET,
        .declared_size = CVD_UNSET,
        .min_window_size = CVD_UNSET,
        .granule = CVD_PAGE_SIZE,
    };
    g_array_set_clear_func(spec->regions, region_spec_clear);
    return spec;
}

CvdLayoutSpec *cvd_layout_spec_copy(const CvdLayoutSpec *spec)
{
    CvdLayoutSpec *copy = g_memdup2(spec, sizeof *spec);

    copy->regions = g_array_copy(spec->regions);
    for (guint i = 0; i < copy->regions->len; i++) {
        CvdRegionSpec *region = &g_array_index(copy->regions, CvdRegionSpec, i);
        region->name = g_strdup(region->name);
        region->managed_by = g_strdup(region->managed_by);
    }
    g_array_set_clear_func(copy->regions, region_spec_clear);
    return copy;
}

void cvd_layout_spec_free(CvdLayoutSpec *spec)
{
    if (spec == NULL)
        return;
    g_array_unref(spec->regions);
    g_free(spec);
}

CvdRegionSpec *cvd_layout_spec_add_region(CvdLayoutSpec *spec)
{
    CvdRegionSpec region = {
        .current_version = CVD_UNSET,
        .min_compatible_version = CVD_UNSET,
        .size = CVD_UNSET,
        .begin = CVD_UNSET,
        .end = CVD_UNSET,
        .guest_to_host_nodes_lg2 = CVD_UNSET,
        .host_to_guest_nodes_lg2 = CVD_UNSET,
    };

    g_array_append_val(spec->regions, region);
    return &g_array_index(spec->regions, CvdRegionSpec, spec->regions->len - 1);
}

void cvd_layout_spec_add(CvdLayoutSpec *spec, const char *name, guint size,
                         guint guest_to_host_nodes_lg2, guint host_to_guest_nodes_lg2)
{
    CvdRegionSpec *region = cvd_layout_spec_add_region(spec);

    region->name = g_strdup(name);
    region->size = size;
    region->guest_to_host_nodes_lg2 = guest_to_host_nodes_lg2;
    region->host_to_guest_nodes_lg2 = host_to_guest_nodes_lg2;
}

void cvd_layout_problem_free(CvdLayoutProblem *problem)
{
    if (problem == NULL)
        return;
    g_free(problem->message);
    g_free(problem);
}

/* FNV-1a: short names, spread well enough, and no state. */
static guint32 hash_name(const char *name, gsize length)
{
    guint32 hash = 2166136261u;

    for (gsize i = 0; i < length; i++)
        hash = (hash ^ (guchar)name[i]) * 16777619u;
    return hash ^ (hash >> 15);
}

static guint slot_mask_for(guint n_regions)
{
    guint n_slots = 2;

    while (n_slots < 2 * n_regions)
        n_slots *= 2;
    return n_slots - 1;
}

static void index_names(Layout *layout)
{
    for (guint slot = 0; slot <= layout->slot_mask; slot++)
        layout->slots[slot] = FREE_SLOT;
    for (guint i = 0; i < layout->public.n_regions; i++) {
        const char *name = layout->regions[i].name;
        guint slot = hash_name(name, strlen(name)) & layout->slot_mask;
        while (layout->slots[slot] != FREE_SLOT)
            slot = (slot + 1) & layout->slot_mask;
        layout->slots[slot] = (guint16)i;
    }
}

CvdLayout *cvd_layout_assemble(const CvdLayout *header, const CvdLayoutRegion *regions)
{
    G_STATIC_ASSERT(CVD_MAX_REGIONS < FREE_SLOT);
    g_assert(header->n_regions >= 1 && header->n_regions <= CVD_MAX_REGIONS);

    guint slot_mask = slot_mask_for(header->n_regions);
    gsize regions_size = header->n_regions * sizeof(CvdLayoutRegion);
    Layout *layout = g_malloc(sizeof(Layout) + regions_size + (slot_mask + 1) * sizeof(guint16));

    layout->public = *header;
    layout->public.regions = layout->regions;
    g_atomic_ref_count_init(&layout->n_refs);
    layout->slot_mask = slot_mask;
    layout->slots = (guint16 *)(layout->regions + header->n_regions);
    memcpy(layout->regions, regions, regions_size);
    index_names(layout);
    return &layout->public;
}

CvdLayout *cvd_layout_new_from_spec(const CvdLayoutSpec *spec, GError **error)
{
    g_autoptr(GPtrArray) problems =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_layout_problem_free);
    CvdLayout *layout = cvd_layout_new(spec, problems);

    if (layout != NULL)
        return layout;
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < problems->len; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? "\n" : "",
                               ((const CvdLayoutProblem *)problems->pdata[i])->message);
    g_set_error_literal(error, CVD_ERROR, CVD_ERROR_INVALID, text->str);
    return NULL;
}

CvdLayout *cvd_layout_ref(CvdLayout *layout)
{
    g_atomic_ref_count_inc(&((Layout *)layout)->n_refs);
    return layout;
}

void cvd_layout_unref(CvdLayout *layout)
{
    if (layout != NULL && g_atomic_ref_count_dec(&((Layout *)layout)->n_refs))
        g_free(layout);
}

int cvd_layout_find(const CvdLayout *layout, const char *name, gsize length)
{
    const Layout *self = (const Layout *)layout;

    if (length == 0 || length > CVD_MAX_REGION_NAME)
        return -1;
    guint slot = hash_name(name, length) & self->slot_mask;
    for (; self->slots[slot] != FREE_SLOT; slot = (slot + 1) & self->slot_mask) {
        const char *known = self->regions[self->slots[slot]].name;
        /* A name with a NUL inside must not match the part before it. */
        if (memcmp(known, name, length) == 0 && known[length] == '\0' &&
            memchr(name, '\0', length) == NULL)
            return self->slots[slot];
    }
    return -1;
}
