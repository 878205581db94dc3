/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket is bound under the path that it is to have, as that is the name which ss(8) shows and by
 * which systemd-tmpfiles(8) recognises that it is in use. Between bind and listen it refuses
 * connections; no call does both, and none lets a socket listen that has no address. So it is bound
 * with the mode 0, which lets nobody in, and gets its mode when it listens: a socket with any
 * permission accepts. Root, whom no mode keeps out, is refused meanwhile, as by a leftover.
 *
 * The directory is not locked, as anybody may lock a directory that he can read. Of two servers of
 * one user that find the same leftover the lock of the path, in a directory of that user's alone,
 * decides which one replaces it.
 */
#include "server/listener.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/lock-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define MAX_PATH_LENGTH (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)
/* How often others may be faster. */
#define MAX_ATTEMPTS 100
/* Who comes last waits for all that came before: those of a flood, which have left again by the
 * time of their turn, take us some 40 us each. */
#define BACKLOG 512

struct CvdListener {
    char *path;
    int fd;
    int path_fd; /* what was made at the path; −1 before */
    CvdPathLock *lock;
};

/* What is at a path. */
typedef enum {
    NAME_FREE,
    NAME_LEFTOVER, /* a socket that refuses connections */
    NAME_TAKEN,    /* the error says by whom */
} NameState;

typedef enum {
    ATTEMPT_DONE,
    ATTEMPT_AGAIN, /* others were faster */
    ATTEMPT_FAILED,
} AttemptResult;

gboolean cvd_listener_path_check(const char *path, GError **error)
{
    gsize length = strlen(path);

    if (length == 0 || path[length - 1] == '/')
        return cvd_fail(error, CVD_ERROR_INVALID, "socket path '%s': has no file name", path);
    if (length > MAX_PATH_LENGTH)
        return cvd_fail(
            error, CVD_ERROR_INVALID,
            "%s: %zu bytes are too long for a socket path; at most %zu are possible; use a "
            "shorter directory",
            path, length, MAX_PATH_LENGTH);
    return TRUE;
}

/* Whatever the length of its path, the object is reached through its descriptor. */
static int connect_to(int path_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cvd_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", path_fd);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return 0;
    return errno;
}

/* Whether there is a socket that was bound under this name, even if it does not listen yet. */
static gboolean is_bound(const char *path)
{
    g_autofree char *sockets = NULL;
    g_autofree char *end_of_line = g_strdup_printf(" %s\n", path);

    return g_file_get_contents("/proc/net/unix", &sockets, NULL, NULL) &&
           strstr(sockets, end_of_line) != NULL;
}

/* A non-blocking connect to a listener succeeds, or says EAGAIN when its backlog is full. */
static NameState probe(const char *path, int path_fd, const struct stat *st, GError **error)
{
    gboolean has_mode = (st->st_mode & 0777) != 0;
    int code = connect_to(path_fd);

    if (code == ECONNREFUSED || (code == EACCES && !has_mode)) {
        if (has_mode || !is_bound(path))
            return NAME_LEFTOVER;
        code = EAGAIN;
    }
    if (code == 0 || code == EAGAIN || code == EPROTOTYPE)
        g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY,
                    "%s: a live server listens there; stop it or choose another path", path);
    else
        cvd_set_error_errno(error, CVD_ERROR_FOREIGN, code,
                            "%s: a socket is there and cannot be examined; remove it or choose "
                            "another path%s",
                            path, code == ENOENT ? " (is /proc mounted?)" : "");
    return NAME_TAKEN;
}

/* @path_fd: (out): what is there, which keeps its inode number from being used again */
static NameState examine(const char *path, int *path_fd, GError **error)
{
    struct stat st;

    *path_fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (*path_fd < 0 && errno == ENOENT)
        return NAME_FREE;
    if (*path_fd < 0 || fstat(*path_fd, &st) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot look at it", path);
        return NAME_TAKEN;
    }
    if (!S_ISSOCK(st.st_mode)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                    "%s: exists and is not a socket; remove it or choose another path", path);
        return NAME_TAKEN;
    }
    return probe(path, *path_fd, &st, error);
}

static AttemptResult fail(const CvdListener *listener, const char *what, GError **error)
{
    cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: %s", listener->path, what);
    return ATTEMPT_FAILED;
}

static AttemptResult remove_leftover(const CvdListener *listener, int leftover_fd, GError **error)
{
    if (!cvd_fd_is_at(leftover_fd, AT_FDCWD, listener->path))
        return ATTEMPT_AGAIN;
    if (unlink(listener->path) < 0 && errno != ENOENT)
        return fail(listener, "cannot remove the leftover", error);
    g_message("%s: replaced the leftover of a server that is gone", listener->path);
    return ATTEMPT_AGAIN;
}

/*
 * No peer of ours has a descriptor to pass, and closing a hostile one may take any time: that of a
 * socket which lingers, or of a file whose file system is a process. So they are refused where they
 * are sent, by kernels that can (Linux 6.16). Connections inherit it.
 */
static void refuse_descriptors(int fd)
{
    const int no = 0;

    setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof no);
}

/* The socket has its name, and is to listen: then it gets its mode, whatever the umask is. */
static AttemptResult start_listening(CvdListener *listener, mode_t mode, GError **error)
{
    listener->path_fd = open(listener->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (listener->path_fd < 0 && errno == ENOENT)
        return ATTEMPT_AGAIN;
    if (listener->path_fd < 0) {
        fail(listener, "cannot look at it", error);
        /* Makes room for the descriptor by which the name is removed. */
        cvd_close_fd(&listener->fd);
        listener->path_fd = open(listener->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        return ATTEMPT_FAILED;
    }

    g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", listener->path_fd);
    if (listen(listener->fd, BACKLOG) < 0)
        return fail(listener, "cannot listen", error);
    if (chmod(self, mode) < 0)
        return fail(listener,
                    errno == ENOENT ? "cannot set its mode (is /proc mounted?)"
                                    : "cannot set its mode",
                    error);
    return cvd_fd_is_at(listener->path_fd, AT_FDCWD, listener->path) ? ATTEMPT_DONE : ATTEMPT_AGAIN;
}

static AttemptResult attempt(CvdListener *listener, mode_t mode, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cvd_autofd there = -1;

    switch (examine(listener->path, &there, error)) {
    case NAME_TAKEN:
        return ATTEMPT_FAILED;
    case NAME_LEFTOVER:
        return remove_leftover(listener, there, error);
    case NAME_FREE:
        break;
    }
    cvd_close_fd(&listener->fd);
    cvd_close_fd(&listener->path_fd);
    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0)
        return fail(listener, "socket", error);
    refuse_descriptors(listener->fd);
    g_strlcpy(address.sun_path, listener->path, sizeof address.sun_path);
    /* The name gets the socket's mode. */
    if (fchmod(listener->fd, 0) < 0)
        return fail(listener, "fchmod", error);
    if (bind(listener->fd, (struct sockaddr *)&address, sizeof address) < 0)
        return errno == EADDRINUSE ? ATTEMPT_AGAIN
                                   : fail(listener, "cannot make the socket", error);
    return start_listening(listener, mode, error);
}

static gboolean needs_lock(const char *path, const char *lock_dir)
{
    g_autofree char *inside = g_strconcat(lock_dir, "/", NULL);

    return lock_dir != NULL && !g_str_has_prefix(path, inside);
}

CvdListener *cvd_listener_new(const char *path, mode_t mode, const char *lock_dir, GError **error)
{
    if (!cvd_listener_path_check(path, error))
        return NULL;

    g_autoptr(CvdListener) listener = g_new0(CvdListener, 1);
    listener->path = g_strdup(path);
    listener->fd = listener->path_fd = -1;
    if (needs_lock(path, lock_dir)) {
        listener->lock = cvd_path_lock_new(lock_dir, path, error);
        if (listener->lock == NULL)
            return NULL;
    }
    for (guint i = 0; i < MAX_ATTEMPTS; i++) {
        switch (attempt(listener, mode, error)) {
        case ATTEMPT_DONE:
            return g_steal_pointer(&listener);
        case ATTEMPT_AGAIN:
            break;
        case ATTEMPT_FAILED:
            return NULL;
        }
    }
    g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY, "%s: others keep making this name", path);
    return NULL;
}

/* Somebody may have renamed the directory meanwhile. While the socket still listens nobody takes it
 * for a leftover, so the name cannot change hands between the two calls. */
static void remove_name(const CvdListener *listener)
{
    g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", listener->path_fd);
    g_autofree char *path = g_file_read_link(self, NULL);
    const char *name = strrchr(listener->path, '/');

    if (cvd_fd_is_at(listener->path_fd, AT_FDCWD, listener->path))
        unlink(listener->path);
    else if (path != NULL && name != NULL && g_str_has_suffix(path, name) &&
             cvd_fd_is_at(listener->path_fd, AT_FDCWD, path))
        unlink(path);
}

void cvd_listener_free(CvdListener *listener)
{
    if (listener == NULL)
        return;
    if (listener->path_fd >= 0)
        remove_name(listener);
    cvd_close_fd(&listener->path_fd);
    cvd_close_fd(&listener->fd);
    g_clear_pointer(&listener->lock, cvd_path_lock_free);
    g_free(listener->path);
    g_free(listener);
}

int cvd_listener_get_fd(const CvdListener *listener)
{
    return listener->fd;
}
