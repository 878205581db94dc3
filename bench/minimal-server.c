/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As little as a server of the client protocol can do: it counts bytes. It is the baseline for the
 * handshake rate, and no example to follow.
 */
#include "base/fd.h"
#include "bench/load.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_EVENTS   64
#define MAX_FDS      32768
#define VERSION_SIZE 16                       /* message 1 */
#define REQUEST_SIZE (VERSION_SIZE + 34 + 12) /* with messages 3 and 4, but for the name */

static guint16 n_received[MAX_FDS]; /* by descriptor */

static void answer(int fd, const int fds[3])
{
    static const char zeros[8];

    cvd_socket_send(fd, "0x000010000x00005000", 20, NULL, 0);
    for (guint i = 0; i < 3; i++)
        cvd_socket_send(fd, zeros, sizeof zeros, &fds[i], 1);
}

static void serve(int fd, const int fds[3])
{
    char bytes[80];
    gssize n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (n <= 0) {
        close(fd);
        return;
    }
    guint before = n_received[fd];
    n_received[fd] = (guint16)(before + (guint)n);
    if (before < VERSION_SIZE && n_received[fd] >= VERSION_SIZE)
        cvd_socket_send(fd, "PROTOCOL_VER 0", 14, NULL, 0);
    if (n_received[fd] > REQUEST_SIZE)
        answer(fd, fds);
}

static void let_in(int listener, int epoll_fd)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    g_assert_cmpint(fd, <, MAX_FDS);
    if (fd < 0)
        return;
    n_received[fd] = 0;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void run(int listener)
{
    struct epoll_event events[MAX_EVENTS];
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    const int fds[3] = {eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
                        eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
                        memfd_create("baseline", MFD_CLOEXEC)};

    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                let_in(listener, epoll_fd);
            else
                serve(events[i].data.fd, fds);
        }
    }
}

int minimal_server_start(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, socket_path, sizeof address.sun_path);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, SOMAXCONN) < 0)
        g_error("%s: %s", socket_path, g_strerror(errno));
    int pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(listener);
    }
    close(listener);
    return pid;
}
