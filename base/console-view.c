/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is to be shown waits in `shown` until stdout takes it, and nothing more is read meanwhile: a
 * terminal that is stopped makes the instance wait, which drops what it has no room for and says
 * so. What was typed waits in `typed`: a guest may be deaf for a while, or for ever.
 */
#include "base/console-view.h"

#include "base/fd.h"
#include "base/raw-terminal.h"
#include "base/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE 4096
/* A line of a note that is longer is shown in pieces. */
#define MAX_LINE (64 * 1024)
/* Of our own text, before no more keys are read that ask for more of it. */
#define MAX_SAID 4096

typedef enum {
    VIEW_SHOWS,
    VIEW_HOLDS, /* what the guest prints; what is typed is not for it */
    VIEW_IS_OVER,
} ViewState;

struct CvdConsoleView {
    const CvdConsoleViewHandlers *handlers;
    gpointer user_data;
    ViewState state;
    gboolean is_terminal; /* stdin, which is raw */
    gboolean is_input_over;
    gboolean is_output_lost;
    int console_fd; /* −1: none yet, or it has ended */
    int notes_fd;   /* likewise */
    int out_fd;
    GByteArray *typed; /* at most CVD_CONSOLE_VIEW_MAX_TYPED bytes */
    GString *shown;
    GString *note; /* the beginning of a line */
    char last;     /* that was put into `shown`, but for carriage returns */
    gboolean ends_in_return;
    gboolean is_line_end_split; /* the guest has yet to send the line feed of what we have ended */
    GSource *input;
    GSource *output;
    GSource *to_console;
    GSource *from_console;
    GSource *from_notes;
};

/* ---- What is waited for ---- */

static gboolean on_input(int fd, GIOCondition condition, gpointer data);
static gboolean on_output(int fd, GIOCondition condition, gpointer data);
static gboolean on_console_writable(int fd, GIOCondition condition, gpointer data);
static gboolean on_console_readable(int fd, GIOCondition condition, gpointer data);
static gboolean on_notes(int fd, GIOCondition condition, gpointer data);

static void watch(CvdConsoleView *view, GSource **source, gboolean is_wanted, int fd,
                  GIOCondition condition, GUnixFDSourceFunc callback)
{
    if (!is_wanted)
        cvd_source_clear(source);
    else if (*source == NULL)
        *source = cvd_source_watch_fd(fd, condition, callback, view);
}

/* A pipe waits until there is room; a terminal is read all the same, for its ctrl-]. */
static gboolean wants_input(const CvdConsoleView *view)
{
    if (view->state == VIEW_IS_OVER || view->is_input_over)
        return FALSE;
    return view->is_terminal ? view->shown->len <= MAX_SAID || view->state != VIEW_HOLDS
                             : view->typed->len < CVD_CONSOLE_VIEW_MAX_TYPED;
}

static void watch_all(CvdConsoleView *view)
{
    gboolean is_over = view->state == VIEW_IS_OVER;
    gboolean may_show = view->state == VIEW_SHOWS && view->shown->len == 0;

    watch(view, &view->input, wants_input(view), STDIN_FILENO, G_IO_IN, on_input);
    watch(view, &view->output, !is_over && view->shown->len > 0, view->out_fd, G_IO_OUT, on_output);
    watch(view, &view->to_console, !is_over && view->typed->len > 0, view->console_fd, G_IO_OUT,
          on_console_writable);
    watch(view, &view->from_console, may_show && view->console_fd >= 0, view->console_fd, G_IO_IN,
          on_console_readable);
    watch(view, &view->from_notes, may_show && view->notes_fd >= 0, view->notes_fd, G_IO_IN,
          on_notes);
}

static void end(CvdConsoleView *view, CvdConsoleViewEnd how, int error_number)
{
    if (view->state == VIEW_IS_OVER)
        return;
    view->state = VIEW_IS_OVER;
    view->handlers->ended(how, error_number, view->user_data);
}

static void end_console(CvdConsoleView *view, CvdConsoleViewEnd how, int error_number)
{
    cvd_source_clear(&view->to_console);
    cvd_source_clear(&view->from_console);
    cvd_close_fd(&view->console_fd);
    g_byte_array_set_size(view->typed, 0);
    view->handlers->ended(how, error_number, view->user_data);
}

/* ---- To the screen ---- */

/* Returns: whether nothing waits any more */
static gboolean flush_output(CvdConsoleView *view)
{
    while (view->shown->len > 0 && !view->is_output_lost) {
        gssize n = cvd_fd_write_nowait(view->out_fd, view->shown->str, view->shown->len);
        if (n < 0 && errno == EAGAIN)
            return FALSE;
        if (n < 0 && errno != EINTR) {
            view->is_output_lost = TRUE;
            end(view, CVD_VIEW_OUTPUT_FAILED, errno);
        }
        g_string_erase(view->shown, 0, MAX(n, 0));
    }
    return TRUE;
}

static gboolean on_output(int fd, GIOCondition condition, gpointer data)
{
    flush_output(data);
    watch_all(data);
    return G_SOURCE_CONTINUE;
}

static void flush_output_waiting(CvdConsoleView *view)
{
    struct pollfd room = {.fd = view->out_fd, .events = POLLOUT};

    while (!flush_output(view))
        poll(&room, 1, -1);
}

static void show(CvdConsoleView *view, const char *bytes, gsize size)
{
    g_string_append_len(view->shown, bytes, (gssize)size);
    if (size > 0)
        view->ends_in_return = bytes[size - 1] == '\r';
    for (gsize i = size; i > 0; i--)
        if (bytes[i - 1] != '\r') {
            view->last = bytes[i - 1];
            break;
        }
}

/* Nothing makes the lines of a raw terminal begin at its left but we. */
static void show_lines(CvdConsoleView *view, const char *text, gsize size)
{
    const char *line_feed = view->is_terminal ? "\r\n" : "\n";

    for (const char *end_of_text = text + size; text < end_of_text;) {
        const char *line_end = memchr(text, '\n', (gsize)(end_of_text - text));
        show(view, text, (gsize)((line_end != NULL ? line_end : end_of_text) - text));
        if (line_end == NULL)
            return;
        show(view, line_feed, strlen(line_feed));
        text = line_end + 1;
    }
}

static void begin_line(CvdConsoleView *view)
{
    if (view->last == '\n')
        return;
    view->is_line_end_split = view->ends_in_return;
    show_lines(view, "\n", 1);
}

/* ---- From the instance ---- */

static void show_console(CvdConsoleView *view, const char *bytes, gsize size)
{
    gboolean is_shown = view->is_line_end_split && bytes[0] == '\n';

    view->is_line_end_split = FALSE;
    show(view, bytes + is_shown, size - (gsize)is_shown);
}

/* Returns: whether there may be more */
static gboolean read_console(CvdConsoleView *view)
{
    char bytes[READ_SIZE];
    gssize n = recv(view->console_fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (n > 0)
        show_console(view, bytes, (gsize)n);
    else if (n == 0 || errno == ECONNRESET)
        end_console(view, CVD_VIEW_CONSOLE_ENDED, 0);
    else if (errno != EAGAIN && errno != EINTR)
        end_console(view, CVD_VIEW_CONSOLE_FAILED, errno);
    return n > 0;
}

static gboolean on_console_readable(int fd, GIOCondition condition, gpointer data)
{
    CvdConsoleView *view = data;

    read_console(view);
    flush_output(view);
    watch_all(view);
    return G_SOURCE_CONTINUE;
}

/* Returns: whether there may be more */
static gboolean read_notes(CvdConsoleView *view)
{
    char bytes[READ_SIZE];
    gssize n = cvd_fd_read_nowait(view->notes_fd, bytes, sizeof bytes);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return FALSE;
    if (n <= 0) {
        cvd_source_clear(&view->from_notes);
        cvd_close_fd(&view->notes_fd);
        return FALSE;
    }
    g_string_append_len(view->note, bytes, n);
    const char *line_end = memrchr(view->note->str, '\n', view->note->len);
    gsize size = line_end != NULL             ? (gsize)(line_end - view->note->str) + 1
                 : view->note->len > MAX_LINE ? view->note->len
                                              : 0;
    if (size > 0) {
        begin_line(view);
        show_lines(view, view->note->str, size);
        g_string_erase(view->note, 0, (gssize)size);
    }
    return TRUE;
}

static gboolean on_notes(int fd, GIOCondition condition, gpointer data)
{
    CvdConsoleView *view = data;

    read_notes(view);
    flush_output(view);
    watch_all(view);
    return G_SOURCE_CONTINUE;
}

/* ---- To the guest ---- */

static void flush_typed(CvdConsoleView *view)
{
    GByteArray *typed = view->typed;
    gssize n = send(view->console_fd, typed->data, typed->len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n >= 0)
        g_byte_array_remove_range(typed, 0, (guint)n);
    else if (errno != EAGAIN && errno != EINTR)
        g_byte_array_set_size(typed, 0); /* nobody takes it; what was said before can be read */
}

static gboolean on_console_writable(int fd, GIOCondition condition, gpointer data)
{
    flush_typed(data);
    watch_all(data);
    return G_SOURCE_CONTINUE;
}

static void send_typed(CvdConsoleView *view, const char *bytes, gsize size)
{
    if (view->console_fd < 0)
        return;
    size = MIN(size, CVD_CONSOLE_VIEW_MAX_TYPED - view->typed->len);
    g_byte_array_append(view->typed, (const guint8 *)bytes, (guint)size);
    if (view->typed->len > 0)
        flush_typed(view);
}

/* Who gets it may change with each ctrl-]. */
static void take_keys(CvdConsoleView *view, const char *bytes, gsize size)
{
    while (size > 0 && view->state != VIEW_IS_OVER) {
        gsize n = 1;
        if (view->state == VIEW_HOLDS) {
            view->handlers->key(*bytes, view->user_data);
        } else if (*bytes == CVD_CONSOLE_ESCAPE) {
            view->handlers->escape(view->user_data);
        } else {
            const char *escape = memchr(bytes, CVD_CONSOLE_ESCAPE, size);
            n = escape != NULL ? (gsize)(escape - bytes) : size;
            send_typed(view, bytes, n);
        }
        bytes += n;
        size -= n;
    }
}

static gboolean on_input(int fd, GIOCondition condition, gpointer data)
{
    CvdConsoleView *view = data;
    char bytes[READ_SIZE];
    gsize room = CVD_CONSOLE_VIEW_MAX_TYPED - view->typed->len;
    gssize n = read(STDIN_FILENO, bytes, view->is_terminal ? sizeof bytes : room);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return G_SOURCE_CONTINUE;
    view->is_input_over = n <= 0;
    if (n > 0 && view->is_terminal)
        take_keys(view, bytes, (gsize)n);
    else if (n > 0)
        send_typed(view, bytes, (gsize)n);
    else if (view->is_terminal)
        end(view, CVD_VIEW_TERMINAL_ENDED, 0);
    watch_all(view);
    return G_SOURCE_CONTINUE;
}

/* ---- Interface ---- */

CvdConsoleView *cvd_console_view_new(int take_notes_fd, const CvdConsoleViewHandlers *handlers,
                                     gpointer user_data)
{
    CvdConsoleView *view = g_new(CvdConsoleView, 1);

    *view = (CvdConsoleView){
        .handlers = handlers,
        .user_data = user_data,
        .is_terminal = cvd_raw_terminal_enter(),
        .console_fd = -1,
        .notes_fd = take_notes_fd,
        .out_fd = cvd_fd_reopen_nonblocking(STDOUT_FILENO, O_WRONLY | O_APPEND),
        .typed = g_byte_array_new(),
        .shown = g_string_new(NULL),
        .note = g_string_new(NULL),
        .last = '\n',
    };
    watch_all(view);
    return view;
}

void cvd_console_view_take_console(CvdConsoleView *view, int take_fd)
{
    g_assert(view->console_fd < 0);
    view->console_fd = take_fd;
    watch_all(view);
}

void cvd_console_view_finish(CvdConsoleView *view)
{
    while (view->console_fd >= 0 && read_console(view))
        flush_output_waiting(view);
    while (view->notes_fd >= 0 && read_notes(view))
        flush_output_waiting(view);
    watch_all(view);
}

void cvd_console_view_free(CvdConsoleView *view)
{
    flush_output_waiting(view);
    view->state = VIEW_IS_OVER;
    watch_all(view);
    cvd_raw_terminal_leave();
    cvd_close_fd(&view->console_fd);
    cvd_close_fd(&view->notes_fd);
    cvd_close_fd(&view->out_fd);
    g_byte_array_unref(view->typed);
    g_string_free(view->shown, TRUE);
    g_string_free(view->note, TRUE);
    g_free(view);
}

void cvd_console_view_hold(CvdConsoleView *view)
{
    if (view->state == VIEW_SHOWS)
        view->state = VIEW_HOLDS;
    watch_all(view);
}

void cvd_console_view_go_on(CvdConsoleView *view)
{
    if (view->state == VIEW_HOLDS) {
        view->state = VIEW_SHOWS;
        begin_line(view);
        flush_output(view);
    }
    watch_all(view);
}

void cvd_console_view_say(CvdConsoleView *view, const char *text)
{
    begin_line(view);
    show_lines(view, text, strlen(text));
    flush_output(view);
    watch_all(view);
}

void cvd_console_view_send(CvdConsoleView *view, char key)
{
    send_typed(view, &key, 1);
    watch_all(view);
}

gboolean cvd_console_view_is_terminal(const CvdConsoleView *view)
{
    return view->is_terminal;
}
