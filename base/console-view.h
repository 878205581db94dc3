/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_CONSOLE_ESCAPE: ctrl-], which is not the guest's */
#define CVD_CONSOLE_ESCAPE 0x1d
/** CVD_CONSOLE_VIEW_MAX_TYPED: bytes that wait for a guest that takes nothing */
#define CVD_CONSOLE_VIEW_MAX_TYPED 4096

/**
 * CvdConsoleView:
 *
 * Bytes between a guest's console and stdin and stdout. If stdin is a terminal it is raw meanwhile
 * (base/raw-terminal.h): everything that is typed goes to the guest, but for ctrl-]. In the
 * thread's default #GMainContext.
 */
typedef struct CvdConsoleView CvdConsoleView;

typedef enum {
    CVD_VIEW_CONSOLE_ENDED,  /* on the instance's side; ctrl-] and notes go on */
    CVD_VIEW_CONSOLE_FAILED, /* it cannot be read; likewise */
    CVD_VIEW_TERMINAL_ENDED, /* it was hung up; nothing more is relayed */
    CVD_VIEW_OUTPUT_FAILED,  /* stdout cannot be written; nothing more is relayed */
} CvdConsoleViewEnd;

/**
 * CvdConsoleViewHandlers:
 * @escape: ctrl-] was typed
 * @key: something was typed while the view is held
 * @ended: something has. @error_number: an `errno`, or 0
 *
 * None of them may free the view.
 */
typedef struct {
    void (*escape)(gpointer user_data);
    void (*key)(char key, gpointer user_data);
    void (*ended)(CvdConsoleViewEnd how, int error_number, gpointer user_data);
} CvdConsoleViewHandlers;

/**
 * cvd_console_view_new:
 * @take_notes_fd: what has text for people, such as a log, which is shown between what the guest
 *   prints, on lines of its own; consumed; −1: none
 * @handlers: outlives the view
 *
 * The end of a pipe at stdin ends nothing: what the guest says to it may be what is wanted. What is
 * typed on a terminal and finds no room is lost; a pipe waits.
 */
CvdConsoleView *cvd_console_view_new(int take_notes_fd, const CvdConsoleViewHandlers *handlers,
                                     gpointer user_data);

/**
 * cvd_console_view_take_console:
 * @take_fd: a stream socket that the console is at the other end of; consumed
 *
 * What was typed before there was a console is lost.
 */
void cvd_console_view_take_console(CvdConsoleView *view, int take_fd);

/** cvd_console_view_finish: the instance is gone: shows what it has left in the console and in the
 * notes */
void cvd_console_view_finish(CvdConsoleView *view);

/** cvd_console_view_free: leaves the terminal as it was, when it has taken what is to be shown */
void cvd_console_view_free(CvdConsoleView *view);

/** cvd_console_view_hold: what the guest prints, and notes, wait until cvd_console_view_go_on(),
 * and what is typed is @key's */
void cvd_console_view_hold(CvdConsoleView *view);
void cvd_console_view_go_on(CvdConsoleView *view);

/** cvd_console_view_say: puts @text on the screen, on a line of its own; lines in it end in line
 * feeds */
void cvd_console_view_say(CvdConsoleView *view, const char *text);

/** cvd_console_view_send: has the guest get @key, if there is room */
void cvd_console_view_send(CvdConsoleView *view, char key);

/** cvd_console_view_is_terminal: Returns: whether stdin is a terminal */
gboolean cvd_console_view_is_terminal(const CvdConsoleView *view);

G_END_DECLS
