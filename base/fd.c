/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

/* A peer may attach more descriptors than we expect; what does not fit here the kernel closes. */
#define CONTROL_FDS 16
/* What a launcher and a QEMU need apart from two doorbells a region: docs/lifecycle.md, Start */
#define FDS_BESIDE_DOORBELLS 64

void cvd_close_fd(int *fd)
{
    int saved_errno = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved_errno;
}

gboolean cvd_fd_is_at(int fd, int dir_fd, const char *path)
{
    struct stat ours, at_path;

    return fstat(fd, &ours) == 0 && fstatat(dir_fd, path, &at_path, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == at_path.st_dev && ours.st_ino == at_path.st_ino;
}

int cvd_fd_reopen_nonblocking(int fd, int flags)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    struct stat info;
    int reopened = -1;

    /* Writers of a file share its offset: with one of our own we would write over theirs. */
    if (fstat(fd, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISSOCK(info.st_mode))
        reopened = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return reopened >= 0 ? reopened : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* For what was not ours to open, and so blocks: the terminal of another user, say. */
static gboolean is_ready(int fd, short events)
{
    struct pollfd ready = {.fd = fd, .events = events};

    if (poll(&ready, 1, 0) != 0)
        return TRUE;
    errno = EAGAIN;
    return FALSE;
}

gssize cvd_fd_write_nowait(int fd, const void *data, gsize size)
{
    gssize n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0 || errno != ENOTSOCK)
        return n;
    /* A pipe that is ready takes that much; what is more could block. */
    return is_ready(fd, POLLOUT) ? write(fd, data, MIN(size, PIPE_BUF)) : -1;
}

gssize cvd_fd_read_nowait(int fd, void *data, gsize size)
{
    gssize n = recv(fd, data, size, MSG_DONTWAIT);
    if (n >= 0 || errno != ENOTSOCK)
        return n;
    return is_ready(fd, POLLIN) ? read(fd, data, size) : -1;
}

gboolean cvd_doorbell_take_count(int doorbell, guint64 *count)
{
    struct iovec iov = {.iov_base = count, .iov_len = sizeof *count};
    gssize n = TEMP_FAILURE_RETRY(preadv2(doorbell, &iov, 1, -1, RWF_NOWAIT));

    /* Eventfds of kernels before 5.8 do not know RWF_NOWAIT. The flag is put back and the counter
     * looked at right before the read, so it blocks only if a peer clears the flag and another one
     * takes the count between two system calls. An old kernel offers nothing better. */
    if (n < 0 && errno != EAGAIN && is_ready(doorbell, POLLIN)) {
        int flags = fcntl(doorbell, F_GETFL);
        if (flags >= 0 && fcntl(doorbell, F_SETFL, flags | O_NONBLOCK) == 0)
            n = read(doorbell, count, sizeof *count);
    }
    return n == sizeof *count;
}

gboolean cvd_doorbell_take(int doorbell)
{
    guint64 count;

    return cvd_doorbell_take_count(doorbell, &count);
}

int cvd_fd_new_sealed(const char *name, const void *data, gsize size)
{
    cvd_autofd fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    for (gsize done = 0; fd >= 0 && done < size;) {
        gssize n =
            TEMP_FAILURE_RETRY(pwrite(fd, (const char *)data + done, size - done, (off_t)done));
        if (n < 0)
            cvd_close_fd(&fd);
        done += (gsize)MAX(n, 0);
    }
    if (fd >= 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -1;
    return g_steal_fd(&fd);
}

int cvd_fd_fill_stdio(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        /* The lowest free number is this one. */
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            return -1;
    }
    return 0;
}

static GArray *list_fds(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        int fd = atoi(name);
        g_array_append_val(fds, fd);
    }
    return fds;
}

void cvd_fd_close_others(const int *kept, guint n_kept)
{
    g_autoptr(GArray) fds = list_fds(); /* that of the list itself is closed by now */

    for (guint i = 0; i < fds->len; i++) {
        int fd = g_array_index(fds, int, i);
        gboolean is_kept = fd <= STDERR_FILENO;
        for (guint k = 0; k < n_kept; k++)
            is_kept |= fd == kept[k];
        if (!is_kept)
            close(fd);
    }
}

void cvd_fd_reserve(int fd, guint n_fds)
{
    int saved_errno = errno;
    int last_fd = fcntl(fd, F_DUPFD_CLOEXEC, fd + (int)n_fds);

    if (last_fd >= 0)
        close(last_fd);
    errno = saved_errno;
}

/* The soft limit that the process was started with; 0 = it is as it was. */
static rlim_t initial_fd_limit;

static gboolean get_fd_limit(struct rlimit *limit, GError **error)
{
    if (getrlimit(RLIMIT_NOFILE, limit) == 0)
        return TRUE;
    return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "getrlimit(RLIMIT_NOFILE)");
}

static gboolean suffices(rlim_t limit, guint n_regions, guint n_per_region, const char *which,
                         const char *how, GError **error)
{
    guint64 n_needed = n_per_region * (guint64)n_regions + FDS_BESIDE_DOORBELLS;
    gboolean is_traced = n_per_region == CVD_FDS_PER_TRACED_REGION;

    return limit == RLIM_INFINITY || limit >= n_needed ||
           cvd_fail(error, CVD_ERROR_RESOURCES,
                    "%u regions%s need %ju file descriptors, the %s limit is %ju; raise it (%s) or "
                    "have fewer regions",
                    n_regions, is_traced ? " with a trace" : "", n_needed, which, (guint64)limit,
                    how);
}

gboolean cvd_check_fd_limit(guint n_regions, guint n_per_region, GError **error)
{
    struct rlimit limit;

    return get_fd_limit(&limit, error) &&
           suffices(limit.rlim_cur, n_regions, n_per_region, "soft", "setrlimit, ulimit -n", error);
}

gboolean cvd_raise_fd_limit(guint n_regions, guint n_per_region, GError **error)
{
    struct rlimit limit;

    if (!get_fd_limit(&limit, error) || !suffices(limit.rlim_max, n_regions, n_per_region, "hard",
                                                  "ulimit -Hn, LimitNOFILE=", error))
        return FALSE;
    if (limit.rlim_cur == limit.rlim_max)
        return TRUE;
    if (initial_fd_limit == 0)
        initial_fd_limit = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "setrlimit(RLIMIT_NOFILE)");
    return TRUE;
}

void cvd_restore_fd_limit(guint n_needed)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (initial_fd_limit != 0)
        limit.rlim_cur = initial_fd_limit;
    limit.rlim_cur = MIN(MAX(limit.rlim_cur, n_needed), limit.rlim_max);
    setrlimit(RLIMIT_NOFILE, &limit);
}

guint cvd_fd_hold_back(guint n_fds)
{
    static guint n_held_back;
    guint n_before = n_held_back;
    struct rlimit limit;

    n_held_back = n_fds;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max <= n_fds)
        return n_before;
    if (initial_fd_limit == 0)
        initial_fd_limit = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max - n_fds;
    setrlimit(RLIMIT_NOFILE, &limit);
    return n_before;
}

int cvd_socket_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    cvd_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    return g_steal_fd(&fd);
}

gssize cvd_socket_send(int socket, const void *data, gsize size, const int *fds, guint n_fds)
{
    g_assert(size > 0 && n_fds <= CVD_MAX_PASSED_FDS);

    struct iovec iov = {.iov_base = (void *)data, .iov_len = size};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(CVD_MAX_PASSED_FDS * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n_fds > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(header), fds, n_fds * sizeof(int));
    }

    return TEMP_FAILURE_RETRY(sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static void take_fds(struct msghdr *message, int *fds, guint max_fds)
{
    guint n_taken = 0;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        gsize n_fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (gsize i = 0; i < n_fds; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
            if (n_taken < max_fds)
                fds[n_taken++] = fd;
            else
                cvd_close_fd(&fd);
        }
    }
}

static gssize receive(int socket, void *data, gsize size, int flags, void *control,
                      gsize control_size, struct msghdr *message)
{
    struct iovec iov = {.iov_base = data, .iov_len = size};

    *message = (struct msghdr){
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = control_size,
    };
    gssize n =
        TEMP_FAILURE_RETRY(recvmsg(socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags));
    message->msg_iov = NULL;
    return n;
}

gssize cvd_socket_receive(int socket, void *data, gsize size, int *fds, guint max_fds)
{
    g_assert(size > 0 && max_fds <= CVD_MAX_PASSED_FDS);

    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
    } control = {0};
    struct msghdr message;

    for (guint i = 0; i < max_fds; i++)
        fds[i] = -1;
    gssize n = receive(socket, data, size, 0, control.bytes, sizeof control.bytes, &message);
    if (n >= 0)
        take_fds(&message, fds, max_fds);
    return n;
}

static void set_passcred(int socket, int value)
{
    setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &value, sizeof value);
}

void cvd_socket_watch_sender(int socket)
{
    set_passcred(socket, TRUE);
}

/* Without room for descriptors, which a look would receive, too. */
pid_t cvd_socket_peek_sender(int socket)
{
    char byte;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control = {0};
    struct ucred sender = {0};
    struct msghdr message;

    if (receive(socket, &byte, 1, MSG_PEEK, control.bytes, sizeof control.bytes, &message) > 0 &&
        control.header.cmsg_type == SCM_CREDENTIALS)
        memcpy(&sender, CMSG_DATA(&control.header), sizeof sender);
    set_passcred(socket, FALSE);
    return sender.pid;
}
