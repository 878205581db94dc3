/* SPDX-License-Identifier: Apache-2.0 */
#include "base/snapshot-store.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/snapshot-dir.h"
#include "base/snapshot-info.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* ---- All ---- */

static int compare_names(gconstpointer one, gconstpointer other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

void cvd_snapshot_clean(const char *place)
{
    cvd_autofd place_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (place_fd >= 0)
        cvd_snapshot_dir_clean(place_fd);
}

GPtrArray *cvd_snapshot_list(const char *place, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    cvd_autofd place_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (place_fd < 0 && errno == ENOENT)
        return g_steal_pointer(&names);
    g_autoptr(GPtrArray) entries = place_fd >= 0 ? cvd_snapshot_dir_list(place_fd) : NULL;
    if (entries == NULL) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot be read", place);
        return NULL;
    }
    for (guint i = 0; i < entries->len; i++) {
        const char *entry = g_ptr_array_index(entries, i);
        if (entry[0] != '.')
            g_ptr_array_add(names, g_strdup(entry));
    }
    g_ptr_array_sort(names, compare_names);
    return g_steal_pointer(&names);
}

/* ---- Deleting ---- */

/* Nothing that is not ours, or could be anything. */
static gboolean check_content(int dir_fd, const char *path, GError **error)
{
    g_autofree char *stranger = cvd_snapshot_dir_find_stranger(dir_fd);
    struct stat st;

    if (fstat(dir_fd, &st) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s", path);
    if (st.st_uid != geteuid() && geteuid() != 0)
        return cvd_fail(error, CVD_ERROR_FOREIGN, "%s: belongs to uid %u", path, st.st_uid);
    if (fstatat(dir_fd, CVD_SNAPSHOT_METADATA, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return cvd_fail(error, CVD_ERROR_FOREIGN, "%s: is no snapshot, as it has no %s", path,
                        CVD_SNAPSHOT_METADATA);
    return stranger == NULL ||
           cvd_fail(error, CVD_ERROR_FOREIGN,
                    "%s: has %s, which is not of a snapshot; move it elsewhere first", path,
                    stranger);
}

static gboolean fail_used(int dir_fd, const char *path, GError **error)
{
    int n = cvd_snapshot_dir_count_users(dir_fd);
    g_autofree char *count = g_strdup_printf("%d ", n);

    return cvd_fail(error, CVD_ERROR_BUSY, "%s: %smachine%s run%s from it; stop %s first", path,
                    n > 0 ? count : "", n == 1 ? "" : "s", n == 1 ? "s" : "",
                    n == 1 ? "it" : "them");
}

static gboolean take_dir(int dir_fd, int parent_fd, const char *path, const char *name,
                         GError **error)
{
    if (!check_content(dir_fd, path, error))
        return FALSE;
    if (cvd_snapshot_dir_lock(dir_fd, LOCK_EX) < 0)
        return errno == EWOULDBLOCK
                   ? fail_used(dir_fd, path, error)
                   : cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: flock", path);
    return cvd_fd_is_at(dir_fd, parent_fd, name) || cvd_snapshot_dir_fail_none(path, error);
}

static gboolean fail_no_dir(int parent_fd, const char *name, const char *path, GError **error)
{
    char target[PATH_MAX + 1] = "";

    return readlinkat(parent_fd, name, target, PATH_MAX) > 0
               ? cvd_fail(error, CVD_ERROR_FOREIGN,
                          "%s: is a link to %s; delete that, then the link", path, target)
               : cvd_fail(error, CVD_ERROR_FOREIGN, "%s: is no directory, and so no snapshot",
                          path);
}

gboolean cvd_snapshot_delete(const char *path, GError **error)
{
    g_autofree char *parent = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    cvd_autofd parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cvd_autofd dir_fd =
        parent_fd < 0 ? -1
                      : openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (dir_fd < 0 && errno == ENOENT)
        return cvd_snapshot_dir_fail_none(path, error);
    if (dir_fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return fail_no_dir(parent_fd, name, path, error);
    if (dir_fd < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot be opened", path);
    if (!take_dir(dir_fd, parent_fd, path, name, error))
        return FALSE;
    return cvd_snapshot_dir_remove(parent_fd, name, dir_fd) == 0 ||
           cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot be removed", path);
}
