/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `dump` and `restore`: a region's data in a file and back. A dump is read twice for a restore:
 * nothing is written before all of it was checked, and what is written is checked once more, as the
 * file may change meanwhile.
 */
#include "base/error.h"
#include "base/progress.h"
#include "client/tool/dump-file.h"
#include "client/tool/tool.h"

#include <string.h>

#define CHUNK (256u * 1024)

static gboolean print_result(CvdTool *tool, const char *file, const CvdDumpHeader *header,
                             const char *checksum, GError **error)
{
    if (!tool->json)
        return cvd_tool_print(error, "%s: %u bytes, SHA-256 %s\n", header->name, header->data_size,
                              checksum);
    g_autofree char *display = g_filename_display_name(file);
    return cvd_tool_print_json(error,
                               "{'region': <%s>, 'file': <%s>, 'current_version': <%u>,"
                               " 'min_compatible_version': <%u>, 'size': <%u>, 'sha256': <%s>}",
                               header->name, display, header->version,
                               header->min_compatible_version, header->data_size, checksum);
}

static CvdDumpHeader describe(CvdRegion *region)
{
    guint data_offset = cvd_region_get_data_offset(region);
    CvdDumpHeader header = {
        .version = (guint16)cvd_region_get_version(region),
        .min_compatible_version = (guint16)cvd_region_get_min_compatible_version(region),
        .region_size = cvd_region_get_size(region),
        .data_offset = data_offset,
        .data_size = cvd_region_get_size(region) - data_offset,
    };
    g_strlcpy(header.name, cvd_region_get_name(region), sizeof header.name);
    return header;
}

static gboolean copy_to_file(CvdTool *tool, CvdRegion *region, const CvdDumpHeader *header,
                             CvdDump *dump, GError **error)
{
    g_auto(CvdProgress) progress = {0};
    cvd_progress_init(&progress, header->name, header->data_size);
    for (guint at = 0; at < header->data_size; at += MIN(CHUNK, header->data_size - at)) {
        guint n = MIN(CHUNK, header->data_size - at);
        if (g_cancellable_set_error_if_cancelled(tool->cancellable, error))
            return FALSE;
        g_autoptr(GBytes) bytes = cvd_region_read(region, header->data_offset + at, n, error);
        if (!bytes || !cvd_dump_add(dump, g_bytes_get_data(bytes, NULL), n, error))
            return FALSE;
        cvd_progress_update(&progress, at + n);
    }
    return TRUE;
}

gboolean cvd_tool_dump(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdRegion) region = cvd_tool_open_to_read(tool, arguments[0], error);
    if (!region)
        return FALSE;
    CvdDumpHeader header = describe(region);
    g_autoptr(CvdDump) dump = cvd_dump_create(arguments[1], &header, error);
    return dump && copy_to_file(tool, region, &header, dump, error) &&
           cvd_dump_commit(dump, error) &&
           print_result(tool, arguments[1], &header, cvd_dump_get_checksum(dump), error);
}

static gboolean check_header(const char *file, const CvdDumpHeader *dump,
                             const CvdDumpHeader *region, GError **error)
{
    if (dump->data_size != region->data_size)
        return cvd_fail(
            error, CVD_ERROR_INVALID,
            "%s: has %u bytes of data, but those of region '%s' are %u; the sizes have to "
            "be the same",
            file, dump->data_size, region->name, region->data_size);
    if (cvd_tool_options.force)
        return TRUE;
    if (strcmp(dump->name, region->name) != 0) {
        g_autofree char *escaped = g_strescape(dump->name, NULL);
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "%s: is of region '%s', not '%s'; --force takes it all the same", file,
                        escaped, region->name);
    }
    if (dump->version < region->min_compatible_version || dump->version > region->version)
        return cvd_fail(
            error, CVD_ERROR_INVALID,
            "%s: is of version %u, but region '%s' is of version %u, compatible with %u "
            "and later; --force takes it all the same",
            file, dump->version, region->name, region->version, region->min_compatible_version);
    return TRUE;
}

/* Goes through the whole dump; @region: where to write it, or NULL. */
static gboolean pass(CvdTool *tool, CvdDump *dump, CvdRegion *region, const char *label,
                     GError **error)
{
    g_autofree guint8 *buffer = g_malloc(CHUNK);
    g_auto(CvdProgress) progress = {0};
    guint done = 0;
    cvd_progress_init(&progress, label, cvd_dump_get_header(dump)->data_size);
    for (;;) {
        if (g_cancellable_set_error_if_cancelled(tool->cancellable, error))
            return FALSE;
        gssize n = cvd_dump_next(dump, buffer, CHUNK, error);
        if (n <= 0)
            return n == 0;
        if (region) {
            g_autoptr(GBytes) bytes = g_bytes_new_static(buffer, (gsize)n);
            if (!cvd_region_write(region, cvd_region_get_data_offset(region) + done, bytes, error))
                return FALSE;
        }
        done += (guint)n;
        cvd_progress_update(&progress, done);
    }
}

gboolean cvd_tool_restore(CvdTool *tool, char **arguments, GError **error)
{
    const char *file = arguments[1];
    g_autoptr(CvdDump) dump = cvd_dump_open(file, error);
    if (!dump || !pass(tool, dump, NULL, "checking", error))
        return FALSE;
    g_autoptr(CvdRegion) region = cvd_tool_open(tool, arguments[0], error);
    if (!region)
        return FALSE;
    CvdDumpHeader wanted = describe(region);
    const CvdDumpHeader *header = cvd_dump_get_header(dump);
    if (!check_header(file, header, &wanted, error) || !cvd_dump_rewind(dump, error))
        return FALSE;
    if (!pass(tool, dump, region, wanted.name, error)) {
        g_prefix_error(error, "region '%s' was restored in part only: ", wanted.name);
        return FALSE;
    }
    CvdDumpHeader restored = *header;
    memcpy(restored.name, wanted.name, sizeof restored.name);
    return print_result(tool, file, &restored, cvd_dump_get_checksum(dump), error);
}
