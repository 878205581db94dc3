/* SPDX-License-Identifier: Apache-2.0 */
#include "base/notify.h"

#include "base/fd.h"
#include "base/source.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Of the process, as the variable is: there is one manager. */
static struct {
    char *path; /* NULL = there is none */
    int fd;
    GString *unsent; /* assignments, a line each; NULL = nothing waits */
    GSource *source;
} manager = {.fd = -1};

void cvd_notify_init(void)
{
    g_free(manager.path);
    manager.path = g_strdup(g_getenv("NOTIFY_SOCKET"));
    g_unsetenv("NOTIFY_SOCKET");
}

/* Connected, since only then poll(2) reports when there is room in the other's queue. */
static int connect_manager(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    gsize length = strlen(manager.path);

    if ((manager.path[0] != '/' && manager.path[0] != '@') || length >= sizeof address.sun_path) {
        errno = EINVAL;
        return -1;
    }
    memcpy(address.sun_path, manager.path, length);
    if (manager.path[0] == '@') /* the abstract namespace */
        address.sun_path[0] = '\0';

    cvd_autofd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
        return -1;
    return g_steal_fd(&fd);
}

static gboolean send_unsent(int fd, GIOCondition condition, gpointer data)
{
    if (send(fd, manager.unsent->str, manager.unsent->len, MSG_NOSIGNAL) < 0) {
        if (errno == EAGAIN)
            return G_SOURCE_CONTINUE;
        g_warning("cannot send %s to the service manager at %s: %s", manager.unsent->str,
                  manager.path, g_strerror(errno));
    }
    g_string_free(g_steal_pointer(&manager.unsent), TRUE);
    cvd_source_clear(&manager.source);
    cvd_close_fd(&manager.fd);
    return G_SOURCE_REMOVE;
}

void cvd_notify(const char *state)
{
    if (manager.path == NULL)
        return;
    if (manager.unsent != NULL) {
        g_string_append_printf(manager.unsent, "\n%s", state);
        return;
    }
    manager.fd = connect_manager();
    if (manager.fd < 0) {
        g_warning("cannot send %s to the service manager at %s: %s", state, manager.path,
                  g_strerror(errno));
        return;
    }
    manager.unsent = g_string_new(state);
    if (send_unsent(manager.fd, G_IO_OUT, NULL) == G_SOURCE_CONTINUE)
        manager.source = cvd_source_watch_fd(manager.fd, G_IO_OUT, send_unsent, NULL);
}
