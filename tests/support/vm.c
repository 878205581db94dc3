/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/vm.h"

#include "tests/support/launcher.h"

TestProcess *test_serve_only(const TestSandbox *sandbox, const char *name)
{
    TestProcess *launcher = test_launch(sandbox, name, "--serve-only", NULL);

    test_process_wait_err(launcher, ": serving without a VM", 1);
    return launcher;
}

TestProcess *test_vm_start(const TestSandbox *sandbox, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *path = g_getenv("CVD_VM");
    const char *arg;
    va_list list;

    if (path == NULL)
        g_error("CVD_VM is not set: run the tests through scripts/test or `meson test`");
    g_ptr_array_add(argv, (char *)path);
    va_start(list, sandbox);
    do {
        arg = va_arg(list, const char *);
        g_ptr_array_add(argv, (char *)arg);
    } while (arg != NULL);
    va_end(list);
    return test_process_start(sandbox, (const char *const *)argv->pdata, NULL, NULL);
}

void test_vm_wait_ready(TestProcess *vm)
{
    test_process_wait_err(vm, "cvd-vm: ready", 1);
}
