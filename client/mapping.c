/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region's descriptor is found by the offset that the server gave or, of an inherited region,
 * by its name. Nothing read on the way is
 * believed: what counts is the one copy that cvd_mapping_check() has passed.
 */
#include "client/mapping.h"

#include "client/types.h"
#include "vsoc/window.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT_ONCE 64U /* descriptors a read */

typedef struct vsoc_device_region Descriptor;

static gboolean bad(GError **error, const char *name, const char *what)
{
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_BAD_DESCRIPTOR,
                "region '%s': its descriptor in the window is wrong: %s; the guest may have "
                "overwritten it, restart the VM",
                name, what);
    return FALSE;
}

gboolean cvd_mapping_check(const struct vsoc_shm_layout_descriptor *layout,
                           const struct vsoc_device_region *descriptor, const char *name,
                           guint32 begin, guint32 end, GError **error)
{
    struct vsoc_fault fault;

    if (descriptor->region_begin_offset != begin || descriptor->region_end_offset != end)
        return bad(error, name, "other offsets than the server's");
    if (strncmp(descriptor->device_name, name, sizeof descriptor->device_name) != 0)
        return bad(error, name, "another name");
    return vsoc_region_check(layout, descriptor, 0, &fault) == 0 || bad(error, name, fault.rule);
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

/* @size: (out): 0: it is no memory */
static gboolean get_size(int window, const char *name, guint64 *size, GError **error)
{
    struct stat info;

    if (fstat(window, &info) < 0) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_FAILED,
                    "region '%s': cannot look at the window: %s", name, g_strerror(errno));
        return FALSE;
    }
    *size = S_ISREG(info.st_mode) ? (guint64)info.st_size : 0;
    return TRUE;
}

/* A mapping beyond the end of the object would be a SIGBUS later. */
static gboolean check_place(int window, const char *name, guint32 begin, guint32 end,
                            guint64 *window_size, GError **error)
{
    if (!get_size(window, name, window_size, error))
        return FALSE;
    if (begin >= end || begin % VSOC_PAGE_SIZE != 0 || end % VSOC_PAGE_SIZE != 0 ||
        *window_size < end) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_PROTOCOL,
                    "region '%s': the server says it is from 0x%x to 0x%x, which is no part of the "
                    "window",
                    name, begin, end);
        return FALSE;
    }
    return TRUE;
}

/* Which descriptor is looked for: that of a place or, if the name is all that is known, of that. */
typedef struct {
    const char *name;
    guint32 begin; /* 0: any, as the window's header is there */
} Wanted;

static gboolean is_wanted(const Descriptor *descriptor, const Wanted *wanted)
{
    if (wanted->begin != 0)
        return descriptor->region_begin_offset == wanted->begin;
    return strncmp(descriptor->device_name, wanted->name, sizeof descriptor->device_name) == 0;
}

static gboolean find_descriptor(int window, const struct vsoc_shm_layout_descriptor *header,
                                const Wanted *wanted, guint index, Descriptor *out, GError **error)
{
    Descriptor some[AT_ONCE];
    const char *name = wanted->name;
    guint64 array = header->vsoc_region_desc_offset;

    if (index < header->region_count &&
        !read_at(window, out, sizeof *out, array + (guint64)index * sizeof *out, name, error))
        return FALSE;
    if (index < header->region_count && is_wanted(out, wanted))
        return TRUE;
    for (guint i = 0; i < header->region_count; i += AT_ONCE) {
        guint n = MIN(AT_ONCE, header->region_count - i);
        if (!read_at(window, some, n * sizeof *some, array + (guint64)i * sizeof *some, name,
                     error))
            return FALSE;
        for (guint k = 0; k < n; k++) {
            if (is_wanted(&some[k], wanted)) {
                *out = some[k];
                return TRUE;
            }
        }
    }
    return bad(error, name, "there is none");
}

static gboolean read_header(int window, const char *name, guint64 window_size,
                            struct vsoc_shm_layout_descriptor *header, GError **error)
{
    struct vsoc_fault fault;

    if (!read_at(window, header, sizeof *header, 0, name, error))
        return FALSE;
    if (header->major_version != VSOC_LAYOUT_MAJOR_VERSION) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_VERSION,
                    "the window has layout version %u, this program knows version %d",
                    header->major_version, VSOC_LAYOUT_MAJOR_VERSION);
        return FALSE;
    }
    return vsoc_layout_check(header, window_size, VSOC_MAX_REGIONS, &fault) == 0 ||
           bad(error, name, fault.rule);
}

gboolean cvd_mapping_read_descriptor(int window, const char *name, guint32 begin, guint32 end,
                                     guint index, Descriptor *out, GError **error)
{
    struct vsoc_shm_layout_descriptor header;
    const Wanted wanted = {.name = name, .begin = begin};
    guint64 window_size;

    return check_place(window, name, begin, end, &window_size, error) &&
           read_header(window, name, window_size, &header, error) &&
           find_descriptor(window, &header, &wanted, index, out, error) &&
           cvd_mapping_check(&header, out, name, begin, end, error);
}

static gboolean check_version(const Descriptor *descriptor, const char *name, guint version,
                              GError **error)
{
    if (version == 0 ||
        (version <= descriptor->current_version && version >= descriptor->min_compatible_version))
        return TRUE;
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_VERSION,
                "region '%s' has version %u, compatible with %u and later; this program is "
                "written for version %u",
                name, descriptor->current_version, descriptor->min_compatible_version, version);
    return FALSE;
}

static CvdMapping *map(int window, const char *name, const Descriptor *descriptor, guint version,
                       GError **error)
{
    if (!check_version(descriptor, name, version, error))
        return NULL;
    gsize size = descriptor->region_end_offset - descriptor->region_begin_offset;
    gboolean is_read_only = (fcntl(window, F_GETFL) & O_ACCMODE) == O_RDONLY;
    int protection = is_read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    void *base =
        mmap(NULL, size, protection, MAP_SHARED, window, (off_t)descriptor->region_begin_offset);
    if (base == MAP_FAILED) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_FAILED,
                    "region '%s': cannot map its %" G_GSIZE_FORMAT " bytes: %s", name, size,
                    g_strerror(errno));
        return NULL;
    }
    CvdMapping *mapping = g_new(CvdMapping, 1);
    *mapping = (CvdMapping){
        .base = base, .size = size, .descriptor = *descriptor, .is_read_only = is_read_only};
    return mapping;
}

CvdMapping *cvd_mapping_new(int window, const char *name, guint32 begin, guint32 end, guint version,
                            GError **error)
{
    Descriptor descriptor;

    if (!cvd_mapping_read_descriptor(window, name, begin, end, G_MAXUINT, &descriptor, error))
        return NULL;
    return map(window, name, &descriptor, version, error);
}

CvdMapping *cvd_mapping_new_by_name(int window, const char *name, guint version, GError **error)
{
    struct vsoc_shm_layout_descriptor header;
    const Wanted wanted = {.name = name};
    Descriptor found;
    guint64 window_size;

    if (!get_size(window, name, &window_size, error) ||
        !read_header(window, name, window_size, &header, error) ||
        !find_descriptor(window, &header, &wanted, G_MAXUINT, &found, error) ||
        !cvd_mapping_check(&header, &found, name, found.region_begin_offset,
                           found.region_end_offset, error))
        return NULL;
    return map(window, name, &found, version, error);
}

void cvd_mapping_free(CvdMapping *mapping)
{
    if (mapping->base != NULL)
        munmap(mapping->base, mapping->size);
    g_free(mapping);
}
