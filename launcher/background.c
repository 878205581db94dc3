/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's process, where another one is in the foreground. Until that has left, the machine
 * ends with it, whatever ends it; from then on nothing connects them.
 */
#include "launcher/background.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOG_NAME "launcher.log"

typedef enum {
    BACKGROUND_NONE,     /* this process is in the foreground */
    BACKGROUND_STARTING, /* another one waits until the start is complete */
    BACKGROUND_ATTACHED, /* another one waits for the end, or has yet to say that it leaves */
    BACKGROUND_ALONE,    /* it has left, or is gone */
} BackgroundState;

/* Of the process: there is one foreground. */
static struct {
    BackgroundState state;
    CvdBackgroundOutput output;
    int link; /* −1 when alone */
    GSource *source;
    CvdInstanceDir *dir; /* NULL: it is not there yet, or not any more */
    void (*stop)(CvdEvent event, gpointer user_data);
    gpointer stop_data;
} background = {.link = -1};

static void send_message(CvdBackgroundMessage message, const int *fds, guint n_fds)
{
    const char byte = (char)message;

    cvd_socket_send(background.link, &byte, 1, fds, n_fds);
}

/* Who ends without having read all makes ECONNRESET come first, before what it has sent. */
int cvd_background_receive(int link, int *fd)
{
    char byte;
    gssize n = cvd_socket_receive(link, &byte, 1, fd, fd != NULL ? 1 : 0);

    if (n > 0)
        return byte;
    return n < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNRESET) ? -1 : 0;
}

/* ---- What is left alone ---- */

static void replace_by_null(int fd, int flags)
{
    int null = open("/dev/null", flags | O_CLOEXEC);

    if (null < 0)
        return;
    dup2(null, fd);
    close(null);
}

static int make_log(gpointer dir)
{
    return cvd_instance_dir_rotate_log(dir, LOG_NAME, NULL);
}

static void leave_output(void)
{
    replace_by_null(STDOUT_FILENO, O_WRONLY);
    cvd_log_to_file(make_log, background.dir);
}

static void be_alone(void)
{
    if (background.output == CVD_BACKGROUND_OUTPUT_UNTIL_LEFT)
        leave_output();
    background.state = BACKGROUND_ALONE;
    cvd_source_clear(&background.source);
    cvd_close_fd(&background.link);
}

/* ---- From the foreground ---- */

static void request_stop(CvdEvent event)
{
    background.stop(event, background.stop_data);
}

static void on_gone(void)
{
    be_alone();
    g_message("stopping, as the process in the foreground is gone");
    request_stop(CVD_EVENT_HANGUP);
}

static gboolean on_message(int fd, GIOCondition condition, gpointer data)
{
    switch (cvd_background_receive(fd, NULL)) {
    case 0:
        on_gone();
        break;
    case CVD_BACKGROUND_STOP:
        request_stop(CVD_EVENT_STOP_REQUESTED);
        break;
    case CVD_BACKGROUND_QUIT:
        request_stop(CVD_EVENT_STOP_REQUESTED);
        request_stop(CVD_EVENT_STOP_REQUESTED);
        break;
    case CVD_BACKGROUND_HANGUP:
        request_stop(CVD_EVENT_HANGUP);
        break;
    case CVD_BACKGROUND_LEAVE:
        be_alone();
        break;
    default:
        break;
    }
    return G_SOURCE_CONTINUE;
}

/* ---- To the foreground ---- */

/* Also when another VM is ready. */
static void on_ready(void)
{
    if (background.state != BACKGROUND_STARTING)
        return;
    background.state = BACKGROUND_ATTACHED;
    if (background.output == CVD_BACKGROUND_OUTPUT_UNTIL_READY) {
        g_autofree char *name = g_path_get_basename(cvd_instance_dir_get_path(background.dir));
        g_message("goes on in the background; 'cvd-ctl -n %s stop' ends it", name);
        leave_output();
    }
    send_message(CVD_BACKGROUND_READY, NULL, 0);
}

gboolean cvd_background_is_entered(void)
{
    return background.state != BACKGROUND_NONE;
}

const char *cvd_background_get_way_to_quit(void)
{
    switch (background.state) {
    case BACKGROUND_NONE:
        return "a second ctrl-c quits at once";
    case BACKGROUND_STARTING:
    case BACKGROUND_ATTACHED:
        return background.output == CVD_BACKGROUND_OUTPUT_UNTIL_LEFT
                   ? "ctrl-] and q quit at once"
                   : "a second ctrl-c quits at once";
    case BACKGROUND_ALONE:
        return "'cvd-ctl stop --now' quits at once";
    }
    g_assert_not_reached();
}

gboolean cvd_background_wants_console(void)
{
    return cvd_background_is_entered() && background.output == CVD_BACKGROUND_OUTPUT_UNTIL_LEFT;
}

void cvd_background_give_console(int take_fd)
{
    cvd_autofd fd = take_fd;

    send_message(CVD_BACKGROUND_CONSOLE, &fd, 1);
}

/* ---- Beginning and end ---- */

void cvd_background_enter(int take_link, CvdBackgroundOutput output, const int *kept, guint n_kept)
{
    const int own[] = {take_link, cvd_log_get_fd()};
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(int));
    char go;

    background.state = BACKGROUND_STARTING;
    background.output = output;
    background.link = take_link;
    setsid();
    g_array_append_vals(all, own, G_N_ELEMENTS(own));
    g_array_append_vals(all, kept, n_kept);
    cvd_fd_close_others((const int *)(gpointer)all->data, all->len);
    replace_by_null(STDIN_FILENO, O_RDONLY);
    if (output == CVD_BACKGROUND_OUTPUT_UNTIL_LEFT)
        replace_by_null(STDOUT_FILENO, O_WRONLY);
    cvd_notify_when_ready(on_ready);
    send_message(CVD_BACKGROUND_ENTERED, NULL, 0);
    /* A stop may come first. cvd_background_watch() has what comes, also that the other is gone. */
    G_GNUC_UNUSED gssize n = TEMP_FAILURE_RETRY(recv(take_link, &go, 1, MSG_PEEK));
}

void cvd_background_watch(CvdInstanceDir *dir, void (*stop)(CvdEvent event, gpointer user_data),
                          gpointer user_data)
{
    if (!cvd_background_is_entered())
        return;
    background.dir = dir;
    background.stop = stop;
    background.stop_data = user_data;
    background.source = cvd_source_watch_fd(background.link, G_IO_IN, on_message, NULL);
}

void cvd_background_unwatch(void)
{
    cvd_log_keep_file();
    cvd_source_clear(&background.source);
    background.dir = NULL;
}
