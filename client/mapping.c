/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region's descriptor is found by the offset that the server gave: in layouts made from sizes
 * the descriptors are in that order, so halving finds it in a few reads, however many regions there
 * are; layouts with explicit offsets may need a look at all of them. Nothing read on the way is
 * believed: what counts is the one copy that cvd_mapping_check() has passed.
 */
#include "client/mapping.h"

#include "client/region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_SIZE   4096U
#define MAX_REGIONS 2048U
#define AT_ONCE     64U /* descriptors a read, when all are looked at */

typedef struct vsoc_device_region Descriptor;

static gboolean bad(GError **error, const char *name, const char *what)
{
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_BAD_DESCRIPTOR,
                "region '%s': its descriptor in the window is wrong: %s; the guest may have "
                "overwritten it, restart the VM",
                name, what);
    return FALSE;
}

/* Whether @length bytes from @offset on are in the region. */
static gboolean is_inside(guint64 size, guint64 offset, guint64 length)
{
    return offset <= size && length <= size - offset;
}

static const char *find_table_problem(const struct vsoc_signal_table_layout *table, guint64 size)
{
    if (table->num_nodes_lg2 > CVD_MAX_NODES_LG2)
        return "a signal table of more than 65536 slots";
    if (table->futex_uaddr_table_offset % 4 != 0 || table->interrupt_signalled_offset % 4 != 0)
        return "a signal table that is not aligned to 4 bytes";
    if (!is_inside(size, table->futex_uaddr_table_offset, (guint64)4 << table->num_nodes_lg2) ||
        !is_inside(size, table->interrupt_signalled_offset, 4))
        return "a signal table outside the region";
    return NULL;
}

static CvdSignalTableView view_of(const struct vsoc_signal_table_layout *table)
{
    return (CvdSignalTableView){
        .lg2 = table->num_nodes_lg2,
        .table_offset = table->futex_uaddr_table_offset,
        .word_offset = table->interrupt_signalled_offset,
    };
}

gboolean cvd_mapping_check(CvdMapping *mapping, const struct vsoc_device_region *descriptor,
                           const char *name, guint32 begin, guint32 end, GError **error)
{
    guint32 size = end - begin;
    const char *problem;

    if (descriptor->region_begin_offset != begin || descriptor->region_end_offset != end)
        return bad(error, name, "other offsets than the server's");
    if (strncmp(descriptor->device_name, name, sizeof descriptor->device_name) != 0)
        return bad(error, name, "another name");
    if (descriptor->offset_of_region_data > size || descriptor->offset_of_region_data % 4 != 0)
        return bad(error, name, "its data starts outside the region");
    problem = find_table_problem(&descriptor->guest_to_host_signal_table, size);
    if (problem == NULL)
        problem = find_table_problem(&descriptor->host_to_guest_signal_table, size);
    if (problem != NULL)
        return bad(error, name, problem);

    *mapping = (CvdMapping){
        .size = size,
        .begin = begin,
        .data_offset = descriptor->offset_of_region_data,
        .current_version = descriptor->current_version,
        .min_compatible_version = descriptor->min_compatible_version,
        .in = view_of(&descriptor->guest_to_host_signal_table),
        .out = view_of(&descriptor->host_to_guest_signal_table),
    };
    return TRUE;
}

static gboolean read_at(int window, void *out, gsize size, guint64 offset, const char *name,
                        GError **error)
{
    gssize n;

    do
        n = pread(window, out, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    if (n == (gssize)size)
        return TRUE;
    if (n >= 0)
        return bad(error, name, "the array of descriptors ends outside the window");
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_FAILED,
                "region '%s': cannot read the window: %s", name, g_strerror(errno));
    return FALSE;
}

static guint64 place_of(const struct vsoc_shm_layout_descriptor *header, guint index)
{
    return header->vsoc_region_desc_offset + (guint64)index * sizeof(Descriptor);
}

/* Returns: FALSE with an error; @found tells whether @out is the one */
static gboolean find_by_halves(int window, const struct vsoc_shm_layout_descriptor *header,
                               const char *name, guint32 begin, Descriptor *out, gboolean *found,
                               GError **error)
{
    guint low = 0;
    guint high = header->region_count;

    *found = FALSE;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (!read_at(window, out, sizeof *out, place_of(header, middle), name, error))
            return FALSE;
        if (out->region_begin_offset == begin) {
            *found = TRUE;
            return TRUE;
        }
        if (out->region_begin_offset < begin)
            low = middle + 1;
        else
            high = middle;
    }
    return TRUE;
}

static gboolean find_among_all(int window, const struct vsoc_shm_layout_descriptor *header,
                               const char *name, guint32 begin, Descriptor *out, GError **error)
{
    Descriptor some[AT_ONCE];

    for (guint i = 0; i < header->region_count; i += AT_ONCE) {
        guint n = MIN(AT_ONCE, header->region_count - i);
        if (!read_at(window, some, n * sizeof *some, place_of(header, i), name, error))
            return FALSE;
        for (guint k = 0; k < n; k++) {
            if (some[k].region_begin_offset == begin) {
                *out = some[k];
                return TRUE;
            }
        }
    }
    return bad(error, name, "there is none");
}

static gboolean read_descriptor(int window, const char *name, guint32 begin, Descriptor *out,
                                GError **error)
{
    struct vsoc_shm_layout_descriptor header;
    gboolean found;

    if (!read_at(window, &header, sizeof header, 0, name, error))
        return FALSE;
    if (header.major_version != VSOC_LAYOUT_MAJOR_VERSION) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_VERSION,
                    "the window has layout version %u, this program knows version %d",
                    header.major_version, VSOC_LAYOUT_MAJOR_VERSION);
        return FALSE;
    }
    if (header.region_count > MAX_REGIONS)
        return bad(error, name, "there are said to be more than 2048 regions");
    if (header.vsoc_region_desc_offset < sizeof header)
        return bad(error, name, "the array of descriptors starts in the header");
    if (!find_by_halves(window, &header, name, begin, out, &found, error))
        return FALSE;
    return found || find_among_all(window, &header, name, begin, out, error);
}

static gboolean check_version(const CvdMapping *mapping, const char *name, guint version,
                              GError **error)
{
    if (version == 0 ||
        (version <= mapping->current_version && version >= mapping->min_compatible_version))
        return TRUE;
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_VERSION,
                "region '%s' has version %u, compatible with %u and later; this program is "
                "written for version %u",
                name, mapping->current_version, mapping->min_compatible_version, version);
    return FALSE;
}

/* A mapping beyond the end of the object would be a SIGBUS later. */
static gboolean check_place(int window, const char *name, guint32 begin, guint32 end,
                            GError **error)
{
    struct stat info;

    if (fstat(window, &info) < 0) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_FAILED,
                    "region '%s': cannot look at the window: %s", name, g_strerror(errno));
        return FALSE;
    }
    if (begin >= end || begin % PAGE_SIZE != 0 || end % PAGE_SIZE != 0 || !S_ISREG(info.st_mode) ||
        info.st_size < (off_t)end) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_PROTOCOL,
                    "region '%s': the server says it is from 0x%x to 0x%x, which is no part of the "
                    "window",
                    name, begin, end);
        return FALSE;
    }
    return TRUE;
}

CvdMapping *cvd_mapping_new(int window, const char *name, guint32 begin, guint32 end, guint version,
                            GError **error)
{
    Descriptor descriptor;
    CvdMapping checked;

    if (!check_place(window, name, begin, end, error) ||
        !read_descriptor(window, name, begin, &descriptor, error) ||
        !cvd_mapping_check(&checked, &descriptor, name, begin, end, error) ||
        !check_version(&checked, name, version, error))
        return NULL;

    checked.is_read_only = (fcntl(window, F_GETFL) & O_ACCMODE) == O_RDONLY;
    int protection = checked.is_read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    void *base = mmap(NULL, checked.size, protection, MAP_SHARED, window, (off_t)begin);
    if (base == MAP_FAILED) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_FAILED,
                    "region '%s': cannot map its %" G_GSIZE_FORMAT " bytes: %s", name, checked.size,
                    g_strerror(errno));
        return NULL;
    }
    checked.base = base;
    CvdMapping *mapping = g_new(CvdMapping, 1);
    *mapping = checked;
    return mapping;
}

void cvd_mapping_free(CvdMapping *mapping)
{
    if (mapping->base != NULL)
        munmap(mapping->base, mapping->size);
    g_free(mapping);
}
