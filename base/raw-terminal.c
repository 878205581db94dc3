/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal is the process's, and so is what is known of it. Handlers of signals restore it, so
 * they call nothing that may not be called there.
 */
#include "base/raw-terminal.h"

#include <termios.h>
#include <unistd.h>

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
    apply(&raw);
    return TRUE;
}

void cvd_raw_terminal_leave(void)
{
    apply(&saved);
    is_raw = FALSE;
}
