/* SPDX-License-Identifier: Apache-2.0 */
#include "base/snapshot-dir.h"

#include "base/error.h"
#include "base/snapshot-format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

gboolean cvd_snapshot_dir_check_owner(const struct stat *st, const char *what, GError **error)
{
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return cvd_fail(error, CVD_ERROR_FOREIGN,
                        "%s: belongs to uid %u; use a snapshot of your own", what, st->st_uid);
    return (st->st_mode & (S_IWGRP | S_IWOTH)) == 0 ||
           cvd_fail(error, CVD_ERROR_FOREIGN,
                    "%s: others can write there (mode %04o); take that right from them, if they "
                    "have not done so",
                    what, st->st_mode & 07777);
}

char *cvd_snapshot_format_stamp(const struct stat *st)
{
    return g_strdup_printf("%ju %ju %jd.%09ld %jd.%09ld", (guint64)st->st_size, (guint64)st->st_ino,
                           (gint64)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                           (gint64)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

static gboolean is_known(const char *name)
{
    return cvd_snapshot_is_file(name) || strcmp(name, CVD_SNAPSHOT_METADATA) == 0 ||
           strcmp(name, CVD_SNAPSHOT_CHECKED) == 0 ||
           g_str_has_prefix(name, "." CVD_SNAPSHOT_CHECKED ".");
}

/* Returns: (transfer full) (element-type utf8) (nullable): with `errno` set */
static GPtrArray *list_entries(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (dir == NULL)
        return NULL;
    GPtrArray *entries = g_ptr_array_new_with_free_func(g_free);
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            g_ptr_array_add(entries, g_strdup(entry->d_name));
    closedir(dir);
    return entries;
}

char *cvd_snapshot_dir_find_stranger(int dir_fd)
{
    g_autoptr(GPtrArray) entries = list_entries(dir_fd);

    for (guint i = 0; entries != NULL && i < entries->len; i++)
        if (!is_known(g_ptr_array_index(entries, i)))
            return g_strdup(g_ptr_array_index(entries, i));
    return NULL;
}

int cvd_snapshot_dir_empty(int dir_fd)
{
    g_autoptr(GPtrArray) entries = list_entries(dir_fd);

    if (entries == NULL)
        return -1;
    for (guint i = 0; i < entries->len; i++) {
        const char *name = g_ptr_array_index(entries, i);
        if (is_known(name) && unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
            return -1;
    }
    return 0;
}
