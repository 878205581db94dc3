/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot is made in `.NAME.cvd-new`, which its writer has locked: so there is one writer of a
 * name, and what one has left that was killed can be told from what is being written.
 */
#include "base/snapshot-writer.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/snapshot-dir.h"
#include "base/snapshot-format.h"
#include "base/sparse-zstd.h"
#include "base/sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct CvdSnapshotWriter {
    char *path;
    char *name;
    char *temporary;
    int parent_fd;
    int dir_fd;       /* locked; −1 when there is nothing to be removed */
    GPtrArray *names; /* of files */
};

static gboolean fail(const CvdSnapshotWriter *writer, const char *what, GError **error)
{
    if (errno == ENOSPC || errno == EDQUOT)
        return cvd_snapshot_writer_set_space_error(writer, 0, error);
    return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: %s", writer->path, what);
}

static char *format_size(guint64 n)
{
    return n < 1000 * 1024 ? g_strdup_printf("%.0f KiB", (double)n / 1024)
                           : g_strdup_printf("%.1f MiB", (double)n / 1024 / 1024);
}

gboolean cvd_snapshot_writer_set_space_error(const CvdSnapshotWriter *writer, guint64 n_needed,
                                             GError **error)
{
    g_autofree char *parent = g_path_get_dirname(writer->path);
    g_autofree char *needed = format_size(n_needed);
    struct statvfs st = {0};

    fstatvfs(writer->parent_fd, &st);
    g_autofree char *free = format_size((guint64)st.f_bavail * st.f_frsize);
    return cvd_fail(error, CVD_ERROR_RESOURCES,
                    "%s: no space left: %s%s%s%s are free; make room there, or put the snapshot on "
                    "another file system (CVD_SNAPSHOT_DIR, or a path for its name)",
                    parent, n_needed > 0 ? "about " : "", n_needed > 0 ? needed : "",
                    n_needed > 0 ? " more are needed, " : "", free);
}

/* ---- The directory ---- */

static gboolean open_parent(CvdSnapshotWriter *writer, GError **error)
{
    g_autofree char *parent = g_path_get_dirname(writer->path);

    if (!cvd_snapshot_make_place(writer->path, error))
        return FALSE;
    writer->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return writer->parent_fd >= 0 ||
           cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot be opened", parent);
}

static gboolean fail_exists(const CvdSnapshotWriter *writer, GError **error)
{
    g_autofree char *metadata = g_build_filename(writer->name, CVD_SNAPSHOT_METADATA, NULL);
    struct stat st = {0};

    if (fstatat(writer->parent_fd, metadata, &st, 0) == 0 || errno == EACCES)
        return cvd_fail(
            error, CVD_ERROR_BUSY,
            "%s: there is one already; choose another name, or remove it (cvd-ctl delete)",
            writer->path);
    fstatat(writer->parent_fd, writer->name, &st, 0);
    return S_ISDIR(st.st_mode)
               ? cvd_fail(error, CVD_ERROR_BUSY,
                          "%s: is a directory, and no snapshot; name one in it, %s/NAME",
                          writer->path, writer->path)
               : cvd_fail(error, CVD_ERROR_BUSY,
                          "%s: is a file, and no snapshot; choose another name", writer->path);
}

static gboolean check_free(const CvdSnapshotWriter *writer, GError **error)
{
    struct stat st;

    return fstatat(writer->parent_fd, writer->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
           fail_exists(writer, error);
}

/* Returns: whether it is this writer's; if not, without an error, another one has just removed it
 */
static gboolean lock_dir(CvdSnapshotWriter *writer, int dir_fd, GError **error)
{
    struct stat st;

    if (fstat(dir_fd, &st) < 0)
        return fail(writer, "fstat", error);
    if (st.st_uid != geteuid())
        return cvd_fail(error, CVD_ERROR_FOREIGN, "%s: uid %u has a %s in that directory",
                        writer->path, st.st_uid, writer->temporary);
    if (cvd_snapshot_dir_lock(dir_fd, LOCK_EX) < 0)
        return errno == EWOULDBLOCK
                   ? cvd_fail(error, CVD_ERROR_BUSY,
                              "%s: is being made by another process; choose another name",
                              writer->path)
                   : fail(writer, "flock", error);
    return cvd_fd_is_at(dir_fd, writer->parent_fd, writer->temporary);
}

static gboolean take_dir(CvdSnapshotWriter *writer, GError **error)
{
    g_autoptr(GError) reason = NULL;

    while (reason == NULL) {
        if (mkdirat(writer->parent_fd, writer->temporary, 0700) < 0 && errno != EEXIST)
            return fail(writer, "cannot be made", error);
        cvd_autofd dir_fd = openat(writer->parent_fd, writer->temporary,
                                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir_fd < 0 && errno == ENOENT)
            continue;
        if (dir_fd < 0)
            return fail(writer, "cannot be made", error);
        if (lock_dir(writer, dir_fd, &reason)) {
            writer->dir_fd = g_steal_fd(&dir_fd);
            return TRUE;
        }
    }
    return cvd_pass_error(error, &reason);
}

/* What one has left there that was killed. */
static gboolean clean_dir(CvdSnapshotWriter *writer, GError **error)
{
    return (cvd_snapshot_dir_empty(writer->dir_fd) == 0 && fchmod(writer->dir_fd, 0700) == 0) ||
           fail(writer, "cannot be made", error);
}

CvdSnapshotWriter *cvd_snapshot_writer_new(const char *path, GError **error)
{
    g_autoptr(CvdSnapshotWriter) writer = g_new0(CvdSnapshotWriter, 1);

    writer->path = g_strdup(path);
    writer->name = g_path_get_basename(path);
    writer->temporary = g_strdup_printf(".%s" CVD_SNAPSHOT_NEW, writer->name);
    writer->names = g_ptr_array_new_with_free_func(g_free);
    writer->parent_fd = writer->dir_fd = -1;
    if (!open_parent(writer, error))
        return NULL;
    cvd_snapshot_dir_clean(writer->parent_fd);
    if (!check_free(writer, error) || !take_dir(writer, error) || !clean_dir(writer, error))
        return NULL;
    return g_steal_pointer(&writer);
}

void cvd_snapshot_writer_free(CvdSnapshotWriter *writer)
{
    if (writer->dir_fd >= 0 && cvd_snapshot_dir_empty(writer->dir_fd) == 0)
        unlinkat(writer->parent_fd, writer->temporary, AT_REMOVEDIR);
    cvd_close_fd(&writer->dir_fd);
    cvd_close_fd(&writer->parent_fd);
    g_ptr_array_unref(writer->names);
    g_free(writer->path);
    g_free(writer->name);
    g_free(writer->temporary);
    g_free(writer);
}

/* ---- Files ---- */

static int make_file(const CvdSnapshotWriter *writer, const char *file, GError **error)
{
    cvd_autofd fd =
        openat(writer->dir_fd, file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd >= 0 && fchmod(fd, 0600) == 0)
        return g_steal_fd(&fd);
    fail(writer, file, error);
    return -1;
}

int cvd_snapshot_writer_create(CvdSnapshotWriter *writer, const char *file, GError **error)
{
    g_assert(cvd_snapshot_is_file(file));
    int fd = make_file(writer, file, error);
    if (fd >= 0)
        g_ptr_array_add(writer->names, g_strdup(file));
    return fd;
}

static void forget_file(CvdSnapshotWriter *writer, const char *file)
{
    guint index;

    unlinkat(writer->dir_fd, file, 0);
    if (g_ptr_array_find_with_equal_func(writer->names, file, g_str_equal, &index))
        g_ptr_array_remove_index(writer->names, index);
}

/* @reason: why @fd could not be written to the file */
static gboolean drop_file(CvdSnapshotWriter *writer, const char *file, int fd, GError **reason,
                          GError **error)
{
    struct stat st;

    forget_file(writer, file);
    if (g_error_matches(*reason, CVD_ERROR, CVD_ERROR_RESOURCES) && fstat(fd, &st) == 0)
        return cvd_snapshot_writer_set_space_error(
            writer, cvd_sparse_count(fd, 0, (guint64)st.st_size), error);
    if ((*reason)->domain == CVD_ERROR)
        g_prefix_error(reason, "%s/%s: ", writer->path, file);
    return cvd_pass_error(error, reason);
}

gboolean cvd_snapshot_writer_copy(CvdSnapshotWriter *writer, const char *file, int fd,
                                  GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) reason = NULL;
    cvd_autofd to = cvd_snapshot_writer_create(writer, file, error);

    if (to < 0)
        return FALSE;
    gboolean is_done = cvd_sparse_copy(fd, to, cancellable, &reason);
    cvd_close_fd(&to); /* so that its space is free */
    return is_done || drop_file(writer, file, fd, &reason, error);
}

gboolean cvd_snapshot_writer_compress(CvdSnapshotWriter *writer, GCancellable *cancellable,
                                      GError **error)
{
    cvd_autofd ram = openat(writer->dir_fd, CVD_SNAPSHOT_RAM, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    g_autoptr(GError) reason = NULL;

    if (ram < 0)
        return fail(writer, CVD_SNAPSHOT_RAM, error);
    cvd_autofd to = cvd_snapshot_writer_create(writer, CVD_SNAPSHOT_RAM_COMPRESSED, error);
    if (to < 0)
        return FALSE;
    gboolean is_done = cvd_sparse_pack(ram, to, cancellable, &reason);
    cvd_close_fd(&to);
    if (!is_done)
        return drop_file(writer, CVD_SNAPSHOT_RAM_COMPRESSED, ram, &reason, error);
    forget_file(writer, CVD_SNAPSHOT_RAM);
    return TRUE;
}

/* ---- The end ---- */

static CvdSnapshotFile *describe_file(const CvdSnapshotWriter *writer, const char *name,
                                      GCancellable *cancellable, GError **error)
{
    cvd_autofd fd = openat(writer->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fsync(fd) < 0) {
        fail(writer, name, error);
        return NULL;
    }
    g_autofree char *digest = cvd_sparse_digest(fd, NULL, NULL, cancellable, error);
    if (digest == NULL) {
        if (error != NULL && (*error)->domain == CVD_ERROR)
            g_prefix_error(error, "%s/%s: ", writer->path, name);
        return NULL;
    }
    if (fstat(fd, &st) < 0) {
        fail(writer, name, error);
        return NULL;
    }
    CvdSnapshotFile *file = g_new0(CvdSnapshotFile, 1);
    file->name = g_strdup(name);
    file->size = (guint64)st.st_size;
    file->digest = g_steal_pointer(&digest);
    file->stamp = cvd_snapshot_format_stamp(&st);
    return file;
}

static GPtrArray *describe_files(const CvdSnapshotWriter *writer, GCancellable *cancellable,
                                 GError **error)
{
    g_autoptr(GPtrArray) files =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_snapshot_file_free);

    for (guint i = 0; i < writer->names->len; i++) {
        CvdSnapshotFile *file =
            describe_file(writer, g_ptr_array_index(writer->names, i), cancellable, error);
        if (file == NULL)
            return NULL;
        g_ptr_array_add(files, file);
    }
    return g_steal_pointer(&files);
}

/* A directory, say, may have a name that is no text. */
static gboolean check_metadata(const CvdSnapshotWriter *writer, const char *text, gsize size,
                               GError **error)
{
    g_autoptr(GPtrArray) files = NULL;
    g_autoptr(GError) reason = NULL;
    g_autoptr(CvdSnapshotInfo) info = cvd_snapshot_parse(text, size, &files, &reason);

    if (info != NULL)
        return TRUE;
    g_prefix_error(&reason, "%s: cannot be described in %s: ", writer->path, CVD_SNAPSHOT_METADATA);
    return cvd_pass_error(error, &reason);
}

static gboolean write_metadata(const CvdSnapshotWriter *writer, const CvdSnapshotInfo *info,
                               GPtrArray *files, GError **error)
{
    g_autofree char *text = cvd_snapshot_format(info, files);
    gsize size = strlen(text);

    if (!check_metadata(writer, text, size, error))
        return FALSE;
    cvd_autofd fd = make_file(writer, CVD_SNAPSHOT_METADATA, error);
    if (fd < 0)
        return FALSE;
    gssize n = TEMP_FAILURE_RETRY(write(fd, text, size));
    if (n >= 0 && (gsize)n < size)
        errno = ENOSPC;
    return ((gsize)n == size && fsync(fd) == 0 && fsync(writer->dir_fd) == 0) ||
           fail(writer, CVD_SNAPSHOT_METADATA, error);
}

/* Some file systems have no RENAME_NOREPLACE; rename(2) does not replace what has files either. */
static int rename_dir(const CvdSnapshotWriter *writer)
{
    int result = renameat2(writer->parent_fd, writer->temporary, writer->parent_fd, writer->name,
                           RENAME_NOREPLACE);

    if (result < 0 && errno == EINVAL)
        result = renameat(writer->parent_fd, writer->temporary, writer->parent_fd, writer->name);
    return result;
}

gboolean cvd_snapshot_writer_finish(CvdSnapshotWriter *writer, const CvdSnapshotInfo *info,
                                    GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) files = describe_files(writer, cancellable, error);

    if (files == NULL || !write_metadata(writer, info, files, error) ||
        g_cancellable_set_error_if_cancelled(cancellable, error))
        return FALSE;
    if (rename_dir(writer) < 0)
        return errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR
                   ? fail_exists(writer, error)
                   : fail(writer, "cannot be renamed", error);
    gboolean is_kept = fsync(writer->parent_fd) == 0 || fail(writer, "fsync", error);
    if (!is_kept)
        cvd_snapshot_dir_remove(writer->parent_fd, writer->name, writer->dir_fd);
    cvd_close_fd(&writer->dir_fd); /* unlocked, so that it can be opened at once */
    return is_kept;
}
