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

/* What was typed and the instance has not taken: a guest may be deaf for a while, or for ever. */
typedef struct {
    int console;
    char bytes[READ_SIZE];
    gsize size;
    gboolean is_over; /* stdin has ended */
} Typed;

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

static ConsoleResult flush(Typed *typed)
{
    gssize n = send(typed->console, typed->bytes, typed->size, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? CONSOLE_GOES_ON : CONSOLE_ENDED;
    typed->size -= (gsize)n;
    memmove(typed->bytes, typed->bytes + n, typed->size);
    return CONSOLE_GOES_ON;
}

/* The end of a pipe ends nothing: what the guest says to it may be what is wanted. */
static ConsoleResult from_user(Typed *typed)
{
    char bytes[READ_SIZE];
    gsize room = sizeof typed->bytes - typed->size;
    gssize n = read(STDIN_FILENO, bytes, is_raw ? sizeof bytes : room);
    const char *detach = n > 0 && is_raw ? memchr(bytes, DETACH, (gsize)n) : NULL;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return CONSOLE_GOES_ON;
    if (n <= 0) {
        typed->is_over = TRUE;
        return is_raw ? CONSOLE_DETACHED : CONSOLE_GOES_ON;
    }
    gsize size = MIN(room, detach != NULL ? (gsize)(detach - bytes) : (gsize)n);
    memcpy(typed->bytes + typed->size, bytes, size);
    typed->size += size;
    ConsoleResult result = flush(typed);
    return detach != NULL ? CONSOLE_DETACHED : result;
}

/* A pipe waits until there is room; a terminal is read all the same, for its ctrl-]. */
static void choose_events(GPollFD *console, GPollFD *input, const Typed *typed)
{
    gboolean has_room = typed->size < sizeof typed->bytes;

    console->events = (gushort)(G_IO_IN | (typed->size > 0 ? G_IO_OUT : 0));
    input->fd = !typed->is_over && (is_raw || has_room) ? STDIN_FILENO : -1;
    input->revents = 0;
}

static ConsoleResult relay(int console, GCancellable *cancellable, GError **error)
{
    Typed typed = {.console = console};
    GPollFD fds[3] = {{.fd = console}, {.events = G_IO_IN}};
    guint n_fds = g_cancellable_make_pollfd(cancellable, &fds[2]) ? 3 : 2;
    ConsoleResult result = CONSOLE_GOES_ON;

    while (result == CONSOLE_GOES_ON && !g_cancellable_is_cancelled(cancellable)) {
        choose_events(&fds[0], &fds[1], &typed);
        if (g_poll(fds, n_fds, -1) < 0)
            continue;
        if (fds[0].revents & G_IO_OUT)
            result = flush(&typed);
        if (result == CONSOLE_GOES_ON && fds[0].revents & ~G_IO_OUT)
            result = from_guest(console, error);
        if (result == CONSOLE_GOES_ON && fds[1].revents != 0)
            result = from_user(&typed);
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
