/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A named window is claimed by the lock of its path, which nobody else can open, and whose content
 * says which file was made for it. Where there is no such lock or record, as another environment
 * may put them elsewhere, flock says whether somebody has the window, though any client could hold
 * that lock. It is taken through a descriptor of it that is opened for that alone and never given
 * away. The lock belongs to the open file description: on the window's own descriptor, which QEMU
 * and the clients share, it would outlive a launcher that was killed and make its leftover look
 * alive. A record lock (F_SETLK) would belong to the process, but go as soon as that closes any
 * descriptor of the window: one that a client passed back, say. Who holds the lock is read from
 * /proc/locks.
 *
 * Names change hands only by those who hold the lock of the inode that the name stands for: who
 * finds a leftover locks it, looks again whether the name still means it, and unlinks it then. The
 * new inode is linked, locked already, where nothing is; if something is, all begins again.
 */
#include "server/shm-name.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/lock-file.h"
#include "vsoc/abi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* How often a name may be snatched away between finding it free and linking. */
#define LINK_ATTEMPTS 1000

struct CvdShmName {
    char *path;
    CvdPathLock *lock; /* (nullable) */
    int lock_fd;       /* of the object, for its flock */
    gboolean is_linked;
};

static gboolean fail(const CvdShmName *name, const char *call, GError **error)
{
    return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: %s", name->path, call);
}

/* Returns: 0 where it is not known */
static int find_holder(const struct stat *st)
{
    g_autofree char *locks = NULL;
    g_autofree char *file = g_strdup_printf(" %02x:%02x:%ju ", major(st->st_dev), minor(st->st_dev),
                                            (guint64)st->st_ino);
    int pid;

    if (!g_file_get_contents("/proc/locks", &locks, NULL, NULL))
        return 0;
    g_auto(GStrv) lines = g_strsplit(locks, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (strstr(*line, file) != NULL && sscanf(*line, "%*s FLOCK %*s %*s %d", &pid) == 1)
            return pid;
    return 0;
}

static gboolean set_busy_error(GError **error, const char *path, int pid)
{
    g_autofree char *who =
        pid > 0 ? g_strdup_printf("process %d", pid) : g_strdup("another process");

    return cvd_fail(error, CVD_ERROR_BUSY,
                    "%s: in use by %s; stop it or choose another window.path", path, who);
}

static gboolean check_is_ours(const char *path, const struct stat *st, GError **error)
{
    if (!S_ISREG(st->st_mode))
        return cvd_fail(error, CVD_ERROR_FOREIGN,
                        "%s: exists and is not a regular file; remove it or choose another "
                        "window.path",
                        path);
    if (st->st_uid != geteuid())
        return cvd_fail(
            error, CVD_ERROR_FOREIGN,
            "%s: owned by uid %u, not by uid %u; remove it or choose another window.path", path,
            (unsigned)st->st_uid, (unsigned)geteuid());
    return TRUE;
}

/* What distinguishes a file from all others, also from one that gets its inode number later. */
static char *make_note(int fd)
{
    struct statx stx;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &stx) < 0)
        return g_strdup("-");
    gint64 birth = (stx.stx_mask & STATX_BTIME) != 0 ? stx.stx_btime.tv_sec : 0;
    return g_strdup_printf("%x:%x:%ju:%jd", stx.stx_dev_major, stx.stx_dev_minor,
                           (guint64)stx.stx_ino, birth);
}

static gboolean is_recorded(const CvdShmName *name, int fd)
{
    g_autofree char *note = make_note(fd);

    return name->lock != NULL && cvd_path_lock_had_note(name->lock, note);
}

static gboolean begins_as_window(int fd, const struct stat *st)
{
    struct vsoc_shm_layout_descriptor header;

    return pread(fd, &header, sizeof header, 0) == sizeof header &&
           GUINT16_FROM_LE(header.major_version) == VSOC_LAYOUT_MAJOR_VERSION &&
           GUINT16_FROM_LE(header.minor_version) == VSOC_LAYOUT_MINOR_VERSION &&
           GUINT32_FROM_LE(header.size) == (guint64)st->st_size && header.region_count != 0;
}

static gboolean lock_window(const char *path, int fd, const struct stat *st, GError **error)
{
    if (!begins_as_window(fd, st))
        return cvd_fail(
            error, CVD_ERROR_FOREIGN,
            "%s: exists and is no window that a launcher left behind; move it elsewhere or "
            "choose another window.path",
            path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return TRUE;
    if (errno == EWOULDBLOCK)
        return set_busy_error(error, path, find_holder(st));
    return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: flock", path);
}

/*
 * Opens what has the name, with the lock of it. @leftover stays −1 when the name is free, or got
 * another meaning meanwhile.
 */
static gboolean lock_leftover(const CvdShmName *name, int *leftover, GError **error)
{
    const char *path = name->path;
    struct stat st, st_now;

    if (lstat(path, &st) < 0) {
        if (errno == ENOENT)
            return TRUE;
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot be examined", path);
    }
    if (!check_is_ours(path, &st, error))
        return FALSE;
    cvd_autofd fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st_now) < 0) {
        if (errno == ENOENT)
            return TRUE;
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                                   "%s: cannot be opened; remove it or choose another window.path",
                                   path);
    }
    if (st_now.st_dev != st.st_dev || st_now.st_ino != st.st_ino)
        return TRUE;
    if (!is_recorded(name, fd) && !lock_window(path, fd, &st, error))
        return FALSE;
    *leftover = g_steal_fd(&fd);
    return TRUE;
}

static gboolean remove_leftover(const char *path, int leftover, GError **error)
{
    if (!cvd_fd_is_at(leftover, AT_FDCWD, path))
        return TRUE;
    if (unlink(path) < 0 && errno != ENOENT)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot remove the leftover",
                                   path);
    g_message("%s: replaced the leftover of a launcher that is gone", path);
    return TRUE;
}

/* The leftover's lock is held until the new inode has its name: who comes meanwhile sees us. */
gboolean cvd_shm_name_link(CvdShmName *name, int fd, GError **error)
{
    g_autofree char *source = g_strdup_printf("/proc/self/fd/%d", fd);

    for (guint i = 0; i < LINK_ATTEMPTS; i++) {
        cvd_autofd leftover = -1;
        if (!lock_leftover(name, &leftover, error) || !remove_leftover(name->path, leftover, error))
            return FALSE;
        if (linkat(AT_FDCWD, source, AT_FDCWD, name->path, AT_SYMLINK_FOLLOW) == 0) {
            name->is_linked = TRUE;
            return TRUE;
        }
        if (errno != EEXIST)
            return fail(name, "cannot get its name (linkat)", error);
    }
    return cvd_fail(error, CVD_ERROR_BUSY, "%s: others keep making this name", name->path);
}

static int open_unnamed(const char *path, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(path);
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        int saved_errno = errno;
        gboolean is_unable = saved_errno == EOPNOTSUPP || saved_errno == EISDIR;
        cvd_set_error_errno(error, CVD_ERROR_FAILED, saved_errno,
                            is_unable ? "%s: the file system of %s has no unnamed files "
                                        "(O_TMPFILE); use one that has, such as /dev/shm"
                                      : "%s: cannot make a file in %s",
                            path, directory);
    }
    return fd;
}

static gboolean claim(CvdShmName *name, int fd, GError **error)
{
    g_autofree char *source = g_strdup_printf("/proc/self/fd/%d", fd);

    if (fchmod(fd, 0600) < 0)
        return fail(name, "fchmod", error);
    name->lock_fd = open(source, O_RDONLY | O_CLOEXEC);
    if (name->lock_fd < 0)
        return fail(name, "cannot open it once more (is /proc mounted?)", error);
    if (flock(name->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return fail(name, "flock", error);
    g_autofree char *note = make_note(fd);
    return name->lock == NULL || cvd_path_lock_set_note(name->lock, note, error);
}

CvdShmName *cvd_shm_name_new(const char *path, const char *lock_dir, int *fd, GError **error)
{
    g_autoptr(CvdShmName) name = g_new0(CvdShmName, 1);
    cvd_autofd leftover = -1;

    name->path = g_strdup(path);
    name->lock_fd = -1;
    if (lock_dir != NULL) {
        name->lock = cvd_path_lock_new(lock_dir, path, error);
        if (name->lock == NULL)
            return NULL;
    }
    /* Early, so that a taken name is reported rather than a lack of space; and a leftover found now
     * is kept locked, so that of several launchers the first to find it has it. */
    if (!lock_leftover(name, &leftover, error))
        return NULL;
    cvd_autofd unnamed = open_unnamed(path, error);
    if (unnamed < 0 || !claim(name, unnamed, error))
        return NULL;
    *fd = g_steal_fd(&unnamed);
    return g_steal_pointer(&name);
}

void cvd_shm_name_free(CvdShmName *name)
{
    if (name->is_linked && cvd_fd_is_at(name->lock_fd, AT_FDCWD, name->path))
        unlink(name->path);
    cvd_close_fd(&name->lock_fd);
    g_clear_pointer(&name->lock, cvd_path_lock_free);
    g_free(name->path);
    g_free(name);
}
