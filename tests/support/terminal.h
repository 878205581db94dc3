/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/sandbox.h"

#include <glib.h>
#include <sys/types.h>
#include <termios.h>

G_BEGIN_DECLS

/**
 * TestTerminal:
 * @pid: of the program, which leads the terminal's session
 * @fd: the other end: what is written there is typed, what is read is on the screen
 * @before: the settings that the program found
 * @seen: what has been on the screen so far
 *
 * A pseudo-terminal with a program on it.
 */
typedef struct {
    pid_t pid;
    int fd;
    struct termios before;
    GString *seen;
} TestTerminal;

/** test_terminal_start: @argv: the program, looked up in PATH, and its arguments */
TestTerminal *test_terminal_start(const TestSandbox *sandbox, const char *const *argv);
/** test_terminal_see: waits until @text has been on the screen @n times */
void test_terminal_see(TestTerminal *terminal, const char *text, guint n);
void test_terminal_type(TestTerminal *terminal, const char *text);
/** test_terminal_get: Returns: the settings now */
struct termios test_terminal_get(const TestTerminal *terminal);
/** test_terminal_assert_restored: the settings are those that the program found */
void test_terminal_assert_restored(const TestTerminal *terminal);
/**
 * test_terminal_finish:
 *
 * Reads all that is put on the screen, waits for the program's end, and looks whether the terminal
 * is as it was.
 *
 * Returns: the wait status
 */
int test_terminal_finish(TestTerminal *terminal);
/** test_terminal_free: kills the program if it still lives */
void test_terminal_free(TestTerminal *terminal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestTerminal, test_terminal_free)

G_END_DECLS
