/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <signal.h>
#include <termios.h>

G_BEGIN_DECLS

/**
 * cvd_signal_catch:
 * @number: a signal
 * @handler: what it runs, with all others blocked
 * @flags: as of sigaction(2)
 *
 * One that is ignored stays so: for nohup(1), and for jobs in the background of a script.
 *
 * Returns: whether @handler runs from now on
 */
gboolean cvd_signal_catch(int number, void (*handler)(int number), int flags);

/**
 * cvd_raw_terminal_catch_ends:
 * @numbers: (array length=n): signals that end a program
 * @caught: (out) (nullable): those of them that are not ignored
 *
 * Each of them ends the program as ever, but with the terminal as it was before.
 */
void cvd_raw_terminal_catch_ends(const int *numbers, guint n, sigset_t *caught);

/**
 * cvd_raw_terminal_enter:
 *
 * What is typed on stdin comes byte by byte, unchanged, without an echo, and raises no signal; what
 * is put on the screen is left as it is. While a SIGTSTP from elsewhere stops the program the
 * terminal is as before; when it goes on, raw again. In the background it stops first, as if it had
 * read.
 *
 * Returns: whether stdin is a terminal, which is raw now
 */
gboolean cvd_raw_terminal_enter(void);

/**
 * cvd_raw_terminal_set_screen:
 * @enter: (nullable): a static string that is put on stdout whenever the terminal becomes raw
 * @leave: (nullable): the same whenever it is as before
 *
 * For a program that draws on all of the screen.
 */
void cvd_raw_terminal_set_screen(const char *enter, const char *leave);

/**
 * cvd_raw_terminal_adopt:
 * @before: how it was before
 *
 * The same for the settings that the terminal has now, made by somebody else, who edits lines
 * there: they are restored and made again as above. After a stop, SIGWINCH says that the screen has
 * to be drawn again.
 */
void cvd_raw_terminal_adopt(const struct termios *before);

/** cvd_raw_terminal_leave: it is as it was before; where it is not raw, nothing happens */
void cvd_raw_terminal_leave(void);

G_END_DECLS
