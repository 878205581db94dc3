/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lock-file.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pid and a note. */
#define MAX_CONTENT 8192

struct CvdPathLock {
    char *file;
    int fd;
    char *old_note;
};

int cvd_lock_file_take(int dir_fd, const char *name, pid_t *holder)
{
    *holder = 0;
    for (;;) {
        cvd_autofd fd =
            openat(dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        struct stat st;
        if (fd < 0)
            return -1;
        if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
            errno = EINVAL;
            return -1;
        }
        fchmod(fd, 0600); /* whatever the umask is */
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            int saved_errno = errno;
            if (errno == EWOULDBLOCK)
                *holder = cvd_lock_file_read_pid(fd);
            else
                unlinkat(dir_fd, name, 0); /* nobody can hold it here */
            errno = saved_errno;
            return -1;
        }
        /* The holder unlinks it before it unlocks it. */
        if (cvd_fd_is_at(fd, dir_fd, name))
            return g_steal_fd(&fd);
    }
}

static gboolean read_content(int fd, char text[MAX_CONTENT])
{
    gssize n = pread(fd, text, MAX_CONTENT - 1, 0);

    text[MAX(n, 0)] = '\0';
    return n > 0;
}

pid_t cvd_lock_file_read_pid(int fd)
{
    char text[MAX_CONTENT];
    int saved_errno = errno;

    pid_t pid = read_content(fd, text) ? (pid_t)g_ascii_strtoll(text, NULL, 10) : 0;
    errno = saved_errno;
    return MAX(pid, 0);
}

char *cvd_lock_file_read_note(int fd)
{
    char text[MAX_CONTENT];
    const char *end_of_pid = read_content(fd, text) ? strchr(text, '\n') : NULL;

    return g_strchomp(g_strdup(end_of_pid != NULL ? end_of_pid + 1 : ""));
}

int cvd_lock_file_write(int fd, const char *note)
{
    g_autofree char *text =
        g_strdup_printf("%d\n%s%s", getpid(), note != NULL ? note : "", note != NULL ? "\n" : "");
    gssize size = (gssize)strlen(text);

    g_assert(size < MAX_CONTENT);
    if (ftruncate(fd, 0) < 0)
        return -1;
    gssize n = pwrite(fd, text, (gsize)size, 0);
    if (n >= 0 && n < size)
        errno = ENOSPC;
    return n == size ? 0 : -1;
}

/* However the path is written. */
static char *make_name(const char *path, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    struct stat st;

    if (stat(directory, &st) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot open the directory %s",
                            path, directory);
        return NULL;
    }
    g_autofree char *key =
        g_strdup_printf("%ju:%ju/%s", (guint64)st.st_dev, (guint64)st.st_ino, name);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, key, -1);
    return g_strdup_printf(".%.32s.lock", sum);
}

static void set_error(const char *file, const char *path, pid_t holder, GError **error)
{
    int saved_errno = errno;
    g_autofree char *who =
        holder > 0 ? g_strdup_printf("process %d", holder) : g_strdup("another process");

    if (saved_errno == EWOULDBLOCK)
        g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY,
                    "%s: in use by %s; stop it or choose another path", path, who);
    else
        cvd_set_error_errno(error, CVD_ERROR_FAILED, saved_errno,
                            "%s: cannot lock %s; set XDG_RUNTIME_DIR to a directory whose file "
                            "system has locks and space",
                            path, file);
}

CvdPathLock *cvd_path_lock_new(const char *dir, const char *path, GError **error)
{
    g_autofree char *name = make_name(path, error);
    pid_t holder;

    if (name == NULL)
        return NULL;
    g_autoptr(CvdPathLock) lock = g_new0(CvdPathLock, 1);
    lock->file = g_build_filename(dir, name, NULL);
    lock->fd = cvd_lock_file_take(AT_FDCWD, lock->file, &holder);
    if (lock->fd < 0) {
        set_error(lock->file, path, holder, error);
        return NULL;
    }
    lock->old_note = cvd_lock_file_read_note(lock->fd);
    return cvd_path_lock_set_note(lock, lock->old_note, error) ? g_steal_pointer(&lock) : NULL;
}

void cvd_path_lock_free(CvdPathLock *lock)
{
    if (lock->fd >= 0 && cvd_fd_is_at(lock->fd, AT_FDCWD, lock->file))
        unlink(lock->file);
    cvd_close_fd(&lock->fd);
    g_free(lock->file);
    g_free(lock->old_note);
    g_free(lock);
}

gboolean cvd_path_lock_set_note(CvdPathLock *lock, const char *note, GError **error)
{
    if (cvd_lock_file_write(lock->fd, note) == 0)
        return TRUE;
    return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot write", lock->file);
}

gboolean cvd_path_lock_had_note(const CvdPathLock *lock, const char *note)
{
    return strcmp(lock->old_note, note) == 0;
}
