/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checksum covers the header and the data, and the size of the file has to be what the header
 * says, so that no byte can be altered, missing or too many without being noticed.
 */
#include "client/tool/dump-file.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT_VERSION 1

static const char magic[8] = {'c', 'v', 'd', '-', 'd', 'u', 'm', 'p'};

/* What dump-file.h describes. */
typedef struct {
    char magic[8];
    guint32 format;
    guint16 version;
    guint16 min_compatible_version;
    guint32 region_size;
    guint32 data_offset;
    guint32 data_size;
    guint32 zero;
    char name[CVD_DUMP_NAME_SIZE];
} RawHeader;

G_STATIC_ASSERT(sizeof(RawHeader) == CVD_DUMP_HEADER_SIZE);

struct CvdDumpWriter {
    char *path;
    char *directory;
    char *temporary; /* NULL once it has its name */
    int fd;
    guint64 n_missing;
    GChecksum *checksum;
};

struct CvdDumpReader {
    char *path;
    int fd;
    CvdDumpHeader header;
    RawHeader raw;
    guint64 n_left;
    GChecksum *checksum;
};

static RawHeader pack(const CvdDumpHeader *header)
{
    RawHeader raw = {
        .format = GUINT32_TO_LE(FORMAT_VERSION),
        .version = GUINT16_TO_LE(header->version),
        .min_compatible_version = GUINT16_TO_LE(header->min_compatible_version),
        .region_size = GUINT32_TO_LE(header->region_size),
        .data_offset = GUINT32_TO_LE(header->data_offset),
        .data_size = GUINT32_TO_LE(header->data_size),
    };

    memcpy(raw.magic, magic, sizeof magic);
    memcpy(raw.name, header->name, strnlen(header->name, CVD_DUMP_NAME_SIZE - 1));
    return raw;
}

static gboolean unpack(const RawHeader *raw, CvdDumpHeader *header, GError **error)
{
    if (memcmp(raw->magic, magic, sizeof magic) != 0)
        return cvd_fail(error, CVD_ERROR_INVALID, "not a dump of a region");
    if (raw->format != GUINT32_TO_LE(FORMAT_VERSION))
        return cvd_fail(error, CVD_ERROR_INVALID, "has format %u; this program reads format %d",
                        GUINT32_FROM_LE(raw->format), FORMAT_VERSION);
    *header = (CvdDumpHeader){
        .version = GUINT16_FROM_LE(raw->version),
        .min_compatible_version = GUINT16_FROM_LE(raw->min_compatible_version),
        .region_size = GUINT32_FROM_LE(raw->region_size),
        .data_offset = GUINT32_FROM_LE(raw->data_offset),
        .data_size = GUINT32_FROM_LE(raw->data_size),
    };
    memcpy(header->name, raw->name, CVD_DUMP_NAME_SIZE - 1);
    return TRUE;
}

static gboolean append(CvdDumpWriter *writer, gconstpointer data, gsize size, GError **error)
{
    const guint8 *at = data;
    while (size > 0) {
        gssize n = TEMP_FAILURE_RETRY(write(writer->fd, at, size));
        if (n < 0)
            return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: write",
                                       writer->temporary);
        at += n;
        size -= (gsize)n;
    }
    return TRUE;
}

/* A rename would take the place of whatever is there: a device, say. */
static gboolean check_place(const char *path, GError **error)
{
    struct stat info;
    if (lstat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return cvd_fail(error, CVD_ERROR_FOREIGN,
                        "%s: is not a regular file; name a file, or one that does not exist yet",
                        path);
    return TRUE;
}

CvdDumpWriter *cvd_dump_writer_new(const char *path, const CvdDumpHeader *header, GError **error)
{
    if (!check_place(path, error))
        return NULL;
    g_autoptr(CvdDumpWriter) writer = g_new0(CvdDumpWriter, 1);
    g_autofree char *base = g_path_get_basename(path);
    writer->path = g_strdup(path);
    writer->directory = g_path_get_dirname(path);
    writer->n_missing = header->data_size;
    writer->checksum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autofree char *template = g_strdup_printf("%s/.%.200s.XXXXXX", writer->directory, base);
    writer->fd = g_mkstemp_full(template, O_RDWR | O_CLOEXEC, 0600);
    if (writer->fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot make a file in %s", path,
                            writer->directory);
        return NULL;
    }
    writer->temporary = g_steal_pointer(&template);

    RawHeader raw = pack(header);
    g_checksum_update(writer->checksum, (const guint8 *)&raw, sizeof raw);
    if (!append(writer, &raw, sizeof raw, error))
        return NULL;
    return g_steal_pointer(&writer);
}

gboolean cvd_dump_writer_add(CvdDumpWriter *writer, gconstpointer data, gsize size, GError **error)
{
    g_assert(size <= writer->n_missing);
    writer->n_missing -= size;
    g_checksum_update(writer->checksum, data, (gssize)size);
    return append(writer, data, size, error);
}

/* A name is on the disk once its directory is. */
static gboolean sync_directory(const CvdDumpWriter *writer, GError **error)
{
    cvd_autofd fd = open(writer->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: fsync", writer->directory);
    return TRUE;
}

gboolean cvd_dump_writer_commit(CvdDumpWriter *writer, GError **error)
{
    guint8 digest[CVD_DUMP_CHECKSUM_SIZE];
    gsize size = sizeof digest;
    g_assert(writer->n_missing == 0);
    g_checksum_get_digest(writer->checksum, digest, &size);
    if (!append(writer, digest, sizeof digest, error))
        return FALSE;
    if (fsync(writer->fd) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: fsync", writer->temporary);
    if (!check_place(writer->path, error))
        return FALSE;
    if (rename(writer->temporary, writer->path) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: rename", writer->path);
    g_clear_pointer(&writer->temporary, g_free);
    return sync_directory(writer, error);
}

const char *cvd_dump_writer_get_checksum(CvdDumpWriter *writer)
{
    return g_checksum_get_string(writer->checksum);
}

void cvd_dump_writer_free(CvdDumpWriter *writer)
{
    if (writer->temporary)
        unlink(writer->temporary);
    cvd_close_fd(&writer->fd);
    g_checksum_free(writer->checksum);
    g_free(writer->temporary);
    g_free(writer->directory);
    g_free(writer->path);
    g_free(writer);
}

static gboolean read_all(CvdDumpReader *reader, gpointer buffer, gsize size, GError **error)
{
    guint8 *at = buffer;
    while (size > 0) {
        gssize n = TEMP_FAILURE_RETRY(read(reader->fd, at, size));
        if (n == 0)
            return cvd_fail(error, CVD_ERROR_INVALID, "%s: ends too early; it was cut off",
                            reader->path);
        if (n < 0)
            return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: read", reader->path);
        at += n;
        size -= (gsize)n;
    }
    return TRUE;
}

static gboolean check_size(const CvdDumpReader *reader, guint64 size, GError **error)
{
    guint64 expected =
        (guint64)CVD_DUMP_HEADER_SIZE + reader->header.data_size + CVD_DUMP_CHECKSUM_SIZE;
    if (size != expected)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "%s: has %" G_GUINT64_FORMAT
                        " bytes, but its header says %" G_GUINT64_FORMAT
                        "; it was cut off or altered",
                        reader->path, size, expected);
    return TRUE;
}

static gboolean open_dump(CvdDumpReader *reader, GError **error)
{
    struct stat info;
    reader->fd = open(reader->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (reader->fd < 0 || fstat(reader->fd, &info) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s", reader->path);
    if (!S_ISREG(info.st_mode))
        return cvd_fail(error, CVD_ERROR_INVALID, "%s: is not a regular file; a dump is read twice",
                        reader->path);
    if (!read_all(reader, &reader->raw, sizeof reader->raw, error))
        return FALSE;
    if (!unpack(&reader->raw, &reader->header, error)) {
        g_prefix_error(error, "%s: ", reader->path);
        return FALSE;
    }
    return check_size(reader, (guint64)info.st_size, error) &&
           cvd_dump_reader_rewind(reader, error);
}

CvdDumpReader *cvd_dump_reader_new(const char *path, GError **error)
{
    g_autoptr(CvdDumpReader) reader = g_new0(CvdDumpReader, 1);
    reader->path = g_strdup(path);
    reader->fd = -1;
    reader->checksum = g_checksum_new(G_CHECKSUM_SHA256);
    if (!open_dump(reader, error))
        return NULL;
    return g_steal_pointer(&reader);
}

const CvdDumpHeader *cvd_dump_reader_get_header(CvdDumpReader *reader)
{
    return &reader->header;
}

gboolean cvd_dump_reader_rewind(CvdDumpReader *reader, GError **error)
{
    if (lseek(reader->fd, CVD_DUMP_HEADER_SIZE, SEEK_SET) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: lseek", reader->path);
    reader->n_left = reader->header.data_size;
    g_checksum_reset(reader->checksum);
    g_checksum_update(reader->checksum, (const guint8 *)&reader->raw, sizeof reader->raw);
    return TRUE;
}

static gboolean check_sum(CvdDumpReader *reader, GError **error)
{
    guint8 expected[CVD_DUMP_CHECKSUM_SIZE], found[CVD_DUMP_CHECKSUM_SIZE];
    gsize size = sizeof found;
    if (!read_all(reader, expected, sizeof expected, error))
        return FALSE;
    g_checksum_get_digest(reader->checksum, found, &size);
    if (memcmp(expected, found, sizeof found) != 0)
        return cvd_fail(error, CVD_ERROR_INVALID, "%s: the checksum is wrong; the file was altered",
                        reader->path);
    return TRUE;
}

gssize cvd_dump_reader_next(CvdDumpReader *reader, gpointer buffer, gsize size, GError **error)
{
    if (reader->n_left == 0)
        return check_sum(reader, error) ? 0 : -1;
    gsize n = MIN(size, reader->n_left);
    if (!read_all(reader, buffer, n, error))
        return -1;
    g_checksum_update(reader->checksum, buffer, (gssize)n);
    reader->n_left -= n;
    return (gssize)n;
}

const char *cvd_dump_reader_get_checksum(CvdDumpReader *reader)
{
    return g_checksum_get_string(reader->checksum);
}

void cvd_dump_reader_free(CvdDumpReader *reader)
{
    cvd_close_fd(&reader->fd);
    g_checksum_free(reader->checksum);
    g_free(reader->path);
    g_free(reader);
}
