/* SPDX-License-Identifier: Apache-2.0 */
#include "base/snapshot.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/snapshot-dir.h"
#include "base/snapshot-format.h"
#include "base/sparse-zstd.h"
#include "base/sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct CvdSnapshot {
    char *path;
    int dir_fd;
    CvdSnapshotInfo *info;
    GPtrArray *files;
};

/* ---- Opening ---- */

static gboolean open_dir(CvdSnapshot *snapshot, GError **error)
{
    struct stat st;

    snapshot->dir_fd = open(snapshot->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (snapshot->dir_fd < 0 && errno == ENOENT)
        return cvd_snapshot_dir_fail_none(snapshot->path, error);
    if (snapshot->dir_fd < 0 && errno == ENOTDIR)
        return cvd_fail(error, CVD_ERROR_FOREIGN, "%s: is no directory, and so no snapshot",
                        snapshot->path);
    if (snapshot->dir_fd < 0 || fstat(snapshot->dir_fd, &st) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot be opened",
                                   snapshot->path);
    return cvd_snapshot_dir_check_owner(&st, snapshot->path, error);
}

/* Also through a link. */
static gboolean is_there(const CvdSnapshot *snapshot)
{
    struct stat st, at_path;

    return fstat(snapshot->dir_fd, &st) == 0 && stat(snapshot->path, &at_path) == 0 &&
           st.st_dev == at_path.st_dev && st.st_ino == at_path.st_ino;
}

/* Who deletes one renames it under an exclusive lock. */
static gboolean lock_dir(const CvdSnapshot *snapshot, GError **error)
{
    if (cvd_snapshot_dir_lock(snapshot->dir_fd, LOCK_SH) < 0)
        return errno == EWOULDBLOCK
                   ? cvd_fail(error, CVD_ERROR_BUSY, "%s: is being deleted", snapshot->path)
                   : cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: flock",
                                         snapshot->path);
    return is_there(snapshot) || cvd_snapshot_dir_fail_none(snapshot->path, error);
}

int cvd_snapshot_open_file(const CvdSnapshot *snapshot, const char *file, GError **error)
{
    g_autofree char *path = g_build_filename(snapshot->path, file, NULL);
    cvd_autofd fd = openat(snapshot->dir_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        cvd_fail(error, CVD_ERROR_INVALID, "%s: is missing", path);
    else if (fd < 0 && errno == ELOOP)
        cvd_fail(error, CVD_ERROR_FOREIGN, "%s: is a link", path);
    else if (fd < 0 || fstat(fd, &st) < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot be opened", path);
    else if (!S_ISREG(st.st_mode))
        cvd_fail(error, CVD_ERROR_FOREIGN, "%s: is no regular file", path);
    else if (cvd_snapshot_dir_check_owner(&st, path, error))
        return g_steal_fd(&fd);
    return -1;
}

static gboolean read_metadata(CvdSnapshot *snapshot, GError **error)
{
    g_autofree char *text = g_malloc(CVD_JSON_MAX_SIZE + 1);
    g_autoptr(GError) reason = NULL;
    cvd_autofd fd = cvd_snapshot_open_file(snapshot, CVD_SNAPSHOT_METADATA, &reason);

    if (fd < 0 && g_error_matches(reason, CVD_ERROR, CVD_ERROR_INVALID))
        return cvd_fail(error, CVD_ERROR_FOREIGN, "%s: is no snapshot, as it has no %s",
                        snapshot->path, CVD_SNAPSHOT_METADATA);
    if (fd < 0)
        return cvd_pass_error(error, &reason);
    gssize size = TEMP_FAILURE_RETRY(read(fd, text, CVD_JSON_MAX_SIZE + 1));
    if (size < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s/%s", snapshot->path,
                                   CVD_SNAPSHOT_METADATA);
    snapshot->info = cvd_snapshot_parse(text, (gsize)size, &snapshot->files, &reason);
    return snapshot->info != NULL ||
           cvd_snapshot_pass_error(snapshot, CVD_SNAPSHOT_METADATA, &reason, error);
}

static gboolean check_size(const CvdSnapshot *snapshot, const CvdSnapshotFile *file, GError **error)
{
    cvd_autofd fd = cvd_snapshot_open_file(snapshot, file->name, error);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return FALSE;
    return (guint64)st.st_size == file->size ||
           cvd_fail(error, CVD_ERROR_INVALID, "%s: damaged: %s: %s: it has %ju bytes, not %ju",
                    snapshot->path, file->name,
                    (guint64)st.st_size < file->size ? "truncated" : "too long",
                    (guint64)st.st_size, file->size);
}

static gboolean check_sizes(const CvdSnapshot *snapshot, GError **error)
{
    for (guint i = 0; i < snapshot->files->len; i++)
        if (!check_size(snapshot, g_ptr_array_index(snapshot->files, i), error))
            return FALSE;
    return TRUE;
}

static gboolean read_snapshot(CvdSnapshot *snapshot, GError **error)
{
    g_autoptr(GError) reason = NULL;

    if (read_metadata(snapshot, &reason) && check_sizes(snapshot, &reason))
        return TRUE;
    /* Without a lock it can go at any moment. */
    return is_there(snapshot) ? cvd_pass_error(error, &reason)
                              : cvd_snapshot_dir_fail_none(snapshot->path, error);
}

static CvdSnapshot *open_snapshot(const char *path, gboolean is_to_be_kept, GError **error)
{
    g_autoptr(CvdSnapshot) snapshot = g_new0(CvdSnapshot, 1);

    snapshot->path = g_strdup(path);
    snapshot->dir_fd = -1;
    if (!open_dir(snapshot, error) || (is_to_be_kept && !lock_dir(snapshot, error)) ||
        !read_snapshot(snapshot, error))
        return NULL;
    return g_steal_pointer(&snapshot);
}

CvdSnapshot *cvd_snapshot_open(const char *path, GError **error)
{
    return open_snapshot(path, TRUE, error);
}

CvdSnapshot *cvd_snapshot_look(const char *path, GError **error)
{
    return open_snapshot(path, FALSE, error);
}

void cvd_snapshot_free(CvdSnapshot *snapshot)
{
    cvd_close_fd(&snapshot->dir_fd);
    g_clear_pointer(&snapshot->info, cvd_snapshot_info_free);
    g_clear_pointer(&snapshot->files, g_ptr_array_unref);
    g_free(snapshot->path);
    g_free(snapshot);
}

/* ---- Looking ---- */

const CvdSnapshotInfo *cvd_snapshot_get_info(const CvdSnapshot *snapshot)
{
    return snapshot->info;
}

const char *cvd_snapshot_get_dir(const CvdSnapshot *snapshot)
{
    return snapshot->path;
}

int cvd_snapshot_get_dir_fd(const CvdSnapshot *snapshot)
{
    return snapshot->dir_fd;
}

gboolean cvd_snapshot_pass_error(const CvdSnapshot *snapshot, const char *file, GError **reason,
                                 GError **error)
{
    if (g_error_matches(*reason, CVD_ERROR, CVD_ERROR_INVALID))
        g_prefix_error(reason, "%s: damaged: %s: ", snapshot->path, file);
    else if (g_error_matches(*reason, CVD_ERROR, CVD_ERROR_FOREIGN))
        g_prefix_error(reason, "%s: ", snapshot->path);
    else if ((*reason)->domain == CVD_ERROR)
        g_prefix_error(reason, "%s/%s: ", snapshot->path, file);
    return cvd_pass_error(error, reason);
}

guint64 cvd_snapshot_get_size(const CvdSnapshot *snapshot, const char *file)
{
    const CvdSnapshotFile *found = cvd_snapshot_find_file(snapshot->files, file);

    return found != NULL ? found->size : 0;
}

GPtrArray *cvd_snapshot_get_files(const CvdSnapshot *snapshot)
{
    return snapshot->files;
}

guint64 cvd_snapshot_get_space(const CvdSnapshot *snapshot)
{
    guint64 n = 0;
    struct stat st;

    for (guint i = 0; i < snapshot->files->len; i++) {
        const CvdSnapshotFile *file = g_ptr_array_index(snapshot->files, i);
        if (fstatat(snapshot->dir_fd, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            n += (guint64)st.st_blocks * 512;
    }
    return n;
}

int cvd_snapshot_count_users(const CvdSnapshot *snapshot)
{
    return cvd_snapshot_dir_count_users(snapshot->dir_fd);
}

gboolean cvd_snapshot_copy_out(const CvdSnapshot *snapshot, const char *file, int fd,
                               GCancellable *cancellable, GError **error)
{
    cvd_autofd from = cvd_snapshot_open_file(snapshot, file, error);
    gboolean is_packed = strcmp(file, CVD_SNAPSHOT_RAM_COMPRESSED) == 0;
    g_autoptr(GError) reason = NULL;

    if (from < 0)
        return FALSE;
    gboolean is_done =
        is_packed ? cvd_sparse_unpack(from, fd, snapshot->info->memory_bytes, cancellable, &reason)
                  : cvd_sparse_copy(from, fd, cancellable, &reason);
    return is_done || cvd_snapshot_pass_error(snapshot, file, &reason, error);
}
