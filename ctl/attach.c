/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console on this terminal. Whatever ends or stops this, a signal included, the
 * terminal is restored first.
 */
#include "ctl/ctl.h"

#include "base/console-view.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/raw-terminal.h"

#include <glib-unix.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

typedef struct {
    CvdConsoleView *view;
    gboolean is_over;
    const char *why;
    GError *error;
} Attached;

static gboolean on_pending(int signal_fd, GIOCondition condition, gpointer cancellable)
{
    g_cancellable_cancel(cancellable);
    return G_SOURCE_REMOVE;
}

/*
 * A signal ends the wait for an answer; it stays pending, and acts when it is unblocked. Those that
 * end this are blocked, and SIGCONT: the threads that are made meanwhile never get them. One of
 * them could be ended by a second signal while the terminal is restored from the first, or make it
 * raw again.
 */
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

static int open_console(CvdDBusInstance1 *instance, GError **error)
{
    g_autoptr(GVariant) handle = NULL;
    g_autoptr(GUnixFDList) list = NULL;

    if (!cvd_dbus_instance1_call_open_console_sync(instance, NULL, &handle, &list, NULL, error))
        return -1;
    return cvd_ctl_get_fd(list, g_variant_get_handle(handle), error);
}

static void on_escape(gpointer data)
{
    Attached *attached = data;

    cvd_console_view_hold(attached->view);
    attached->is_over = TRUE;
    attached->why = "detached";
}

/* Behind ctrl-]. */
static void on_key(char key, gpointer data)
{
}

static void on_ended(CvdConsoleViewEnd how, int error_number, gpointer data)
{
    Attached *attached = data;

    attached->is_over = TRUE;
    switch (how) {
    case CVD_VIEW_TERMINAL_ENDED:
        attached->why = "detached";
        break;
    case CVD_VIEW_CONSOLE_ENDED:
        attached->why = "the instance has ended";
        break;
    case CVD_VIEW_CONSOLE_FAILED:
        cvd_set_error_errno(&attached->error, CVD_ERROR_FAILED, error_number,
                            "cannot read from the console");
        break;
    case CVD_VIEW_OUTPUT_FAILED:
        cvd_tool_set_output_error(&attached->error, error_number);
        break;
    }
}

gboolean cvd_ctl_attach(CvdTool *tool, char **arguments, GError **error)
{
    static const CvdConsoleViewHandlers handlers = {on_escape, on_key, on_ended};
    static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    Attached attached = {0};
    sigset_t signals;

    cvd_raw_terminal_catch_ends(ends, G_N_ELEMENTS(ends), &signals);
    g_autoptr(CvdDBusInstance1) instance = connect_or_end(tool, &signals, error);
    int fd = instance != NULL ? open_console(instance, error) : -1;
    if (fd < 0)
        return FALSE;
    g_autofree char *name = cvd_ctl_printable(cvd_dbus_instance1_get_name(instance));
    if (isatty(STDIN_FILENO))
        g_printerr("console of %s; ctrl-] detaches\n", name);
    attached.view = cvd_console_view_new(-1, &handlers, &attached);
    cvd_console_view_take_console(attached.view, fd);
    gboolean is_terminal = cvd_console_view_is_terminal(attached.view);
    while (!attached.is_over)
        g_main_context_iteration(NULL, TRUE);
    cvd_console_view_free(attached.view);
    if (is_terminal && attached.why != NULL)
        g_printerr("\n%s\n", attached.why);
    if (attached.error == NULL)
        return TRUE;
    g_propagate_error(error, attached.error);
    return FALSE;
}
