/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/group.h"

#include <stdlib.h>

#define N_MACHINES 8

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

pid_t test_group_find_launcher(const TestGroup *group, guint index)
{
    g_autofree char *name = test_group_name(index);
    g_autofree char *path = test_sandbox_instance_path(group->sandbox, name, "lock");
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return atoi(text);
}
