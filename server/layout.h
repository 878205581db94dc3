/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

/**
 * CVD_MAX_REGIONS:
 *
 * One MSI-X vector each; the device has no more.
 */
#define CVD_MAX_REGIONS 2048
/**
 * CVD_MAX_WINDOW_SIZE:
 *
 * In bytes: the largest power of two that the format's u32 fields hold.
 */
#define CVD_MAX_WINDOW_SIZE (G_GUINT64_CONSTANT(1) << 31)
/**
 * CVD_PAGE_SIZE:
 *
 * Regions start on a multiple of this, in bytes, or of the window's huge pages.
 */
#define CVD_PAGE_SIZE 4096
/**
 * CVD_MAX_REGION_NAME:
 *
 * In bytes, without the terminating NUL.
 */
#define CVD_MAX_REGION_NAME 15
/**
 * CVD_UNSET:
 *
 * Marks a number of a specification that was not given.
 */
#define CVD_UNSET G_MININT64

/**
 * CvdRegionSpec:
 * @name: (nullable): what was given as the name, whatever it is
 * @current_version: the region's version; 0 when %CVD_UNSET
 * @min_compatible_version: the oldest version that its users may expect; 0 when %CVD_UNSET
 * @size: in bytes; or @begin and @end, never both
 * @begin: offset in the window, in bytes
 * @end: offset in the window, exclusive
 * @guest_to_host_nodes_lg2: log2 of the number of slots in that signal table; 0 when %CVD_UNSET
 * @host_to_guest_nodes_lg2: the same for the other direction
 * @managed_by: (nullable): the name of the managing region
 * @is_exclusive: whether one process at a time may have the region, apart from those that only look
 *
 * One region as its author wrote it, unchecked. A number that was not given is %CVD_UNSET.
 */
typedef struct {
    char *name;
    gint64 current_version;
    gint64 min_compatible_version;
    gint64 size;
    gint64 begin;
    gint64 end;
    gint64 guest_to_host_nodes_lg2;
    gint64 host_to_guest_nodes_lg2;
    char *managed_by;
    gboolean is_exclusive;
} CvdRegionSpec;

/**
 * CvdLayoutSpec:
 * @regions: (element-type CvdRegionSpec): in the order in which they get their indices
 * @region_desc_offset: where the descriptor array is wanted; right after the header when %CVD_UNSET
 * @region_count: how many regions there are said to be
 * @declared_size: how large the file says the window is, in bytes; the window is at least that
 *   large, and explicit offsets that leave it are an error
 * @min_window_size: the window is at least this large, in bytes; both are rounded up to a power of
 *   two
 * @granule: regions start and end on a multiple of this: %CVD_PAGE_SIZE or the huge pages' size. A
 *   region's @size is rounded up to it; explicit offsets must be multiples.
 *
 * A layout as its author wrote it, unchecked.
 */
typedef struct {
    GArray *regions;
    gint64 region_desc_offset;
    gint64 region_count;
    gint64 declared_size;
    gint64 min_window_size;
    guint64 granule;
} CvdLayoutSpec;

/**
 * cvd_layout_spec_new:
 *
 * Returns: (transfer full): a specification without regions, all numbers %CVD_UNSET, @granule
 *   %CVD_PAGE_SIZE
 */
CvdLayoutSpec *cvd_layout_spec_new(void);
/**
 * cvd_layout_spec_copy:
 * @spec: a specification
 *
 * Returns: (transfer full): another like it
 */
CvdLayoutSpec *cvd_layout_spec_copy(const CvdLayoutSpec *spec);
/**
 * cvd_layout_spec_free:
 * @spec: a specification
 *
 * Frees a specification.
 */
void cvd_layout_spec_free(CvdLayoutSpec *spec);
#define CVD_TYPE_LAYOUT_SPEC (cvd_layout_spec_get_type())
GType cvd_layout_spec_get_type(void);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdLayoutSpec, cvd_layout_spec_free)

/**
 * cvd_layout_spec_add:
 * @spec: a specification
 * @name: the name of a new last region
 * @size: its size, in bytes
 * @guest_to_host_nodes_lg2: log2 of the number of slots in that signal table
 * @host_to_guest_nodes_lg2: the same for the other direction
 *
 * Adds a region of that size; cvd_layout_spec_add_region() can say more of it.
 */
void cvd_layout_spec_add(CvdLayoutSpec *spec, const char *name, guint size,
                         guint guest_to_host_nodes_lg2, guint host_to_guest_nodes_lg2);

/**
 * cvd_layout_spec_add_region: (skip)
 * @spec: a specification
 *
 * Returns: (transfer none): a new last region, everything in it unset; valid until the next is
 *   added. Its strings are freed with @spec.
 */
CvdRegionSpec *cvd_layout_spec_add_region(CvdLayoutSpec *spec);

/**
 * CvdSignalTable:
 * @num_nodes_lg2: the table has `1 << num_nodes_lg2` u32 slots
 * @table_offset: where it starts in the region, in bytes
 * @interrupt_signalled_offset: where its interrupt-signalled word is in the region, in bytes
 *
 * Where the signals of one direction wait.
 */
typedef struct {
    guint32 num_nodes_lg2;
    guint32 table_offset;
    guint32 interrupt_signalled_offset;
} CvdSignalTable;

/**
 * CvdLayoutRegion:
 * @begin: offset in the window, in bytes
 * @end: exclusive
 * @data_offset: where the region's data starts, in the region
 * @managed_by: index of the managing region; 0 = none
 * @is_exclusive: as #CvdRegionSpec; the window does not say so
 *
 * A region of a layout.
 */
typedef struct {
    char name[CVD_MAX_REGION_NAME + 1];
    guint16 current_version;
    guint16 min_compatible_version;
    guint32 begin;
    guint32 end;
    guint32 data_offset;
    CvdSignalTable guest_to_host;
    CvdSignalTable host_to_guest;
    guint32 managed_by;
    gboolean is_exclusive;
} CvdLayoutRegion;

/**
 * CvdLayout:
 * @window_size: in bytes, a power of two
 * @region_desc_offset: where the descriptor array starts
 * @granule: what regions are aligned to, in bytes
 * @n_regions: at least 1
 * @regions: (array length=n_regions): in the order of their indices
 *
 * A layout that keeps every rule. Immutable and reference-counted.
 */
typedef struct {
    guint32 window_size;
    guint32 region_desc_offset;
    guint64 granule;
    guint n_regions;
    const CvdLayoutRegion *regions;
} CvdLayout;

/**
 * CvdLayoutProblem:
 * @region: the region's index, or −1 for the layout as a whole
 * @field: (nullable): the specification's JSON key that is wrong (`region_size`,
 *   `guest_to_host_signal_table.num_nodes_lg2`, …); %NULL for the region or the layout as a whole
 * @message: what was found, which region by name, and what would be right
 *
 * A rule that a specification breaks.
 */
typedef struct {
    int region;
    const char *field;
    char *message;
} CvdLayoutProblem;

/**
 * cvd_layout_problem_free:
 * @problem: a problem
 *
 * Frees a problem.
 */
void cvd_layout_problem_free(CvdLayoutProblem *problem);

/**
 * cvd_layout_new: (skip)
 * @spec: what is wanted
 * @problems: (element-type CvdLayoutProblem): every broken rule is appended; the array must free
 *   its elements with cvd_layout_problem_free()
 *
 * Computes the layout, by docs/window.md, Rules. Pure.
 *
 * Returns: (transfer full) (nullable): the layout, or %NULL after at least one problem
 */
CvdLayout *cvd_layout_new(const CvdLayoutSpec *spec, GPtrArray *problems);

/**
 * cvd_layout_new_from_spec: (constructor)
 * @spec: what is wanted
 * @error: %CVD_ERROR_INVALID: every broken rule, one a line
 *
 * cvd_layout_new() for those who only show what is wrong.
 *
 * Returns: (transfer full): the layout
 */
CvdLayout *cvd_layout_new_from_spec(const CvdLayoutSpec *spec, GError **error);
#define CVD_TYPE_LAYOUT (cvd_layout_get_type())
GType cvd_layout_get_type(void);
/**
 * cvd_layout_ref:
 * @layout: a layout
 *
 * Takes a reference.
 *
 * Returns: (transfer full): @layout
 */
CvdLayout *cvd_layout_ref(CvdLayout *layout);
/**
 * cvd_layout_unref:
 * @layout: a layout
 *
 * Gives a reference back.
 */
void cvd_layout_unref(CvdLayout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdLayout, cvd_layout_unref)

/**
 * cvd_layout_find:
 * @layout: a layout
 * @name: (array length=length): a region's name, not terminated
 * @length: in bytes
 *
 * The cost does not depend on the number of regions.
 *
 * Returns: the region's index, or −1
 */
int cvd_layout_find(const CvdLayout *layout, const char *name, gsize length);

G_END_DECLS
