/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/ctl.h"

TestProcess *test_ctl(const TestSandbox *sandbox, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    va_list arguments;
    char *argument;

    g_ptr_array_add(argv, (char *)g_getenv("CVD_CTL"));
    va_start(arguments, sandbox);
    do {
        argument = va_arg(arguments, char *);
        g_ptr_array_add(argv, argument);
    } while (argument != NULL);
    va_end(arguments);
    return test_process_start(sandbox, (const char *const *)argv->pdata, NULL, NULL);
}

char *test_ctl_finish(TestProcess *take_ctl, int status)
{
    g_autoptr(TestProcess) ctl = take_ctl;
    int got = test_process_wait_exit(ctl);

    if (got != status)
        test_process_fail(ctl, "exit status %d instead of %d", got, status);
    return g_strdup(ctl->out->str);
}

void test_ctl_done(TestProcess *take_ctl)
{
    g_free(test_ctl_finish(take_ctl, 0));
}
