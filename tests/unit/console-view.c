/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view of a console in a child, on a terminal or between pipes; the test is the user in front of
 * it and the guest behind it.
 */
#include "base/console-view.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#define LIMIT_MS 60000 /* fail-safe of every wait */

typedef struct {
    pid_t pid;
    int user_in;  /* what is written there is typed */
    int user_out; /* what is shown */
    int guest;    /* the console's other end */
    int notes;    /* where notes are written; −1 when over */
    GString *shown;
} Viewer;

/* ---- In the child ---- */

static CvdConsoleView *view;
static gboolean is_over;

static void on_escape(gpointer data)
{
    cvd_console_view_hold(view);
    cvd_console_view_say(view, "prompt\nkey: ");
}

/* `e` ends it, `s` sends ctrl-], anything else goes on. */
static void on_key(char key, gpointer data)
{
    is_over = key == 'e';
    if (key == 's')
        cvd_console_view_send(view, CVD_CONSOLE_ESCAPE);
    if (!is_over)
        cvd_console_view_go_on(view);
}

static void on_ended(CvdConsoleViewEnd how, int error_number, gpointer data)
{
    *(int *)data = 10 * (int)how + (error_number == EPIPE ? 1 : 0);
    is_over = TRUE;
}

/* Exits with what on_ended() makes of the end, or 99. */
static void run_view(int console_fd, int notes_fd)
{
    static const CvdConsoleViewHandlers handlers = {on_escape, on_key, on_ended};
    int how = 99;

    view = cvd_console_view_new(notes_fd, &handlers, &how);
    cvd_console_view_take_console(view, console_fd);
    cvd_console_view_say(view, "begins\n");
    while (!is_over)
        g_main_context_iteration(NULL, TRUE);
    cvd_console_view_finish(view);
    cvd_console_view_free(view);
    _exit(how);
}

/* ---- In the test ---- */

static Viewer fork_view(gboolean is_terminal)
{
    Viewer viewer = {.shown = g_string_new(NULL)};
    int console[2], notes[2], in[2], out[2], slave;

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, console));
    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, notes));
    g_assert_cmpint(pipe2(in, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(out, O_CLOEXEC), ==, 0);
    if (is_terminal)
        g_assert_no_errno(openpty(&viewer.user_in, &slave, NULL, NULL, NULL));
    viewer.pid = fork();
    g_assert_cmpint(viewer.pid, >=, 0);
    if (viewer.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGHUP, SIG_IGN); /* what it reads is what is tested */
        if (is_terminal) {
            close(viewer.user_in);
            login_tty(slave);
        } else {
            dup2(in[0], STDIN_FILENO);
            dup2(out[1], STDOUT_FILENO);
        }
        cvd_fd_close_others((const int[]){console[1], notes[1]}, 2);
        run_view(console[1], notes[1]);
    }
    close(console[1]);
    close(notes[1]);
    close(in[0]);
    close(out[1]);
    viewer.guest = console[0];
    viewer.notes = notes[0];
    if (is_terminal) {
        close(slave);
        close(in[1]);
        close(out[0]);
        viewer.user_out = dup(viewer.user_in);
    } else {
        viewer.user_in = in[1];
        viewer.user_out = out[0];
    }
    return viewer;
}

static void put(int fd, const char *text)
{
    g_assert_cmpint(write(fd, text, strlen(text)), ==, (gssize)strlen(text));
}

static gssize read_some(int fd, char *bytes, gsize size)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    g_assert_cmpint(poll(&readable, 1, LIMIT_MS), ==, 1);
    return read(fd, bytes, size);
}

/* What is shown next is this. */
static void shows(Viewer *viewer, const char *text)
{
    char bytes[4096];

    while (viewer->shown->len < strlen(text)) {
        gssize n = read_some(viewer->user_out, bytes, sizeof bytes);
        g_assert_cmpint(n, >, 0);
        g_string_append_len(viewer->shown, bytes, n);
    }
    if (!g_str_has_prefix(viewer->shown->str, text))
        g_error("it shows '%s', not '%s'", viewer->shown->str, text);
    g_string_erase(viewer->shown, 0, (gssize)strlen(text));
}

/* What is typed from now on finds a raw terminal. */
static Viewer start(gboolean is_terminal)
{
    Viewer viewer = fork_view(is_terminal);

    shows(&viewer, is_terminal ? "begins\r\n" : "begins\n");
    return viewer;
}

/* What the guest gets next is this. */
static void guest_gets(Viewer *viewer, const char *text)
{
    g_autoptr(GString) got = g_string_new(NULL);
    char bytes[4096];

    while (got->len < strlen(text)) {
        gssize n = read_some(viewer->guest, bytes, strlen(text) - got->len);
        g_assert_cmpint(n, >, 0);
        g_string_append_len(got, bytes, n);
    }
    g_assert_cmpstr(got->str, ==, text);
}

static void clear(Viewer *viewer)
{
    cvd_close_fd(&viewer->guest);
    cvd_close_fd(&viewer->notes);
    cvd_close_fd(&viewer->user_in);
    cvd_close_fd(&viewer->user_out);
    g_string_free(viewer->shown, TRUE);
}

static int wait_end(const Viewer *viewer)
{
    int status;

    g_assert_cmpint(waitpid(viewer->pid, &status, 0), ==, viewer->pid);
    return status;
}

/* The instance ends, which the viewer notices. */
static void end_instance(Viewer *viewer)
{
    cvd_close_fd(&viewer->guest);
    cvd_close_fd(&viewer->notes);
    int status = wait_end(viewer);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 10 * CVD_VIEW_CONSOLE_ENDED);
    clear(viewer);
}

/* The user does, by what was typed. */
static void assert_left(const Viewer *viewer)
{
    int status = wait_end(viewer);

    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 99);
}

/* ---- What is shown ---- */

/* Between what the guest prints, on lines of their own, as whole as they are. */
static void test_notes(void)
{
    Viewer viewer = start(TRUE);

    put(viewer.guest, "login: ");
    shows(&viewer, "login: ");
    put(viewer.notes, "begun, ");
    put(viewer.notes, "done\nnext\nbeg");
    shows(&viewer, "\r\nbegun, done\r\nnext\r\n");
    put(viewer.guest, "root\r\n");
    shows(&viewer, "root\r\n");
    put(viewer.notes, "un\n");
    shows(&viewer, "begun\r\n");
    put(viewer.guest, "odd end\n\r");
    shows(&viewer, "odd end\n\r");
    put(viewer.notes, "note\n");
    shows(&viewer, "note\r\n");
    end_instance(&viewer);
}

/* QEMU hands on a byte at a time, so a note can come between the two ends of a line. */
static void test_split_line_end(void)
{
    Viewer viewer = start(TRUE);

    for (guint i = 0; i < 2; i++) {
        put(viewer.guest, "one\r");
        shows(&viewer, "one\r");
        put(viewer.notes, "note\n");
        shows(&viewer, "\r\nnote\r\n");
        put(viewer.guest, "\n\n"); /* the second is the guest's empty line */
        shows(&viewer, "\n");
    }
    end_instance(&viewer);
}

/* What is at hand when the instance is gone, first what the guest said. */
static void test_last_words(void)
{
    Viewer viewer = start(TRUE);

    put(viewer.user_in, "\x1d");
    shows(&viewer, "prompt\r\nkey: ");
    put(viewer.notes, "note\n");
    put(viewer.guest, "words");
    cvd_close_fd(&viewer.guest);
    cvd_close_fd(&viewer.notes);
    put(viewer.user_in, "e");
    shows(&viewer, "words\r\nnote\r\n");
    end_instance(&viewer);
}

static void test_hold(void)
{
    Viewer viewer = start(TRUE);

    put(viewer.user_in, "a\x1dsb");
    guest_gets(&viewer, "a\x1d"
                        "b");
    shows(&viewer, "prompt\r\nkey: \r\n");
    put(viewer.user_in, "\x1d");
    shows(&viewer, "prompt\r\nkey: ");
    put(viewer.guest, "held");
    put(viewer.user_in, "xc"); /* the first of them is the prompt's */
    guest_gets(&viewer, "c");
    shows(&viewer, "\r\nheld");
    put(viewer.user_in, "\x1d"
                        "e");
    assert_left(&viewer);
    clear(&viewer);
}

/* Nothing is added to what goes to a pipe but where notes need it. */
static void test_pipe(void)
{
    Viewer viewer = start(FALSE);

    put(viewer.user_in, "x\x1d\x03");
    guest_gets(&viewer, "x\x1d\x03");
    cvd_close_fd(&viewer.user_in); /* which ends nothing */
    put(viewer.guest, "y");
    shows(&viewer, "y");
    put(viewer.notes, "note\n");
    shows(&viewer, "\nnote\n");
    put(viewer.guest, "z\n");
    shows(&viewer, "z\n");
    end_instance(&viewer);
}

static void test_closed_pipe(void)
{
    Viewer viewer = start(FALSE);

    cvd_close_fd(&viewer.user_out);
    put(viewer.guest, "y");
    g_assert_cmpint(WEXITSTATUS(wait_end(&viewer)), ==, 10 * CVD_VIEW_OUTPUT_FAILED + 1);
    clear(&viewer);
}

static void test_hang_up(void)
{
    Viewer viewer = start(TRUE);

    put(viewer.guest, "x");
    shows(&viewer, "x");
    cvd_close_fd(&viewer.user_out);
    cvd_close_fd(&viewer.user_in);
    g_assert_cmpint(WEXITSTATUS(wait_end(&viewer)), ==, 10 * CVD_VIEW_TERMINAL_ENDED);
    clear(&viewer);
}

/* ---- A guest that takes nothing ---- */

/* From a pipe nothing is lost, however long the guest takes. */
static void test_deaf_guest_and_pipe(void)
{
    Viewer viewer = start(FALSE);
    g_autofree char *text = g_strnfill(1024 * 1024, 'x');
    gsize n_put = 0, n_got = 0;
    char bytes[16384];

    g_unix_set_fd_nonblocking(viewer.user_in, TRUE, NULL);
    while (n_got < 1024 * 1024) {
        gssize n = n_put < 1024 * 1024 ? write(viewer.user_in, text, 1024 * 1024 - n_put) : 0;
        n_put += (gsize)MAX(n, 0);
        if (n > 0)
            continue; /* until it, the pipe and the socket are full */
        gssize got = read_some(viewer.guest, bytes, sizeof bytes);
        g_assert_cmpint(got, >, 0);
        n_got += (gsize)got;
    }
    g_assert_cmpuint(n_got, ==, 1024 * 1024);
    end_instance(&viewer);
}

/* From a terminal, what is beyond the bound is; and ctrl-] works. */
static void test_deaf_guest_and_terminal(void)
{
    Viewer viewer = start(TRUE);
    g_autofree char *text = g_strnfill(1024, 'x');

    for (guint i = 0; i < 1024; i++)
        put(viewer.user_in, text);
    put(viewer.user_in, "\x1d");
    shows(&viewer, "prompt\r\nkey: ");
    put(viewer.user_in, "e");
    assert_left(&viewer);
    gsize n_got = 0;
    char bytes[16384];
    for (gssize n; (n = read(viewer.guest, bytes, sizeof bytes)) > 0;)
        n_got += (gsize)n;
    g_assert_cmpuint(n_got, >=, 1024);
    g_assert_cmpuint(n_got, <, 1024 * 1024);
    clear(&viewer);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    g_test_add_func("/console-view/notes", test_notes);
    g_test_add_func("/console-view/split-line-end", test_split_line_end);
    g_test_add_func("/console-view/last-words", test_last_words);
    g_test_add_func("/console-view/hold", test_hold);
    g_test_add_func("/console-view/pipe", test_pipe);
    g_test_add_func("/console-view/closed-pipe", test_closed_pipe);
    g_test_add_func("/console-view/hang-up", test_hang_up);
    g_test_add_func("/console-view/deaf-guest-and-pipe", test_deaf_guest_and_pipe);
    g_test_add_func("/console-view/deaf-guest-and-terminal", test_deaf_guest_and_terminal);
    return g_test_run();
}
