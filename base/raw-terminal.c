/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal is the process's, and so is what is known of it. Handlers of signals restore it, so
 * they call nothing that may not be called there.
 */
#include "base/raw-terminal.h"

#include <string.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t is_raw;
static struct termios saved, raw;
static const char *enter_screen, *leave_screen;

/* There the terminal is the shell's. */
static gboolean is_in_background(void)
{
    pid_t group = tcgetpgrp(STDIN_FILENO);

    return group >= 0 && group != getpgrp();
}

/* Not before pending output has gone, which may be never: ctrl-s. @screen: (nullable): what is put
 * there, too */
static void apply(const struct termios *settings, const char *screen)
{
    if (!is_raw || is_in_background())
        return;
    tcsetattr(STDIN_FILENO, TCSANOW, settings);
    if (screen != NULL && write(STDOUT_FILENO, screen, strlen(screen)) < 0)
        return; /* what is there stays */
}

/* The action is the default one again: this ends as if nobody had caught the signal. */
static void on_end(int number)
{
    apply(&saved, leave_screen);
    raise(number);
}

static void on_stop(int number)
{
    apply(&saved, leave_screen);
    raise(SIGSTOP);
}

/* The shell has put the terminal into its own state, and written on the screen, which may have
 * another size by now. */
static void on_continue(int number)
{
    apply(&raw, enter_screen);
    raise(SIGWINCH);
}

gboolean cvd_signal_catch(int number, void (*handler)(int number), int flags)
{
    struct sigaction before, action = {.sa_handler = handler, .sa_flags = flags};

    if (sigaction(number, NULL, &before) < 0 || before.sa_handler == SIG_IGN)
        return FALSE;
    sigfillset(&action.sa_mask);
    return sigaction(number, &action, NULL) == 0;
}

void cvd_raw_terminal_catch_ends(const int *numbers, guint n, sigset_t *caught)
{
    if (caught != NULL)
        sigemptyset(caught);
    for (guint i = 0; i < n; i++)
        if (cvd_signal_catch(numbers[i], on_end, SA_RESETHAND) && caught != NULL)
            sigaddset(caught, numbers[i]);
}

gboolean cvd_raw_terminal_enter(void)
{
    if (!isatty(STDIN_FILENO))
        return FALSE;
    cvd_signal_catch(SIGTSTP, on_stop, SA_RESTART);
    cvd_signal_catch(SIGCONT, on_continue, SA_RESTART);
    if (is_in_background())
        raise(SIGTTOU);
    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return FALSE;
    raw = saved;
    cfmakeraw(&raw);
    is_raw = TRUE;
    apply(&raw, enter_screen);
    return TRUE;
}

void cvd_raw_terminal_set_screen(const char *enter, const char *leave)
{
    enter_screen = enter;
    leave_screen = leave;
}

void cvd_raw_terminal_adopt(const struct termios *before)
{
    if (is_raw)
        return;
    cvd_signal_catch(SIGTSTP, on_stop, SA_RESTART);
    cvd_signal_catch(SIGCONT, on_continue, SA_RESTART);
    saved = *before;
    is_raw = tcgetattr(STDIN_FILENO, &raw) == 0;
}

void cvd_raw_terminal_leave(void)
{
    apply(&saved, leave_screen);
    is_raw = FALSE;
}
