/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A named window is claimed with a record lock (F_SETLK) on its inode. Such a lock belongs to the
 * process that took it. flock would belong to the open file description, which QEMU and the clients
 * share once they have been given the descriptor: it would outlive a launcher that was killed and
 * make its leftover look alive. A record lock also tells its holder's pid. Its weakness is that it
 * goes when the process closes any descriptor of the inode; so nothing here opens a window that
 * this process holds itself (own_names).
 *
 * Names change hands only by those who hold the lock of the inode that the name stands for: who
 * finds a leftover locks it, looks again whether the name still means it, and unlinks it then. The
 * new inode is linked, locked already, where nothing is; if something is, all begins again.
 */
#include "server/shm-name.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often a name may be snatched away between finding it free and linking. */
#define LINK_ATTEMPTS 1000

struct CvdShmName {
    char *path;
    dev_t device;
    ino_t inode;
    gboolean is_linked;
};

/* The names of this process. */
static GSList *own_names;

static gboolean fail(const CvdShmName *name, const char *call, GError **error)
{
    cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: %s", name->path, call);
    return FALSE;
}

static gboolean is_own(const struct stat *st)
{
    for (GSList *l = own_names; l != NULL; l = l->next) {
        const CvdShmName *other = l->data;
        if (other->device == st->st_dev && other->inode == st->st_ino)
            return TRUE;
    }
    return FALSE;
}

static gboolean set_busy_error(GError **error, const char *path, pid_t pid)
{
    g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY,
                "%s: in use by process %d; stop it or choose another window.path", path, (int)pid);
    return FALSE;
}

static gboolean check_is_ours(const char *path, const struct stat *st, GError **error)
{
    if (!S_ISREG(st->st_mode)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                    "%s: exists and is not a regular file; remove it or choose another "
                    "window.path",
                    path);
        return FALSE;
    }
    if (st->st_uid != geteuid()) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                    "%s: owned by uid %u, not by uid %u; remove it or choose another window.path",
                    path, (unsigned)st->st_uid, (unsigned)geteuid());
        return FALSE;
    }
    return TRUE;
}

/*
 * Opens what has the name, with the lock of it. @leftover stays −1 when the name is free, or got
 * another meaning meanwhile.
 */
static gboolean lock_leftover(const char *path, int *leftover, GError **error)
{
    struct stat st, st_now;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (lstat(path, &st) < 0) {
        if (errno == ENOENT)
            return TRUE;
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot be examined", path);
        return FALSE;
    }
    if (!check_is_ours(path, &st, error))
        return FALSE;
    if (is_own(&st))
        return set_busy_error(error, path, getpid());
    cvd_autofd fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st_now) < 0) {
        if (errno == ENOENT)
            return TRUE;
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                            "%s: cannot be opened; remove it or choose another window.path", path);
        return FALSE;
    }
    if (st_now.st_dev != st.st_dev || st_now.st_ino != st.st_ino)
        return TRUE;
    while (fcntl(fd, F_SETLK, &lock) < 0) {
        if (errno != EAGAIN && errno != EACCES) {
            cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: F_SETLK", path);
            return FALSE;
        }
        struct flock holder = lock;
        if (fcntl(fd, F_GETLK, &holder) == 0 && holder.l_type != F_UNLCK)
            return set_busy_error(error, path, holder.l_pid);
    }
    *leftover = g_steal_fd(&fd);
    return TRUE;
}

static gboolean names_inode(const char *path, dev_t device, ino_t inode)
{
    struct stat st;

    return lstat(path, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static gboolean remove_leftover(const char *path, int leftover, GError **error)
{
    struct stat st;

    if (leftover < 0 || fstat(leftover, &st) < 0 || !names_inode(path, st.st_dev, st.st_ino))
        return TRUE;
    if (unlink(path) < 0 && errno != ENOENT) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot remove the leftover", path);
        return FALSE;
    }
    g_message("%s: replaced the leftover of a launcher that is gone", path);
    return TRUE;
}

/* The leftover's lock is held until the new inode has its name: who comes meanwhile sees us. */
gboolean cvd_shm_name_link(CvdShmName *name, int fd, GError **error)
{
    g_autofree char *source = g_strdup_printf("/proc/self/fd/%d", fd);

    for (guint i = 0; i < LINK_ATTEMPTS; i++) {
        cvd_autofd leftover = -1;
        if (!lock_leftover(name->path, &leftover, error) ||
            !remove_leftover(name->path, leftover, error))
            return FALSE;
        if (linkat(AT_FDCWD, source, AT_FDCWD, name->path, AT_SYMLINK_FOLLOW) == 0) {
            name->is_linked = TRUE;
            return TRUE;
        }
        if (errno != EEXIST)
            return fail(name, "cannot get its name (linkat)", error);
    }
    g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY, "%s: others keep making this name", name->path);
    return FALSE;
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
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;

    if (fchmod(fd, 0600) < 0)
        return fail(name, "fchmod", error);
    if (fstat(fd, &st) < 0)
        return fail(name, "fstat", error);
    if (fcntl(fd, F_SETLK, &lock) < 0)
        return fail(name, "F_SETLK", error);
    name->device = st.st_dev;
    name->inode = st.st_ino;
    own_names = g_slist_prepend(own_names, name);
    return TRUE;
}

CvdShmName *cvd_shm_name_new(const char *path, int *fd, GError **error)
{
    g_autoptr(CvdShmName) name = g_new0(CvdShmName, 1);
    cvd_autofd leftover = -1;

    name->path = g_strdup(path);
    /* Early, so that a taken name is told rather than a lack of space; and a leftover found now is
     * kept locked, so that of several launchers the first to find it has it. */
    if (!lock_leftover(path, &leftover, error))
        return NULL;
    cvd_autofd unnamed = open_unnamed(path, error);
    if (unnamed < 0 || !claim(name, unnamed, error))
        return NULL;
    *fd = g_steal_fd(&unnamed);
    return g_steal_pointer(&name);
}

void cvd_shm_name_free(CvdShmName *name)
{
    if (name->is_linked && names_inode(name->path, name->device, name->inode))
        unlink(name->path);
    own_names = g_slist_remove(own_names, name);
    g_free(name->path);
    g_free(name);
}
