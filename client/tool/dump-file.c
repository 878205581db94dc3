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

struct CvdDump {
    char *path;
    char *directory;
    char *temporary; /* of one that is written, until it has its name */
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

static gboolean append(CvdDump *dump, gconstpointer data, gsize size, GError **error)
{
    const guint8 *at = data;
    while (size > 0) {
        gssize n = TEMP_FAILURE_RETRY(write(dump->fd, at, size));
        if (n < 0)
            return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: write",
                                       dump->temporary);
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

static CvdDump *dump_new(const char *path)
{
    CvdDump *dump = g_new0(CvdDump, 1);
    dump->path = g_strdup(path);
    dump->fd = -1;
    dump->checksum = g_checksum_new(G_CHECKSUM_SHA256);
    return dump;
}

CvdDump *cvd_dump_create(const char *path, const CvdDumpHeader *header, GError **error)
{
    if (!check_place(path, error))
        return NULL;
    g_autoptr(CvdDump) dump = dump_new(path);
    g_autofree char *base = g_path_get_basename(path);
    dump->directory = g_path_get_dirname(path);
    dump->n_left = header->data_size;
    g_autofree char *template = g_strdup_printf("%s/.%.200s.XXXXXX", dump->directory, base);
    dump->fd = g_mkstemp_full(template, O_RDWR | O_CLOEXEC, 0600);
    if (dump->fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot make a file in %s", path,
                            dump->directory);
        return NULL;
    }
    dump->temporary = g_steal_pointer(&template);
    dump->raw = pack(header);
    g_checksum_update(dump->checksum, (const guint8 *)&dump->raw, sizeof dump->raw);
    return append(dump, &dump->raw, sizeof dump->raw, error) ? g_steal_pointer(&dump) : NULL;
}

gboolean cvd_dump_add(CvdDump *dump, gconstpointer data, gsize size, GError **error)
{
    g_assert(size <= dump->n_left);
    dump->n_left -= size;
    g_checksum_update(dump->checksum, data, (gssize)size);
    return append(dump, data, size, error);
}

/* A name is on the disk once its directory is. */
static gboolean sync_directory(const CvdDump *dump, GError **error)
{
    cvd_autofd fd = open(dump->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: fsync", dump->directory);
    return TRUE;
}

gboolean cvd_dump_commit(CvdDump *dump, GError **error)
{
    guint8 digest[CVD_DUMP_CHECKSUM_SIZE];
    gsize size = sizeof digest;
    g_assert(dump->n_left == 0);
    g_checksum_get_digest(dump->checksum, digest, &size);
    if (!append(dump, digest, sizeof digest, error))
        return FALSE;
    if (fsync(dump->fd) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: fsync", dump->temporary);
    if (!check_place(dump->path, error))
        return FALSE;
    if (rename(dump->temporary, dump->path) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: rename", dump->path);
    g_clear_pointer(&dump->temporary, g_free);
    return sync_directory(dump, error);
}

const char *cvd_dump_get_checksum(CvdDump *dump)
{
    return g_checksum_get_string(dump->checksum);
}

void cvd_dump_free(CvdDump *dump)
{
    if (dump->temporary)
        unlink(dump->temporary);
    cvd_close_fd(&dump->fd);
    g_checksum_free(dump->checksum);
    g_free(dump->temporary);
    g_free(dump->directory);
    g_free(dump->path);
    g_free(dump);
}

static gboolean read_all(CvdDump *dump, gpointer buffer, gsize size, GError **error)
{
    guint8 *at = buffer;
    while (size > 0) {
        gssize n = TEMP_FAILURE_RETRY(read(dump->fd, at, size));
        if (n == 0)
            return cvd_fail(error, CVD_ERROR_INVALID, "%s: ends too early; it was cut off",
                            dump->path);
        if (n < 0)
            return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: read", dump->path);
        at += n;
        size -= (gsize)n;
    }
    return TRUE;
}

static gboolean check_size(const CvdDump *dump, guint64 size, GError **error)
{
    guint64 expected =
        (guint64)CVD_DUMP_HEADER_SIZE + dump->header.data_size + CVD_DUMP_CHECKSUM_SIZE;
    if (size != expected)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "%s: has %" G_GUINT64_FORMAT
                        " bytes, but its header says %" G_GUINT64_FORMAT
                        "; it was cut off or altered",
                        dump->path, size, expected);
    return TRUE;
}

static gboolean open_dump(CvdDump *dump, GError **error)
{
    struct stat info;
    dump->fd = open(dump->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (dump->fd < 0 || fstat(dump->fd, &info) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s", dump->path);
    if (!S_ISREG(info.st_mode))
        return cvd_fail(error, CVD_ERROR_INVALID, "%s: is not a regular file; a dump is read twice",
                        dump->path);
    if (!read_all(dump, &dump->raw, sizeof dump->raw, error))
        return FALSE;
    if (!unpack(&dump->raw, &dump->header, error)) {
        g_prefix_error(error, "%s: ", dump->path);
        return FALSE;
    }
    return check_size(dump, (guint64)info.st_size, error) && cvd_dump_rewind(dump, error);
}

CvdDump *cvd_dump_open(const char *path, GError **error)
{
    g_autoptr(CvdDump) dump = dump_new(path);
    return open_dump(dump, error) ? g_steal_pointer(&dump) : NULL;
}

const CvdDumpHeader *cvd_dump_get_header(CvdDump *dump)
{
    return &dump->header;
}

gboolean cvd_dump_rewind(CvdDump *dump, GError **error)
{
    if (lseek(dump->fd, CVD_DUMP_HEADER_SIZE, SEEK_SET) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: lseek", dump->path);
    dump->n_left = dump->header.data_size;
    g_checksum_reset(dump->checksum);
    g_checksum_update(dump->checksum, (const guint8 *)&dump->raw, sizeof dump->raw);
    return TRUE;
}

static gboolean check_sum(CvdDump *dump, GError **error)
{
    guint8 expected[CVD_DUMP_CHECKSUM_SIZE], found[CVD_DUMP_CHECKSUM_SIZE];
    gsize size = sizeof found;
    if (!read_all(dump, expected, sizeof expected, error))
        return FALSE;
    g_checksum_get_digest(dump->checksum, found, &size);
    if (memcmp(expected, found, sizeof found) != 0)
        return cvd_fail(error, CVD_ERROR_INVALID, "%s: the checksum is wrong; the file was altered",
                        dump->path);
    return TRUE;
}

gssize cvd_dump_next(CvdDump *dump, gpointer buffer, gsize size, GError **error)
{
    if (dump->n_left == 0)
        return check_sum(dump, error) ? 0 : -1;
    gsize n = MIN(size, dump->n_left);
    if (!read_all(dump, buffer, n, error))
        return -1;
    g_checksum_update(dump->checksum, buffer, (gssize)n);
    dump->n_left -= n;
    return (gssize)n;
}
