/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes between the terminal and the guest's console, with nothing in between but ctrl-]. The
 * terminal is raw meanwhile, so ctrl-c goes to the guest; however this ends, it is restored.
 */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define DETACH    0x1d /* ctrl-] */
#define READ_SIZE 4096

typedef enum {
    CONSOLE_GOES_ON,
    CONSOLE_DETACHED,
    CONSOLE_ENDED, /* on the instance's side */
    CONSOLE_ERROR,
} ConsoleResult;

static gboolean is_raw;
static struct termios saved;

static void make_raw(void)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return;
    raw = saved;
    cfmakeraw(&raw);
    is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void restore(void)
{
    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
    is_raw = FALSE;
}

static int open_console(CvdDBusInstance1 *instance, GCancellable *cancellable, GError **error)
{
    g_autoptr(GVariant) handle = NULL;
    g_autoptr(GUnixFDList) list = NULL;

    if (!cvd_dbus_instance1_call_open_console_sync(instance, NULL, &handle, &list, cancellable,
                                                   error)) {
        cvd_ctl_strip_error(*error);
        return -1;
    }
    return g_unix_fd_list_get(list, g_variant_get_handle(handle), error);
}

static ConsoleResult from_guest(int console, GError **error)
{
    char bytes[READ_SIZE];
    gssize n = read(console, bytes, sizeof bytes);

    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return CONSOLE_ENDED;
    if (n < 0 && errno != EINTR && errno != EAGAIN) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot read from the console");
        return CONSOLE_ERROR;
    }
    return n < 0 || cvd_tool_put(bytes, (gsize)n, error) ? CONSOLE_GOES_ON : CONSOLE_ERROR;
}

/* The end of a pipe ends nothing: what the guest says to it may be what is wanted. */
static ConsoleResult from_user(int console, GPollFD *input)
{
    char bytes[READ_SIZE];
    gssize n = read(STDIN_FILENO, bytes, sizeof bytes);
    const char *detach = n > 0 && is_raw ? memchr(bytes, DETACH, (gsize)n) : NULL;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return CONSOLE_GOES_ON;
    if (n <= 0) {
        input->fd = -1;
        return is_raw ? CONSOLE_DETACHED : CONSOLE_GOES_ON;
    }
    gsize size = detach != NULL ? (gsize)(detach - bytes) : (gsize)n;
    for (gsize sent = 0; sent < size;) {
        n = TEMP_FAILURE_RETRY(send(console, bytes + sent, size - sent, MSG_NOSIGNAL));
        if (n < 0)
            return CONSOLE_ENDED;
        sent += (gsize)n;
    }
    return detach != NULL ? CONSOLE_DETACHED : CONSOLE_GOES_ON;
}

static ConsoleResult relay(int console, GCancellable *cancellable, GError **error)
{
    GPollFD fds[3] = {{.fd = console, .events = G_IO_IN}, {.fd = STDIN_FILENO, .events = G_IO_IN}};
    guint n_fds = g_cancellable_make_pollfd(cancellable, &fds[2]) ? 3 : 2;
    ConsoleResult result = CONSOLE_GOES_ON;

    while (result == CONSOLE_GOES_ON && !g_cancellable_is_cancelled(cancellable)) {
        if (g_poll(fds, n_fds, -1) < 0)
            continue;
        if (fds[0].revents != 0)
            result = from_guest(console, error);
        if (result == CONSOLE_GOES_ON && fds[1].fd >= 0 && fds[1].revents != 0)
            result = from_user(console, &fds[1]);
    }
    if (n_fds == 3)
        g_cancellable_release_fd(cancellable);
    return result;
}

static gboolean console(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    cvd_autofd fd = instance != NULL ? open_console(instance, tool->cancellable, error) : -1;
    if (fd < 0)
        return FALSE;

    g_unix_set_fd_nonblocking(fd, FALSE, NULL);
    if (isatty(STDIN_FILENO)) {
        g_printerr("console of %s; ctrl-] detaches\n", cvd_dbus_instance1_get_name(instance));
        make_raw();
    }
    ConsoleResult result = relay(fd, tool->cancellable, error);
    gboolean was_raw = is_raw;
    restore();
    if (was_raw)
        g_printerr("\n%s\n", result == CONSOLE_ENDED ? "the instance has ended" : "detached");
    return result != CONSOLE_ERROR;
}

const CvdToolVerb cvd_ctl_console = {
    .name = "console",
    .arguments = "",
    .summary = "Attach to the guest's serial console; ctrl-] detaches",
    .description = "First what it has said so far. Several may be attached. With a pipe as stdin "
                   "its end does not\nend this; the instance's does.",
    .run = console,
};
