/* SPDX-License-Identifier: Apache-2.0 */
/* `cvd-launch --console` on a terminal, with all that a terminal does. */
#include "tests/support/terminal.h"
#include "base/fd.h"
#include "tests/support/ctl.h"
#include "tests/support/instance.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME   "terminal"
#define ESCAPE "\x1d"
#define PROMPT "enter back to the console: "

typedef struct {
    TestSandbox *sandbox;
    TestTerminal *terminal;
    pid_t machine;
    int machine_fd;    /* readable when that process has ended */
    int foreground_fd; /* the same for the one on the terminal */
} Fixture;

#define CTL(f, ...) test_ctl((f)->sandbox, "-n", NAME, __VA_ARGS__, NULL)

/* @shell: what is to run it, where it is `"$@"`; NULL: it leads the terminal's session itself */
static Fixture *start(const char *shell, const char *const *arguments)
{
    Fixture *f = g_new0(Fixture, 1);
    g_autofree char *config = test_source_path("conf/cvd.json");
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *const in_shell[] = {"sh", "-c", shell, "sh"};
    const char *const fixed[] = {test_launcher_path(), "--config", config, "--name", NAME, "--set",
                                 "qemu.accel=tcg",     "--console"};

    f->machine_fd = f->foreground_fd = -1;
    f->sandbox = test_sandbox_new();
    for (gsize i = 0; shell != NULL && i < G_N_ELEMENTS(in_shell); i++)
        g_ptr_array_add(argv, (char *)in_shell[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(fixed); i++)
        g_ptr_array_add(argv, (char *)fixed[i]);
    for (; arguments != NULL && *arguments != NULL; arguments++)
        g_ptr_array_add(argv, (char *)*arguments);
    g_ptr_array_add(argv, NULL);
    f->terminal = test_terminal_start(f->sandbox, (const char *const *)argv->pdata);
    return f;
}

#define START(...) start(NULL, (const char *const[]){__VA_ARGS__, NULL})

/* Waits until the guest serves. */
static Fixture *boot(const char *shell)
{
    Fixture *f = start(shell, NULL);

    test_terminal_see(f->terminal, "cvd-guest: ready", 1);
    pid_t foreground = shell != NULL ? test_find_child(f->terminal->pid) : f->terminal->pid;
    f->machine = test_find_child(foreground);
    f->machine_fd = test_open_pid(f->machine);
    f->foreground_fd = test_open_pid(foreground);
    return f;
}

static void fixture_free(Fixture *f)
{
    test_terminal_free(f->terminal);
    cvd_close_fd(&f->machine_fd);
    cvd_close_fd(&f->foreground_fd);
    test_sandbox_free(f->sandbox);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static void assert_clean(const Fixture *f)
{
    test_wait_readable(f->machine_fd, "the end of the machine's process");
    test_wait_readable(f->foreground_fd, "the end of the process on the terminal");
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

static int finish(Fixture *f)
{
    int status = test_terminal_finish(f->terminal);

    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Each line begins at the left, raw terminal or not. */
static void assert_lines_whole(const Fixture *f)
{
    for (const char *p = f->terminal->seen->str; (p = strchr(p, '\n')) != NULL; p++)
        if (p == f->terminal->seen->str || p[-1] != '\r')
            g_error("a line feed without a carriage return: %s", f->terminal->seen->str);
}

static void see(const Fixture *f, const char *text)
{
    test_terminal_see(f->terminal, text, 1);
}

static void type(const Fixture *f, const char *text)
{
    test_terminal_type(f->terminal, text);
}

/* ---- What is typed ---- */

/* All keys are the guest's, also those that are signals elsewhere; then it powers off. */
static void test_keys(gconstpointer data)
{
    const struct winsize size = {.ws_row = 10, .ws_col = 20};
    g_autoptr(Fixture) f = boot(NULL);

    see(f, NAME ": the guest's console; ctrl-] opens a prompt");
    g_assert_cmpuint(test_terminal_get(f->terminal).c_lflag & (ICANON | ECHO | ISIG), ==, 0);
    type(f, "\x03");
    see(f, "cvd-guest: ^C\r\n");
    type(f, "\x1a");
    see(f, "cvd-guest: ^Z\r\n");
    type(f, "\x1c");
    see(f, "cvd-guest: ^\\\r\n");
    g_assert_no_errno(ioctl(f->terminal->fd, TIOCSWINSZ, &size));
    type(f, "reboot\r");
    test_terminal_see(f->terminal, "cvd-guest: ready", 2);
    type(f, "poweroff\r");
    g_assert_cmpint(finish(f), ==, 0);
    see(f, "\r\n" NAME ": guest powered off\r\n");
    assert_lines_whole(f);
    assert_clean(f);
}

static void test_prompt(gconstpointer data)
{
    g_autoptr(Fixture) f = boot(NULL);

    type(f, ESCAPE);
    see(f, PROMPT);
    type(f, "h");
    see(f, "detach: leave the machine running");
    test_terminal_see(f->terminal, PROMPT, 2);
    type(f, "x"); /* means nothing */
    test_terminal_see(f->terminal, PROMPT, 3);
    type(f, "\rreboot\r");
    test_terminal_see(f->terminal, "cvd-guest: ready", 2);
    type(f, ESCAPE ESCAPE);
    see(f, "cvd-guest: ^]\r\n");
    type(f, ESCAPE "\x03reboot\r");
    test_terminal_see(f->terminal, "cvd-guest: ready", 3);
    g_assert_null(strstr(f->terminal->seen->str, "cvd-guest: ^C"));
    g_autoptr(TestProcess) logs = CTL(f, "logs", "--launcher"); /* which are here */
    g_assert_cmpint(test_process_wait_exit(logs), ==, 1);
    g_assert_nonnull(
        strstr(logs->err->str, "launcher.log is not there: cvd-launch writes to the "));
    type(f, ESCAPE "p");
    g_assert_cmpint(finish(f), ==, 0);
    see(f, "asked the guest to power off; ctrl-] and q quit at once\r\n");
    see(f, NAME ": stopped: the guest powered off\r\n");
    assert_lines_whole(f);
    assert_clean(f);
}

/* A guest that does not power off is asked once, and then ended. */
static void test_prompt_quits(gconstpointer data)
{
    g_autoptr(Fixture) f = boot(NULL);

    type(f, "hang\r");
    see(f, "cvd-guest: hang");
    type(f, ESCAPE "p");
    see(f, "asked the guest to power off");
    type(f, ESCAPE "p");
    see(f, "it was asked already; q ends QEMU at once\r\n");
    type(f, ESCAPE "q");
    g_assert_cmpint(finish(f), ==, 0);
    see(f, NAME ": stopping: asked QEMU to quit\r\n");
    assert_clean(f);
}

/* What comes while the prompt is open is shown after it. */
static void test_prompt_holds(gconstpointer data)
{
    g_autoptr(Fixture) f = boot(NULL);

    type(f, ESCAPE);
    see(f, PROMPT);
    test_ctl_done(CTL(f, "pause"));
    type(f, "h");
    see(f, "detach: leave the machine running");
    test_ctl_done(CTL(f, "resume"));
    type(f, "\r");
    see(f, "\r\n" NAME ": paused: a pause was asked for\r\n" NAME ": running again\r\n");
    const char *held = strstr(f->terminal->seen->str, ": paused");
    g_assert_true(strstr(f->terminal->seen->str, "leave the machine running") < held);
    assert_lines_whole(f);
    type(f, ESCAPE "p");
    g_assert_cmpint(finish(f), ==, 0);
    assert_clean(f);
}

/* ---- Leaving it ---- */

static void test_detach(gconstpointer data)
{
    g_autoptr(Fixture) f = boot("\"$@\"; echo \"status $?\"; cat");
    g_autofree char *log = test_sandbox_instance_path(f->sandbox, NAME, "launcher.log");
    const char *const attach[] = {g_getenv("CVD_CTL"), "attach", NULL};

    type(f, ESCAPE "d");
    see(f, "detached; 'cvd-ctl -n " NAME " attach' comes back");
    see(f, "status 0\r\n"); /* the shell has its terminal again */
    test_terminal_assert_restored(f->terminal);
    test_ctl_done(CTL(f, "pause"));
    test_wait_file(log, ": paused: a pause was asked for", 1);
    test_ctl_done(CTL(f, "resume"));
    g_autoptr(TestTerminal) second = test_terminal_start(f->sandbox, attach);
    test_terminal_see(second, "cvd-guest: ready", 1);
    test_terminal_type(second, "reboot\r");
    test_terminal_see(second, "cvd-guest: ready", 2);
    test_terminal_type(second, ESCAPE);
    g_assert_cmpint(test_terminal_finish(second), ==, 0);
    /* Nothing of that was for the terminal that was left, whose end it does not notice. */
    g_assert_null(strstr(f->terminal->seen->str, "paused"));
    g_assert_cmpint(getsid(f->machine), ==, f->machine);
    cvd_close_fd(&f->terminal->fd);
    g_assert_cmpint(waitpid(f->terminal->pid, NULL, 0), ==, f->terminal->pid);
    f->terminal->pid = 0;
    g_autofree char *status = test_ctl_finish(CTL(f, "status"), 0);
    g_assert_nonnull(strstr(status, "state     running"));
    test_ctl_done(CTL(f, "stop"));
    assert_clean(f);
}

/* Before anything runs: the machine goes on starting. */
static void test_detach_early(gconstpointer data)
{
    g_autoptr(Fixture) f = start(NULL, NULL);

    see(f, "ctrl-] opens a prompt");
    type(f, ESCAPE "d");
    g_assert_cmpint(finish(f), ==, 0);
    test_ctl_done(CTL(f, "wait", "running"));
    test_ctl_done(CTL(f, "stop"));
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
}

/* ---- The terminal, and the process on it, end ---- */

static void hang_up(Fixture *f)
{
    cvd_close_fd(&f->terminal->fd);
    g_assert_cmpint(waitpid(f->terminal->pid, NULL, 0), ==, f->terminal->pid);
    f->terminal->pid = 0;
}

/* @data: what stands between the terminal and the launcher */
static void test_terminal_closes(gconstpointer data)
{
    g_autoptr(Fixture) f = boot(data);

    hang_up(f);
    assert_clean(f);
}

/* As nohup(1) has it, though that takes the terminal away. */
static void test_hangup_ignored(gconstpointer data)
{
    g_autoptr(Fixture) f = boot("trap '' HUP; \"$@\"");

    hang_up(f);
    g_autofree char *status = test_ctl_finish(CTL(f, "status"), 0);
    g_assert_nonnull(strstr(status, "state     running"));
    test_ctl_done(CTL(f, "stop"));
    assert_clean(f);
}

/* The terminal is restored, unless nobody is left to do it, and the machine powers off. */
static void test_signals(gconstpointer data)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGKILL};

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        gboolean is_stop = numbers[i] != SIGQUIT && numbers[i] != SIGKILL;
        g_autoptr(Fixture) f = boot(NULL);
        int status;
        g_assert_no_errno(kill(f->terminal->pid, numbers[i]));
        if (numbers[i] == SIGKILL) {
            g_assert_cmpint(waitpid(f->terminal->pid, &status, 0), ==, f->terminal->pid);
            f->terminal->pid = 0;
        } else {
            status = test_terminal_finish(f->terminal);
        }
        g_assert_true(is_stop ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                              : WIFSIGNALED(status) && WTERMSIG(status) == numbers[i]);
        assert_clean(f);
    }
}

/* Stopped from outside, as the shell does, it lets go of the terminal; the machine goes on. */
static void test_is_stopped(gconstpointer data)
{
    static const int numbers[] = {SIGTSTP, SIGSTOP};
    g_autoptr(Fixture) f = boot(NULL);
    int status;

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_assert_no_errno(kill(f->terminal->pid, numbers[i]));
        g_assert_cmpint(waitpid(f->terminal->pid, &status, WUNTRACED), ==, f->terminal->pid);
        g_assert_true(WIFSTOPPED(status));
        if (numbers[i] == SIGTSTP)
            test_terminal_assert_restored(f->terminal);
        test_ctl_done(CTL(f, "reset"));
        g_assert_no_errno(tcsetattr(f->terminal->fd, TCSANOW, &f->terminal->before));
        g_assert_no_errno(kill(f->terminal->pid, SIGCONT));
        test_terminal_see(f->terminal, "cvd-guest: ready", 2 + (guint)i);
        /* Without a line's end, which a terminal that is not raw would wait for. */
        type(f, "\x03");
        test_terminal_see(f->terminal, "cvd-guest: ^C", 1 + (guint)i);
    }
    type(f, ESCAPE "p");
    g_assert_cmpint(finish(f), ==, 0);
    assert_clean(f);
}

/* A terminal that shows nothing more keeps nobody from stopping the machine. */
static void test_terminal_is_stuck(gconstpointer data)
{
    g_autoptr(Fixture) f = boot(NULL);
    cvd_autofd slave = open(ptsname(f->terminal->fd), O_RDWR | O_NOCTTY | O_CLOEXEC);

    g_assert_no_errno(tcflow(slave, TCOOFF));
    test_ctl_done(CTL(f, "restart"));
    g_assert_no_errno(kill(f->terminal->pid, SIGTERM));
    test_wait_readable(f->machine_fd, "the end of the machine's process");
    g_assert_no_errno(tcflow(slave, TCOON));
    cvd_close_fd(&slave);
    g_assert_cmpint(finish(f), ==, 0);
    assert_clean(f);
}

/* ---- How the machine ends ---- */

static void test_guest_panics(gconstpointer data)
{
    g_autoptr(Fixture) f = boot(NULL);

    type(f, "panic\r");
    g_assert_cmpint(finish(f), ==, 1);
    see(f, "\r\n" NAME ": error: guest panicked\r\n");
    assert_lines_whole(f);
    test_sandbox_assert_clean(f->sandbox, TEST_LOGS_LEFT);
}

static void test_launcher_is_killed(gconstpointer data)
{
    g_autoptr(Fixture) f = boot(NULL);
    g_autofree char *killed =
        g_strdup_printf("error: the launcher (pid %d) was killed by signal 9\r\n", f->machine);

    g_assert_no_errno(kill(f->machine, SIGKILL));
    g_assert_cmpint(finish(f), ==, 1);
    see(f, killed);
    test_ctl_done(CTL(f, "forget"));
    assert_clean(f);
}

static void test_does_not_start(gconstpointer data)
{
    g_autoptr(Fixture) f = START("--set", "qemu.binary=/bin/true");

    g_assert_cmpint(finish(f), ==, 1);
    see(f, "error: true exited with status 0 before the VM was running\r\n");
    assert_lines_whole(f);
    test_sandbox_assert_clean(f->sandbox, TEST_LOGS_LEFT);
}

static void test_time_limit(gconstpointer data)
{
    g_autoptr(Fixture) f = START("--timeout", "1", "--paused");

    see(f, "ready for a debugger\r\n");
    g_assert_cmpint(finish(f), ==, 1);
    see(f, NAME ": error: stopped, as the time of --timeout was over\r\n");
    test_sandbox_assert_clean(f->sandbox, TEST_LOGS_LEFT);
}

/* ---- Where there is no console, or no terminal ---- */

static void test_refused(gconstpointer data)
{
    g_autoptr(TestInstance) piped =
        test_instance_start(NAME, (const char *const[]){"--console", NULL});
    g_autoptr(Fixture) f = START("--set", "qemu.serial=none");

    test_launcher_assert_exit(piped->launcher, 2);
    test_launcher_assert_err(piped->launcher, "--console needs a terminal as stdin and stdout");
    g_assert_cmpint(finish(f), ==, 2);
    see(f, "--console: the VM has no serial console, as qemu.serial is \"none\"");
}

/* Where stderr goes elsewhere, the log does, line by line as ever. */
static void test_log_elsewhere(gconstpointer data)
{
    g_autoptr(Fixture) f = boot("exec \"$@\" 2>\"$XDG_RUNTIME_DIR/../log\"");
    g_autofree char *path = test_sandbox_path(f->sandbox, "log");
    g_autofree char *log = NULL;

    type(f, ESCAPE "p");
    g_assert_cmpint(finish(f), ==, 0);
    g_assert_null(strstr(f->terminal->seen->str, "running after"));
    g_assert_true(g_file_get_contents(path, &log, NULL, NULL));
    g_assert_nonnull(strstr(log, NAME ": running after "));
    g_assert_true(g_str_has_suffix(log, NAME ": stopped: the guest powered off\n"));
    g_assert_null(strchr(log, '\r'));
    assert_clean(f);
}

int main(int argc, char **argv)
{
    static const char in_shell[] = "\"$@\"; :";

    g_test_init(&argc, &argv, NULL);
    test_add("/terminal/keys", NULL, test_keys);
    test_add("/terminal/prompt", NULL, test_prompt);
    test_add("/terminal/prompt-quits", NULL, test_prompt_quits);
    test_add("/terminal/prompt-holds", NULL, test_prompt_holds);
    test_add("/terminal/detach", NULL, test_detach);
    test_add("/terminal/detach-early", NULL, test_detach_early);
    test_add("/terminal/closes", NULL, test_terminal_closes);
    test_add("/terminal/closes-below-a-shell", in_shell, test_terminal_closes);
    test_add("/terminal/hangup-ignored", NULL, test_hangup_ignored);
    test_add("/terminal/signals", NULL, test_signals);
    test_add("/terminal/is-stopped", NULL, test_is_stopped);
    test_add("/terminal/is-stuck", NULL, test_terminal_is_stuck);
    test_add("/terminal/guest-panics", NULL, test_guest_panics);
    test_add("/terminal/launcher-is-killed", NULL, test_launcher_is_killed);
    test_add("/terminal/does-not-start", NULL, test_does_not_start);
    test_add("/terminal/time-limit", NULL, test_time_limit);
    test_add("/terminal/refused", NULL, test_refused);
    test_add("/terminal/log-elsewhere", NULL, test_log_elsewhere);
    return g_test_run();
}
