/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes between the terminal and the guest's console, with nothing in between but ctrl-]. The
 * terminal is raw meanwhile, so ctrl-c goes to the guest. Whatever ends or stops this, a signal
 * included, it is restored first.
 */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
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
    GByteArray *unsent; /* at most READ_SIZE bytes */
    gboolean is_over;   /* stdin has ended */
} Typed;

static volatile sig_atomic_t is_raw;
static struct termios saved, raw;

/* There the terminal is the shell's. */
static gboolean is_in_background(void)
{
    pid_t group = tcgetpgrp(STDIN_FILENO);

    return group >= 0 && group != getpgrp();
}

/* Not before pending output has gone, which may be never: ctrl-s. */
static void apply(const struct termios *settings)
{
    if (is_raw && !is_in_background())
        tcsetattr(STDIN_FILENO, TCSANOW, settings);
}

/* The action is the default one again: this ends as if nobody had caught the signal. */
static void on_end(int number)
{
    apply(&saved);
    raise(number);
}

static void on_stop(int number)
{
    apply(&saved);
    raise(SIGSTOP);
}

/* The shell has put the terminal into its own state. */
static void on_continue(int number)
{
    apply(&raw);
}

/* Those that were ignored stay so. */
static gboolean catch (int number, void (*handler)(int), int flags)
{
    struct sigaction before, action = {.sa_handler = handler, .sa_flags = flags};

    if (sigaction(number, NULL, &before) < 0 || before.sa_handler == SIG_IGN)
        return FALSE;
    sigfillset(&action.sa_mask);
    return sigaction(number, &action, NULL) == 0;
}

/*
 * What ends this is blocked, and SIGCONT: the threads that are made meanwhile never get them. One
 * of them could be ended by a second signal while the terminal is restored from the first, or make
 * it raw again.
 */
static void catch_signals(sigset_t *ending)
{
    static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};

    sigemptyset(ending);
    for (guint i = 0; i < G_N_ELEMENTS(ends); i++)
        if (catch (ends[i], on_end, SA_RESETHAND))
            sigaddset(ending, ends[i]);
    catch (SIGTSTP, on_stop, SA_RESTART);
    catch (SIGCONT, on_continue, SA_RESTART);
}

static gboolean on_pending(int signal_fd, GIOCondition condition, gpointer cancellable)
{
    g_cancellable_cancel(cancellable);
    return G_SOURCE_REMOVE;
}

/* A signal ends the wait for an answer; it stays pending, and acts when it is unblocked. */
static CvdDBusInstance1 *connect_or_end(CvdTool *tool, const sigset_t *ending, GError **error)
{
    sigset_t blocked = *ending;

    sigaddset(&blocked, SIGCONT);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    cvd_autofd signal_fd = signalfd(-1, ending, SFD_CLOEXEC);
    g_autoptr(GSource) source = g_unix_fd_source_new(signal_fd, G_IO_IN);

    g_source_set_callback(source, G_SOURCE_FUNC(on_pending), tool->cancellable, NULL);
    g_source_attach(source, NULL);
    CvdDBusInstance1 *instance = cvd_ctl_connect(tool, error);
    g_source_destroy(source);
    pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
    return instance;
}

static void make_raw(void)
{
    if (is_in_background())
        raise(SIGTTOU);
    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return;
    raw = saved;
    cfmakeraw(&raw);
    is_raw = TRUE;
    apply(&raw);
}

static int open_console(CvdDBusInstance1 *instance, GError **error)
{
    g_autoptr(GVariant) handle = NULL;
    g_autoptr(GUnixFDList) list = NULL;

    if (!cvd_dbus_instance1_call_open_console_sync(instance, NULL, &handle, &list, NULL, error))
        return -1;
    return cvd_ctl_get_fd(list, g_variant_get_handle(handle), error);
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
    GByteArray *unsent = typed->unsent;
    gssize n = send(typed->console, unsent->data, unsent->len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? CONSOLE_GOES_ON : CONSOLE_ENDED;
    g_byte_array_remove_range(unsent, 0, (guint)n);
    return CONSOLE_GOES_ON;
}

/* The end of a pipe ends nothing: what the guest says to it may be what is wanted. */
static ConsoleResult from_user(Typed *typed)
{
    guint8 bytes[READ_SIZE];
    gsize room = READ_SIZE - typed->unsent->len;
    gssize n = read(STDIN_FILENO, bytes, is_raw ? sizeof bytes : room);
    const guint8 *detach = n > 0 && is_raw ? memchr(bytes, DETACH, (gsize)n) : NULL;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return CONSOLE_GOES_ON;
    if (n <= 0) {
        typed->is_over = TRUE;
        return is_raw ? CONSOLE_DETACHED : CONSOLE_GOES_ON;
    }
    gsize size = MIN(room, detach != NULL ? (gsize)(detach - bytes) : (gsize)n);
    g_byte_array_append(typed->unsent, bytes, (guint)size);
    ConsoleResult result = flush(typed);
    return detach != NULL ? CONSOLE_DETACHED : result;
}

/* A pipe waits until there is room; a terminal is read all the same, for its ctrl-]. */
static void choose_events(GPollFD *console, GPollFD *input, const Typed *typed)
{
    gboolean has_room = typed->unsent->len < READ_SIZE;

    console->events = (gushort)(G_IO_IN | (typed->unsent->len > 0 ? G_IO_OUT : 0));
    input->fd = !typed->is_over && (is_raw || has_room) ? STDIN_FILENO : -1;
    input->revents = 0;
}

static ConsoleResult relay(int console, GError **error)
{
    g_autoptr(GByteArray) unsent = g_byte_array_new();
    Typed typed = {.console = console, .unsent = unsent};
    GPollFD fds[] = {{.fd = console}, {.events = G_IO_IN}};
    ConsoleResult result = CONSOLE_GOES_ON;

    while (result == CONSOLE_GOES_ON) {
        choose_events(&fds[0], &fds[1], &typed);
        if (g_poll(fds, G_N_ELEMENTS(fds), -1) < 0)
            continue;
        if (fds[0].revents & G_IO_OUT)
            result = flush(&typed);
        if (result == CONSOLE_GOES_ON && fds[0].revents & ~G_IO_OUT)
            result = from_guest(console, error);
        if (result == CONSOLE_GOES_ON && fds[1].revents != 0)
            result = from_user(&typed);
    }
    return result;
}

gboolean cvd_ctl_console(CvdTool *tool, char **arguments, GError **error)
{
    sigset_t signals;
    catch_signals(&signals);
    g_autoptr(CvdDBusInstance1) instance = connect_or_end(tool, &signals, error);
    cvd_autofd fd = instance != NULL ? open_console(instance, error) : -1;
    if (fd < 0)
        return FALSE;

    g_unix_set_fd_nonblocking(fd, FALSE, NULL);
    if (isatty(STDIN_FILENO)) {
        g_autofree char *name = cvd_ctl_printable(cvd_dbus_instance1_get_name(instance));
        g_printerr("console of %s; ctrl-] detaches\n", name);
        make_raw();
    }
    ConsoleResult result = relay(fd, error);
    apply(&saved);
    if (is_raw)
        g_printerr("\n%s\n", result == CONSOLE_ENDED ? "the instance has ended" : "detached");
    is_raw = FALSE;
    return result != CONSOLE_ERROR;
}
