/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/load.h"

#include "base/fd.h"
#include "bench/values.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define VERSION_REQUEST "GET PROTOCOL_VER"
#define VERSION_SIZE    14
/* Message 2, two offsets, three messages of 8 bytes that carry one descriptor each. */
#define ANSWER_SIZE (VERSION_SIZE + 2 * 10 + 3 * 8)
#define N_FDS       3
#define MAX_EVENTS  64

typedef struct {
    int fd;
    gint64 begin_us;
    guint n_bytes;
    guint n_fds;
    gboolean has_asked;
} Connection;

typedef struct {
    struct sockaddr_un address;
    int epoll_fd;
    char *request;
    gsize request_size;
} Target;

static void target_init(Target *target, const char *socket_path, const char *region)
{
    target->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    g_strlcpy(target->address.sun_path, socket_path, sizeof target->address.sun_path);
    target->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    target->request = g_strdup_printf("INFORM REGION_NAME_LEN: 0x%08xGET REGION: %s",
                                      (guint)strlen(region), region);
    target->request_size = strlen(target->request);
}

static void target_clear(Target *target)
{
    cvd_close_fd(&target->epoll_fd);
    g_free(target->request);
}

/* Returns: FALSE when the server's backlog is full */
static gboolean open_connection(Target *target, Connection *connection)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

    *connection = (Connection){.begin_us = g_get_monotonic_time()};
    connection->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        g_error("socket: %s", g_strerror(errno));
    if (connect(connection->fd, (struct sockaddr *)&target->address, sizeof target->address) < 0) {
        if (errno != EAGAIN)
            g_error("%s: %s", target->address.sun_path, g_strerror(errno));
        cvd_close_fd(&connection->fd);
        return FALSE;
    }
    if (cvd_socket_send(connection->fd, VERSION_REQUEST, strlen(VERSION_REQUEST), NULL, 0) < 0 ||
        epoll_ctl(target->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        g_error("%s: %s", target->address.sun_path, g_strerror(errno));
    return TRUE;
}

/* Returns: whether the handshake is complete */
static gboolean receive(const Target *target, Connection *connection)
{
    for (;;) {
        char bytes[64];
        int fd;
        gssize n = cvd_socket_receive(connection->fd, bytes, sizeof bytes, &fd, 1);
        if (n < 0 && errno == EAGAIN)
            return FALSE;
        if (n <= 0)
            g_error("%s: the server ended a handshake after %u bytes", target->address.sun_path,
                    connection->n_bytes);
        connection->n_bytes += (guint)n;
        connection->n_fds += fd >= 0;
        cvd_close_fd(&fd);
        if (connection->n_bytes == ANSWER_SIZE)
            return TRUE;
        if (connection->n_bytes >= VERSION_SIZE && !connection->has_asked) {
            connection->has_asked = TRUE;
            if (cvd_socket_send(connection->fd, target->request, target->request_size, NULL, 0) < 0)
                g_error("%s: %s", target->address.sun_path, g_strerror(errno));
        }
    }
}

static void finish(Connection *connection, GArray *times_us)
{
    double us = (double)(g_get_monotonic_time() - connection->begin_us);

    g_assert_cmpuint(connection->n_fds, ==, N_FDS);
    g_array_append_val(times_us, us);
    cvd_close_fd(&connection->fd);
}

Load load_run(const char *socket_path, const char *region, guint n_concurrent, guint n_total)
{
    g_autofree Connection *connections = g_new0(Connection, n_concurrent);
    g_autoptr(GArray) times_us = figure_values();
    struct epoll_event events[MAX_EVENTS];
    Target target;
    guint n_opened = 0;

    target_init(&target, socket_path, region);
    gint64 begin_us = g_get_monotonic_time();
    for (guint i = 0; i < n_concurrent && n_opened < n_total; i++)
        n_opened += open_connection(&target, &connections[i]);
    g_assert_cmpuint(n_opened, ==, MIN(n_concurrent, n_total)); /* fewer than a backlog holds */
    while (times_us->len < n_total) {
        int n = epoll_wait(target.epoll_fd, events, MAX_EVENTS, 10000);
        if (n == 0)
            g_error("%s: the server does not answer", socket_path);
        for (int i = 0; i < n; i++) {
            Connection *connection = events[i].data.ptr;
            if (!receive(&target, connection))
                continue;
            finish(connection, times_us);
            if (n_opened < n_total)
                n_opened += open_connection(&target, connection);
        }
    }
    double seconds = (double)(g_get_monotonic_time() - begin_us) / G_USEC_PER_SEC;
    target_clear(&target);
    return (Load){
        .rate = n_total / seconds,
        .p50_us = figure_quantile(times_us, 0.5),
        .p99_us = figure_quantile(times_us, 0.99),
    };
}

GArray *load_hold(const char *socket_path, const char *region, guint n)
{
    GArray *held = g_array_sized_new(FALSE, FALSE, sizeof(int), n);
    Target target;

    target_init(&target, socket_path, region);
    for (guint i = 0; i < n; i++) {
        Connection connection;
        struct epoll_event event;
        g_assert_true(open_connection(&target, &connection));
        do
            g_assert_cmpint(epoll_wait(target.epoll_fd, &event, 1, 10000), ==, 1);
        while (!receive(&target, &connection));
        epoll_ctl(target.epoll_fd, EPOLL_CTL_DEL, connection.fd, NULL);
        g_array_append_val(held, connection.fd);
    }
    target_clear(&target);
    return held;
}

void load_release(GArray *held)
{
    for (guint i = 0; i < held->len; i++)
        close(g_array_index(held, int, i));
    g_array_unref(held);
}
