/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who makes or removes a snapshot has an exclusive lock on its directory, and who runs from one a
 * shared lock. A directory with the name of one that is being made or removed, which nobody has
 * locked, is left over.
 */
#include "base/snapshot-dir.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/snapshot-format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Whoever looks what is left over, or counts users, has a lock for some microseconds. */
#define LOCK_TRIES    20
#define LOCK_RETRY_US 5000

gboolean cvd_snapshot_dir_check_owner(const struct stat *st, const char *what, GError **error)
{
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return cvd_fail(error, CVD_ERROR_FOREIGN, "%s: belongs to uid %u; use one of your own",
                        what, st->st_uid);
    return (st->st_mode & (S_IWGRP | S_IWOTH)) == 0 ||
           cvd_fail(error, CVD_ERROR_FOREIGN,
                    "%s: others can write there; chmod go-w, if you trust what it has", what);
}

gboolean cvd_snapshot_dir_fail_none(const char *path, GError **error)
{
    return cvd_fail(error, CVD_ERROR_CLOSED,
                    "%s: there is no such snapshot; cvd-ctl snapshots shows all", path);
}

char *cvd_snapshot_format_stamp(const struct stat *st)
{
    return g_strdup_printf("%ju %ju %jd.%09ld %jd.%09ld", (guint64)st->st_size, (guint64)st->st_ino,
                           (gint64)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                           (gint64)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

/* ---- Locks ---- */

int cvd_snapshot_dir_lock(int dir_fd, int operation)
{
    for (guint i = 0; i < LOCK_TRIES; i++) {
        if (flock(dir_fd, operation | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK)
            return -1;
        g_usleep(LOCK_RETRY_US);
    }
    errno = EWOULDBLOCK;
    return -1;
}

/* Of a line in /proc/locks or /proc/self/fdinfo, what it says of the file. */
static gboolean parse_shared_lock(const char *line, char key[64])
{
    char type[16], kind[16], access[16];

    return sscanf(line, " %*d: %15s %15s %15s %*d %63s", type, kind, access, key) == 4 &&
           strcmp(type, "FLOCK") == 0 && strcmp(access, "READ") == 0;
}

/* How the kernel names the file, whose device is not always that of stat(2). */
static gboolean get_key(int dir_fd, char key[64])
{
    cvd_autofd fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", fd);
    g_autofree char *text = NULL;

    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) < 0 || !g_file_get_contents(path, &text, NULL, NULL))
        return FALSE;
    const char *lock = strstr(text, "lock:");
    return lock != NULL && parse_shared_lock(lock + strlen("lock:"), key);
}

/* Those in other pid namespaces are not to be seen. */
static int count_in_proc(const char *key)
{
    g_autofree char *text = NULL;
    char found[64];
    int n = 0;

    if (!g_file_get_contents("/proc/locks", &text, NULL, NULL))
        return 0;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++)
        n += parse_shared_lock(lines[i], found) && strcmp(found, key) == 0;
    return n;
}

int cvd_snapshot_dir_count_users(int dir_fd)
{
    cvd_autofd fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char key[64];

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    int n = get_key(dir_fd, key) ? count_in_proc(key) : 0;
    return n > 0 ? n : -1;
}

/* ---- Entries ---- */

gboolean cvd_snapshot_dir_is_temporary(const char *name)
{
    return name[0] == '.' &&
           (g_str_has_suffix(name, CVD_SNAPSHOT_NEW) || g_str_has_suffix(name, CVD_SNAPSHOT_OLD));
}

static gboolean is_known(const char *name)
{
    return cvd_snapshot_is_file(name) || strcmp(name, CVD_SNAPSHOT_METADATA) == 0 ||
           strcmp(name, CVD_SNAPSHOT_CHECKED) == 0 ||
           g_str_has_prefix(name, "." CVD_SNAPSHOT_CHECKED ".");
}

GPtrArray *cvd_snapshot_dir_list(int dir_fd)
{
    cvd_autofd fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (dir == NULL)
        return NULL;
    (void)g_steal_fd(&fd);
    GPtrArray *entries = g_ptr_array_new_with_free_func(g_free);
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            g_ptr_array_add(entries, g_strdup(entry->d_name));
    closedir(dir);
    return entries;
}

static gboolean is_dir(int dir_fd, const char *name)
{
    struct stat st;

    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

char *cvd_snapshot_dir_find_stranger(int dir_fd)
{
    g_autoptr(GPtrArray) entries = cvd_snapshot_dir_list(dir_fd);

    for (guint i = 0; entries != NULL && i < entries->len; i++) {
        const char *name = g_ptr_array_index(entries, i);
        if (!is_known(name) || is_dir(dir_fd, name))
            return g_strdup(name);
    }
    return NULL;
}

int cvd_snapshot_dir_empty(int dir_fd)
{
    g_autoptr(GPtrArray) entries = cvd_snapshot_dir_list(dir_fd);

    if (entries == NULL)
        return -1;
    for (guint i = 0; i < entries->len; i++) {
        const char *name = g_ptr_array_index(entries, i);
        if (is_known(name) && unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
            return -1;
    }
    return 0;
}

/* Returns: (transfer full) (nullable): what it is called now; `errno` set */
static char *rename_away(int parent_fd, const char *name)
{
    for (guint i = 0;; i++) {
        g_autofree char *old = g_strdup_printf("%s%s.%d-%u" CVD_SNAPSHOT_OLD,
                                               name[0] == '.' ? "" : ".", name, getpid(), i);
        if (renameat2(parent_fd, name, parent_fd, old, RENAME_NOREPLACE) == 0)
            return g_steal_pointer(&old);
        /* Where there is no RENAME_NOREPLACE it takes two of the same pid to meet. */
        if (errno == EINVAL && renameat(parent_fd, name, parent_fd, old) == 0)
            return g_steal_pointer(&old);
        if (errno != EEXIST && errno != ENOTEMPTY)
            return NULL;
    }
}

int cvd_snapshot_dir_remove(int parent_fd, const char *name, int dir_fd)
{
    g_autofree char *old =
        g_str_has_suffix(name, CVD_SNAPSHOT_OLD) ? g_strdup(name) : rename_away(parent_fd, name);

    return old != NULL && cvd_snapshot_dir_empty(dir_fd) == 0
               ? unlinkat(parent_fd, old, AT_REMOVEDIR)
               : -1;
}

static void clean_entry(int parent_fd, const char *name)
{
    cvd_autofd dir_fd =
        openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (dir_fd < 0 || fstat(dir_fd, &st) < 0 || st.st_uid != geteuid() ||
        flock(dir_fd, LOCK_EX | LOCK_NB) < 0 || !cvd_fd_is_at(dir_fd, parent_fd, name))
        return;
    g_autofree char *stranger = cvd_snapshot_dir_find_stranger(dir_fd);
    if (stranger == NULL)
        cvd_snapshot_dir_remove(parent_fd, name, dir_fd);
}

void cvd_snapshot_dir_clean(int parent_fd)
{
    g_autoptr(GPtrArray) entries = cvd_snapshot_dir_list(parent_fd);

    for (guint i = 0; entries != NULL && i < entries->len; i++) {
        const char *name = g_ptr_array_index(entries, i);
        if (cvd_snapshot_dir_is_temporary(name))
            clean_entry(parent_fd, name);
    }
}
