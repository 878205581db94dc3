/* SPDX-License-Identifier: Apache-2.0 */
/* The prompt of `cvd-ctl qmp` on a pseudo-terminal, with a real QEMU. */
#include "tests/support/instance.h"
#include "tests/support/terminal.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME   "prompt"
#define PROMPT "(" NAME ") "
/* Keys. */
#define TAB    "\t"
#define UP     "\033[A"
#define CTRL_C "\x03"
#define CTRL_D "\x04"
#define CTRL_R "\x12"

/* What the user's own files and the runner's terminal say is none of the tests' business. */
static TestTerminal *open_prompt(const TestInstance *f, const char *const *argv)
{
    g_setenv("TERM", "xterm", TRUE);
    g_setenv("LC_ALL", "C.UTF-8", TRUE);
    g_setenv("HOME", f->sandbox->dir, TRUE);
    g_setenv("XDG_STATE_HOME", f->sandbox->dir, TRUE);
    TestTerminal *terminal = test_terminal_start(f->sandbox, argv);
    test_terminal_see(terminal, PROMPT, 1);
    return terminal;
}

#define OPEN(f, ...) open_prompt(f, (const char *const[]){g_getenv("CVD_CTL"), "qmp", __VA_ARGS__})

static void ctl(const TestInstance *f, const char *verb)
{
    const char *argv[] = {g_getenv("CVD_CTL"), verb, NULL};
    g_autoptr(TestProcess) process = test_process_start(f->sandbox, argv, NULL, NULL);

    g_assert_cmpint(test_process_wait_exit(process), ==, 0);
}

static void leave(TestTerminal *take_terminal)
{
    g_autoptr(TestTerminal) terminal = take_terminal;

    test_terminal_type(terminal, CTRL_D);
    g_assert_cmpint(test_terminal_finish(terminal), ==, 0);
}

/* What was typed behind it would be lost with it: @n is how often this was done. */
static void leave_line(TestTerminal *terminal, guint n)
{
    test_terminal_type(terminal, CTRL_C);
    test_terminal_see(terminal, "^C\r\n" PROMPT, n);
}

static void stop(TestInstance *f)
{
    ctl(f, "stop");
    test_launcher_assert_exit(f->launcher, 0);
}

static gboolean has_seen(const TestTerminal *terminal, const char *text)
{
    return strstr(terminal->seen->str, text) != NULL;
}

/* ---- Commands ---- */

static void test_commands(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *terminal = OPEN(f, NULL);

    test_terminal_see(terminal, "tab completes, ctrl-d leaves", 1);
    test_terminal_type(terminal, "query-name\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"\r\n}\r\n", 1);
    test_terminal_type(terminal, "qom-get path=/ property=type\n");
    test_terminal_see(terminal, "\"container\"\r\n", 1);
    test_terminal_type(terminal, "qom-get '{\"path\": \"/machine\", \"property\": \"type\"}'\n");
    test_terminal_see(terminal, "-machine\"\r\n", 1);
    test_terminal_type(terminal, "{\"execute\": \"query-name\", \"id\": [1]}\n");
    test_terminal_see(terminal, "\"id\" : [\r\n    1\r\n  ]\r\n}\r\n", 1);
    test_terminal_type(terminal, "\n  # stop\n");
    test_terminal_type(terminal, "query-statis\n");
    test_terminal_see(terminal, "error: QEMU: The command query-statis has not been found\r\n", 1);
    test_terminal_see(terminal, "did you mean 'query-stat", 1);
    test_terminal_type(terminal, "stop {\n");
    test_terminal_see(terminal, "error: a bracket is not closed\r\n", 1);
    test_terminal_type(terminal, "stop now\n");
    test_terminal_see(terminal, "error: 'now': expected KEY=VALUE", 1);
    test_terminal_type(terminal, "qom-get path=1 property=type\n");
    test_terminal_see(terminal, "expected: string", 1);
    leave(terminal);
    g_assert_false(test_process_has_err(f->launcher, "paused"));
    stop(f);
}

static void test_json(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *terminal = OPEN(f, "--json", NULL);

    test_terminal_type(terminal, "query-name\n");
    test_terminal_see(terminal, "\r\n{\"name\":\"" NAME "\"}\r\n", 1);
    ctl(f, "pause");
    test_terminal_see(terminal, "\"event\":\"guest\",\"name\":\"STOP\",\"data\":{}}\r\n", 1);
    leave(terminal);
    stop(f);
}

/* ---- Keys ---- */

/* QEMU has said what there is before it answers the first command. */
static void test_completion(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *terminal = OPEN(f, NULL);

    test_terminal_type(terminal, "query-name\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"", 1);
    test_terminal_type(terminal, "query-nam" TAB "\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"", 2);
    test_terminal_type(terminal, "qom-get pa" TAB "/ pro" TAB "type\n");
    test_terminal_see(terminal, "\"container\"\r\n", 1);
    test_terminal_type(terminal, "query-bl" TAB TAB);
    test_terminal_see(terminal, "query-block-jobs ", 1);
    test_terminal_see(terminal, "\r\n" PROMPT "query-block", 1);
    leave_line(terminal, 1);
    test_terminal_type(terminal, "set-action pan" TAB "non" TAB "\n");
    test_terminal_see(terminal, "\r\n{}\r\n", 1);
    test_terminal_type(terminal, "blockdev-add driver=raw file.driver=nu" TAB TAB);
    test_terminal_see(terminal, "file.driver=null-aio", 1);
    leave_line(terminal, 2);
    leave(terminal);
    stop(f);
}

/* It is asked for when the line is begun, and answered later: the line is completed then. */
static void test_completion_of_a_slow_qemu(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    pid_t qemu = test_launcher_find_qemu(f->launcher);

    g_assert_no_errno(kill(qemu, SIGSTOP));
    TestTerminal *terminal = OPEN(f, NULL);
    test_terminal_type(terminal, "query-vnc-s" TAB);
    test_terminal_see(terminal, "query-vnc-s", 1);
    g_assert_no_errno(kill(qemu, SIGCONT));
    test_terminal_see(terminal, "ervers ", 1);
    leave_line(terminal, 1);
    leave(terminal);
    stop(f);
}

static void test_interrupt(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *terminal = OPEN(f, NULL);

    test_terminal_type(terminal, "sto");
    test_terminal_see(terminal, "sto", 1);
    leave_line(terminal, 1);
    test_terminal_type(terminal, "query-name\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"", 1);
    leave(terminal);
    stop(f);
}

/* QEMU does not answer, and the user has waited long enough. */
static void test_interrupt_of_a_command(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    pid_t qemu = test_launcher_find_qemu(f->launcher);
    TestTerminal *terminal = OPEN(f, NULL);

    g_assert_no_errno(kill(qemu, SIGSTOP));
    test_terminal_type(terminal, "query-name\n");
    test_terminal_see(terminal, "query-name\r\n", 1);
    test_terminal_type(terminal, CTRL_C);
    test_terminal_see(terminal, "not waited for any longer", 1);
    g_assert_no_errno(kill(qemu, SIGCONT));
    test_terminal_type(terminal, "query-name\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"", 1);
    leave(terminal);
    stop(f);
}

static void test_timeout(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    pid_t qemu = test_launcher_find_qemu(f->launcher);
    TestTerminal *terminal = OPEN(f, "--timeout", "0.5", NULL);

    g_assert_no_errno(kill(qemu, SIGSTOP));
    test_terminal_type(terminal, "query-name\n");
    test_terminal_see(terminal, "error: QEMU has not answered, and the time of --timeout is over",
                      1);
    g_assert_no_errno(kill(qemu, SIGCONT));
    leave(terminal);
    stop(f);
}

/* ---- What happens in between ---- */

static void test_events(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *terminal = OPEN(f, NULL);

    test_terminal_type(terminal, "query-na");
    test_terminal_see(terminal, PROMPT "query-na", 1);
    ctl(f, "pause");
    test_terminal_see(terminal, " guest  STOP\r\n", 1);
    test_terminal_see(terminal, " state  paused a pause was asked for\r\n", 1);
    test_terminal_see(terminal, PROMPT "query-na", 3);
    test_terminal_type(terminal, "me\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"", 1);
    ctl(f, "resume");
    test_terminal_see(terminal, " guest  RESUME\r\n", 1);
    leave(terminal);
    stop(f);
}

/* The line has more than one row: all of them are drawn again below what is printed. */
static void test_event_in_a_long_line(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    const struct winsize narrow = {.ws_row = 24, .ws_col = 30};
    TestTerminal *terminal = OPEN(f, NULL);

    g_assert_no_errno(ioctl(terminal->fd, TIOCSWINSZ, &narrow));
    test_terminal_see(terminal, PROMPT, 2); /* drawn again */
    test_terminal_type(terminal, "qom-get path=/machine property=type");
    test_terminal_see(terminal, "=type", 1);
    gsize n_before = terminal->seen->len;
    ctl(f, "pause");
    test_terminal_see(terminal, " state  paused", 1);
    /* Up to the first row, which is removed with what is below. */
    g_assert_nonnull(strstr(terminal->seen->str + n_before, "\r\033[A\033[J"));
    test_terminal_see(terminal, PROMPT "qom-get", 3);
    test_terminal_type(terminal, "\n");
    test_terminal_see(terminal, "-machine\"\r\n", 1);
    leave(terminal);
    stop(f);
}

static void test_restart(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *terminal = OPEN(f, NULL);

    ctl(f, "restart");
    test_terminal_see(terminal, " state  restarting", 1);
    test_terminal_see(terminal, " state  running", 1);
    test_terminal_type(terminal, "query-name\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"", 1);
    leave(terminal);
    stop(f);
}

/* ---- Ends ---- */

static void assert_failed(TestTerminal *take_terminal, const char *why)
{
    g_autoptr(TestTerminal) terminal = take_terminal;
    int status = test_terminal_finish(terminal);

    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_autofree char *last = g_strdup_printf("cvd-ctl: the instance has ended: %s\r\n", why);
    if (!g_str_has_suffix(terminal->seen->str, last))
        g_error("it does not end with '%s': %s", last, terminal->seen->str);
}

static void test_end_of_instance(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *terminal = OPEN(f, NULL);

    test_terminal_type(terminal, "query-sta");
    test_terminal_see(terminal, "query-sta", 1);
    stop(f);
    assert_failed(terminal, "stopped: the guest powered off");
}

static void test_quit(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *terminal = OPEN(f, NULL);

    test_terminal_type(terminal, "quit\n");
    g_autoptr(TestTerminal) ended = terminal;
    int status = test_terminal_finish(ended);
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_assert_true(has_seen(ended, "\r\n{}\r\n"));
    g_assert_true(has_seen(ended, "cvd-ctl: the instance has ended: "));
    test_process_wait_end(f->launcher);
}

/* With the terminal as it was, which test_terminal_finish() looks at. */
static void test_signals(gconstpointer data)
{
    static const int numbers[] = {SIGTERM, SIGHUP, SIGQUIT};
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autoptr(TestTerminal) terminal = OPEN(f, NULL);
        g_assert_cmpuint(test_terminal_get(terminal).c_lflag & (ICANON | ECHO), ==, 0);
        g_assert_no_errno(kill(terminal->pid, numbers[i]));
        int status = test_terminal_finish(terminal);
        g_assert_true(WIFSIGNALED(status));
        g_assert_cmpint(WTERMSIG(status), ==, numbers[i]);
    }
    stop(f);
}

/* A shell that has stopped it has it go on: the line is there again. */
static void test_stop_and_continue(gconstpointer data)
{
    static const int numbers[] = {SIGTSTP, SIGSTOP};
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    TestTerminal *terminal = OPEN(f, NULL);

    test_terminal_type(terminal, "query-na");
    test_terminal_see(terminal, "query-na", 1);
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        int status;
        g_assert_no_errno(kill(terminal->pid, numbers[i]));
        g_assert_cmpint(waitpid(terminal->pid, &status, WUNTRACED), ==, terminal->pid);
        g_assert_true(WIFSTOPPED(status));
        if (numbers[i] == SIGTSTP)
            test_terminal_assert_restored(terminal);
        g_assert_no_errno(tcsetattr(terminal->fd, TCSANOW, &terminal->before));
        g_assert_no_errno(kill(terminal->pid, SIGCONT));
        test_terminal_see(terminal, PROMPT "query-na", 2 + (guint)i);
    }
    test_terminal_type(terminal, "me\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"", 1);
    leave(terminal);
    stop(f);
}

/* ---- History ---- */

static void test_history(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autofree char *path = g_build_filename(f->sandbox->dir, "cvd", "qmp_history", NULL);
    g_autofree char *kept = NULL;
    struct stat st;

    TestTerminal *terminal = OPEN(f, NULL);
    test_terminal_type(terminal, "query-name\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"", 1);
    test_terminal_type(terminal, "set_password protocol=vnc password=hush\n");
    test_terminal_see(terminal, "error: ", 1);
    test_terminal_type(terminal, " query-kvm\n");
    test_terminal_see(terminal, "\"present\"", 1);
    leave(terminal);
    g_assert_true(g_file_get_contents(path, &kept, NULL, NULL));
    g_assert_cmpstr(kept, ==, "query-name\n");
    g_assert_no_errno(g_stat(path, &st));
    g_assert_cmpuint(st.st_mode & 0777, ==, 0600);

    terminal = OPEN(f, NULL);
    test_terminal_type(terminal, UP);
    test_terminal_see(terminal, "query-name", 1);
    test_terminal_type(terminal, "\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"", 1);
    test_terminal_type(terminal, CTRL_R "y-na");
    test_terminal_see(terminal, "y-na", 1);
    test_terminal_type(terminal, "\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"", 2);
    leave(terminal);
    stop(f);
}

/* Said once; everything else works. */
static void test_no_history(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    G_GNUC_UNUSED g_autofree char *in_the_way = test_sandbox_write(f->sandbox, "cvd", "");
    TestTerminal *terminal = OPEN(f, NULL);

    for (guint i = 1; i <= 2; i++) {
        test_terminal_type(terminal, "query-name\n");
        test_terminal_see(terminal, "\"name\" : \"" NAME "\"", i);
        test_terminal_see(terminal, "the history is not kept: ", 1);
    }
    leave(terminal);
    stop(f);
}

static void test_dumb_terminal(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    const char *argv[] = {"env", "TERM=dumb", g_getenv("CVD_CTL"), "qmp", NULL};
    TestTerminal *terminal = open_prompt(f, argv);

    test_terminal_type(terminal, "query-na");
    test_terminal_see(terminal, "query-na", 1);
    ctl(f, "pause");
    test_terminal_see(terminal, " guest  STOP\r\n", 1);
    test_terminal_type(terminal, "me\n");
    test_terminal_see(terminal, "\"name\" : \"" NAME "\"", 1);
    leave(terminal);
    stop(f);
}

static void test_no_instance(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autoptr(TestTerminal) terminal =
        test_terminal_start(f->sandbox, (const char *const[]){g_getenv("CVD_CTL"), "qmp", NULL});

    g_assert_cmpint(WEXITSTATUS(test_terminal_finish(terminal)), ==, 1);
    g_assert_true(has_seen(terminal, "no instance runs"));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        GTestDataFunc test;
    } tests[] = {
        {"/qmp-prompt/commands", test_commands},
        {"/qmp-prompt/json", test_json},
        {"/qmp-prompt/completion", test_completion},
        {"/qmp-prompt/completion-of-a-slow-qemu", test_completion_of_a_slow_qemu},
        {"/qmp-prompt/interrupt", test_interrupt},
        {"/qmp-prompt/interrupt-of-a-command", test_interrupt_of_a_command},
        {"/qmp-prompt/timeout", test_timeout},
        {"/qmp-prompt/events", test_events},
        {"/qmp-prompt/event-in-a-long-line", test_event_in_a_long_line},
        {"/qmp-prompt/restart", test_restart},
        {"/qmp-prompt/end-of-instance", test_end_of_instance},
        {"/qmp-prompt/quit", test_quit},
        {"/qmp-prompt/signals", test_signals},
        {"/qmp-prompt/stop-and-continue", test_stop_and_continue},
        {"/qmp-prompt/history", test_history},
        {"/qmp-prompt/no-history", test_no_history},
        {"/qmp-prompt/dumb-terminal", test_dumb_terminal},
        {"/qmp-prompt/no-instance", test_no_instance},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        test_add(tests[i].path, NULL, tests[i].test);
    return g_test_run();
}
