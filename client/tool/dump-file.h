/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * A region's data in a file. All numbers are little-endian:
 *
 *   0   char[8]  "cvd-dump"
 *   8   u32      1, the version of this format
 *   12  u16      the region's current_version
 *   14  u16      the region's min_compatible_version
 *   16  u32      the region's size, in bytes
 *   20  u32      where its data starts, in the region
 *   24  u32      N, size of the data, in bytes
 *   28  u32      0
 *   32  char[16] the region's name, filled up with zeros
 *   48  N bytes  the data
 *   48 + N       32 bytes: SHA-256 of all that is before
 */

#define CVD_DUMP_HEADER_SIZE   48
#define CVD_DUMP_CHECKSUM_SIZE 32
#define CVD_DUMP_NAME_SIZE     16

/** CvdDumpHeader: what a dump is of */
typedef struct {
    char name[CVD_DUMP_NAME_SIZE];
    guint16 version;
    guint16 min_compatible_version;
    guint32 region_size;
    guint32 data_offset;
    guint32 data_size;
} CvdDumpHeader;

/** CvdDump: one that is written, or read, any number of times */
typedef struct CvdDump CvdDump;

/** cvd_dump_free: of one that was not committed nothing is left */
void cvd_dump_free(CvdDump *dump);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdDump, cvd_dump_free)

/** cvd_dump_get_checksum: Returns: (transfer none): in hex, after the commit, or the end */
const char *cvd_dump_get_checksum(CvdDump *dump);

/**
 * cvd_dump_create:
 * @path: where the dump is to be; may exist as a regular file, which stays untouched until the end
 * @header: of what
 * @error: %CVD_ERROR_FOREIGN: something else than a file is there; %CVD_ERROR_FAILED
 *
 * Returns: (transfer full): one to be written, beside its place, which gets it when it is complete
 */
CvdDump *cvd_dump_create(const char *path, const CvdDumpHeader *header, GError **error);

/** cvd_dump_add: appends some of the data */
gboolean cvd_dump_add(CvdDump *dump, gconstpointer data, gsize size, GError **error);

/**
 * cvd_dump_commit:
 *
 * Adds the checksum, has all of it on the disk, and only then gives it its name. To be called after
 * as much data as the header says.
 */
gboolean cvd_dump_commit(CvdDump *dump, GError **error);

/**
 * cvd_dump_open:
 * @path: a dump
 * @error: %CVD_ERROR_INVALID: not a dump, of another format, or not as long as it says;
 *   %CVD_ERROR_FAILED
 *
 * Returns: (transfer full): one to be read, at the first byte of the data
 */
CvdDump *cvd_dump_open(const char *path, GError **error);

/** cvd_dump_get_header: Returns: (transfer none): what the dump that was opened is of */
const CvdDumpHeader *cvd_dump_get_header(CvdDump *dump);

/**
 * cvd_dump_next:
 * @buffer: (array length=size): room
 * @size: of it, not 0
 * @error: %CVD_ERROR_INVALID: the dump ends too early, or, at the end, its checksum is wrong
 *
 * Returns: how many bytes of data came; 0 at the end, when the checksum is right; −1 on failure
 */
gssize cvd_dump_next(CvdDump *dump, gpointer buffer, gsize size, GError **error);

/** cvd_dump_rewind: back to the first byte of the data */
gboolean cvd_dump_rewind(CvdDump *dump, GError **error);

G_END_DECLS
