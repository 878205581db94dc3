/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The containers: what an author wrote (CvdLayoutSpec), what came of it (CvdLayout), and the way
 * from a name to an index. The rules are in layout-rules.c.
 *
 * A layout is one block of memory, apart from its index: the public part and the regions.
 */
#include "server/layout.h"

#include "base/error.h"
#include "server/boxed.h"
#include "server/layout-private.h"
#include "vsoc/abi.h"

#include <string.h>

CVD_DEFINE_BOXED_TYPE(CvdLayout, cvd_layout, cvd_layout_ref, cvd_layout_unref)
CVD_DEFINE_BOXED_TYPE(CvdLayoutSpec, cvd_layout_spec, cvd_layout_spec_copy, cvd_layout_spec_free)

typedef struct {
    CvdLayout public;
    gatomicrefcount n_refs;
    GHashTable *by_name; /* name -> index */
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

CvdLayout *cvd_layout_assemble(const CvdLayout *header, const CvdLayoutRegion *regions)
{
    g_assert(header->n_regions >= 1 && header->n_regions <= CVD_MAX_REGIONS);

    gsize regions_size = header->n_regions * sizeof(CvdLayoutRegion);
    Layout *layout = g_malloc(sizeof(Layout) + regions_size);

    layout->public = *header;
    layout->public.regions = layout->regions;
    g_atomic_ref_count_init(&layout->n_refs);
    layout->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    memcpy(layout->regions, regions, regions_size);
    for (guint i = 0; i < header->n_regions; i++)
        g_hash_table_insert(layout->by_name, layout->regions[i].name, GUINT_TO_POINTER(i));
    return &layout->public;
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
    Layout *self = (Layout *)layout;

    if (self == NULL || !g_atomic_ref_count_dec(&self->n_refs))
        return;
    g_hash_table_unref(self->by_name);
    g_free(self);
}

int cvd_layout_find(const CvdLayout *layout, const char *name, gsize length)
{
    char key[CVD_MAX_REGION_NAME + 1] = {0};
    gpointer index;

    /* A name with a NUL inside must not match the part before it. */
    if (length > CVD_MAX_REGION_NAME || memchr(name, '\0', length) != NULL)
        return -1;
    memcpy(key, name, length);
    return g_hash_table_lookup_extended(((const Layout *)layout)->by_name, key, NULL, &index)
               ? GPOINTER_TO_INT(index)
               : -1;
}
