/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/terminal.h"

#include "base/fd.h"
#include "tests/support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

static void run(const TestSandbox *sandbox, const char *const *argv, int slave)
{
    const struct rlimit no_core = {0};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &no_core);
    login_tty(slave);
    test_sandbox_set_environment(sandbox);
    execvp(argv[0], (char **)argv);
    _exit(127);
}

TestTerminal *test_terminal_start(const TestSandbox *sandbox, const char *const *argv)
{
    TestTerminal *terminal = g_new0(TestTerminal, 1);
    int slave;

    g_assert_no_errno(openpty(&terminal->fd, &slave, NULL, NULL, NULL));
    g_assert_no_errno(fcntl(terminal->fd, F_SETFD, FD_CLOEXEC)); /* so that it can be hung up */
    g_assert_no_errno(tcgetattr(slave, &terminal->before));
    terminal->seen = g_string_new(NULL);
    terminal->pid = fork();
    g_assert_cmpint(terminal->pid, >=, 0);
    if (terminal->pid == 0)
        run(sandbox, argv, slave);
    close(slave);
    return terminal;
}

/* Returns: whether there may be more; the last holder's end is EIO here */
static gboolean read_screen(TestTerminal *terminal, const char *what)
{
    char bytes[4096];

    test_wait_readable(terminal->fd, what);
    gssize n = read(terminal->fd, bytes, sizeof bytes);
    if (n > 0)
        g_string_append_len(terminal->seen, bytes, n);
    return n > 0;
}

static guint count(const char *text, const char *part)
{
    guint n = 0;

    for (; (text = strstr(text, part)) != NULL; text++)
        n++;
    return n;
}

void test_terminal_see(TestTerminal *terminal, const char *text, guint n)
{
    while (count(terminal->seen->str, text) < n)
        if (!read_screen(terminal, text))
            g_error("it ended without showing '%s': %s", text, terminal->seen->str);
}

void test_terminal_type(TestTerminal *terminal, const char *text)
{
    g_assert_cmpint(write(terminal->fd, text, strlen(text)), ==, (gssize)strlen(text));
}

struct termios test_terminal_get(const TestTerminal *terminal)
{
    struct termios now;

    g_assert_no_errno(tcgetattr(terminal->fd, &now));
    return now;
}

void test_terminal_assert_restored(const TestTerminal *terminal)
{
    struct termios now = test_terminal_get(terminal);

    g_assert_cmpuint(now.c_lflag, ==, terminal->before.c_lflag);
    g_assert_cmpuint(now.c_iflag, ==, terminal->before.c_iflag);
    g_assert_cmpuint(now.c_oflag, ==, terminal->before.c_oflag);
}

int test_terminal_finish(TestTerminal *terminal)
{
    int status;

    while (read_screen(terminal, "the program's end"))
        ;
    g_assert_cmpint(waitpid(terminal->pid, &status, 0), ==, terminal->pid);
    terminal->pid = 0;
    test_terminal_assert_restored(terminal);
    return status;
}

void test_terminal_free(TestTerminal *terminal)
{
    if (terminal->pid > 0) {
        kill(terminal->pid, SIGKILL);
        waitpid(terminal->pid, NULL, 0);
    }
    cvd_close_fd(&terminal->fd);
    g_string_free(terminal->seen, TRUE);
    g_free(terminal);
}
