/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket appears at its path by rename, when it already has its mode and listens. All of it
 * happens relative to one descriptor of the directory, which is locked meanwhile, so that of two
 * servers that find the same leftover only one replaces it. The temporary name is bound through
 * /proc/self/fd: it then costs nothing of the 107 bytes that a path may have.
 */
#include "server/listener.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define MAX_PATH_LENGTH (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)
/* Bytes of the name that go into the temporary one, which must fit behind /proc/self/fd. Two names
 * with one stem do no harm, as the directory is locked; what a killed launcher left is removed. */
#define TEMP_NAME_STEM 60
/* The lock is held for a few system calls by anyone who keeps to the rules. */
#define LOCK_ATTEMPTS   200
#define LOCK_PAUSE_MS   10
#define RENAME_ATTEMPTS 100
/* Who comes last waits for all that came before: those of a flood, which have left again by the
 * time of their turn, take us some 40 us each. */
#define BACKLOG 512

struct CvdListener {
    char *path;
    int fd;
    gboolean is_linked;
    dev_t device;
    ino_t inode;
};

/* What a name in the directory turned out to be. */
typedef enum {
    NAME_FREE,
    NAME_LEFTOVER, /* a socket that refuses connections */
    NAME_TAKEN,    /* the error says by whom */
} NameState;

/* One attempt to make a listener: the locked directory and the names in it. */
typedef struct {
    const char *path;
    int directory;
    char *name;
    char *temp_name;
    gboolean has_temp;
} Attempt;

static void attempt_clear(Attempt *attempt)
{
    if (attempt->has_temp)
        unlinkat(attempt->directory, attempt->temp_name, 0);
    cvd_close_fd(&attempt->directory);
    g_free(attempt->name);
    g_free(attempt->temp_name);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Attempt, attempt_clear)

gboolean cvd_listener_path_check(const char *path, GError **error)
{
    gsize length = strlen(path);

    if (length == 0 || path[length - 1] == '/') {
        g_set_error(error, CVD_ERROR, CVD_ERROR_INVALID, "socket path '%s': has no file name",
                    path);
        return FALSE;
    }
    if (length > MAX_PATH_LENGTH) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_INVALID,
                    "%s: %" G_GSIZE_FORMAT " bytes are too long for a socket path; at most "
                    "%" G_GSIZE_FORMAT " are possible; use a shorter directory",
                    path, length, MAX_PATH_LENGTH);
        return FALSE;
    }
    return TRUE;
}

/* The path itself fits, as it was checked; a name that is long takes too much room behind /proc. */
static void set_address(struct sockaddr_un *address, const Attempt *attempt, gboolean is_temp)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (is_temp)
        g_snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s",
                   attempt->directory, attempt->temp_name);
    else
        g_strlcpy(address->sun_path, attempt->path, sizeof address->sun_path);
}

static gboolean lock_directory(int directory, const char *path, GError **error)
{
    for (guint i = 0; i < LOCK_ATTEMPTS; i++) {
        if (flock(directory, LOCK_EX | LOCK_NB) == 0)
            return TRUE;
        if (errno != EWOULDBLOCK && errno != EINTR) {
            cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot lock the directory",
                                path);
            return FALSE;
        }
        poll(NULL, 0, LOCK_PAUSE_MS);
    }
    g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY,
                "%s: another program keeps the directory locked; stop it or choose another "
                "directory",
                path);
    return FALSE;
}

static gboolean open_directory(const char *path, int *directory, GError **error)
{
    g_autofree char *parent = g_path_get_dirname(path);
    cvd_autofd fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot open the directory %s",
                            path, parent);
        return FALSE;
    }
    if (!lock_directory(fd, parent, error))
        return FALSE;
    *directory = g_steal_fd(&fd);
    return TRUE;
}

/* A non-blocking connect to a listener succeeds, or says EAGAIN when its backlog is full. */
static NameState probe(const Attempt *attempt, gboolean is_temp, GError **error)
{
    struct sockaddr_un address;
    cvd_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: socket", attempt->path);
        return NAME_TAKEN;
    }
    set_address(&address, attempt, is_temp);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        errno = 0;
    switch (errno) {
    case ECONNREFUSED:
        return NAME_LEFTOVER;
    case ENOENT:
        return NAME_FREE;
    case 0:
    case EAGAIN:
    case EPROTOTYPE:
        g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY,
                    "%s: a live server listens there; stop it or choose another path",
                    attempt->path);
        return NAME_TAKEN;
    default:
        cvd_set_error_errno(error, CVD_ERROR_FOREIGN, errno,
                            "%s: a socket is there and cannot be examined; remove it or choose "
                            "another path",
                            attempt->path);
        return NAME_TAKEN;
    }
}

static NameState examine(const Attempt *attempt, gboolean is_temp, GError **error)
{
    const char *name = is_temp ? attempt->temp_name : attempt->name;
    struct stat st;

    if (fstatat(attempt->directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT)
            return NAME_FREE;
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot look at %s", attempt->path,
                            name);
        return NAME_TAKEN;
    }
    if (!S_ISSOCK(st.st_mode)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                    "%s: %s exists and is not a socket; remove it or choose another path",
                    attempt->path, name);
        return NAME_TAKEN;
    }
    return probe(attempt, is_temp, error);
}

static gboolean remove_stale_temp(const Attempt *attempt, GError **error)
{
    switch (examine(attempt, TRUE, error)) {
    case NAME_TAKEN:
        return FALSE;
    case NAME_FREE:
        return TRUE;
    case NAME_LEFTOVER:
        break;
    }
    if (unlinkat(attempt->directory, attempt->temp_name, 0) < 0 && errno != ENOENT) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot remove the leftover %s",
                            attempt->path, attempt->temp_name);
        return FALSE;
    }
    return TRUE;
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

/* The mode is set twice: on the socket, so that the name is never wider than it, and on the name,
 * as bind applies the umask. A connection before listen is refused. */
static gboolean bind_temp(CvdListener *listener, Attempt *attempt, mode_t mode, GError **error)
{
    struct sockaddr_un address;
    struct stat st;

    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: socket", attempt->path);
        return FALSE;
    }
    refuse_descriptors(listener->fd);
    set_address(&address, attempt, TRUE);
    if (fchmod(listener->fd, mode) < 0 ||
        bind(listener->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot make the socket%s",
                            attempt->path, errno == ENOENT ? " (is /proc mounted?)" : "");
        return FALSE;
    }
    attempt->has_temp = TRUE;
    if (fchmodat(attempt->directory, attempt->temp_name, mode, 0) < 0 ||
        fstatat(attempt->directory, attempt->temp_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        listen(listener->fd, BACKLOG) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot listen", attempt->path);
        return FALSE;
    }
    listener->device = st.st_dev;
    listener->inode = st.st_ino;
    return TRUE;
}

/* Only a leftover may be replaced; a name that was free must still be so. */
static gboolean move_into_place(Attempt *attempt, GError **error)
{
    for (guint i = 0; i < RENAME_ATTEMPTS; i++) {
        NameState state = examine(attempt, FALSE, error);
        if (state == NAME_TAKEN)
            return FALSE;
        if (renameat2(attempt->directory, attempt->temp_name, attempt->directory, attempt->name,
                      state == NAME_FREE ? RENAME_NOREPLACE : 0) == 0) {
            attempt->has_temp = FALSE;
            if (state == NAME_LEFTOVER)
                g_message("%s: replaced the leftover of a server that is gone", attempt->path);
            return TRUE;
        }
        if (errno != EEXIST) {
            cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                                "%s: cannot move the socket into place", attempt->path);
            return FALSE;
        }
    }
    g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY, "%s: others keep making this name",
                attempt->path);
    return FALSE;
}

CvdListener *cvd_listener_new(const char *path, mode_t mode, GError **error)
{
    if (!cvd_listener_path_check(path, error))
        return NULL;

    g_auto(Attempt) attempt = {.path = path, .directory = -1};
    attempt.name = g_path_get_basename(path);
    attempt.temp_name = g_strdup_printf(".%.*s.new", TEMP_NAME_STEM, attempt.name);
    if (!open_directory(path, &attempt.directory, error))
        return NULL;
    /* Early, so that a taken name is told before anything is made. */
    if (examine(&attempt, FALSE, error) == NAME_TAKEN || !remove_stale_temp(&attempt, error))
        return NULL;

    g_autoptr(CvdListener) listener = g_new0(CvdListener, 1);
    listener->path = g_strdup(path);
    listener->fd = -1;
    if (!bind_temp(listener, &attempt, mode, error) || !move_into_place(&attempt, error))
        return NULL;
    listener->is_linked = TRUE;
    return g_steal_pointer(&listener);
}

void cvd_listener_free(CvdListener *listener)
{
    struct stat st;

    if (listener == NULL)
        return;
    /* While the socket still listens nobody takes it for a leftover, so the name cannot change
     * hands between the two calls. */
    if (listener->is_linked && lstat(listener->path, &st) == 0 && st.st_dev == listener->device &&
        st.st_ino == listener->inode)
        unlink(listener->path);
    cvd_close_fd(&listener->fd);
    g_free(listener->path);
    g_free(listener);
}

int cvd_listener_get_fd(const CvdListener *listener)
{
    return listener->fd;
}

const char *cvd_listener_get_path(const CvdListener *listener)
{
    return listener->path;
}
