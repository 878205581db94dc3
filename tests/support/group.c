/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/group.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define N_MACHINES 8
#define GATE       "gate"

TestGroup *test_group_new(const char *more)
{
    TestGroup *group = g_new0(TestGroup, 1);
    g_autofree char *layout = test_layout_text(2);
    g_autofree char *text = g_strdup_printf(
        "{\"name\": \"group-${index}\", \"instances\": %d, %s \"layout\": %s,"
        " \"qemu\": {\"kernel\": \"builtin\", \"accel\": \"tcg\", \"memory\": \"32M\"}}",
        N_MACHINES, more, layout);

    group->sandbox = test_sandbox_new();
    group->config = test_sandbox_write(group->sandbox, "group.json", text);
    return group;
}

TestGroup *test_group_new_gated(void)
{
    TestGroup *group = test_group_new("\"hooks\": {\"before_start\": [\"sh\", \"-c\", \"read x < "
                                      "${config_dir}/" GATE "; test -z \\\"$x\\\"\"]},");
    g_autofree char *gate = test_sandbox_path(group->sandbox, GATE);

    g_assert_no_errno(mkfifo(gate, 0600));
    return group;
}

void test_group_open_gate(const TestGroup *group, const char *lines)
{
    g_autofree char *path = test_sandbox_path(group->sandbox, GATE);
    int gate = open(path, O_RDWR | O_CLOEXEC); /* lives as long as the test */

    g_assert_cmpint(gate, >=, 0);
    g_assert_cmpint(write(gate, lines, strlen(lines)), ==, (gssize)strlen(lines));
}

void test_group_free(TestGroup *group)
{
    test_sandbox_free(group->sandbox);
    g_free(group->config);
    g_free(group);
}

GPtrArray *test_group_make_up(const TestGroup *group, const char *const *arguments)
{
    GPtrArray *argv = g_ptr_array_new();

    g_ptr_array_add(argv, (char *)g_getenv("CVD_UP"));
    g_ptr_array_add(argv, group->config);
    for (; *arguments != NULL; arguments++)
        g_ptr_array_add(argv, (char *)*arguments);
    g_ptr_array_add(argv, NULL);
    return argv;
}

TestProcess *test_group_up(const TestGroup *group, const char *const *arguments)
{
    g_autoptr(GPtrArray) argv = test_group_make_up(group, arguments);

    return test_process_start(group->sandbox, (const char *const *)argv->pdata, NULL, NULL);
}

TestTerminal *test_group_up_on_terminal(const TestGroup *group, const char *const *arguments)
{
    const struct winsize size = {.ws_row = 24, .ws_col = 60};
    g_autoptr(GPtrArray) argv = test_group_make_up(group, arguments);
    TestTerminal *terminal = test_terminal_start(group->sandbox, (const char *const *)argv->pdata);

    g_assert_no_errno(ioctl(terminal->fd, TIOCSWINSZ, &size));
    return terminal;
}

char *test_group_finish(TestProcess *take_process, int status)
{
    g_autoptr(TestProcess) process = take_process;
    g_autoptr(GRegex) time = g_regex_new("[0-9]+\\.[0-9] s", 0, 0, NULL);
    int got = test_process_wait_exit(process);

    if (got != status)
        test_process_fail(process, "exit status %d instead of %d", got, status);
    g_assert_cmpstr(process->out->str, ==, "");
    return g_regex_replace_literal(time, process->err->str, -1, 0, "TIME", 0, NULL);
}

char *test_group_name(guint index)
{
    return g_strdup_printf("group-%u", index);
}

void test_group_wait(const TestGroup *group, guint index, const char *state)
{
    g_autofree char *name = test_group_name(index);

    test_ctl_done(test_ctl(group->sandbox, "-n", name, "wait", state, NULL));
}

pid_t test_group_find_launcher(const TestGroup *group, guint index)
{
    g_autofree char *name = test_group_name(index);
    g_autofree char *path = test_sandbox_instance_path(group->sandbox, name, "lock");
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return atoi(text);
}
