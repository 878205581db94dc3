/* SPDX-License-Identifier: Apache-2.0 */
/* cvd-ctl top: on a terminal, in a pipe, and of instances that come, go and hang. */
#include "tests/support/instance.h"
#include "tests/support/region.h"
#include "tests/support/terminal.h"
#include "tests/support/vm.h"

#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME  "phone"
#define ENTER "\033[?1049h"
#define LEAVE "\033[?1049l"
/* The last column of a wide screen. */
#define WIDE_HEAD   "RESTARTS       VM\033[K"
#define NARROW_HEAD "STATE        UPTIME\033[K"

static const char *ctl_path(void)
{
    const char *path = g_getenv("CVD_CTL");

    if (path == NULL)
        g_error("CVD_CTL is not set: run the tests through `meson test`");
    return path;
}

static TestProcess *start(const TestSandbox *sandbox, const char *const *args)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();

    g_ptr_array_add(argv, (char *)ctl_path());
    for (; *args != NULL; args++)
        g_ptr_array_add(argv, (char *)*args);
    g_ptr_array_add(argv, NULL);
    return test_process_start(sandbox, (const char *const *)argv->pdata, NULL, NULL);
}

#define CTL(f, ...) start((f)->sandbox, (const char *const[]){__VA_ARGS__, NULL})

static TestTerminal *open_top(const TestInstance *f)
{
    return test_terminal_start(f->sandbox,
                               (const char *const[]){ctl_path(), "top", "-i", "0.1", NULL});
}

static void set_size(const TestTerminal *terminal, gushort rows, gushort columns)
{
    const struct winsize size = {.ws_row = rows, .ws_col = columns};

    g_assert_no_errno(ioctl(terminal->fd, TIOCSWINSZ, &size));
}

static guint count(const char *text, const char *part)
{
    guint n = 0;

    for (; (text = strstr(text, part)) != NULL; text++)
        n++;
    return n;
}

/* The screen of before is back, and the terminal as it was. */
static void assert_left(TestTerminal *terminal, int status)
{
    g_assert_cmpint(test_terminal_finish(terminal), ==, status);
    g_assert_cmpuint(count(terminal->seen->str, ENTER), ==, count(terminal->seen->str, LEAVE));
    const char *end = g_strrstr(terminal->seen->str, LEAVE);
    g_assert_nonnull(end);
    g_assert_cmpstr(end, ==, LEAVE);
}

static void serve(TestInstance *f)
{
    f->launcher = test_serve_only(f->sandbox, f->name);
}

static void stop_serving(TestInstance *f)
{
    test_launcher_stop(f->launcher, SIGINT);
}

/* ---- On a terminal ---- */

static void test_keys(gconstpointer data)
{
    static const char *const keys[] = {"q", "Q", "\003", "xyzq"};
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    serve(f);
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autoptr(TestTerminal) terminal = open_top(f);
        test_terminal_see(terminal, NAME, 3); /* it is drawn again and again */
        g_assert_cmpuint(test_terminal_get(terminal).c_lflag & (ICANON | ECHO), ==, 0);
        g_assert_nonnull(strstr(terminal->seen->str, "  hwcomposer           0\033[K"));
        test_terminal_type(terminal, keys[i]);
        assert_left(terminal, 0);
    }
    stop_serving(f);
}

/* The first is an end like another; what else ends it at once leaves the terminal as it was, too.
 */
static void test_signals(gconstpointer data)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    serve(f);
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autoptr(TestTerminal) terminal = open_top(f);
        test_terminal_see(terminal, NAME, 1);
        g_assert_no_errno(kill(terminal->pid, numbers[i]));
        assert_left(terminal, numbers[i] == SIGQUIT ? SIGQUIT : 0);
    }
    stop_serving(f);
}

/* By ctrl-z, or from outside: the shell has its screen meanwhile. */
static void test_suspended(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    int status;

    serve(f);
    g_autoptr(TestTerminal) terminal = open_top(f);
    for (guint i = 1; i <= 2; i++) {
        test_terminal_see(terminal, ENTER, i);
        test_terminal_see(terminal, NAME, 2 * i);
        if (i == 1)
            test_terminal_type(terminal, "\032");
        else
            g_assert_no_errno(kill(terminal->pid, SIGTSTP));
        g_assert_cmpint(waitpid(terminal->pid, &status, WUNTRACED), ==, terminal->pid);
        g_assert_true(WIFSTOPPED(status));
        test_terminal_see(terminal, LEAVE, i);
        test_terminal_assert_restored(terminal);
        g_assert_no_errno(kill(terminal->pid, SIGCONT));
    }
    test_terminal_see(terminal, ENTER, 3);
    test_terminal_type(terminal, "q");
    assert_left(terminal, 0);
    stop_serving(f);
}

static void test_window_size(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    serve(f);
    g_autoptr(TestTerminal) terminal = open_top(f);
    test_terminal_see(terminal, WIDE_HEAD, 1);
    g_assert_cmpuint(count(terminal->seen->str, NARROW_HEAD), ==, 0);
    set_size(terminal, 24, 40);
    test_terminal_see(terminal, NARROW_HEAD, 1);
    set_size(terminal, 6, 80);
    test_terminal_see(terminal, "more regions", 1);
    test_terminal_type(terminal, "q");
    assert_left(terminal, 0);
    stop_serving(f);
}

/* A picture is put on the screen as a whole: from its upper left corner, over what is there. */
static void test_no_flicker(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    serve(f);
    g_autoptr(TestTerminal) terminal = open_top(f);
    test_terminal_see(terminal, NAME, 5);
    test_terminal_type(terminal, "q");
    assert_left(terminal, 0);
    g_assert_cmpuint(count(terminal->seen->str, "\033[2J"), ==, 0);
    g_assert_cmpuint(count(terminal->seen->str, "\033[H"), >=, 5);
    g_assert_cmpuint(count(terminal->seen->str, "\033[H"), ==,
                     count(terminal->seen->str, "\033[J"));
    stop_serving(f);
}

/* They come and go while it is shown. */
static void test_come_and_go(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);
    g_autoptr(TestTerminal) terminal = open_top(f);

    test_terminal_see(terminal, "instances: 0", 1);
    serve(f);
    test_terminal_see(terminal, "instances: 1", 1);
    test_terminal_see(terminal, "starting", 1);
    g_autoptr(TestProcess) vm = test_vm_start(f->sandbox, "--name", NAME, NULL);
    test_terminal_see(terminal, "running", 1);
    guint n = count(terminal->seen->str, "instances: 0");
    stop_serving(f);
    test_terminal_see(terminal, "instances: 0", n + 1);
    test_terminal_type(terminal, "q");
    assert_left(terminal, 0);
    test_process_wait_end(vm);
}

/* One that hangs is shown as such, and does not keep the keys from being read. */
static void test_hanging(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    serve(f);
    g_autoptr(TestTerminal) terminal = open_top(f);
    test_terminal_see(terminal, "starting", 1);
    test_process_signal(f->launcher, SIGSTOP);
    test_terminal_see(terminal, "no answer", 2);
    test_terminal_type(terminal, "q");
    assert_left(terminal, 0);
    test_process_signal(f->launcher, SIGCONT);
    stop_serving(f);
}

/* ---- In a pipe ---- */

/* A machine with a trace and a program. */
static TestInstance *boot(void)
{
    TestInstance *f = test_instance_new(NAME);
    g_autofree char *trace = test_sandbox_path(f->sandbox, "trace");
    const char *args[] = {"--trace", trace, "--set",
                          "programs={\"sleeper\": {\"argv\": [\"sleep\", \"1000\"], "
                          "\"regions\": [\"misc\", \"sensors\"]}}",
                          NULL};

    f->launcher = test_launch_with(f->sandbox, NAME, args, NULL, NULL);
    test_instance_wait_guest(f, 1);
    return f;
}

static void test_once(gconstpointer data)
{
    g_autoptr(TestInstance) f = boot();
    g_autoptr(TestRegion) region = test_region_attach(f->client_socket, "hwcomposer");
    g_autoptr(GRegex) rates =
        g_regex_new("^  hwcomposer +0\\.0 +0\\.0 +1 +2 +2$", G_REGEX_MULTILINE, 0, NULL);
    g_autoptr(GRegex) program =
        g_regex_new("^  sleeper +ready +\\S+ +0 +\\d+ misc,sensors$", G_REGEX_MULTILINE, 0, NULL);

    test_region_echo(region);
    test_region_echo(region);
    g_autoptr(TestProcess) top = CTL(f, "top", "--once", "-i", "0.1");
    test_launcher_assert_exit(top, 0);
    g_assert_cmpstr(top->err->str, ==, "");
    g_assert_cmpuint(count(top->out->str, "\033"), ==, 0);
    if (!g_regex_match(rates, top->out->str, 0, NULL) ||
        !g_regex_match(program, top->out->str, 0, NULL))
        test_process_fail(top, "no rates or program");
    test_instance_stop(f, SIGINT);
}

static void test_json(gconstpointer data)
{
    g_autoptr(TestInstance) f = boot();
    g_autoptr(TestProcess) top = CTL(f, "--json", "top", "-c", "2", "-i", "0.1");

    test_launcher_assert_exit(top, 0);
    g_auto(GStrv) lines = g_strsplit(top->out->str, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 3);
    g_autoptr(JsonNode) root = json_from_string(lines[1], NULL);
    JsonObject *instance = json_array_get_object_element(
        json_object_get_array_member(json_node_get_object(root), "instances"), 0);
    g_assert_cmpstr(json_object_get_string_member(instance, "name"), ==, NAME);
    g_assert_cmpstr(json_object_get_string_member(instance, "state"), ==, "running");
    g_assert_true(json_object_get_boolean_member(instance, "traced"));
    JsonArray *regions = json_object_get_array_member(instance, "regions");
    g_assert_cmpuint(json_array_get_length(regions), ==, 5);
    JsonObject *region = json_array_get_object_element(regions, 0);
    g_assert_cmpstr(json_object_get_string_member(region, "device_name"), ==, "hwcomposer");
    g_assert_cmpint(json_object_get_int_member(region, "to_guest"), ==, 0);
    g_assert_cmpfloat(json_object_get_double_member(region, "to_guest_per_second"), ==, 0);
    JsonObject *program =
        json_array_get_object_element(json_object_get_array_member(instance, "programs"), 0);
    g_assert_cmpstr(json_object_get_string_member(program, "name"), ==, "sleeper");
    test_instance_stop(f, SIGINT);
}

/* A table each interval, until nobody reads them any more. */
static void test_pipe(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    serve(f);
    g_autoptr(TestProcess) top = CTL(f, "top", "-i", "0.1");
    test_process_wait_out(top, NAME, 3);
    test_process_signal(top, SIGINT);
    test_launcher_assert_exit(top, 0);
    g_assert_cmpuint(count(top->out->str, "\033"), ==, 0);
    g_assert_cmpuint(count(top->out->str, "INSTANCE"), >=, 3);
    stop_serving(f);
}

static void test_usage(gconstpointer data)
{
    static const struct {
        const char *args[4];
        int status;
        const char *words;
    } rows[] = {
        {{"top", "--count", "0"}, 2, "expected a number from 1"},
        {{"top", "--interval", "soon"}, 2, "expected seconds"},
        {{"top", "--once", "--count=2"}, 2, "give one"},
        {{"top", "x"}, 2, "unexpected argument"},
        {{"top", "-n", "nobody", "--once"}, 1, "nobody"},
    };
    g_autoptr(TestInstance) f = test_instance_new(NAME);

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(TestProcess) top =
            CTL(f, rows[i].args[0], rows[i].args[1], rows[i].args[2], rows[i].args[3]);
        test_launcher_assert_exit(top, rows[i].status);
        test_launcher_assert_err(top, rows[i].words);
        g_assert_cmpstr(top->out->str, ==, "");
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/top/keys", NULL, test_keys);
    test_add("/top/signals", NULL, test_signals);
    test_add("/top/suspended", NULL, test_suspended);
    test_add("/top/window-size", NULL, test_window_size);
    test_add("/top/no-flicker", NULL, test_no_flicker);
    test_add("/top/come-and-go", NULL, test_come_and_go);
    test_add("/top/hanging", NULL, test_hanging);
    test_add_unless("/top/once", NULL, test_once, test_why_no_guest);
    test_add_unless("/top/json", NULL, test_json, test_why_no_guest);
    test_add("/top/pipe", NULL, test_pipe);
    test_add("/top/usage", NULL, test_usage);
    return g_test_run();
}
