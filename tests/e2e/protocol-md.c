/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documentation of the protocol has whole programs in Python; they are taken out of there and
 * run.
 */
#include "tests/support/launcher.h"

#include <signal.h>
#include <string.h>

/* Returns: (transfer full): the @n-th of them, from 0 on */
static char *extract_example(guint n)
{
    g_autofree char *path = test_source_path("docs/protocol.md");
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    const char *begin = text;
    for (guint i = 0; i <= n; i++) {
        begin = strstr(begin, "```python\n");
        g_assert_nonnull(begin);
        begin += strlen("```python\n");
    }
    const char *end = strstr(begin, "```");
    g_assert_nonnull(end);
    return g_strndup(begin, (gsize)(end - begin));
}

static void test_example(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *example = extract_example(0);
    g_autofree char *script = test_sandbox_write(sandbox, "example.py", example);
    g_autofree char *client_socket = test_sandbox_instance_path(sandbox, "protocol", "client.sock");
    g_autoptr(TestProcess) launcher = test_launch(sandbox, "protocol", NULL);
    const char *argv[] = {"python3", script, client_socket, NULL};

    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, "protocol", 1);
    g_autoptr(TestProcess) python = test_process_start(sandbox, argv, NULL, NULL);
    test_launcher_assert_exit(python, 0);
    g_assert_nonnull(strstr(python->out->str, "41 + 1 = 42"));
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

/* The system's Python has the bindings, whichever one builds. */
static void test_control(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *probe_argv[] = {"/usr/bin/env",
                                "PATH=/usr/bin:/bin",
                                "python3",
                                "-c",
                                "from gi.repository import Gio",
                                NULL};
    g_autoptr(TestProcess) probe = test_process_start(sandbox, probe_argv, NULL, NULL);
    if (test_process_wait_exit(probe) != 0) {
        test_skip("no Python with GObject introspection");
        return;
    }

    g_autofree char *example = extract_example(1);
    g_autofree char *script = test_sandbox_write(sandbox, "example.py", example);
    g_autofree char *socket = test_sandbox_instance_path(sandbox, "protocol", "control.sock");
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "protocol", "--set", "lifecycle.stop=quit", NULL);
    const char *argv[] = {"/usr/bin/env", "PATH=/usr/bin:/bin", "python3", script, socket, NULL};
    test_launcher_wait_running(launcher);
    g_autoptr(TestProcess) python = test_process_start(sandbox, argv, NULL, NULL);
    test_launcher_assert_exit(python, 0);
    g_assert_cmpstr(python->out->str, ==, "protocol running\nnow paused\n");
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/protocol-md/python-example", NULL, test_example);
    test_add("/protocol-md/control-example", NULL, test_control);
    return g_test_run();
}
