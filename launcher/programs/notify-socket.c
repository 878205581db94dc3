/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/programs/notify-socket.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/source.h"
#include "base/terminal-text.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* systemd takes no longer datagrams either. */
#define MAX_MESSAGE 4096
/* More than wait in a socket: net.unix.max_dgram_qlen. */
#define MAX_REST 64

struct CvdNotifySocket {
    char *path;
    int fd;
    GSource *source;
    CvdNotified notified;
    gpointer user_data;
};

static char *clean(const char *status)
{
    g_autoptr(GString) text = g_string_new(NULL);

    cvd_terminal_text_append(text, status, MIN(strlen(status), CVD_NOTIFY_MAX_STATUS), FALSE);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Descriptors that come with a datagram are closed by the kernel, as there is no room for them.
 * Returns: whether there was one */
static gboolean read_one(const CvdNotifySocket *notify)
{
    char message[MAX_MESSAGE + 1];
    gssize size = recv(notify->fd, message, MAX_MESSAGE, MSG_DONTWAIT);
    g_autofree char *status = NULL;
    gboolean is_ready = FALSE;

    if (size < 0)
        return FALSE;
    message[size] = '\0';
    g_auto(GStrv) lines = g_strsplit(message, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        is_ready |= strcmp(*line, "READY=1") == 0;
        if (status == NULL && g_str_has_prefix(*line, "STATUS="))
            status = clean(*line + strlen("STATUS="));
    }
    if (is_ready || status != NULL)
        notify->notified(is_ready, status, notify->user_data);
    return TRUE;
}

/* One at a time, so that one who sends without end holds up nobody. */
static gboolean on_readable(int fd, GIOCondition condition, gpointer data)
{
    read_one(data);
    return G_SOURCE_CONTINUE;
}

static int open_socket(const char *path, uid_t uid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    cvd_autofd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    unlink(path);
    mode_t umask_of_user = umask(0177);
    int r = bind(fd, (const struct sockaddr *)&address, sizeof address);
    umask(umask_of_user);
    if (r < 0 || (uid != (uid_t)-1 && chown(path, uid, (gid_t)-1) < 0))
        return -1;
    return g_steal_fd(&fd);
}

CvdNotifySocket *cvd_notify_socket_new(const char *path, uid_t uid, CvdNotified notified,
                                       gpointer user_data, GError **error)
{
    int fd = open_socket(path, uid);

    if (fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot make socket %s", path);
        return NULL;
    }
    CvdNotifySocket *notify = g_new(CvdNotifySocket, 1);
    *notify = (CvdNotifySocket){
        .path = g_strdup(path), .fd = fd, .notified = notified, .user_data = user_data};
    notify->source = cvd_source_watch_fd(fd, G_IO_IN, on_readable, notify);
    return notify;
}

void cvd_notify_socket_read_rest(CvdNotifySocket *notify)
{
    for (guint i = 0; i < MAX_REST; i++)
        if (!read_one(notify))
            return;
}

void cvd_notify_socket_free(CvdNotifySocket *notify)
{
    cvd_source_clear(&notify->source);
    unlink(notify->path);
    cvd_close_fd(&notify->fd);
    g_free(notify->path);
    g_free(notify);
}
