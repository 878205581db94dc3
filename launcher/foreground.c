/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that the user sees of `--detach` and `--console`. It knows nothing of the machine but
 * what launcher/background.h says; so the console can be left, and whatever happens on one side,
 * the other one sees the end of the connection.
 *
 * Signals that ask for a stop are passed on by their handlers, so that they act even while the
 * terminal takes nothing.
 */
#include "launcher/foreground.h"

#include "base/console-view.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/notify.h"
#include "base/raw-terminal.h"
#include "base/source.h"
#include "launcher/background.h"
#include "launcher/console-menu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef enum {
    FOREGROUND_WAITS, /* for the machine's process */
    FOREGROUND_LEFT,  /* the machine goes on */
    FOREGROUND_ENDED, /* the machine's process has ended, or is about to */
} ForegroundState;

typedef struct {
    const CvdOptions *options;
    const char *name;
    ForegroundState state;
    pid_t pid; /* the machine's process, our child */
    GSource *source;
    int notes_fd; /* what it has to say, until `view` takes it; −1 = it says that itself */
    CvdConsoleView *view; /* NULL with --detach */
    gboolean is_stopping; /* as was asked for at the prompt */
} Foreground;

static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP};

/* For the handlers. */
static int link_fd = -1;
static volatile sig_atomic_t stop_signal; /* that came last; 0 = none */

static void send_message(CvdBackgroundMessage message)
{
    const char byte = (char)message;

    send(link_fd, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_stop_signal(int number)
{
    int saved_errno = errno;

    stop_signal = number;
    send_message(number == SIGHUP ? CVD_BACKGROUND_HANGUP : CVD_BACKGROUND_STOP);
    errno = saved_errno;
}

static void catch_stop_signals(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(stop_signals); i++)
        cvd_signal_catch(stop_signals[i], on_stop_signal, SA_RESTART);
}

/* The machine cannot be asked any more; a terminal that takes nothing must not keep us. */
static void release_stop_signals(void)
{
    cvd_raw_terminal_catch_ends(stop_signals, G_N_ELEMENTS(stop_signals), NULL);
}

static gboolean is_ignored(int number)
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void leave(Foreground *foreground)
{
    send_message(CVD_BACKGROUND_LEAVE);
    foreground->state = FOREGROUND_LEFT;
}

/* ---- The console ---- */

static void say(Foreground *foreground, const char *text)
{
    g_autofree char *line = g_strdup_printf("%s: %s", foreground->name, text);

    cvd_console_view_say(foreground->view, line);
}

static void on_escape(gpointer data)
{
    Foreground *foreground = data;

    cvd_console_view_hold(foreground->view);
    say(foreground, cvd_menu_get_prompt());
}

/* A second request would end QEMU at once, which has a key of its own. */
static void power_off(Foreground *foreground)
{
    if (foreground->is_stopping)
        say(foreground, "it was asked already; q ends QEMU at once\n");
    else
        send_message(CVD_BACKGROUND_STOP);
    foreground->is_stopping = TRUE;
}

static void on_key(char key, gpointer data)
{
    Foreground *foreground = data;

    if (foreground->state != FOREGROUND_WAITS)
        return;
    switch (cvd_menu_choose(key)) {
    case CVD_MENU_BACK:
        break;
    case CVD_MENU_DETACH:
        leave(foreground);
        return;
    case CVD_MENU_POWER_OFF:
        power_off(foreground);
        break;
    case CVD_MENU_QUIT:
        send_message(CVD_BACKGROUND_QUIT);
        break;
    case CVD_MENU_SEND_ESCAPE:
        cvd_console_view_send(foreground->view, CVD_CONSOLE_ESCAPE);
        break;
    case CVD_MENU_HELP:
        cvd_console_view_say(foreground->view, cvd_menu_get_help());
        say(foreground, cvd_menu_get_prompt());
        return;
    }
    cvd_console_view_go_on(foreground->view);
}

/* A terminal that was closed takes the machine along, unless hang-ups are ignored: nohup(1). */
static void on_view_ended(CvdConsoleViewEnd how, int error_number, gpointer data)
{
    if (how != CVD_VIEW_TERMINAL_ENDED && how != CVD_VIEW_OUTPUT_FAILED)
        return; /* the machine's process says more */
    if (is_ignored(SIGHUP))
        leave(data);
    else
        send_message(CVD_BACKGROUND_HANGUP);
}

static const CvdConsoleViewHandlers view_handlers = {on_escape, on_key, on_view_ended};

static void open_view(Foreground *foreground)
{
    static const int quits[] = {SIGQUIT};

    cvd_raw_terminal_catch_ends(quits, G_N_ELEMENTS(quits), NULL);
    signal(SIGTTIN, SIG_DFL);
    foreground->view =
        cvd_console_view_new(g_steal_fd(&foreground->notes_fd), &view_handlers, foreground);
    say(foreground, "the guest's console; ctrl-] opens a prompt: detach, power off, quit\n");
}

/* ---- The machine's process ---- */

/* Not before, as until then the terminal's signals are for it, too. */
static void on_entered(Foreground *foreground)
{
    g_autofree char *pid = g_strdup_printf("%d", foreground->pid);

    cvd_notify("MAINPID", pid);
    if (foreground->options->console)
        open_view(foreground);
    send_message(CVD_BACKGROUND_GO);
}

/* What was asked before it leaves holds; what comes after that is too late to be told. */
static void on_ready(Foreground *foreground)
{
    sigset_t signals, before;

    if (foreground->options->console)
        return;
    sigemptyset(&signals);
    for (gsize i = 0; i < G_N_ELEMENTS(stop_signals); i++)
        sigaddset(&signals, stop_signals[i]);
    sigprocmask(SIG_BLOCK, &signals, &before);
    if (stop_signal == 0)
        leave(foreground);
    else
        sigprocmask(SIG_SETMASK, &before, NULL);
}

static gboolean on_message(int fd, GIOCondition condition, gpointer data)
{
    Foreground *foreground = data;
    int console_fd = -1;

    switch (cvd_background_receive(fd, &console_fd)) {
    case 0:
        foreground->state = FOREGROUND_ENDED;
        break;
    case CVD_BACKGROUND_ENTERED:
        on_entered(foreground);
        break;
    case CVD_BACKGROUND_READY:
        on_ready(foreground);
        break;
    case CVD_BACKGROUND_CONSOLE:
        if (foreground->view != NULL && console_fd >= 0)
            cvd_console_view_take_console(foreground->view, g_steal_fd(&console_fd));
        break;
    default:
        break;
    }
    cvd_close_fd(&console_fd);
    return G_SOURCE_CONTINUE;
}

static int reap(const Foreground *foreground)
{
    int status;

    if (TEMP_FAILURE_RETRY(waitpid(foreground->pid, &status, 0)) < 0) {
        g_critical("the launcher's process %d is lost: %s", foreground->pid, g_strerror(errno));
        return EXIT_FAILURE;
    }
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    g_critical("the launcher (pid %d) was killed by signal %d", foreground->pid, WTERMSIG(status));
    return EXIT_FAILURE;
}

static int finish(Foreground *foreground)
{
    gboolean is_detach = foreground->options->detach;

    release_stop_signals();
    if (foreground->view != NULL) {
        if (foreground->state == FOREGROUND_ENDED)
            cvd_console_view_finish(foreground->view);
        cvd_console_view_say(foreground->view, ""); /* whatever follows, on a line of its own */
        cvd_console_view_free(foreground->view);
    }
    cvd_source_clear(&foreground->source);
    if (foreground->state == FOREGROUND_LEFT) {
        if (!is_detach)
            g_message("detached; 'cvd-ctl -n %s attach' comes back, 'cvd-ctl -n %s stop' ends it",
                      foreground->name, foreground->name);
        return EXIT_SUCCESS;
    }
    int exit_status = reap(foreground);
    if (is_detach && stop_signal != 0)
        raise(stop_signal);
    if (!is_detach || exit_status != EXIT_SUCCESS)
        return exit_status;
    g_critical("it has ended before it was ready");
    return EXIT_FAILURE;
}

static int wait_for_machine(const CvdOptions *options, const char *name, pid_t pid, int notes_fd)
{
    Foreground foreground = {.options = options, .name = name, .pid = pid, .notes_fd = notes_fd};

    catch_stop_signals();
    foreground.source = cvd_source_watch_fd(link_fd, G_IO_IN, on_message, &foreground);
    while (foreground.state == FOREGROUND_WAITS)
        g_main_context_iteration(NULL, TRUE);
    return finish(&foreground);
}

/* ---- Interface ---- */

/* What the machine's process writes to stderr, if that is a terminal, which is going to be raw. */
static gboolean open_notes(const CvdOptions *options, int notes[2])
{
    return !options->console || !isatty(STDERR_FILENO) ||
           socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, notes) == 0;
}

static void be_machine(const CvdOptions *options, int take_link, int notes_fd, const int *kept,
                       guint n_kept)
{
    if (notes_fd >= 0)
        dup2(notes_fd, STDERR_FILENO);
    cvd_background_enter(take_link,
                         options->console ? CVD_BACKGROUND_OUTPUT_UNTIL_LEFT
                                          : CVD_BACKGROUND_OUTPUT_UNTIL_READY,
                         kept, n_kept);
}

gboolean cvd_foreground_split(const CvdOptions *options, const char *name, const int *kept,
                              guint n_kept, int *exit_status)
{
    int pair[2] = {-1, -1}, notes[2] = {-1, -1};
    pid_t pid = -1;

    *exit_status = EXIT_FAILURE;
    if (open_notes(options, notes) &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0)
        pid = fork();
    if (pid < 0) {
        g_critical("cannot make the process for the background: %s; stop something else",
                   g_strerror(errno));
        return FALSE;
    }
    if (pid == 0) {
        cvd_close_fd(&pair[0]);
        cvd_close_fd(&notes[0]);
        be_machine(options, pair[1], notes[1], kept, n_kept);
        return TRUE;
    }
    cvd_close_fd(&pair[1]);
    cvd_close_fd(&notes[1]);
    link_fd = pair[0];
    *exit_status = wait_for_machine(options, name, pid, notes[0]);
    return FALSE;
}

gboolean cvd_foreground_check_terminal(GError **error)
{
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        return TRUE;
    return cvd_fail(error, CVD_ERROR_INVALID,
                    "--console needs a terminal as stdin and stdout; for a pipe there is "
                    "--set qemu.serial=stdio");
}
