/* SPDX-License-Identifier: Apache-2.0 */
/* What a host program says as to a service manager, and what one that is not well-meaning does. */
#include "launcher/programs/notify-socket.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct {
    char *directory;
    char *path;
    CvdNotifySocket *notify;
    int fd; /* the program's */
    guint n_told;
    gboolean is_ready;
    char *status;
    gboolean ends; /* with the first that it says */
} Fixture;

static void on_notified(gboolean is_ready, const char *status, gpointer data)
{
    Fixture *f = data;

    f->n_told++;
    f->is_ready |= is_ready;
    if (status != NULL) {
        g_free(f->status);
        f->status = g_strdup(status);
    }
    if (f->ends)
        g_clear_pointer(&f->notify, cvd_notify_socket_free);
}

static void set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    f->directory = g_dir_make_tmp(NULL, NULL);
    f->path = g_build_filename(f->directory, "notify.sock", NULL);
    f->notify = cvd_notify_socket_new(f->path, (uid_t)-1, on_notified, f, &error);
    g_assert_no_error(error);
    f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_clear_pointer(&f->notify, cvd_notify_socket_free);
    cvd_close_fd(&f->fd);
    g_assert_no_errno(rmdir(f->directory)); /* nothing is left there */
    g_free(f->status);
    g_free(f->path);
    g_free(f->directory);
}

/* Returns: whether there was room for it */
static gboolean say(Fixture *f, const char *path, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    gssize n = sendto(f->fd, text, strlen(text), MSG_DONTWAIT, (const struct sockaddr *)&address,
                      sizeof address);
    g_assert_true(n == (gssize)strlen(text) || errno == EAGAIN);
    return n >= 0;
}

static void wait_told(const Fixture *f, guint n)
{
    while (f->n_told < n)
        g_main_context_iteration(NULL, TRUE);
}

static void test_ready(Fixture *f, gconstpointer data)
{
    g_assert_true(say(f, f->path, "MAINPID=1\nREADY=1\nSTATUS=all is well"));
    wait_told(f, 1);
    g_assert_true(f->is_ready);
    g_assert_cmpstr(f->status, ==, "all is well");
}

static void test_not_ready(Fixture *f, gconstpointer data)
{
    g_assert_true(say(f, f->path, "READY=10\n READY=1\nSTATUS=\033[2J\nSTATUS=second"));
    wait_told(f, 1);
    g_assert_false(f->is_ready);
    g_assert_cmpstr(f->status, ==, "\\x1b[2J");
}

static void test_bounds(Fixture *f, gconstpointer data)
{
    g_autofree char *text = g_strnfill(100000, 'x');

    memcpy(text, "STATUS=", strlen("STATUS="));
    g_assert_true(say(f, f->path, text));
    wait_told(f, 1);
    g_assert_cmpuint(strlen(f->status), ==, CVD_NOTIFY_MAX_STATUS);
}

/* However many there are, the owner is told once for all that are read at once. */
static void test_flood(Fixture *f, gconstpointer data)
{
    guint n = 0;

    for (gboolean has_room = TRUE; has_room; n += has_room) {
        g_autofree char *text = g_strdup_printf("STATUS=%u", n);
        has_room = say(f, f->path, text);
    }
    g_assert_cmpuint(n, >, 1);
    g_autofree char *last = g_strdup_printf("%u", n - 1);
    while (g_strcmp0(f->status, last) != 0)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(f->n_told, ==, (n + CVD_NOTIFY_MAX_MESSAGES - 1) / CVD_NOTIFY_MAX_MESSAGES);
}

static void test_ends_meanwhile(Fixture *f, gconstpointer data)
{
    f->ends = TRUE;
    g_assert_true(say(f, f->path, "READY=1"));
    g_assert_true(say(f, f->path, "READY=1"));
    wait_told(f, 1);
    g_assert_null(f->notify);
}

/* As for a program of another user. */
static void test_inherited(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    cvd_autofd fd = cvd_notify_socket_open(f->notify, &error);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *hidden = g_strconcat(f->path, ".renamed", NULL);

    g_assert_no_error(error);
    g_assert_no_errno(rename(f->path, hidden));
    g_assert_true(say(f, path, "READY=1"));
    wait_told(f, 1);
    g_assert_true(f->is_ready);
    g_assert_no_errno(unlink(hidden));
}

/* ---- Descriptors ---- */

/* Returns: a socket whose close takes until the other end is closed. @other: (out) */
static int open_lingering(int *other)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 10000};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    cvd_autofd listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char bytes[4096] = "";

    g_assert_no_errno(bind(listener, (const struct sockaddr *)&address, size));
    g_assert_no_errno(listen(listener, 1));
    g_assert_no_errno(getsockname(listener, (struct sockaddr *)&address, &size));
    g_assert_no_errno(connect(fd, (const struct sockaddr *)&address, size));
    *other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    g_assert_no_errno(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
    return fd;
}

static void say_with_fd(Fixture *f, char *text, int take_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct iovec part = {.iov_base = text, .iov_len = strlen(text)};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS,
                            .cmsg_len = CMSG_LEN(sizeof(int))}};
    const struct msghdr header = {.msg_name = &address,
                                  .msg_namelen = sizeof address,
                                  .msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = &control,
                                  .msg_controllen = sizeof control};

    g_strlcpy(address.sun_path, f->path, sizeof address.sun_path);
    memcpy(CMSG_DATA(&control.header), &take_fd, sizeof take_fd);
    g_assert_cmpint(sendmsg(f->fd, &header, 0), ==, (gssize)part.iov_len);
    close(take_fd);
}

/* As sd_notify_barrier() does. */
static void test_descriptor_is_closed(Fixture *f, gconstpointer data)
{
    char barrier[] = "BARRIER=1";
    int pipe_fds[2];
    char byte;

    g_assert_true(say(f, f->path, "READY=1"));
    g_assert_no_errno(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK));
    say_with_fd(f, barrier, pipe_fds[1]);
    while (read(pipe_fds[0], &byte, 1) < 0) /* till its end */
        g_main_context_iteration(NULL, TRUE);
    g_assert_true(f->is_ready);
    g_assert_true(say(f, f->path, "STATUS=next"));
    wait_told(f, 2);
    close(pipe_fds[0]);
}

static void test_slow_descriptor(Fixture *f, gconstpointer data)
{
    char text[] = "STATUS=slow";
    int other;

    say_with_fd(f, text, open_lingering(&other));
    wait_told(f, 1);
    close(other);
    g_assert_true(say(f, f->path, "STATUS=next"));
    wait_told(f, 2);
}

/* What waits when the program has ended. */
static void test_rest(Fixture *f, gconstpointer data)
{
    char text[] = "STATUS=slow";
    int other;

    say_with_fd(f, text, open_lingering(&other));
    g_assert_true(say(f, f->path, "READY=1\nSTATUS=last"));
    cvd_notify_socket_read_rest(f->notify);
    g_assert_true(f->is_ready);
    g_assert_cmpstr(f->status, ==, "last");
    close(other);
    g_main_context_iteration(NULL, TRUE); /* it is closed */
}

static void test_ends_with_slow_descriptor(Fixture *f, gconstpointer data)
{
    char text[] = "STATUS=slow";
    int other;

    f->ends = TRUE;
    say_with_fd(f, text, open_lingering(&other));
    wait_told(f, 1);
    g_assert_null(f->notify);
    close(other);
    g_main_context_iteration(NULL, TRUE); /* it is closed */
}

static void add(const char *path, void (*test)(Fixture *, gconstpointer))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/notify-socket/ready", test_ready);
    add("/notify-socket/not-ready", test_not_ready);
    add("/notify-socket/bounds", test_bounds);
    add("/notify-socket/flood", test_flood);
    add("/notify-socket/ends-meanwhile", test_ends_meanwhile);
    add("/notify-socket/inherited", test_inherited);
    add("/notify-socket/descriptor-is-closed", test_descriptor_is_closed);
    add("/notify-socket/slow-descriptor", test_slow_descriptor);
    add("/notify-socket/rest", test_rest);
    add("/notify-socket/ends-with-slow-descriptor", test_ends_with_slow_descriptor);
    return g_test_run();
}
