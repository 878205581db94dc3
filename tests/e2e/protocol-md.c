/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documentation of the protocol has a whole client in Python; it is taken out of there and run.
 */
#include "tests/support/launcher.h"

#include <signal.h>
#include <string.h>

static char *extract_example(void)
{
    g_autofree char *path = test_source_path("docs/protocol.md");
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    const char *begin = strstr(text, "```python\n");
    g_assert_nonnull(begin);
    begin += strlen("```python\n");
    const char *end = strstr(begin, "```");
    g_assert_nonnull(end);
    return g_strndup(begin, (gsize)(end - begin));
}

static void test_example(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *example = extract_example();
    g_autofree char *script = test_sandbox_write(sandbox, "example.py", example);
    g_autofree char *client_socket = test_sandbox_instance_path(sandbox, "protocol", "client.sock");
    g_autoptr(TestProcess) launcher = test_launch(sandbox, "protocol", NULL);
    const char *argv[] = {"python3", script, client_socket, NULL};

    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, "protocol", 1);
    g_autoptr(TestProcess) python = test_process_start(sandbox, argv, NULL, NULL);
    test_launcher_assert_exit(python, 0);
    g_assert_nonnull(strstr(python->out->str, "41 + 1 = 42"));
    test_process_signal(launcher, SIGINT);
    test_launcher_assert_exit(launcher, 0);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/protocol-md/python-example", NULL, test_example);
    return g_test_run();
}
