/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program may pass descriptors: sd_notify_barrier(3) waits until they are closed. To close a
 * hostile one may take any time: that of a socket which lingers, or of a file whose file system is
 * a process. So a thread does it, one for a socket, and nothing is read meanwhile.
 */
#include "launcher/programs/notify-socket.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/source.h"
#include "base/terminal-text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* systemd takes no longer datagrams either. */
#define MAX_MESSAGE 4096
/* The kernel passes no more at once (SCM_MAX_FD). */
#define MAX_FDS 253
/* More than wait in a socket: net.unix.max_dgram_qlen. */
#define MAX_REST 64

typedef struct {
    CvdNotifySocket *owner; /* NULL: it is gone */
    GMainContext *context;  /* the owner's */
    int fds[MAX_FDS];
    guint n_fds;
} Closing;

struct CvdNotifySocket {
    char *path;
    int fd;
    GSource *source;  /* NULL while descriptors are closed */
    Closing *closing; /* (nullable) */
    CvdNotified notified;
    gpointer user_data;
};

static char *clean(const char *status)
{
    g_autoptr(GString) text = g_string_new(NULL);

    cvd_terminal_text_append(text, status, MIN(strlen(status), CVD_NOTIFY_MAX_STATUS), FALSE);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* ---- Descriptors ---- */

static void watch(CvdNotifySocket *notify);

static gboolean on_closed(gpointer data)
{
    Closing *closing = data;

    if (closing->owner != NULL) {
        closing->owner->closing = NULL;
        watch(closing->owner);
    }
    g_main_context_unref(closing->context);
    g_free(closing);
    return G_SOURCE_REMOVE;
}

static gpointer close_fds(gpointer data)
{
    Closing *closing = data;
    g_autoptr(GSource) closed = g_idle_source_new();

    for (guint i = 0; i < closing->n_fds; i++)
        cvd_close_fd(&closing->fds[i]);
    g_source_set_priority(closed, G_PRIORITY_DEFAULT);
    g_source_set_callback(closed, on_closed, closing, NULL);
    g_source_attach(closed, closing->context);
    return NULL;
}

static void begin_closing(Closing *closing)
{
    GThread *thread = g_thread_try_new("close", close_fds, closing, NULL);

    if (thread != NULL)
        g_thread_unref(thread);
    else
        close_fds(closing);
}

/* Returns: (transfer full) (nullable): those that came with a datagram */
static Closing *take_fds(struct msghdr *header)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        Closing *closing = g_new0(Closing, 1);
        closing->context = g_main_context_ref_thread_default();
        closing->n_fds = (guint)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(closing->fds, CMSG_DATA(part), closing->n_fds * sizeof(int));
        return closing; /* there is one such part at most */
    }
    return NULL;
}

/* ---- Messages ---- */

static void parse(char *message, gboolean *is_ready, char **status)
{
    g_auto(GStrv) lines = g_strsplit(message, "\n", -1);
    gboolean has_status = FALSE;

    for (char **line = lines; *line != NULL; line++) {
        *is_ready |= strcmp(*line, "READY=1") == 0;
        if (has_status || !g_str_has_prefix(*line, "STATUS="))
            continue;
        g_free(*status);
        *status = clean(*line + strlen("STATUS="));
        has_status = TRUE;
    }
}

/* What the datagrams said that were read at once; of several statuses the last counts. */
typedef struct {
    gboolean is_ready;
    char *status;     /* NULL: none */
    Closing *closing; /* of the last one; NULL: none came with it */
} Said;

/* Returns: whether there was a datagram */
static gboolean read_message(const CvdNotifySocket *notify, Said *said)
{
    char message[MAX_MESSAGE + 1];
    union {
        struct cmsghdr alignment;
        char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = message, .iov_len = MAX_MESSAGE};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    gssize size = recvmsg(notify->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (size < 0)
        return FALSE;
    said->closing = take_fds(&header);
    message[size] = '\0';
    parse(message, &said->is_ready, &said->status);
    return TRUE;
}

/* May free @notify. */
static void pass_on(CvdNotifySocket *notify, const Said *said)
{
    g_autofree char *status = said->status;

    if (said->is_ready || status != NULL)
        notify->notified(said->is_ready, status, notify->user_data);
}

/* A bounded number, so that who sends without end holds up nobody. */
static gboolean read_some(gpointer data)
{
    CvdNotifySocket *notify = data;
    Said said = {0};
    guint n = 0;

    while (n < CVD_NOTIFY_MAX_MESSAGES && said.closing == NULL && read_message(notify, &said))
        n++;
    if (said.closing != NULL) {
        notify->closing = said.closing;
        notify->closing->owner = notify;
        cvd_source_clear(&notify->source);
    }
    pass_on(notify, &said);
    if (said.closing != NULL)
        begin_closing(said.closing);
    return n > 0;
}

static void watch(CvdNotifySocket *notify)
{
    notify->source = cvd_source_watch_stream(notify->fd, CVD_STREAM_INTERVAL_MS, read_some, notify);
}

/* ---- Interface ---- */

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
    watch(notify);
    return notify;
}

int cvd_notify_socket_open(const CvdNotifySocket *notify, GError **error)
{
    int fd = open(notify->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot open socket %s", notify->path);
    return fd;
}

void cvd_notify_socket_read_rest(CvdNotifySocket *notify)
{
    Said said = {0};

    for (guint i = 0; i < MAX_REST && read_message(notify, &said); i++)
        if (said.closing != NULL)
            begin_closing(g_steal_pointer(&said.closing));
    pass_on(notify, &said);
}

void cvd_notify_socket_free(CvdNotifySocket *notify)
{
    if (notify->closing != NULL)
        notify->closing->owner = NULL;
    cvd_source_clear(&notify->source);
    unlink(notify->path);
    cvd_close_fd(&notify->fd);
    g_free(notify->path);
    g_free(notify);
}
